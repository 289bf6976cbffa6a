//! The first check of agents that the engine has not seen: its cost on the embedded store, alone and with a thousand
//! waiting, and the memory that agents with five counters each take.
//!
//! Its own harness: the measured event happens once per agent. `TRUST_ENGINE_BENCH_AGENTS` (100,000) for the memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use trust_engine::{CeilingRequest, Engine, Options, PolicyDocument};

const RESOURCES: [&str; 5] = ["API_CALLS", "DATA_ACCESS", "COMPUTE", "STORAGE", "NETWORK"];
const WAITING: usize = 1000;

/// The parts, each in a process of its own: freed memory is not given back to the system, and would be used again.
const PARTS: [&str; 4] = ["first", "memory", "embedded", "embedded, a tenth cached"];
const PART: &str = "TRUST_ENGINE_BENCH_PART";

fn main() {
    let Ok(part) = std::env::var(PART) else {
        for part in PARTS {
            let me = std::env::current_exe().unwrap();
            assert!(std::process::Command::new(me).env(PART, part).status().unwrap().success());
        }
        return;
    };
    let agents =
        std::env::var("TRUST_ENGINE_BENCH_AGENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let embedded = Options::embedded(folder.path().join("store")).policy(policy());
    match part.as_str() {
        "first" => first_checks(embedded),
        // In the memory store the counters themselves are in memory too; on the embedded one only quotas are.
        "memory" => memory(&part, agents, Options::memory().policy(policy()).cached_agents(agents)),
        "embedded" => memory(&part, agents, embedded.cached_agents(agents)),
        _ => memory(&part, agents, embedded.cached_agents(agents / 10)),
    }
}

fn policy() -> PolicyDocument {
    let row = |name: &&str| {
        format!("    - {{tier: BASIC, resource: {name}, limit: 1000000, windowSeconds: 86400}}\n")
    };
    let rows: String = RESOURCES.iter().map(row).collect();
    let text = format!(
        "policyFormat: 1\nname: new\ntiers: [{{name: BASIC}}]\nroles: [{{name: READER, minimumTier: BASIC}}]\n\
         defaultEffect: DENY\nresources: [{}]\nrecording:\n  ceilings: {{mode: NONE}}\nceilings:\n  agent:\n{rows}",
        RESOURCES.join(", ")
    );
    PolicyDocument::parse(&text).unwrap()
}

fn first_checks(options: Options) {
    let engine = pollster::block_on(Engine::open(options)).unwrap();
    let mut alone: Vec<Duration> = (0..1000)
        .map(|n| {
            let request = CeilingRequest::new(format!("alone_{n}"), "API_CALLS", 1);
            let started = Instant::now();
            assert!(pollster::block_on(engine.check_ceiling(&request)).unwrap().allowed());
            started.elapsed()
        })
        .collect();
    alone.sort();
    println!("first check alone: p50 {:?}, p95 {:?}", alone[500], alone[950]);
    let mut together: Vec<Duration> = (0..50)
        .map(|round| {
            let requests: Vec<_> = (0..WAITING)
                .map(|n| CeilingRequest::new(format!("together_{round}_{n}"), "API_CALLS", 1))
                .collect();
            let started = Instant::now();
            all_admitted(&engine, &requests);
            started.elapsed() / WAITING as u32
        })
        .collect();
    together.sort();
    println!(
        "first check with {WAITING} waiting: p50 {:?} each, slowest round {:?} each",
        together[25], together[49]
    );
}

/// Checks all at once on one thread.
fn all_admitted(engine: &Engine, requests: &[CeilingRequest]) {
    type Check<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;
    let check = |request| -> Check<'_> {
        Box::pin(async move { engine.check_ceiling(request).await.unwrap().allowed() })
    };
    let mut waiting: Vec<Check<'_>> = requests.iter().map(check).collect();
    let all = std::future::poll_fn(|context| {
        waiting.retain_mut(|check| match check.as_mut().poll(context) {
            Poll::Ready(allowed) => {
                assert!(allowed);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    pollster::block_on(pin!(all));
}

/// Every agent checks every resource once.
fn memory(what: &str, agents: usize, options: Options) {
    let engine = pollster::block_on(Engine::open(options)).unwrap();
    let before = resident();
    let started = Instant::now();
    for first in (0..agents).step_by(WAITING) {
        let requests: Vec<_> = (first..agents.min(first + WAITING))
            .map(|n| {
                let request = CeilingRequest::new(format!("agent_{n:07}"), RESOURCES[0], 1);
                RESOURCES[1..].iter().fold(request, |request, resource| request.and(*resource, 1))
            })
            .collect();
        all_admitted(&engine, &requests);
    }
    let (time, grown) = (started.elapsed(), resident().saturating_sub(before));
    println!(
        "{what}: {agents} agents × {} resources in {time:.1?}, {:.0} MB more resident, {} bytes per agent",
        RESOURCES.len(),
        grown as f64 / 1e6,
        grown / agents
    );
    pollster::block_on(engine.close());
}

/// Resident memory in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
