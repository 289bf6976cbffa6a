//! Ceilings where calls overlap: slow stores, cancelled callers, evictions, overtaken answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{self, FailingCounters, FailingStore, Fault};
use trust_engine::{
    CeilingCode, CeilingRequest, Level, ManualClock, NewAgent, Options, PolicyDocument, Query, Recorded,
    SystemEntropy, recompute_ceiling,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()))
}

fn policy(ceilings: &str, recording: &str) -> PolicyDocument {
    let text = format!(
        "policyFormat: 1\nname: test\ntiers: [{{name: LOW}}, {{name: HIGH}}]\n\
         roles: [{{name: READER, minimumTier: LOW}}]\ndefaultEffect: DENY\nresources: [API]\n\
         recording: {{ceilings: {recording}}}\nceilings: {ceilings}\n"
    );
    PolicyDocument::parse(&text).unwrap()
}

const ALL: &str = "{mode: ALL}";
const NONE: &str = "{mode: NONE}";

fn api(amount: u64) -> CeilingRequest {
    CeilingRequest::new("a", "API", amount)
}

fn used(engine: &Engine, agent: &str, level: Level) -> u64 {
    let usage = engine.quotas().usage(agent).unwrap();
    usage.iter().find(|usage| usage.measure.level() == level).unwrap().measure.current_usage()
}

fn failing_counters(clock: &Arc<ManualClock>) -> Arc<FailingCounters> {
    Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())))
}

/// An engine on a store that fails as told, with counters in memory.
fn on(store: &Arc<FailingStore>, clock: &Arc<ManualClock>) -> Options {
    Options::store(store.clone())
        .signer(Arc::new(Ed25519Signer::generate(&SystemEntropy)))
        .deployment("test")
        .counters(storage::memory_counters(clock.clone()))
}

/// Begins a call.
fn begin<F: Future>(call: std::pin::Pin<&mut F>) {
    assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn tiers_handles_and_claims_of_one_agent_count_together() {
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000}, {tier: HIGH, resource: API, limit: 1000}]}";
    let engine = Engine::open(Options::memory().policy(policy(rows, NONE)).clock(clock())).unwrap();
    engine.agents().register(NewAgent::new("a").tier("HIGH")).unwrap();
    let quota = engine.quota("a").unwrap();
    let mut truth = 0;
    for n in 0..600 {
        let verdict = match n % 3 {
            0 => engine.check_ceiling(&api(1)).unwrap(),
            1 => engine.check_ceiling(&api(1).tier("LOW")).unwrap(),
            _ => quota.try_take("API", 1).unwrap(),
        };
        truth += 1;
        assert_eq!(verdict.measure().unwrap().current_usage(), truth);
    }
    assert!(engine.check_ceiling(&api(400).tier("LOW")).unwrap().allowed(), "nothing is kept from anyone");
}

#[test]
fn reading_usage_while_quotas_are_evicted_blocks_nothing() {
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000000}]}";
    let options = Options::memory().policy(policy(rows, NONE)).clock(clock()).cached_agents(1);
    let engine = Engine::open(options).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let checks: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..20_000 {
                        let request = CeilingRequest::new(format!("a{}", n / 3 % 3), "API", 1);
                        assert!(engine.check_ceiling_now(&request).unwrap().0.allowed());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                ["a0", "a1", "a2"].iter().for_each(|agent| drop(engine.quotas().usage(agent).unwrap()));
            }
        });
        checks.into_iter().for_each(|check| check.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let sum: u64 = ["a0", "a1", "a2"].iter().map(|agent| used(&engine, agent, Level::Agent)).sum();
    assert_eq!(sum, 60_000);
}

