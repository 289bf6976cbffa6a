//! The cost of many agents: commits of a thousand changes, bytes written for each, lists by tags, counts. Prints one line per
//! measurement, for the embedded store and, with the feature `postgres`, for PostgreSQL.
//!
//! `TRUST_ENGINE_BENCH_AGENTS` sets how many (1,000,000 by default), `TRUST_ENGINE_BENCH_POSTGRES_URL` the database (by default
//! `test` on 127.0.0.1).

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::time::{Duration, Instant};

use pollster::block_on;
use trust_engine::storage::{
    self, After, Batch, Committed, Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind,
    DocumentPlace, Head, Store, Tag,
};
use trust_engine::{OrganizationId, Timestamp};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "postgres")]
const SCHEMA: &str = "trust_engine_bench_agents";
/// Changes per commit.
const BATCH: u64 = 1000;
const SAMPLES: usize = 1000;
const TIERS: [&str; 8] =
    ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED", "AUTONOMOUS", "SOVEREIGN", "RARE"];

fn main() {
    let agents = std::env::var("TRUST_ENGINE_BENCH_AGENTS").ok().and_then(|n| n.parse().ok());
    let agents: u64 = agents.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    run("embedded", &*storage::embedded(folder.path()).unwrap(), agents, &bytes_written);
    #[cfg(feature = "postgres")]
    {
        let url = std::env::var("TRUST_ENGINE_BENCH_POSTGRES_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into());
        let drop = format!("drop schema if exists {SCHEMA} cascade");
        let psql = |statement: &str| {
            let output =
                std::process::Command::new("psql").args([&url, "-qAtc", statement]).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        psql(&drop);
        let database = storage::Postgres::new(&url).schema(SCHEMA);
        let (store, _) = block_on(storage::postgres(&database)).unwrap();
        // The write-ahead log alone; the pages themselves come later, at checkpoints.
        let wal = || psql("select pg_current_wal_lsn() - '0/0'").trim().parse().unwrap();
        run("postgres", &*store, agents, &wal);
        psql(&drop);
    }
}

/// The `n`th agent: one in a thousand is of the last tier, one in ten is suspended, families have a hundred members.
fn agent(n: u64, version: u64) -> Document {
    let tier = if n.is_multiple_of(1000) { 7 } else { n % 7 };
    let status = if n.is_multiple_of(10) { "SUSPENDED" } else { "ACTIVE" };
    let tier = TIERS.get(tier as usize).unwrap();
    let id = format!("agent_{n:07}");
    let body = format!(
        "{{\"id\":\"{id}\",\"organization\":\"default\",\"tier\":\"{tier}\",\"status\":\"{status}\",\"attestations\":[\"soc2\"],\
         \"creation\":\"FRESH\",\"creator\":\"ops\",\"version\":{version},\"registeredAt\":\"2026-01-02T03:04:05.000006Z\",\
         \"changedAt\":\"2026-01-02T03:04:05.000006Z\"}}"
    );
    Document {
        key: DocumentKey { kind: DocumentKind::Agent, organization: OrganizationId::default(), id },
        version,
        body,
        created: Timestamp::from_micros(n.cast_signed()),
        changed: Timestamp::from_micros(n.cast_signed()),
        tags: vec![
            Tag::new("family", format!("agent_{:07}", n / 100 * 100)),
            Tag::new("status", status),
            Tag::new("tier", *tier),
        ],
        due: None,
        record: Uuid::from_u128(u128::from(n)),
    }
}

/// Bytes that this process has caused to be written to disk.
fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn commit(store: &dyn Store, head: &Head, changes: Vec<DocumentChange>) -> Duration {
    let batch = Batch { changes, ..Batch::on(head.clone()) };
    let started = Instant::now();
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
    started.elapsed()
}

fn set(expected: Option<u64>, document: Document) -> DocumentChange {
    DocumentChange { expected, after: After::Document(Box::new(document)) }
}

fn run(name: &str, store: &dyn Store, agents: u64, bytes_written: &dyn Fn() -> u64) {
    let amplification = |what: &str, before: u64, documents: u64| {
        let written = (bytes_written() - before) / documents;
        let own = agent(1, 1);
        let own = own.key.id.len()
            + own.body.len()
            + own.tags.iter().map(|tag| tag.name.len() + tag.value.len()).sum::<usize>();
        println!("{name}: {what}: {written} bytes written each, of which {own} are its own");
    };
    let before = bytes_written();
    let head = block_on(store.claim(0, Uuid::from_u128(1))).unwrap();
    let started = Instant::now();
    let mut commits = Vec::new();
    for first in (0..agents).step_by(BATCH as usize) {
        let changes = (first..agents.min(first + BATCH)).map(|n| set(None, agent(n, 1))).collect();
        commits.push(commit(store, &head, changes));
    }
    println!("{name}: {agents} agents registered in {:.0} s", started.elapsed().as_secs_f64());
    report(name, "commit of 1,000 new agents", commits);
    amplification("a new agent", before, agents);
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let filter = |tags: &[(&str, String)]| DocumentFilter {
        kind: DocumentKind::Agent,
        organization: OrganizationId::default(),
        tags: tags.iter().map(|(name, value)| Tag::new(*name, value)).collect(),
    };
    let mut page = |what: &str, tags: &mut dyn FnMut(u64) -> Vec<(&'static str, String)>| {
        let times = (0..SAMPLES).map(|_| {
            let after = pick(agents);
            let filter = filter(&tags(after));
            let place =
                DocumentPlace { created: Timestamp::from_micros(after.cast_signed()), id: String::new() };
            let started = Instant::now();
            block_on(store.documents(&filter, Some(&place), 20)).unwrap();
            started.elapsed()
        });
        report(name, what, times.collect());
    };
    let text = |text: &str| text.to_owned();
    page("page of 20, all", &mut |_| vec![]);
    page("page of 20, tier", &mut |_| vec![("tier", text("TRUSTED"))]);
    page("page of 20, rare tier", &mut |_| vec![("tier", text("RARE"))]);
    page("page of 20, status and tier", &mut |_| {
        vec![("status", text("SUSPENDED")), ("tier", text("TRUSTED"))]
    });
    page("page of 20, status and rare tier", &mut |_| {
        vec![("status", text("ACTIVE")), ("tier", text("RARE"))]
    });
    page("page of 20, family, status and tier", &mut |n| {
        let family = format!("agent_{:07}", n / 100 * 100);
        vec![("family", family), ("status", text("ACTIVE")), ("tier", text("BASIC"))]
    });
    for (what, tags) in [
        ("count of a tier, 10,000 of more", vec![("tier", text("TRUSTED"))]),
        ("count of a rare tier", vec![("tier", text("RARE"))]),
        ("count of status and tier", vec![("status", text("SUSPENDED")), ("tier", text("TRUSTED"))]),
    ] {
        let filter = filter(&tags);
        let times = (0..20).map(|_| {
            let started = Instant::now();
            block_on(store.count_documents(&filter, 10_000)).unwrap();
            started.elapsed()
        });
        report(name, what, times.collect());
    }
    let changes =
        |round: u64| (0..BATCH).map(|n| set(Some(round), agent(n * (agents / BATCH), round + 1))).collect();
    let before = bytes_written();
    let times = (1..=20).map(|round| commit(store, &head, changes(round))).collect();
    report(name, "commit of 1,000 changed agents", times);
    amplification("a changed agent", before, 20 * BATCH);
    // One of 1,024 submissions was made from a version that is outdated: the store names it, and the others are committed.
    let (mut refused, mut committed) = (Vec::new(), Vec::new());
    for round in 21..=40 {
        let step = agents / 1024;
        let change = |n: u64| {
            let outdated = n == 512;
            let version = if outdated { 7_000 } else { round };
            set(Some(version), agent(n * step, version + 1))
        };
        // The documents that the rounds before changed have their version; the others are brought to it.
        if round == 21 {
            for first in (0..1024).step_by(BATCH as usize) {
                let changes = (first..1024.min(first + BATCH)).map(|n| {
                    let key = agent(n * step, 1).key;
                    let version = block_on(store.document_version(&key)).unwrap();
                    set(Some(version), agent(n * step, round))
                });
                commit(store, &head, changes.collect());
            }
        }
        let batch = Batch { changes: (0..1024).map(change).collect(), ..Batch::on(head.clone()) };
        let started = Instant::now();
        assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Conflict(vec![512]));
        refused.push(started.elapsed());
        committed.push(commit(store, &head, (0..1024).filter(|n| *n != 512).map(change).collect()));
    }
    report(name, "1,024 changes of which one conflicts: told", refused);
    report(name, "1,024 changes of which one conflicts: commit of the others", committed);
}

fn report(name: &str, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).unwrap().as_secs_f64() * 1e3;
    println!("{name}: {what}: p50 {:.3} ms, p95 {:.3} ms", at(0.5), at(0.95));
}
