//! One gate decision: bare, with its trace, and at a thousand rules.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trust_engine::gate::{Standing, Subject, decide, evaluate};
use trust_engine::{AgentStatus, GateRequest, Policy, PolicyDocument, Timestamp};

const TIERS: [&str; 5] = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED"];

/// The published roles and tiers, and `rules` rules on action and resource prefix.
fn policy(rules: usize) -> Arc<Policy> {
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

fn requests(rules: usize) -> Vec<(GateRequest, &'static str)> {
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

fn bench(criterion: &mut Criterion) {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    for rules in [10, 1000] {
        let policy = policy(rules);
        let requests = requests(rules);
        let subject = |tier| Subject {
            standing: Some(Standing { tier, status: AgentStatus::Active, attestations: &[] }),
            authority: None,
        };
        let mut group = criterion.benchmark_group(format!("gate/{rules} rules"));
        let mut next = requests.iter().cycle();
        group.bench_function("bare decision", |bencher| {
            bencher.iter(|| {
                let (request, tier) = next.next().unwrap();
                decide(black_box(&policy), &subject(tier), black_box(request), now)
            });
        });
        let mut next = requests.iter().cycle();
        group.bench_function("with trace and hash", |bencher| {
            bencher.iter(|| {
                let (request, tier) = next.next().unwrap();
                let evaluation = evaluate(black_box(&policy), &subject(tier), black_box(request), now);
                (evaluation.policy_hash(), evaluation)
            });
        });
        let mut next = requests.iter().cycle();
        group.bench_function("with trace, every step read", |bencher| {
            bencher.iter(|| {
                let (request, tier) = next.next().unwrap();
                let evaluation = evaluate(black_box(&policy), &subject(tier), black_box(request), now);
                evaluation.trace().conclusion()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
