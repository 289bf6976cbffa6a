//! Random cases, small enough that rules overlap and hide each other.

use trust_engine::Decision;

use crate::model::{Agent, Ask, Case, GatePolicy, GateRole, GateRule, Glob};
use crate::random::Random;

const TIERS: [&str; 5] = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED"];
const ROLES: [&str; 6] = ["READER", "WRITER", "ANALYST", "OPERATOR", "AUDITOR", "ADMIN"];
const ACTIONS: [&str; 3] = ["read", "write", "delete"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "dev"];
const ATTESTATIONS: [&str; 3] = ["audited", "sandboxed", "soc2"];
/// Prefixes of each other, and texts that some engine would have to escape.
const RESOURCES: [&str; 12] =
    ["a", "a/", "a/b", "a/b/c", "a/bc", "ab", "aa", "b/c", "é/x", "a*b", "x?y", r#"q"u\o"#];

/// The case of `seed`. Every sixteenth has many rules, more than one machine word has bits.
pub fn case(seed: u64, requests: usize) -> Case {
    let random = &mut Random::new(seed);
    let large = seed % 16 == 15;
    let tiers = owned(&TIERS).into_iter().take(2 + random.below(4)).collect::<Vec<_>>();
    let roles: Vec<_> = owned(&ROLES)
        .into_iter()
        .take(2 + random.below(5))
        .map(|name| GateRole { name, minimum: random.below(tiers.len()) })
        .collect();
    let rules = if large { 70 + random.below(80) } else { random.below(13) };
    let asked = if large { 70 } else { 35 };
    let names: Vec<_> = roles.iter().map(|role| role.name.clone()).collect();
    let rules = (0..rules).map(|_| rule(random, &names, tiers.len(), asked)).collect();
    let agents: Vec<_> = (0..8)
        .map(|_| Agent {
            tier: random.below(tiers.len()),
            attestations: if random.chance(30) { Vec::new() } else { random.some(&owned(&ATTESTATIONS), 3) },
        })
        .collect();
    let asks = (0..requests).map(|_| ask(random, &names, agents.len())).collect();
    Case { policy: GatePolicy { tiers, roles, rules, default: effect(random) }, agents, asks }
}

/// A rule whose conditions are each there `asked` times out of a hundred.
fn rule(random: &mut Random, roles: &[String], tiers: usize, asked: usize) -> GateRule {
    let tiers: Vec<_> = (0..tiers).collect();
    let mut rule = GateRule::always(effect(random));
    rule.roles = random.chance(asked).then(|| random.some(roles, 3));
    rule.tiers = random.chance(asked).then(|| random.some(&tiers, 3));
    rule.actions = random.chance(asked).then(|| random.some(&owned(&ACTIONS), 2));
    rule.environments = random.chance(asked).then(|| random.some(&owned(&ENVIRONMENTS), 2));
    rule.attestations = random.chance(asked).then(|| random.some(&owned(&ATTESTATIONS), 2));
    rule.resources = random.chance(asked).then(|| {
        let mut globs = Vec::new();
        for _ in 0..1 + random.below(3) {
            let glob = glob(random);
            if !globs.contains(&glob) {
                globs.push(glob);
            }
        }
        globs
    });
    rule
}

fn glob(random: &mut Random) -> Glob {
    let text = random.pick(&RESOURCES).copied().unwrap_or_default();
    let cut = |random: &mut Random| random.below(text.chars().count() + 1);
    match random.below(5) {
        0 | 1 => Glob::Exact(text.to_owned()),
        2 | 3 => Glob::Prefix(text.chars().take(cut(random)).collect()),
        _ => {
            let prefix = text.chars().take(cut(random)).collect();
            let suffix: String = text.chars().skip(cut(random)).collect();
            if suffix.is_empty() { Glob::Prefix(prefix) } else { Glob::Between(prefix, suffix) }
        }
    }
}

/// A request; a part of it is now and then absent, or unknown to the policy.
fn ask(random: &mut Random, roles: &[String], agents: usize) -> Ask {
    let mut role = random.pick(roles).cloned().unwrap_or_default();
    if random.chance(3) {
        role = "NOBODY".into();
    }
    let mut optional = |known: &[&str], unknown: &str| match random.below(20) {
        0 => None,
        1 => Some(unknown.to_owned()),
        _ => random.pick(known).map(|text| (*text).to_owned()),
    };
    let action = optional(&ACTIONS, "purge");
    let resource = optional(&RESOURCES, "");
    let environment = optional(&ENVIRONMENTS, "moon");
    Ask { agent: random.below(agents), role, action, resource, environment }
}

fn effect(random: &mut Random) -> Decision {
    match random.below(3) {
        0 => Decision::Allow,
        1 => Decision::Deny,
        _ => Decision::Escalate,
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