#[test]
fn a_slow_read_of_the_agent_does_not_spend_a_lease_that_has_ended_meanwhile() {
    let clock = clock();
    let store = Arc::new(FailingStore::new(storage::memory()));
    let rows = "{maxHoldMillis: 60000, agent: [{tier: LOW, resource: API, limit: 1000, windowSeconds: 60, window: SLIDING}]}";
    let options = on(&store, &clock).policy(policy(rows, NONE)).clock(clock.clone());
    let engine = Engine::open(options).unwrap();
    for _ in 0..3 {
        assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
    }
    clock.advance(Duration::from_secs(2));
    let slow = clock.clone();
    store.on_document_read(move || slow.advance(Duration::from_secs(120)));
    let sum = [90, 1000].into_iter().filter(|amount| engine.check_ceiling(&api(*amount)).unwrap().allowed());
    assert!(sum.sum::<u64>() <= 1000);
}

#[test]
fn a_lease_that_lands_while_usage_is_read_is_not_taken_off_it() {
    let clock = clock();
    let counters = failing_counters(&clock);
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000}]}";
    let options = Options::memory().policy(policy(rows, NONE)).clock(clock).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
    let other = engine.clone();
    counters.on_charged_read(move || assert!(other.check_ceiling(&api(1)).unwrap().allowed()));
    assert!(used(&engine, "a", Level::Agent) >= 10);
}

#[test]
fn a_refused_check_leaves_the_lease_to_smaller_ones() {
    let clock = clock();
    let counters = failing_counters(&clock);
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000}]}";
    let options = Options::memory().policy(policy(rows, NONE)).clock(clock).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    for _ in 0..3 {
        assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
    }
    counters.fail_leases([Fault::Lost; 2]);
    assert_eq!(engine.check_ceiling(&api(500)).unwrap().reason_code(), CeilingCode::StoreUnavailable);
    assert_eq!(used(&engine, "a", Level::Agent), 3);
    assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
}

#[test]
fn overlapping_checks_do_not_refuse_one_another_what_is_only_leased() {
    let clock = clock();
    let counters = failing_counters(&clock);
    let rows = "{agent: [{tier: LOW, resource: API, limit: 100}]}";
    let options = Options::memory().policy(policy(rows, ALL)).clock(clock).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
    counters.hold();
    let (small, large, over) = (api(1), api(95), api(4));
    let engine = engine.as_async();
    let mut first = pin!(engine.check_ceiling(&small));
    let mut second = pin!(engine.check_ceiling(&large));
    let mut third = pin!(engine.check_ceiling(&over));
    begin(first.as_mut());
    begin(second.as_mut());
    begin(third.as_mut());
    counters.deliver();
    assert!(pollster::block_on(first).unwrap().allowed());
    assert!(pollster::block_on(second).unwrap().allowed(), "there was enough for both");
    let refused = pollster::block_on(third).unwrap();
    assert_eq!(refused.reason_code(), CeilingCode::CeilingExceeded);
    let record = pollster::block_on(engine.log().get(refused.id().unwrap())).unwrap();
    let again = recompute_ceiling(&record.payload().unwrap().bytes, &engine.policy().current()).unwrap();
    assert_eq!(again, (CeilingCode::CeilingExceeded, true));
}

