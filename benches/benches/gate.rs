//! One gate decision: bare, with its trace, and at a thousand rules.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trust_engine::Timestamp;
use trust_engine::gate::{decide, evaluate};
use trust_engine_benches::{policy, requests, subject};

fn bench(criterion: &mut Criterion) {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    for rules in [10, 1000] {
        let policy = policy(rules);
        let requests = requests(rules);
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
