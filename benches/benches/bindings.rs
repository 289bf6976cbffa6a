//! The Rust calls beside which those of the other languages are measured: see benches/bindings/run.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench"
)]

use std::hint::black_box;
use std::time::Instant;

use futures_util::future::join_all;
use pollster::block_on;
use trust_engine::{Engine, GateRequest, NewAgent, NewRecord, Options, PolicyDocument, RecordType};

const BATCHES: usize = 41;
const CALLS: u32 = 50_000;
const RECORDS: usize = 200_000;
const IN_FLIGHT: usize = 256;

fn median(name: &str, mut call: impl FnMut()) {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| call());
            begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("rust\t{name}\t{:.1}\tns", times[BATCHES / 2]);
}

fn records(name: &str, options: Options) {
    let engine = block_on(Engine::open(options)).unwrap();
    let begun = Instant::now();
    for _ in 0..RECORDS / IN_FLIGHT {
        let log = engine.log();
        let batch =
            (0..IN_FLIGHT).map(|_| log.record(NewRecord::new(RecordType::Alert, "agent_001", "SEEN")));
        block_on(join_all(batch)).into_iter().for_each(|receipt| drop(receipt.unwrap()));
    }
    println!("rust\t{name}\t{:.0}\t/s", RECORDS as f64 / begun.elapsed().as_secs_f64());
    block_on(engine.close());
}

fn main() {
    let policy = PolicyDocument::parse(include_str!("../bindings/policy.yaml")).unwrap();
    let engine = block_on(Engine::open(Options::memory().policy(policy))).unwrap();
    block_on(engine.agents().register(NewAgent::new("agent_001").tier("MEMBER"))).unwrap();
    let request = GateRequest::new("agent_001", "READER");
    let quota = engine.quota("agent_001").unwrap();
    median("gate, request made before", || drop(black_box(engine.decide_gate(&request).unwrap())));
    median("gate", || {
        let request = GateRequest::new(black_box("agent_001"), black_box("READER"));
        drop(black_box(engine.decide_gate(&request).unwrap()));
    });
    median("check by handle", || drop(black_box(quota.try_take(black_box("CALLS"), 1).unwrap())));
    records("records in memory, 256 in flight", Options::memory());
    let folder = tempfile::tempdir().unwrap();
    records("records durable, 256 in flight", Options::embedded(folder.path().join("store")));
}