#[test]
fn a_retry_gets_an_answer_that_is_in_the_log() {
    let store = Arc::new(FailingStore::new(storage::memory()));
    let clock = clock();
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
    let options = on(&store, &clock).policy(policy(rows, "{mode: ALL, durability: COMMIT}")).clock(clock);
    let engine = Engine::open(options).unwrap();
    let request = api(4).request_id("x");
    store.fail_commits([Fault::Lost]);
    engine.check_ceiling(&request).unwrap_err();
    // Its record was lost, so it is decided anew; the amount charged for it went back.
    let first = engine.check_ceiling(&request).unwrap();
    assert_eq!(first.recorded(), Recorded::Committed);
    let again = engine.check_ceiling(&request).unwrap();
    assert_eq!((again.id(), again.receipt()), (first.id(), first.receipt()));
    assert_eq!(used(&engine, "a", Level::Agent), 4);
    // A caller that gave up waiting is remembered when its record is committed.
    let patient = api(2).request_id("y");
    // The commit may be as quick as the first poll.
    let _ = pin!(engine.as_async().check_ceiling(&patient)).poll(&mut Context::from_waker(Waker::noop()));
    engine
        .log()
        .record(trust_engine::NewRecord::new(
            trust_engine::RecordType::Escalation,
            "a",
            trust_engine::Decision::Allow,
        ))
        .unwrap();
    assert!(engine.check_ceiling(&patient).unwrap().receipt().is_some());
    assert_eq!(used(&engine, "a", Level::Agent), 6);
    // Its outcome is unknown for a while: what was charged for it is kept, because it turns out to be in the log.
    let unknown = api(1).request_id("z");
    store.fail_commits([Fault::AnswerLost]);
    store.fail_claims([Fault::Unreachable; 8]);
    engine.check_ceiling(&unknown).unwrap_err();
    let started = std::time::Instant::now();
    while !engine.health().store {
        assert!(started.elapsed() < Duration::from_secs(20), "it recovers");
        std::thread::yield_now();
    }
    assert!(engine.check_ceiling(&unknown).unwrap().receipt().is_some());
    assert_eq!(used(&engine, "a", Level::Agent), 7);
}

/// A caller that asks again while it is not known whether the first try is in the log is told so, and does not hang.
#[test]
fn a_retry_of_unknown_outcome_is_refused_until_it_is_known() {
    for committed in [true, false] {
        let (store, clock) = (Arc::new(FailingStore::new(storage::memory())), clock());
        let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
        let engine = Engine::open(on(&store, &clock).policy(policy(rows, ALL)).clock(clock.clone())).unwrap();
        let request = api(4).request_id("x");
        store.fail_commits([if committed { Fault::AnswerLost } else { Fault::Unreachable }]);
        store.fail_claims([Fault::Unreachable; 12]);
        let kinds: Vec<_> = std::thread::scope(|scope| {
            let check = || engine.check_ceiling(&request).map_err(|error| error.kind()).err();
            let checks: Vec<_> = (0..8).map(|_| scope.spawn(check)).collect();
            checks.into_iter().map(|check| check.join().unwrap()).collect()
        });
        assert!(kinds.iter().all(|kind| *kind == Some(trust_engine::ErrorKind::Unavailable)), "{kinds:?}");
        let started = std::time::Instant::now();
        while !engine.health().store {
            assert!(started.elapsed() < Duration::from_secs(20), "it recovers");
            std::thread::yield_now();
        }
        let verdict = engine.check_ceiling(&request).unwrap();
        assert_eq!((verdict.allowed(), verdict.is_repeated()), (true, committed));
        assert!(verdict.receipt().is_some());
        assert_eq!(used(&engine, "a", Level::Agent), 4);
        assert!(engine.log().verify_all().unwrap().iter().all(trust_engine::log::Report::is_clean));
    }
}

/// The engine ends before it learns whether the record is in the log, which it is: what was charged for it must not come
/// back, because a retry is free.
#[test]
fn a_charge_of_unknown_outcome_is_kept_when_the_engine_ends() {
    let (store, clock) = (Arc::new(FailingStore::new(storage::memory())), clock());
    let counters = storage::memory_counters(clock.clone());
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
    let open = || {
        let options = Options::store(store.clone()).signer(Arc::new(Ed25519Signer::from_seed(&[3; 32])));
        let options = options.deployment("test").policy(policy(rows, ALL)).counters(counters.clone());
        Engine::open(options.clock(clock.clone()))
    };
    let engine = open().unwrap();
    store.fail_commits([Fault::AnswerLost]);
    store.fail_claims([Fault::Unreachable; 50]);
    let request = api(4).request_id("x");
    engine.check_ceiling(&request).unwrap_err();
    engine.close();
    drop(engine);
    let engine = loop {
        if let Ok(engine) = open() {
            break engine;
        }
    };
    assert_eq!(used(&engine, "a", Level::Agent), 4);
    assert!(engine.check_ceiling(&request).unwrap().allowed());
    assert_eq!(used(&engine, "a", Level::Agent), 4);
}

