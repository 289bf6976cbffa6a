//! The whole of it on PostgreSQL: durable commits at 1 to 1,024 callers, then pages and chains. Prints tables.
//!
//! `TRUST_ENGINE_BENCH_POSTGRES_URL` names the database (by default `test` on 127.0.0.1), whose schema
//! `trust_engine_bench` is dropped and made anew; `TRUST_ENGINE_BENCH_RECORDS` sets how many records are added before
//! reads are measured (1,000,000 by default); `TRUST_ENGINE_BENCH_KEEP=1` keeps the schema and measures only the reads if it is
//! there. Single-row commits and pgbench run beside it if `pgbench` is installed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::Postgres;
use trust_engine::{Decision, GateRequest, NewRecord, Options, Query, Record, RecordType, TimeRange};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = "trust_engine_bench";
const SLICE: Duration = Duration::from_secs(8);

fn main() {
    let url = std::env::var("TRUST_ENGINE_BENCH_POSTGRES_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into());
    let records: u64 =
        std::env::var("TRUST_ENGINE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let keep = std::env::var_os("TRUST_ENGINE_BENCH_KEEP").is_some();
    let there = psql(&url, &format!("select to_regclass('{SCHEMA}.heads')"));
    if !keep {
        psql(&url, &format!("drop schema if exists {SCHEMA} cascade"));
    }
    let options = Options::postgres(Postgres::new(&url).schema(SCHEMA))
        .signer(Arc::new(Ed25519Signer::from_seed(&[7; 32])))
        .deployment("bench.example.com/fleet");
    let engine = Engine::open(options).unwrap();
    println!("{}", psql(&url, "select version()"));
    if !keep || there.is_empty() {
        for callers in [1, 64, 256, 1024] {
            commits(&engine, callers);
        }
        for callers in [64, 256, 1024] {
            tasks(&engine, callers);
        }
        peers(&url);
        println!("{} records in the log", fill(&engine, records));
    }
    reads(&engine);
    println!(
        "size: {}",
        psql(
            &url,
            &format!(
                "select pg_size_pretty(sum(pg_total_relation_size(c.oid))) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = '{SCHEMA}' and relkind = 'r'"
            )
        )
    );
    engine.close();
    if keep {
        return;
    }
    psql(&url, &format!("drop schema if exists {SCHEMA} cascade"));
}

fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args(["--no-psqlrc", "-qAt", url, "-c", sql]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Gates evaluated and committed by callers that wait for their receipts.
fn commits(engine: &Engine, callers: usize) {
    let stop = AtomicBool::new(false);
    let before = engine.stats(TimeRange::All, None).unwrap().provenance;
    let started = Instant::now();
    let mut times: Vec<u32> = std::thread::scope(|scope| {
        let run = |caller: usize| {
            let stop = &stop;
            let work = move || {
                let agent = format!("agent_{:03}", caller % 100);
                let request = GateRequest::new(agent, "DATA_ANALYST").resource("dataset_001").action("read");
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    engine.evaluate_gate(&request).unwrap();
                    times.push(u32::try_from(started.elapsed().as_micros()).unwrap());
                }
                times
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, work).unwrap()
        };
        let threads: Vec<_> = (0..callers).map(run).collect();
        std::thread::sleep(SLICE);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    let after = engine.stats(TimeRange::All, None).unwrap().provenance;
    let batch = (after.committed - before.committed) as f64 / (after.commits - before.commits) as f64;
    println!("{callers} callers: {rate:.0} records/s, {batch:.0} per commit, {}", spread(&mut times));
}

/// The same from one thread, as an async host does it.
fn tasks(engine: &Engine, callers: usize) {
    let engine = engine.as_async();
    let before = pollster::block_on(engine.stats(TimeRange::All, None)).unwrap().provenance;
    let started = Instant::now();
    let task = |caller: usize| async move {
        let agent = format!("agent_{:03}", caller % 100);
        let request = GateRequest::new(agent, "DATA_ANALYST").resource("dataset_001").action("read");
        let mut times: Vec<u32> = Vec::new();
        while started.elapsed() < SLICE {
            let started = Instant::now();
            engine.evaluate_gate(&request).await.unwrap();
            times.push(u32::try_from(started.elapsed().as_micros()).unwrap());
        }
        times
    };
    let times = pollster::block_on(futures_util::future::join_all((0..callers).map(task)));
    let mut times: Vec<u32> = times.into_iter().flatten().collect();
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    let after = pollster::block_on(engine.stats(TimeRange::All, None)).unwrap().provenance;
    let batch = (after.committed - before.committed) as f64 / (after.commits - before.commits) as f64;
    println!(
        "{callers} tasks of one thread: {rate:.0} records/s, {batch:.0} per commit, {}",
        spread(&mut times)
    );
}

fn spread(times: &mut [u32]) -> String {
    times.sort_unstable();
    let at = |part: f64| f64::from(times[((times.len() - 1) as f64 * part) as usize]) / 1000.0;
    format!("p50 {:.2} ms, p95 {:.2} ms", at(0.5), at(0.95))
}

/// Prints how many transactions PostgreSQL does with one row per commit, as pgbench counts them.
fn peers(url: &str) {
    let script = std::env::temp_dir().join(format!("trust-engine-bench-{}.sql", std::process::id()));
    std::fs::write(&script, format!("insert into {SCHEMA}.single (entry, payload) values (repeat('e', 400)::bytea, repeat('p', 500)::bytea);\n")).unwrap();
    psql(
        url,
        &format!("create table {SCHEMA}.single (id bigserial primary key, entry bytea, payload bytea)"),
    );
    let pgbench = ["pgbench", "/usr/lib/postgresql/15/bin/pgbench"];
    for clients in ["1", "50"] {
        let ran = pgbench.iter().find_map(|program| {
            let seconds = SLICE.as_secs().to_string();
            let arguments = ["-n", "-M", "prepared", "-j", "2", "-c", clients, "-T", &seconds, "-f"];
            Command::new(program).args(arguments).arg(&script).arg(url).output().ok()
        });
        let Some(output) = ran else { return println!("NOT RUN: pgbench is not installed") };
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("tps")).unwrap_or("pgbench failed");
        println!("pgbench, one row per commit, {clients} clients: {line}");
    }
    let _ = std::fs::remove_file(script);
}

/// Appends records; those of a caller make chains of twelve.
fn fill(engine: &Engine, records: u64) -> u64 {
    const CALLERS: u64 = 512;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let work = move || {
                let mut parent = None;
                for n in 0..records.div_ceil(CALLERS).next_multiple_of(12) {
                    let agent = format!("agent_{:04}", (caller + n * 7) % 10_000);
                    let record = NewRecord::new(RecordType::Alert, agent, Decision::Deny).reason("bench");
                    let record = match parent.filter(|_| n % 12 != 0) {
                        Some(parent) => record.parent(parent),
                        None => record,
                    };
                    parent = Some(engine.log().record(record).unwrap().id());
                }
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, work).unwrap();
        }
    });
    println!("filled at {:.0} records/s", records as f64 / started.elapsed().as_secs_f64());
    engine.stats(TimeRange::All, None).unwrap().provenance.committed
}

