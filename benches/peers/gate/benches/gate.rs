//! One gate decision in each engine: the same policies, the same requests, the same answers.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gate_peers::{cedar, ours, rego, workload};
use trust_engine::Decision;

fn bench(criterion: &mut Criterion) {
    for rules in [10, 100, 1000] {
        let case = workload::case(rules).unwrap();
        let ours = ours::Ours::new(&case.policy).unwrap();
        let cedar = cedar::Cedar::new(&case.policy, &case).unwrap();
        let mut rego = rego::Rego::new(&case.policy).unwrap();
        let ours_requests = ours::requests(&case).unwrap();
        let cedar_requests = cedar::requests(&case).unwrap();
        let rego_requests = rego::requests(&case).unwrap();

        for ((for_ours, for_cedar), for_rego) in ours_requests.iter().zip(&cedar_requests).zip(&rego_requests)
        {
            let decision = ours.decide(for_ours);
            assert_eq!(decision, ours.evaluate(for_ours).decision());
            assert_eq!(decision == Decision::Allow, cedar.allows_surely(for_cedar).unwrap());
            assert_eq!(decision, rego.decide(for_rego).unwrap());
        }

        let mut group = criterion.benchmark_group(format!("gate/{rules} rules"));
        let mut next = ours_requests.iter().cycle();
        group.bench_function("ours, decision only", |bencher| {
            bencher.iter(|| ours.decide(black_box(next.next().unwrap())));
        });
        let mut next = ours_requests.iter().cycle();
        group.bench_function("ours, with trace and policy hash", |bencher| {
            bencher.iter(|| {
                let evaluation = ours.evaluate(black_box(next.next().unwrap()));
                (evaluation.policy_hash(), evaluation)
            });
        });
        let mut next = cedar_requests.iter().cycle();
        group.bench_function("cedar-policy", |bencher| {
            bencher.iter(|| cedar.allows(black_box(next.next().unwrap())));
        });
        let mut next = rego_requests.iter().cycle();
        group.bench_function("regorus", |bencher| {
            bencher.iter(|| rego.decide(black_box(next.next().unwrap())).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
