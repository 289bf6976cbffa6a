//! Four engine processes on one PostgreSQL and one Redis, while everything is broken that can break.
//!
//! Two of them reach PostgreSQL through a pooler, and an organization in all of them is hostile. Every process writes down
//! what it was told; faults are injected for two minutes: engines killed and stopped, a clock that jumps a day ahead and one
//! that jumps back, PostgreSQL restarted, crashed, hanging and failed over to its synchronous standby, Redis killed, its
//! replica cut off and promoted, both of them serving at once. Then a checker proves from the journals and the log: no
//! acknowledged record is lost, every shard verifies, no two checkpoints contradict each other, no entry has the time of a
//! wrong clock, no request id was admitted twice, and no key was admitted more than its ceiling in any window. The same
//! checker must catch a check-then-increment script, and journals that were tampered with.
//!
//! Runs with `TRUST_ENGINE_HEAVY=1` (`make test-heavy`), on servers of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod checker;
mod engine;
mod faults;
mod journal;
mod naive;
#[path = "../support/pgbouncer.rs"]
mod pgbouncer;
#[path = "../support/proxy.rs"]
mod proxy;
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use checker::Log;
use journal::Journal;

/// Says what this process is to be, when the test runs itself.
const ROLE: &str = "TRUST_ENGINE_NEMESIS_ROLE";

#[test]
fn whatever_breaks_no_acknowledged_record_is_lost_and_no_ceiling_is_exceeded() {
    match std::env::var(ROLE).as_deref() {
        Ok("engine") => return engine::run(),
        Ok("naive") => return naive::run(),
        _ => {}
    }
    if std::env::var("TRUST_ENGINE_HEAVY").is_err() {
        eprintln!("nemesis: NOT RUN: it takes minutes; set TRUST_ENGINE_HEAVY=1");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let seconds = std::env::var("TRUST_ENGINE_NEMESIS_SECONDS").map_or(110, |text| text.parse().unwrap());
    let run = faults::run(folder.path(), Duration::from_secs(seconds));
    let journals = Journal::read_all(folder.path(), "engine");
    println!("{}", checker::summary(&journals));
    for line in checker::recovery(&journals, &run.faults) {
        println!("{line}");
    }
    let log = Log::read(run.store());
    let mut verdict = checker::check(&journals, &log, &engine::ceilings());
    checker::check_black_hole(&journals, run.hole, engine::NOTICED, &mut verdict.problems);
    assert!(verdict.problems.is_empty(), "{verdict}");
    println!("nemesis: {verdict}");
    assert_eq!(log.verify(), Vec::<String>::new());
    println!("nemesis: every shard verifies");
    checker_catches_tampered_journals(&journals, &log);
}

/// A checker that cannot fail proves nothing.
fn checker_catches_tampered_journals(journals: &[Journal], log: &Log) {
    let damaged = |expected: &str, damage: &dyn Fn(&mut Journal)| {
        let mut journals = journals.to_vec();
        damage(&mut journals[0]);
        let verdict = checker::check(&journals, log, &engine::ceilings());
        let found = verdict.problems.iter().any(|problem| problem.contains(expected));
        assert!(found, "not found: {expected}: {verdict}");
    };
    damaged("is not in the log", &|journal| journal.records[0].id = uuid::Uuid::now_v7());
    damaged("is not in the log", &|journal| journal.records[0].index += 1);
    damaged("a fork", &|journal| journal.records[0].root = "0".repeat(64));
    damaged("the ceiling is", &|journal| journal.admissions[0].amount += 1_000_000);
    damaged("has another time", &|journal| journal.records[0].time += 86_400_000);
    damaged("was admitted twice", &|journal| {
        let again = journal.admissions.iter().find(|admission| admission.keyed.is_some()).unwrap().clone();
        let keyed = again.keyed.clone().map(|(request, _)| (request, uuid::Uuid::now_v7()));
        journal.admissions.push(journal::Admission { keyed, ..again });
    });
    damaged("not retryable", &|journal| journal.errors.push("Corrupt: made up".into()));
    damaged("and is gone", &|journal| journal.agents.push(("agent_0".into(), u64::MAX)));
}

#[test]
fn the_checker_catches_check_then_increment() {
    if std::env::var("TRUST_ENGINE_HEAVY").is_err() || std::env::var(ROLE).is_ok() {
        eprintln!("nemesis: NOT RUN: set TRUST_ENGINE_HEAVY=1");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    naive::four_processes(folder.path(), Duration::from_secs(5));
    let journals = Journal::read_all(folder.path(), "naive");
    let mut problems = Vec::new();
    checker::check_ceilings(
        &journals,
        &BTreeMap::from([("API".to_owned(), naive::ceiling())]),
        &mut problems,
    );
    assert!(!problems.is_empty(), "four processes that check and then increment stayed below their ceiling");
    println!("nemesis: the naive script is caught: {}", problems[0]);
}

#[test]
fn a_standby_that_no_commit_waits_for_is_warned_of_and_so_is_a_server_that_does_not_flush() {
    if std::env::var("TRUST_ENGINE_HEAVY").is_err() || std::env::var(ROLE).is_ok() {
        eprintln!("nemesis: NOT RUN: set TRUST_ENGINE_HEAVY=1");
        return;
    }
    let folder = tempfile::Builder::new().prefix("standby-").tempdir().unwrap();
    let primary = servers::Postgres::create(folder.path(), 54411, "-c fsync=off");
    let warnings = || {
        let database = trust_engine::storage::Postgres::new("postgres://postgres@127.0.0.1:54411/postgres");
        pollster::block_on(trust_engine::storage::postgres(&database)).unwrap().0.warnings()
    };
    let of = |what: &str| warnings().iter().filter(|warning| warning.contains(what)).count();
    assert_eq!((of("asynchronously (standby)"), of("fsync=off")), (0, 1));
    let _standby = primary.with_asynchronous_standby(folder.path(), 54412);
    assert_eq!((of("asynchronously (standby)"), of("fsync=off")), (1, 1));
}
