//! 1, 2 and 4 engine processes on one PostgreSQL and one Redis: checks of ceilings, and gates that are recorded. Prints
//! tables, with what a check costs the servers.
//!
//! `TRUST_ENGINE_BENCH_POSTGRES_URL` and `TRUST_ENGINE_BENCH_REDIS_URL` name the servers (by default those on 127.0.0.1);
//! the schema `trust_engine_bench_fleet` is dropped and made anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{Postgres, Redis};
use trust_engine::{CeilingRequest, GateRequest, Options, PolicyDocument};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = "trust_engine_bench_fleet";
const LOAD: &str = "TRUST_ENGINE_BENCH_LOAD";
const SLICE: Duration = Duration::from_secs(6);
/// So that leases are held and caches are filled.
const WARM_UP: Duration = Duration::from_secs(6);

/// Ceilings that no agent reaches; checks are counted and not recorded, so that only the check is measured.
const POLICY: &str = "\
policyFormat: 1
name: bench
tiers: [{name: BASIC}]
roles: [{name: READER, minimumTier: BASIC}]
defaultEffect: ALLOW
agents: {unregistered: LOWEST_TIER}
resources: [API_CALLS]
recording:
  ceilings: {mode: NONE}
ceilings:
  agent:
    - {tier: BASIC, resource: API_CALLS, limit: 1000000000000, windowSeconds: 3600}
";

fn url(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.into())
}

fn postgres() -> String {
    url("TRUST_ENGINE_BENCH_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/test")
}

fn redis() -> String {
    url("TRUST_ENGINE_BENCH_REDIS_URL", "redis://127.0.0.1:6379")
}

#[derive(Clone, Copy)]
struct Load {
    agents: u64,
    threads: u64,
    with_redis: bool,
    gates: bool,
}

impl Load {
    fn to_words(self) -> String {
        format!("{} {} {} {}", self.agents, self.threads, self.with_redis, self.gates)
    }

    fn parse(words: &str) -> Self {
        let words: Vec<&str> = words.split(' ').collect();
        Self {
            agents: words[0].parse().unwrap(),
            threads: words[1].parse().unwrap(),
            with_redis: words[2].parse().unwrap(),
            gates: words[3].parse().unwrap(),
        }
    }
}

fn main() {
    if let Ok(words) = std::env::var(LOAD) {
        return work(Load::parse(&words));
    }
    psql(&format!("drop schema if exists {SCHEMA} cascade"));
    let policy = PolicyDocument::parse(POLICY).unwrap();
    Engine::open(options(false).policy(policy)).unwrap().close();
    println!("ceilings, by id, not recorded");
    for (agents, threads) in [(1, 1), (1000, 1), (10_000, 64)] {
        for with_redis in [false, true] {
            for processes in [1, 2, 4] {
                let counters = if with_redis { "Redis" } else { "PostgreSQL" };
                let what = format!("{agents} agents, {threads} callers, leases from {counters}");
                measure(&what, processes, Load { agents, threads, with_redis, gates: false });
            }
        }
    }
    println!("gates, recorded and committed, 256 callers per process");
    for processes in [1, 2, 4] {
        measure("gates", processes, Load { agents: 1000, threads: 256, with_redis: false, gates: true });
    }
    psql(&format!("drop schema if exists {SCHEMA} cascade"));
}

fn options(with_redis: bool) -> Options {
    let options = Options::postgres(Postgres::new(postgres()).schema(SCHEMA))
        .signer(Arc::new(Ed25519Signer::from_seed(&[7; 32])))
        .deployment("bench.example.com/fleet");
    if with_redis { options.redis(Redis::new(redis())) } else { options }
}

fn measure(what: &str, processes: usize, load: Load) {
    let mut children: Vec<Child> = (0..processes)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .env(LOAD, load.to_words())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    std::thread::sleep(WARM_UP);
    let before = (calls(), transactions());
    children.iter_mut().for_each(|child| child.stdin.as_mut().unwrap().write_all(b"count\n").unwrap());
    std::thread::sleep(SLICE);
    let after = (calls(), transactions());
    let done: u64 = children
        .iter_mut()
        .map(|child| {
            drop(child.stdin.take());
            let output = child.stdout.take().unwrap();
            let counted: u64 = BufReader::new(output).lines().last().unwrap().unwrap().parse().unwrap();
            assert!(child.wait().unwrap().success());
            counted
        })
        .sum();
    let per_thousand = |count: u64| count as f64 * 1000.0 / done.max(1) as f64;
    println!(
        "{what}: {processes} processes: {:.0}/s, {:.0}/s per process; Redis calls {:.2} and PostgreSQL transactions {:.2} \
         per 1,000",
        done as f64 / SLICE.as_secs_f64(),
        done as f64 / SLICE.as_secs_f64() / processes as f64,
        per_thousand(after.0 - before.0),
        per_thousand(after.1 - before.1)
    );
}

/// Scripts that Redis has run.
fn calls() -> u64 {
    let output = Command::new("redis-cli").args(["-u", &redis(), "info", "commandstats"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap_or("0,");
    line.split(',').next().unwrap().parse().unwrap()
}

/// Transactions that PostgreSQL has committed; it tells them up to a second late.
fn transactions() -> u64 {
    psql("select sum(xact_commit)::bigint from pg_stat_database").parse().unwrap()
}

fn psql(sql: &str) -> String {
    let output = Command::new("psql").args(["--no-psqlrc", "-qAt", &postgres(), "-c", sql]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// One process: works until standard input ends, and prints how much it did after the first line.
fn work(load: Load) {
    let engine = Engine::open(options(load.with_redis)).unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let checks: Vec<CeilingRequest> =
        (0..load.agents).map(|agent| CeilingRequest::new(format!("agent_{agent}"), "API_CALLS", 1)).collect();
    let gates: Vec<GateRequest> =
        (0..load.agents).map(|agent| GateRequest::new(format!("agent_{agent}"), "READER")).collect();
    std::thread::scope(|scope| {
        for thread in 0..load.threads {
            let (engine, stop, done, checks, gates) = (&engine, &stop, &done, &checks, &gates);
            let run = move || {
                let mut random = thread;
                while !stop.load(Ordering::Relaxed) {
                    // Knuth's generator: an agent at random, so that callers do not walk in step.
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let place = (random >> 33) as usize % checks.len();
                    if load.gates {
                        engine.evaluate_gate(&gates[place]).unwrap();
                    } else {
                        assert!(engine.check_ceiling(&checks[place]).unwrap().allowed());
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, run).unwrap();
        }
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        let before = done.load(Ordering::Relaxed);
        std::io::stdin().read_line(&mut line).unwrap();
        println!("{}", done.load(Ordering::Relaxed) - before);
        stop.store(true, Ordering::Relaxed);
    });
    engine.close();
}
