//! The bench's case: the published roles and tiers, rules on action and resource prefix, 256 requests.

use trust_engine::{Decision, PolicyDocument};

use crate::Result;
use crate::model::{Agent, Ask, Case, GatePolicy, GateRole, GateRule, Glob};

const ACTIONS: [&str; 4] = ["read", "write", "delete", "run"];
const EFFECTS: [Decision; 3] = [Decision::Allow, Decision::Deny, Decision::Escalate];

/// 8 roles × 5 tiers and this many rules; about half of the requests meet one. The same as `benches/gate.rs` of the
/// trust engine.
pub fn case(rules: usize) -> Result<Case> {
    let document = PolicyDocument::published_default()?;
    let tiers: Vec<_> = document.tiers.into_iter().map(|tier| tier.name).collect();
    let minimum = |name| tiers.iter().position(|tier| *tier == name).ok_or("no such tier");
    let mut roles = Vec::new();
    for role in document.roles {
        roles.push(GateRole { minimum: minimum(role.minimum_tier)?, name: role.name });
    }
    let asks = (0..256).map(|n| Ask {
        agent: n % tiers.len(),
        role: cycled(&roles, n).map(|role| role.name.clone()).unwrap_or_default(),
        action: cycled(&ACTIONS, n).map(|action| (*action).to_owned()),
        resource: Some(format!("team{}/dataset_{n}", n * 37 % (rules * 2))),
        environment: None,
    });
    let asks = asks.collect();
    let agents = (0..tiers.len()).map(|tier| Agent { tier, attestations: Vec::new() }).collect();
    let rules = (0..rules).map(rule).collect();
    Ok(Case { policy: GatePolicy { tiers, roles, rules, default: document.default_effect }, agents, asks })
}

fn rule(n: usize) -> GateRule {
    let mut rule = GateRule::always(cycled(&EFFECTS, n).copied().unwrap_or(Decision::Deny));
    rule.actions = cycled(&ACTIONS, n).map(|action| vec![(*action).to_owned()]);
    rule.resources = Some(vec![Glob::Prefix(format!("team{n}/"))]);
    rule
}

fn cycled<T>(values: &[T], n: usize) -> Option<&T> {
    values.get(n % values.len().max(1))
}