fn reads(engine: &Engine) {
    let newest = engine.log().query(&Query::new().limit(1000)).unwrap().records;
    let oldest =
        engine.log().query(&Query::new().oldest_first().limit(1)).unwrap().records[0].receipt().time();
    let span = newest[0].receipt().time().micros() - oldest.micros();
    let mut found = 0;
    let mut pages: Vec<u32> = (0..400i64)
        .map(|n| {
            let from = oldest.plus(Duration::from_micros((span * (n % 10) / 20) as u64));
            let query = Query::new()
                .agent(format!("agent_{:04}", n * 23 % 10_000))
                .from(from)
                .to(newest[0].receipt().time());
            let started = Instant::now();
            found += engine.log().query(&query).unwrap().records.len();
            u32::try_from(started.elapsed().as_micros()).unwrap()
        })
        .collect();
    let each = found as f64 / pages.len() as f64;
    println!("page of 20, agent and time ({each:.1} on average): {}", spread(&mut pages));
    let chain = |record: &Record| {
        let started = Instant::now();
        let length = engine.log().chain(record.receipt().id(), 10).unwrap().len();
        (length == 11).then(|| u32::try_from(started.elapsed().as_micros()).unwrap())
    };
    // Of a record and ten ancestors; the others are shorter.
    let mut chains: Vec<u32> = newest.iter().filter_map(chain).collect();
    if !chains.is_empty() {
        println!("chain of ten ancestors ({} of them): {}", chains.len(), spread(&mut chains));
    }
}
