//! Code that the benches share; see `benches/`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benches")]

use std::sync::Arc;

use trust_engine::gate::{Standing, Subject};
use trust_engine::{AgentStatus, GateRequest, Policy, PolicyDocument};

const TIERS: [&str; 5] = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED"];

/// The published roles and tiers, and `rules` rules on action and resource prefix.
pub fn policy(rules: usize) -> Arc<Policy> {
    let mut document = serde_json::to_value(PolicyDocument::published_default().unwrap()).unwrap();
    document["rules"] = (0..rules)
        .map(|n| {
            let effect = ["ALLOW", "DENY", "ESCALATE"][n % 3];
            let action = ["read", "write", "delete", "run"][n % 4];
            serde_json::json!({
                "id": format!("r{n}"), "effect": effect,
                "when": {"actions": [action], "resources": [format!("team{n}/*")]}
            })
        })
        .collect();
    Arc::new(Policy::compile(serde_json::from_value(document).unwrap()).unwrap())
}

/// 256 requests for [`policy`], each with the tier that its agent holds.
pub fn requests(rules: usize) -> Vec<(GateRequest, &'static str)> {
    let roles = PolicyDocument::published_default().unwrap().roles;
    (0..256)
        .map(|n| {
            let request = GateRequest::new("agent_001", &roles[n % roles.len()].name)
                .action(["read", "write", "delete", "run"][n % 4])
                .resource(format!("team{}/dataset_{n}", n * 37 % (rules * 2)));
            (request, TIERS[n % 5])
        })
        .collect()
}

/// A registered agent that holds `tier`.
pub fn subject(tier: &str) -> Subject<'_> {
    Subject {
        standing: Some(Standing { tier, status: AgentStatus::Active, attestations: &[] }),
        authority: None,
    }
}

/// A ceiling on API calls that is never reached, for everyone; no check is recorded.
pub fn ceiling_policy() -> PolicyDocument {
    PolicyDocument::parse(
        "
policyFormat: 1
name: ceilings
tiers: [{name: BASIC}]
roles: [{name: READER, minimumTier: BASIC}]
defaultEffect: DENY
resources: [API_CALLS]
ceilings:
  agent: [{tier: BASIC, resource: API_CALLS, limit: 1000000000000, windowSeconds: 86400}]
recording:
  ceilings: {mode: NONE}
",
    )
    .unwrap()
}
