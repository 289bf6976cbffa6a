//! Records per second: a gate decided, signed and committed, many in flight. Prints one line per store.
//!
//! `TRUST_ENGINE_BENCH_RECORDS` sets how many (200,000 by default), `TRUST_ENGINE_BENCH_STORE` picks one store.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::collections::VecDeque;
use std::time::Instant;

use trust_engine::blocking::Engine;
use trust_engine::{Decision, GateRequest, NewAgent, NewRecord, Options, RecordType};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IN_FLIGHT: usize = 1024;

fn main() {
    let records =
        std::env::var("TRUST_ENGINE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let store = std::env::var("TRUST_ENGINE_BENCH_STORE").ok();
    let wanted = |name| store.as_deref().is_none_or(|store| store == name);
    if wanted("memory") {
        run("memory", &Engine::open(Options::memory()).unwrap(), records);
    }
    if wanted("embedded") {
        let folder = tempfile::tempdir().unwrap();
        run("embedded", &Engine::open(Options::embedded(folder.path())).unwrap(), records);
    }
}

fn run(name: &str, engine: &Engine, records: usize) {
    let agents: Vec<String> = (0..1000).map(|n| format!("agent_{n:04}")).collect();
    for agent in agents.iter().take(100) {
        engine.agents().register(NewAgent::new(agent).tier("VERIFIED")).unwrap();
    }
    let started = Instant::now();
    let mut flying = VecDeque::with_capacity(IN_FLIGHT);
    let mut marks = vec![started];
    for (n, agent) in (0..records).zip(agents.iter().cycle()) {
        if flying.len() == IN_FLIGHT {
            let ticket: trust_engine::Ticket = flying.pop_front().unwrap();
            ticket.wait().unwrap();
        }
        let request = GateRequest::new(agent, "DATA_ANALYST").resource("dataset_001").action("read");
        flying.push_back(engine.decide_gate(&request).unwrap().1);
        if (n + 1).is_multiple_of(records.div_ceil(10)) {
            marks.push(Instant::now());
        }
    }
    flying.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    let seconds = started.elapsed().as_secs_f64();
    let stats = engine.stats(trust_engine::TimeRange::All, None).unwrap();
    let batch = stats.provenance.committed as f64 / stats.provenance.commits as f64;
    let tenths: Vec<String> = marks
        .windows(2)
        .map(|pair| match pair {
            [a, b] => format!("{:.0}k", records as f64 / 10.0 / b.duration_since(*a).as_secs_f64() / 1e3),
            _ => String::new(),
        })
        .collect();
    println!(
        "{name}: {records} gate records, {:.0}/s, {batch:.0} per commit; by tenths {}",
        records as f64 / seconds,
        tenths.join(" ")
    );
    let mut alone: Vec<f64> = (0..300)
        .map(|_| {
            let record = NewRecord::new(RecordType::Alert, "agent_0001", Decision::Deny);
            let started = Instant::now();
            engine.log().record(record).unwrap();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    alone.sort_by(f64::total_cmp);
    println!("{name}: one caller alone, p50 {:.0} us", alone.get(150).copied().unwrap_or(0.0));
}