#[test]
fn requests_that_come_at_once_with_one_id_are_charged_once_and_get_one_answer() {
    let clock = clock();
    let counters = failing_counters(&clock);
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000}]}";
    let options = Options::memory().policy(policy(rows, ALL)).clock(clock).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    counters.hold();
    let (request, begun) = (api(7).request_id("x"), AtomicU32::new(0));
    let verdicts: Vec<_> = std::thread::scope(|scope| {
        let check = || {
            begun.fetch_add(1, Ordering::SeqCst);
            engine.check_ceiling(&request).unwrap()
        };
        let checks: Vec<_> = (0..50).map(|_| scope.spawn(check)).collect();
        while begun.load(Ordering::SeqCst) < 50 {
            std::thread::yield_now();
        }
        let refused = loop {
            // Until the first of them has its id.
            if let Err(error) = engine.check_ceiling_now(&request) {
                break error;
            }
        };
        assert_eq!(refused.kind(), trust_engine::ErrorKind::WouldBlock);
        counters.deliver();
        checks.into_iter().map(|check| check.join().unwrap()).collect()
    });
    assert!(verdicts.iter().all(|verdict| verdict.allowed() && verdict.id() == verdicts[0].id()));
    assert_eq!(used(&engine, "a", Level::Agent), 7);
    // One that is refused or fails lets the next be decided.
    counters.fail_leases([Fault::Lost]);
    let other = api(900).request_id("y");
    let both: Vec<_> = std::thread::scope(|scope| {
        let checks: Vec<_> = (0..2).map(|_| scope.spawn(|| engine.check_ceiling(&other).unwrap())).collect();
        checks.into_iter().map(|check| check.join().unwrap()).collect()
    });
    assert_eq!(both.iter().filter(|verdict| verdict.allowed()).count(), 1, "{both:?}");
}

#[test]
fn a_reservation_is_settled_once_even_if_nobody_waits_for_its_record() {
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
    let engine = Engine::open(Options::memory().policy(policy(rows, ALL)).clock(clock())).unwrap();
    let inner = engine.as_async();
    let (_, reservation) = pollster::block_on(inner.quotas().reserve(&api(10))).unwrap();
    let mut reservation = reservation.unwrap();
    {
        // Polled until the record is on its way, then dropped.
        let mut commit = pin!(reservation.commit(&[7]));
        while used(&engine, "a", Level::Agent) == 10 {
            if commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
        }
    }
    pollster::block_on(reservation.void()).unwrap_err();
    assert_eq!(used(&engine, "a", Level::Agent), 7);
    engine
        .log()
        .record(trust_engine::NewRecord::new(
            trust_engine::RecordType::Escalation,
            "a",
            trust_engine::Decision::Allow,
        ))
        .unwrap();
    let records = engine.log().query(&Query::new().agent("a")).unwrap().records;
    let settled = |code: &str| {
        records.iter().filter(|record| record.entry().reason_code.as_deref() == Some(code)).count()
    };
    assert_eq!((settled("RESERVATION_COMMITTED"), settled("RESERVATION_VOIDED")), (1, 0));
}

#[test]
fn what_has_flowed_into_a_rate_since_is_not_put_back_too() {
    let clock = clock();
    let counters = failing_counters(&clock);
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000, precision: EXACT}], \
                rate: [{tier: LOW, resource: API, amount: 1, burst: 5}]}";
    let options =
        Options::memory().policy(policy(rows, NONE)).clock(clock.clone()).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    let inner = engine.as_async();
    let request = api(5);
    {
        counters.hold();
        let mut cancelled = Box::pin(inner.check_ceiling(&request));
        begin(cancelled.as_mut());
        clock.advance(Duration::from_secs(100));
        let mut other = Box::pin(inner.check_ceiling(&request));
        begin(other.as_mut());
        drop(cancelled);
        counters.deliver();
        assert!(pollster::block_on(other).unwrap().allowed());
    }
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::RateExceeded);
}
