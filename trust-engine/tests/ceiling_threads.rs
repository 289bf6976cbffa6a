//! Many threads on one hot key, and the same checker on a counter that compares first and adds later.
//!
//! A million checks by default, ten million with `TRUST_ENGINE_HEAVY=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trust_engine::blocking::Engine;
use trust_engine::{AgentChange, CeilingRequest, ManualClock, NewAgent, Options, PolicyDocument};

const THREADS: u64 = 8;

fn checks() -> u64 {
    if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 10_000_000 } else { 1_000_000 }
}

/// Lets every thread check `1` as often as its share says, and gives the sum of what was admitted.
fn admitted(checks: u64, check: impl Fn() -> bool + Sync) -> u64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| (0..checks / THREADS).filter(|_| check()).count() as u64))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// The checker: never more than the ceiling, and exactly it where that is promised.
fn judge(admitted: u64, limit: u64, exact: bool) -> Result<(), String> {
    match admitted {
        over if over > limit => Err(format!("{over} admitted, the ceiling is {limit}")),
        under if exact && under < limit => Err(format!("{under} admitted of {limit}")),
        _ => Ok(()),
    }
}

/// An engine whose clock stands still, so that no window ends in between.
fn engine(limit: u64, precision: &str, shared: bool) -> Engine {
    let row = format!("resource: API, limit: {limit}, precision: {precision}");
    let wider =
        if shared { format!("  organization: [{{{row}}}]\n  fleet: [{{{row}}}]\n") } else { String::new() };
    let text = format!(
        "policyFormat: 1\nname: hot\ntiers: [{{name: LOW}}, {{name: HIGH}}]\nroles: [{{name: READER, minimumTier: LOW}}]\n\
         defaultEffect: DENY\nresources: [API]\nrecording:\n  ceilings: {{mode: NONE}}\n\
         ceilings:\n  agent: [{{tier: LOW, {row}}}, {{tier: HIGH, {row}}}]\n{wider}"
    );
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let policy = PolicyDocument::parse(&text).unwrap();
    Engine::open(Options::memory().policy(policy).clock(clock)).unwrap()
}

#[test]
fn a_hot_key_in_exact_mode_admits_its_ceiling_exactly() {
    let (checks, limit) = (checks(), checks() / 4);
    let engine = engine(limit, "EXACT", false);
    let quota = engine.quota("hot").unwrap();
    let admitted = admitted(checks, || quota.try_take("API", 1).unwrap().allowed());
    judge(admitted, limit, true).unwrap();
}

#[test]
fn a_hot_key_in_leased_mode_never_exceeds_its_ceiling() {
    let (checks, limit) = (checks(), checks() / 2);
    let engine = engine(limit, "LEASED", false);
    let quota = engine.quota("hot").unwrap();
    let admitted = admitted(checks, || quota.try_take("API", 1).unwrap().allowed());
    judge(admitted, limit, false).unwrap();
    println!("leased: {admitted} of {limit} admitted");
    assert!(admitted > limit / 10 * 9, "{admitted} of {limit}: the rest should not be lost");
}

#[test]
fn shared_ceilings_hold_while_agents_change_and_checks_are_undone() {
    let (checks, limit) = (checks() / 4, checks() / 20);
    let engine = engine(limit, "LEASED", true);
    for agent in 0..4 {
        engine.agents().register(NewAgent::new(format!("agent_{agent}"))).unwrap();
    }
    let turn = AtomicU64::new(0);
    let admitted = admitted(checks, || {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let agent = format!("agent_{}", turn % 4);
        if turn.is_multiple_of(10_000) {
            let tier = if turn.is_multiple_of(20_000) { "HIGH" } else { "LOW" };
            // Two at once conflict, and one of them happens.
            let _ = engine.agents().change(&agent, AgentChange::of_current().tier(tier));
        }
        if turn.is_multiple_of(50) {
            // Charged and given back.
            if let (_, Some(mut reservation)) =
                engine.quotas().reserve(&CeilingRequest::new(&agent, "API", 3)).unwrap()
            {
                reservation.void().unwrap();
            }
        }
        engine.check_ceiling_now(&CeilingRequest::new(agent, "API", 1)).unwrap().0.allowed()
    });
    judge(admitted, limit, false).unwrap();
    let usage = engine.quotas().usage("agent_0").unwrap();
    assert_eq!(
        usage.last().unwrap().measure.current_usage(),
        admitted,
        "the fleet's counter knows of every use"
    );
}

#[test]
fn the_same_checker_catches_a_counter_that_compares_first_and_adds_later() {
    let limit = 1000;
    let caught = (0..100).any(|_| {
        let used = AtomicU64::new(0);
        let admitted = admitted(limit * 4, || {
            let seen = used.load(Ordering::SeqCst);
            if seen >= limit {
                return false;
            }
            // Other threads run here, as they would during a call to a database or a network.
            std::thread::yield_now();
            used.store(seen + 1, Ordering::SeqCst);
            true
        });
        judge(admitted, limit, false).is_err()
    });
    assert!(caught);
}
