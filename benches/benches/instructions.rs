//! Limits that CI holds against regressions: of instructions, which repeat exactly, not of seconds.
//!
//! valgrind knows no SHA instructions, so a leaf costs far more here than on a processor.
//! Each limit is about a tenth above what was counted when it was set (valgrind 3.19, rustc 1.95, x86-64).

#![allow(missing_docs, clippy::unwrap_used, clippy::exit, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use trust_engine::blocking::Engine;
use trust_engine::gate::{decide, evaluate};
use trust_engine::provenance::{Frontier, Hash};
use trust_engine::{GateRequest, ManualClock, Options, Policy, Quota, Timestamp};
use trust_engine_benches::{ceiling_policy, policy, requests, subject};

type Given = (Arc<Policy>, Vec<(GateRequest, &'static str)>);

fn given(rules: usize) -> Given {
    (policy(rules), requests(rules))
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

#[library_benchmark]
#[bench::rules_10(args = (10), setup = given, config = at_most(210_000))]
#[bench::rules_1000(args = (1000), setup = given, config = at_most(247_000))]
fn decide_256_gates((policy, requests): Given) -> Given {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    for (request, tier) in &requests {
        black_box(decide(&policy, &subject(tier), black_box(request), now));
    }
    (policy, requests)
}

#[library_benchmark]
#[bench::rules_10(args = (10), setup = given, config = at_most(256_000))]
fn evaluate_256_gates((policy, requests): Given) -> Given {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    for (request, tier) in &requests {
        black_box(evaluate(&policy, &subject(tier), black_box(request), now));
    }
    (policy, requests)
}

#[library_benchmark]
#[bench::entries(args = (330), config = at_most(30_000_000))]
fn append_1000_leaves(bytes: usize) -> Frontier {
    let entry = vec![b'e'; bytes];
    let mut frontier = Frontier::default();
    for _ in 0..1000 {
        frontier.push(Hash::leaf(black_box(&entry)), |_, _, hash| {
            black_box(hash);
        });
    }
    frontier
}

/// A quota that holds a lease for more checks than are counted.
fn held_quota() -> (Engine, Quota) {
    let clock = ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000));
    let options = Options::memory().policy(ceiling_policy()).clock(Arc::new(clock));
    let engine = Engine::open(options).unwrap();
    let quota = engine.quota("agent").unwrap();
    for _ in 0..100 {
        quota.try_take("API_CALLS", 1).unwrap();
    }
    (engine, quota)
}

#[library_benchmark]
#[bench::by_handle(setup = held_quota, config = at_most(116_000))]
fn check_256_ceilings((engine, quota): (Engine, Quota)) -> (Engine, Quota) {
    for _ in 0..256 {
        black_box(quota.try_take(black_box("API_CALLS"), 1).is_ok());
    }
    (engine, quota)
}

library_benchmark_group!(
    name = hot_paths,
    benchmarks = [decide_256_gates, evaluate_256_gates, check_256_ceilings, append_1000_leaves]
);
main!(library_benchmark_groups = hot_paths);
