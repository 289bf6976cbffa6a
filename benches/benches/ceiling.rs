//! One check of a ceiling, by handle and by id, without recording: one key, and a hundred thousand.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trust_engine::blocking::Engine;
use trust_engine::{CeilingRequest, Options};
use trust_engine_benches::ceiling_policy;

const AGENTS: usize = 100_000;

fn check(criterion: &mut Criterion) {
    let engine = Engine::open(Options::memory().policy(ceiling_policy()).cached_agents(2 * AGENTS)).unwrap();
    let mut group = criterion.benchmark_group("ceiling");
    let quota = engine.quota("hot").unwrap();
    group.bench_function("one key by handle", |bencher| {
        bencher.iter(|| black_box(quota.try_take("API_CALLS", 1).unwrap().allowed()));
    });
    let request = CeilingRequest::new("hot", "API_CALLS", 1);
    group.bench_function("one key by id", |bencher| {
        bencher.iter(|| black_box(engine.check_ceiling_now(&request).unwrap().0.allowed()));
    });
    // In an order that no prefetcher knows.
    let requests: Vec<_> = (0..AGENTS)
        .map(|n| CeilingRequest::new(format!("agent_{:06}", n * 7919 % AGENTS), "API_CALLS", 1))
        .collect();
    let mut next = requests.iter().cycle();
    group.bench_function("100k keys by id", |bencher| {
        bencher.iter(|| black_box(engine.check_ceiling_now(next.next().unwrap()).unwrap().0.allowed()));
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
