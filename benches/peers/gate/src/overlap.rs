//! Whether two rules can match the same request.
//!
//! Engines without an order need an exception for every earlier rule; people write those exceptions only where the
//! rules can meet, and so do the translations. "Perhaps" counts as yes.

use crate::model::{GateRule, Glob};

/// Whether some request could match both.
pub fn can_meet(a: &GateRule, b: &GateRule) -> bool {
    shared(&a.roles, &b.roles, |x, y| x == y)
        && shared(&a.tiers, &b.tiers, |x, y| x == y)
        && shared(&a.actions, &b.actions, |x, y| x == y)
        && shared(&a.environments, &b.environments, |x, y| x == y)
        && shared(&a.resources, &b.resources, globs_can_meet)
}

fn shared<T>(a: &Option<Vec<T>>, b: &Option<Vec<T>>, meet: impl Fn(&T, &T) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.iter().any(|x| b.iter().any(|y| meet(x, y))),
        _ => true,
    }
}

/// Compares what the texts must begin with; ends are not looked at.
fn globs_can_meet(a: &Glob, b: &Glob) -> bool {
    let start = |glob: &Glob| match glob {
        Glob::Exact(text) => (text.clone(), true),
        Glob::Prefix(text) | Glob::Between(text, _) => (text.clone(), false),
    };
    match (start(a), start(b)) {
        ((a, true), (b, true)) => a == b,
        ((a, true), (b, false)) => a.starts_with(&b),
        ((a, false), (b, true)) => b.starts_with(&a),
        ((a, false), (b, false)) => a.starts_with(&b) || b.starts_with(&a),
    }
}
