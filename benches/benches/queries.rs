//! The cost of reading in a large log: a page, a record, a chain, a proof. Prints one line per query.
//!
//! `TRUST_ENGINE_BENCH_RECORDS` sets how large (1,000,000 by default). Embedded store, 1,000 agents.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::collections::VecDeque;
use std::time::Instant;

use trust_engine::blocking::Engine;
use trust_engine::{Decision, GateRequest, NewRecord, Options, Query, RecordType, Ticket, Timestamp};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AGENTS: u64 = 1000;
const SAMPLES: usize = 2000;

fn main() {
    let records = std::env::var("TRUST_ENGINE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok());
    let records: u64 = records.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    let started = Instant::now();
    let (ids, times) = fill(&engine, records);
    println!(
        "{records} records written in {:.0} s, {} MB of memory",
        started.elapsed().as_secs_f64(),
        resident()
    );
    let tails = chains(&engine);
    drop(engine);
    let started = Instant::now();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    println!("opened in {:.0} ms, {} MB of memory", started.elapsed().as_secs_f64() * 1e3, resident());

    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let log = engine.log();
    measure("page of 20, agent and time", || {
        let third = times.len() / 3;
        let (from, to) = (pick(third), 2 * third + pick(third));
        let query = Query::new().agent(format!("agent_{:04}", pick(AGENTS as usize))).limit(20);
        let query = query.from(*times.get(from).unwrap()).to(*times.get(to).unwrap());
        assert_eq!(log.query(&query).unwrap().records.len(), 20);
    });
    measure("page of 20, type and decision", || {
        let query = Query::new().kind(RecordType::RoleGate).decision(Decision::Deny).limit(20);
        assert_eq!(log.query(&query).unwrap().records.len(), 20);
    });
    measure("record by id", || drop(log.get(*ids.get(pick(ids.len())).unwrap()).unwrap()));
    measure("chain of 10", || {
        assert_eq!(log.chain(*tails.get(pick(tails.len())).unwrap(), 10).unwrap().len(), 11);
    });
    measure("inclusion proof", || drop(log.prove(*ids.get(pick(ids.len())).unwrap()).unwrap()));
    println!("{} MB of memory at the end", resident());
}

/// Ids of every thousandth record, and the times at those.
fn fill(engine: &Engine, records: u64) -> (Vec<Uuid>, Vec<Timestamp>) {
    let mut flying: VecDeque<Ticket> = VecDeque::new();
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    for n in 0..records {
        if flying.len() == 1024 {
            flying.pop_front().unwrap().wait().unwrap();
        }
        let agent = format!("agent_{:04}", n % AGENTS);
        let request = GateRequest::new(agent, "DATA_ANALYST").resource("dataset_001").action("read");
        let (verdict, ticket) = engine.decide_gate(&request).unwrap();
        flying.push_back(ticket);
        if n % 1000 == n / 1000 % 1000 {
            ids.push(verdict.id());
            times.push(verdict.evaluated_at());
        }
    }
    flying.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    (ids, times)
}

/// The last records of a hundred chains of eleven.
fn chains(engine: &Engine) -> Vec<Uuid> {
    (0..100)
        .map(|_| {
            let record = |parent: Option<Uuid>| {
                let record = NewRecord::new(RecordType::Escalation, "agent_0001", Decision::Allow);
                let record = parent.into_iter().fold(record, NewRecord::parent);
                engine.log().record(record).unwrap().id()
            };
            (0..11).fold(None, |parent, _| Some(record(parent))).unwrap()
        })
        .collect()
}

fn measure(what: &str, mut act: impl FnMut()) {
    (0..200).for_each(|_| act());
    let mut micros: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let started = Instant::now();
            act();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    let at = |share: usize| micros.get(SAMPLES * share / 100).copied().unwrap_or(f64::NAN);
    println!("{what}: p50 {:.0} us, p95 {:.0} us, p99 {:.0} us", at(50), at(95), at(99));
}

/// Resident memory in megabytes, where the system says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
