//! Ceilings as callers see them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::storage::{self, FailingCounters, Fault};
use trust_engine::{
    AgentChange, AgentStatus, CeilingCode, CeilingRequest, Clock, Creation, ErrorKind, Level, ManualClock,
    NewAgent, Options, OrganizationId, PolicyDocument, RecordType, Recorded, TimeRange, Timestamp,
    recompute_ceiling,
};

const HOUR: Duration = Duration::from_secs(3600);

/// 2026-01-01T00:00:00Z, the beginning of an hour.
fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(start()))
}

/// A policy with two tiers and three resources, and the given ceilings.
fn policy(ceilings: &str) -> PolicyDocument {
    let text = format!(
        "policyFormat: 1\nname: test\ntiers: [{{name: LOW}}, {{name: HIGH}}]\n\
         roles: [{{name: READER, minimumTier: LOW}}]\ndefaultEffect: DENY\nresources: [API, CPU, NET]\n\
         ceilings: {ceilings}\n"
    );
    PolicyDocument::parse(&text).unwrap()
}

fn open(ceilings: &str) -> (Engine, Arc<ManualClock>) {
    let clock = clock();
    let engine = Engine::open(Options::memory().policy(policy(ceilings)).clock(clock.clone())).unwrap();
    (engine, clock)
}

fn api(amount: u64) -> CeilingRequest {
    CeilingRequest::new("a", "API", amount)
}

fn used(engine: &Engine, agent: &str, level: Level) -> u64 {
    let usage = engine.quotas().usage(agent).unwrap();
    usage.iter().find(|usage| usage.measure.level() == level).unwrap().measure.current_usage()
}

#[test]
fn the_published_sample_is_admitted_until_its_ceiling_and_then_refused() {
    let engine = Engine::open(Options::memory().clock(clock()).tier_authority("gateway")).unwrap();
    let sample =
        CeilingRequest::new("agent_benchmark_001", "API_CALLS", 10).tier("VERIFIED").caller("gateway");
    for n in 1..=50 {
        let verdict = engine.check_ceiling(&sample).unwrap();
        assert!(verdict.allowed());
        let measure = verdict.measure().unwrap();
        assert_eq!(
            (measure.current_usage(), measure.ceiling(), measure.remaining()),
            (n * 10, 500, 500 - n * 10)
        );
        assert_eq!(measure.window_start(), start());
        assert_eq!(measure.reset_at(), start().plus(HOUR));
        assert_eq!(verdict.near_limit(), n >= 40, "80 % of 500");
    }
    let refused = engine.check_ceiling(&sample).unwrap();
    assert_eq!(refused.reason_code(), CeilingCode::CeilingExceeded);
    assert_eq!(refused.refused_by(), Some(Level::Agent));
    assert_eq!(refused.measure().unwrap().remaining(), 0);
    assert!(
        refused.reason().contains("10 asked for, but the AGENT ceiling has 0 left"),
        "{}",
        refused.reason()
    );
    // Anyone else's claim does not count: the lowest tier has no ceiling, so nothing is allowed.
    let claim = CeilingRequest::new("agent_benchmark_001", "API_CALLS", 10).tier("VERIFIED").caller("anyone");
    assert_eq!(engine.check_ceiling(&claim).unwrap().reason_code(), CeilingCode::NoCeiling);
}

#[test]
fn every_verdict_is_recorded_and_can_be_recomputed() {
    let (engine, _) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    let admitted = engine.check_ceiling(&api(7)).unwrap();
    let refused = engine.check_ceiling(&api(7)).unwrap();
    let unknown = engine.check_ceiling(&CeilingRequest::new("a", "GPU", 1)).unwrap();
    assert_eq!(admitted.recorded(), Recorded::Pending);
    assert_eq!(refused.recorded(), Recorded::Committed, "refusals are committed before they are answered");
    let policy = engine.policy().current();
    let other =
        trust_engine::Policy::compile(self::policy("{agent: [{tier: LOW, resource: API, limit: 20}]}"))
            .unwrap();
    for (verdict, under_other) in [
        (&admitted, CeilingCode::WithinCeiling),
        (&refused, CeilingCode::WithinCeiling),
        (&unknown, CeilingCode::UnknownResource),
    ] {
        let record = engine.log().get(verdict.id().unwrap()).unwrap();
        assert_eq!(record.entry().kind, RecordType::Ceiling);
        assert_eq!(record.entry().decision, Some(verdict.decision().into()));
        assert_eq!(record.entry().reason_code.as_deref(), Some(verdict.reason_code().as_str()));
        let payload = record.payload().unwrap();
        assert_eq!(recompute_ceiling(&payload.bytes, &policy).unwrap(), (verdict.reason_code(), true));
        assert_eq!(recompute_ceiling(&payload.bytes, &other).unwrap().0, under_other);
    }
    assert!(engine.log().verify(None).unwrap().is_clean());
    let stats = engine.stats(TimeRange::All, None).unwrap().ceiling;
    assert_eq!((stats.total_checks, stats.admitted, stats.exceeded, stats.refused), (3, 1, 1, 1));
}

#[test]
fn several_resources_are_charged_together_or_not_at_all() {
    for precision in ["LEASED", "EXACT"] {
        let (engine, _) = open(&format!(
            "{{agent: [{{tier: LOW, resource: API, limit: 100, precision: {precision}}}, \
             {{tier: LOW, resource: CPU, limit: 5, precision: {precision}}}]}}"
        ));
        let both = CeilingRequest::new("a", "API", 10).and("CPU", 2);
        assert!(engine.check_ceiling(&both).unwrap().allowed());
        let verdict = engine.check_ceiling(&both).unwrap();
        assert!(verdict.allowed());
        let measures: Vec<_> = verdict.measures().map(|measure| measure.current_usage()).collect();
        assert_eq!(measures, [20, 4], "in the order of the request");
        let refused = engine.check_ceiling(&both).unwrap();
        assert_eq!(refused.reason_code(), CeilingCode::CeilingExceeded);
        assert_eq!(refused.measure().unwrap().ceiling(), 5, "CPU refused");
        let usage: Vec<_> =
            engine.quotas().usage("a").unwrap().iter().map(|usage| usage.measure.current_usage()).collect();
        assert_eq!(usage, [20, 4], "nothing of API was charged");
        assert!(engine.check_ceiling(&api(80)).unwrap().allowed(), "all the rest can be used");
    }
}

#[test]
fn wider_levels_are_shared_and_say_that_they_refused() {
    let (engine, _) = open(
        "{agent: [{tier: LOW, resource: API, limit: 100}], family: [{resource: API, limit: 60}], \
         organization: [{resource: API, limit: 80}, {organization: big, resource: API, limit: 90}], \
         fleet: [{resource: API, limit: 120}]}",
    );
    let agents = engine.agents();
    agents.register(NewAgent::new("parent")).unwrap();
    agents.register(NewAgent::new("child").made_from("parent", Creation::Cloned)).unwrap();
    agents.register(NewAgent::new("grandchild").created_by("child")).unwrap();
    agents.register(NewAgent::new("stranger").created_by("ops")).unwrap();
    // The name of the one that registers an agent makes no ancestor, even if an agent has the same name.
    agents.register(NewAgent::new("guest").registered_by("child")).unwrap();
    assert_eq!(agents.get("guest").unwrap().family, None);
    let check =
        |agent: &str, amount| engine.check_ceiling(&CeilingRequest::new(agent, "API", amount)).unwrap();
    assert!(check("parent", 30).allowed());
    assert!(check("child", 20).allowed());
    assert_eq!(check("grandchild", 20).refused_by(), Some(Level::Family), "spawning multiplies nothing");
    assert!(check("grandchild", 10).allowed());
    assert_eq!(check("stranger", 21).refused_by(), Some(Level::Organization));
    assert!(check("stranger", 20).allowed());
    let big = |amount| {
        let request =
            CeilingRequest::new("a", "API", amount).organization(OrganizationId::parse("big").unwrap());
        engine.check_ceiling(&request).unwrap()
    };
    assert_eq!(big(61).refused_by(), Some(Level::Family));
    assert_eq!(big(41).refused_by(), Some(Level::Fleet), "80 of 120 are used by the other organization");
    assert!(big(40).allowed());
    // A refusal by a wide level has charged nothing to the narrow ones.
    assert_eq!(used(&engine, "stranger", Level::Agent), 20);
    assert_eq!(used(&engine, "grandchild", Level::Family), 60);
    assert_eq!(used(&engine, "stranger", Level::Organization), 80);
    assert_eq!(used(&engine, "stranger", Level::Fleet), 120);
}

#[test]
fn a_fixed_window_turns_at_its_edge_to_the_microsecond() {
    for precision in ["LEASED", "EXACT"] {
        let (engine, clock) =
            open(&format!("{{agent: [{{tier: LOW, resource: API, limit: 10, precision: {precision}}}]}}"));
        assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
        clock.advance(HOUR - Duration::from_micros(1));
        assert!(!engine.check_ceiling(&api(1)).unwrap().allowed());
        clock.advance(Duration::from_micros(1));
        let verdict = engine.check_ceiling(&api(10)).unwrap();
        assert!(verdict.allowed());
        assert_eq!(verdict.measure().unwrap().window_start(), start().plus(HOUR));
    }
}

#[test]
fn a_lease_is_not_carried_over_the_edge_of_its_window() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 1000}]}");
    // Quick use makes the engine lease ahead.
    for _ in 0..100 {
        clock.advance(Duration::from_millis(1));
        assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
    }
    clock.set(start().plus(HOUR));
    let verdict = engine.check_ceiling(&api(1)).unwrap();
    assert_eq!(verdict.measure().unwrap().current_usage(), 1);
    assert_eq!(verdict.measure().unwrap().window_start(), start().plus(HOUR));
    let mut admitted = 1;
    while engine.check_ceiling(&api(1)).unwrap().allowed() {
        admitted += 1;
    }
    assert_eq!(admitted, 1000);
}

#[test]
fn a_clock_set_back_is_refused_and_a_day_ahead_is_a_new_window() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 10, precision: EXACT}]}");
    clock.advance(HOUR);
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
    clock.set(start().plus(HOUR).minus(Duration::from_micros(1)));
    let verdict = engine.check_ceiling(&api(1)).unwrap();
    assert_eq!(verdict.reason_code(), CeilingCode::ClockSetBack);
    assert!(verdict.is_retryable());
    clock.set(start().plus(HOUR));
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::CeilingExceeded);
    clock.set(start().plus(25 * HOUR));
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
    clock.set(start().plus(HOUR));
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::ClockSetBack);
}

#[test]
fn counters_that_are_ahead_are_brought_back_with_what_they_charged_and_recorded() {
    let (engine, clock) = open(
        "{agent: [{tier: LOW, resource: API, limit: 10}], \
          organization: [{resource: API, limit: 1000}], fleet: [{resource: API, limit: 1000}]}",
    );
    let reset = || engine.quotas().reset("a", "API", "ops");
    let not_ahead = reset().unwrap_err();
    assert!(not_ahead.to_string().contains("has no counter of API that is ahead"), "{not_ahead}");
    let unknown = engine.quotas().reset("a", "GPU", "ops").unwrap_err();
    assert_eq!((unknown.kind(), unknown.field()), (ErrorKind::InvalidInput, Some("resource")));
    let records = || {
        let query = trust_engine::Query::new().kind(trust_engine::RecordType::Ceiling);
        engine.log().query(&query).unwrap().records
    };
    let before = records().len();
    clock.set(start().plus(30_000 * 24 * HOUR));
    assert!(engine.check_ceiling(&api(4)).unwrap().allowed());
    clock.set(start().plus(HOUR));
    clock.advance(HOUR);
    let verdict = engine.check_ceiling(&api(1)).unwrap();
    assert_eq!(verdict.reason_code(), CeilingCode::ClockSetBack);
    assert!(verdict.reason().contains("ceiling reset"), "{}", verdict.reason());
    let (brought_back, receipt) = reset().unwrap();
    let levels: Vec<(Level, u64)> =
        brought_back.iter().map(|usage| (usage.measure.level(), usage.measure.current_usage())).collect();
    assert_eq!(levels, [(Level::Agent, 4), (Level::Organization, 4), (Level::Fleet, 4)]);
    assert!(brought_back.iter().all(|usage| usage.measure.window_start() <= start().plus(3 * HOUR)));
    assert!(reset().is_err(), "it is brought back once");
    let mut admitted = 0;
    while engine.check_ceiling(&api(1)).unwrap().allowed() {
        admitted += 1;
    }
    assert_eq!(admitted, 6, "what was charged while the clock was ahead counts");
    clock.advance(HOUR);
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
    assert!(records().len() > before);
    let record = engine.log().get(receipt.id()).unwrap();
    assert_eq!(record.entry().reason_code.as_deref(), Some("CLOCK_RESET"));
    let details = record.details().unwrap().unwrap();
    assert_eq!((&details["actor"], &details["reset"][2]["charged"]), (&"ops".into(), &4.into()));
}

#[test]
fn what_is_held_is_spent_while_the_authority_is_away_and_ends_by_either_clock() {
    for wall_stands_still in [false, true] {
        let clock = clock();
        let counters = Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())));
        let rows = "{agent: [{tier: LOW, resource: API, limit: 100000}]}";
        let options = Options::memory().policy(policy(rows)).clock(clock.clone()).counters(counters.clone());
        let engine = Engine::open(options).unwrap();
        for _ in 0..50 {
            clock.advance(Duration::from_millis(1));
            assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
        }
        counters.fail_leases([Fault::Unreachable; 2]);
        assert!(engine.check_ceiling(&api(1)).unwrap().allowed(), "the lease is good for this");
        if wall_stands_still {
            // Time goes on, and the wall clock is set back by as much.
            let wall = clock.now();
            clock.advance(Duration::from_secs(11));
            clock.set(wall);
        } else {
            // The machine slept: the steady clock stood still.
            clock.set(clock.now().plus(Duration::from_secs(11)));
        }
        let verdict = engine.check_ceiling(&api(1)).unwrap();
        assert_eq!(verdict.reason_code(), CeilingCode::StoreUnavailable);
    }
}

#[test]
fn what_a_remote_authority_refused_is_not_asked_again_for_a_moment() {
    let clock = clock();
    let counters = Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())));
    let rows = "{agent: [{tier: LOW, resource: API, limit: 100}, {tier: LOW, resource: CPU, limit: 1, precision: EXACT}]}";
    let options = Options::memory().policy(policy(rows)).clock(clock.clone()).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    let code = |amount| engine.check_ceiling(&api(amount)).unwrap().reason_code();
    let (_, reserved) = engine.quotas().reserve(&api(90)).unwrap();
    assert_eq!(code(20), CeilingCode::CeilingExceeded);
    // A request to the counters would now find them unreachable.
    counters.fail_leases([Fault::Unreachable]);
    assert_eq!(code(20), CeilingCode::CeilingExceeded);
    assert_eq!(code(30), CeilingCode::CeilingExceeded, "nor for more");
    let refused = engine.check_ceiling(&api(20)).unwrap();
    assert_eq!((refused.refused_by(), refused.measure().unwrap().current_usage()), (Some(Level::Agent), 90));
    assert_eq!(code(5), CeilingCode::StoreUnavailable, "less may be there");
    clock.advance(Duration::from_millis(99));
    assert_eq!(code(20), CeilingCode::CeilingExceeded);
    counters.fail_leases([Fault::Unreachable]);
    clock.advance(Duration::from_millis(2));
    assert_eq!(code(20), CeilingCode::StoreUnavailable, "by now there may be more");
    assert_eq!(code(20), CeilingCode::CeilingExceeded);
    // Something goes back.
    reserved.unwrap().void().unwrap();
    assert_eq!(code(20), CeilingCode::WithinCeiling);
    // Where it is to be exact it is asked each time.
    let cpu = CeilingRequest::new("a", "CPU", 1);
    assert!(engine.check_ceiling(&cpu).unwrap().allowed());
    assert_eq!(engine.check_ceiling(&cpu).unwrap().reason_code(), CeilingCode::CeilingExceeded);
    counters.fail_leases([Fault::Unreachable]);
    assert_eq!(engine.check_ceiling(&cpu).unwrap().reason_code(), CeilingCode::StoreUnavailable);
}

#[test]
fn a_change_of_tier_or_policy_keeps_the_usage() {
    let rows = "{agent: [{tier: LOW, resource: API, limit: 100}, {tier: HIGH, resource: API, limit: 200}]}";
    let (engine, _) = open(rows);
    engine.agents().register(NewAgent::new("a")).unwrap();
    assert!(engine.check_ceiling(&api(80)).unwrap().allowed());
    engine.agents().change("a", AgentChange::of_current().tier("HIGH")).unwrap();
    let verdict = engine.check_ceiling(&api(100)).unwrap();
    assert_eq!(verdict.measure().unwrap().current_usage(), 180);
    engine.agents().change("a", AgentChange::of_current().tier("LOW")).unwrap();
    let verdict = engine.check_ceiling(&api(1)).unwrap();
    assert_eq!(verdict.reason_code(), CeilingCode::CeilingExceeded);
    let measure = verdict.measure().unwrap();
    assert_eq!((measure.current_usage(), measure.remaining(), measure.percentage()), (180, 0, 180));
    // Another window: the usage that still counts is carried over.
    let day = "{agent: [{tier: LOW, resource: API, limit: 300, windowSeconds: 86400}]}";
    engine.policy().swap(policy(day), "ops").unwrap();
    assert_eq!(engine.check_ceiling(&api(120)).unwrap().measure().unwrap().current_usage(), 300);
    assert!(!engine.check_ceiling(&api(1)).unwrap().allowed());
}

#[test]
fn a_lowered_ceiling_holds_for_the_next_check_even_with_leases_out() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 100000}]}");
    let quota = engine.quota("a").unwrap();
    for _ in 0..200 {
        clock.advance(Duration::from_millis(1));
        assert!(quota.try_take("API", 1).unwrap().allowed());
    }
    engine.policy().swap(policy("{agent: [{tier: LOW, resource: API, limit: 150}]}"), "ops").unwrap();
    let verdict = quota.try_take("API", 1).unwrap();
    assert_eq!(verdict.reason_code(), CeilingCode::CeilingExceeded);
    assert_eq!(verdict.measure().unwrap().current_usage(), 200, "what was leased and not spent went back");
}

#[test]
fn standing_and_claims_count_as_they_do_for_gates() {
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}, {tier: HIGH, resource: API, limit: 100}]}";
    let (engine, _) = open(rows);
    engine.agents().register(NewAgent::new("a").tier("HIGH")).unwrap();
    let ceiling =
        |request: &CeilingRequest| engine.check_ceiling(request).unwrap().measure().unwrap().ceiling();
    assert_eq!(ceiling(&api(1)), 100);
    assert_eq!(ceiling(&api(1).tier("LOW")), 10, "a claim below the held tier can only tighten");
    engine.agents().register(NewAgent::new("b")).unwrap();
    let excess = CeilingRequest::new("b", "API", 1).tier("HIGH").caller("anyone");
    assert_eq!(ceiling(&excess), 10);
    // The refusal is committed after the admission with its signal.
    assert!(!engine.check_ceiling(&CeilingRequest::new("b", "CPU", 1)).unwrap().allowed());
    let page = engine.log().query(&trust_engine::Query::new().kind(RecordType::Signal)).unwrap();
    assert_eq!(page.records[0].entry().reason_code.as_deref(), Some("TIER_CLAIM_ABOVE_HELD"));
    assert_eq!(engine.check_ceiling(&api(1).tier("NONE")).unwrap().reason_code(), CeilingCode::UnknownTier);
    engine.agents().change("a", AgentChange::of_current().status(AgentStatus::Suspended)).unwrap();
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::AgentSuspended);
    engine.agents().change("a", AgentChange::of_current().status(AgentStatus::Revoked)).unwrap();
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::AgentRevoked);
}

#[test]
fn a_retry_of_an_admitted_request_is_free_for_a_day() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    let named = api(6).request_id("r1");
    let first = engine.check_ceiling(&named).unwrap();
    let again = engine.check_ceiling(&named).unwrap();
    assert_eq!((first.id(), first.evaluated_at()), (again.id(), again.evaluated_at()));
    assert!(engine.check_ceiling_now(&named).unwrap().0.allowed());
    assert_eq!(used(&engine, "a", Level::Agent), 6);
    let other = engine.check_ceiling(&api(5).request_id("r1")).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    // A refusal is not remembered: it may be admitted later.
    let second = api(6).request_id("r2");
    assert!(!engine.check_ceiling(&second).unwrap().allowed());
    clock.advance(HOUR);
    assert!(engine.check_ceiling(&second).unwrap().allowed());
    let again = engine.check_ceiling(&named).unwrap();
    assert_eq!(again.id(), first.id(), "also in another window");
    let other = engine.check_ceiling(&api(4).request_id("r1")).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    clock.advance(23 * HOUR);
    let later = engine.check_ceiling(&api(4).request_id("r1")).unwrap();
    assert!(later.allowed() && later.id() != first.id(), "after a day the id is free");
    assert_eq!(used(&engine, "a", Level::Agent), 4);
    assert!(engine.log().verify_all().unwrap().iter().all(trust_engine::log::Report::is_clean));
}

#[test]
fn a_retry_is_refused_to_an_agent_that_may_use_nothing_any_more_and_says_otherwise_that_it_is_one() {
    let (engine, _) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    engine.agents().register(NewAgent::new("a").tier("LOW")).unwrap();
    let named = api(6).request_id("r1");
    let (first, _) = engine.check_ceiling_now(&named).unwrap();
    assert!(first.receipt().is_some(), "it is committed before it is answered, in place on a local store");
    for again in [engine.check_ceiling(&named).unwrap(), engine.check_ceiling_now(&named).unwrap().0] {
        assert_eq!((again.is_repeated(), again.receipt()), (true, first.receipt()));
    }
    assert!(!first.is_repeated());
    engine.agents().change("a", AgentChange::of_current().status(AgentStatus::Suspended)).unwrap();
    let refused = engine.check_ceiling(&named).unwrap();
    assert_eq!(refused.reason_code(), CeilingCode::AgentSuspended);
    let (refused, ticket) = engine.check_ceiling_now(&named).unwrap();
    assert_eq!(refused.reason_code(), CeilingCode::AgentSuspended);
    assert!(ticket.wait().unwrap().is_some());
    engine.agents().change("a", AgentChange::of_current().status(AgentStatus::Active)).unwrap();
    assert_eq!(engine.check_ceiling(&named).unwrap().id(), first.id());
    assert_eq!(used(&engine, "a", Level::Agent), 6);
}

/// Such a step back is within what a counter's window may forgive, and an id does too.
#[test]
fn a_retry_is_free_also_if_the_clock_is_set_back_in_between() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 10, windowSeconds: 86400}]}");
    clock.set(start().plus(2 * HOUR));
    let first = engine.check_ceiling(&api(6).request_id("r")).unwrap();
    clock.set(start().plus(2 * HOUR).minus(Duration::from_secs(600)));
    let again = engine.check_ceiling(&api(6).request_id("r")).unwrap();
    assert_eq!((again.id(), again.is_repeated()), (first.id(), true));
    assert_eq!(used(&engine, "a", Level::Agent), 6);
    assert!(engine.log().verify_all().unwrap().iter().all(trust_engine::log::Report::is_clean));
}

/// The process that knew the request is gone, and the store has it; admissions that are over are removed.
#[test]
fn a_retry_is_free_after_a_restart_and_admissions_that_are_over_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
    let open = || {
        let options = Options::embedded(folder.path()).policy(policy(rows)).clock(clock.clone());
        Engine::open(options).unwrap()
    };
    let engine = open();
    let named = api(6).request_id("r1");
    let first = engine.check_ceiling(&named).unwrap();
    drop(engine);
    let engine = open();
    let again = engine.check_ceiling(&named).unwrap();
    assert_eq!(
        (again.id(), again.receipt(), again.measure()),
        (first.id(), first.receipt(), first.measure())
    );
    assert!(again.is_repeated());
    engine.close();
    drop(engine);
    clock.advance(25 * HOUR);
    let engine = open();
    assert!(!engine.check_ceiling(&api(6).request_id("r1")).unwrap().is_repeated());
    engine.check_ceiling(&api(1).request_id("r2")).unwrap();
    engine.close();
    drop(engine);
    // A thread removes them, from the first check with an id on.
    clock.advance(25 * HOUR);
    let started = std::time::Instant::now();
    loop {
        let engine = open();
        engine.check_ceiling(&api(1).request_id("r3")).unwrap();
        assert!(engine.log().verify_all().unwrap().iter().all(trust_engine::log::Report::is_clean));
        engine.close();
        drop(engine);
        let store = trust_engine::storage::embedded(folder.path()).unwrap();
        let left = pollster::block_on(store.all_documents(None, 100)).unwrap();
        let kind = trust_engine::storage::DocumentKind::Admission;
        // That of the last check stays.
        if left.iter().filter(|document| document.key.kind == kind).count() == 1 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "they are removed");
    }
}

#[test]
fn a_reservation_gives_back_what_was_not_used() {
    let (engine, _) =
        open("{agent: [{tier: LOW, resource: API, limit: 10}, {tier: LOW, resource: CPU, limit: 10}]}");
    let quotas = engine.quotas();
    let (verdict, reservation) = quotas.reserve(&CeilingRequest::new("a", "API", 8).and("CPU", 4)).unwrap();
    assert!(verdict.allowed());
    let mut reservation = reservation.unwrap();
    assert!(!engine.check_ceiling(&api(3)).unwrap().allowed());
    assert_eq!(reservation.commit(&[9, 1]).unwrap_err().field(), Some("used"));
    assert_eq!(reservation.commit(&[9]).unwrap_err().field(), Some("used"));
    let receipt = reservation.commit(&[5, 0]).unwrap().unwrap();
    let record = engine.log().get(receipt.id()).unwrap();
    assert_eq!(record.entry().reason_code.as_deref(), Some("RESERVATION_COMMITTED"));
    assert_eq!(record.entry().parent.unwrap().id, verdict.id().unwrap());
    assert_eq!(reservation.void().unwrap_err().kind(), ErrorKind::Conflict);
    drop(reservation);
    assert_eq!(used(&engine, "a", Level::Agent), 5);
    assert!(engine.check_ceiling(&CeilingRequest::new("a", "CPU", 10)).unwrap().allowed());

    let (_, voided) = quotas.reserve(&api(5)).unwrap();
    voided.unwrap().void().unwrap();
    assert_eq!(used(&engine, "a", Level::Agent), 5);
    let (_, dropped) = quotas.reserve(&api(3)).unwrap();
    drop(dropped);
    assert_eq!(used(&engine, "a", Level::Agent), 8, "what nobody settled counts as used");
    assert!(quotas.reserve(&api(3)).unwrap().1.is_none());
    assert_eq!(quotas.reserve(&api(1).request_id("r")).unwrap_err().field(), Some("requestId"));
}

#[test]
fn settling_in_a_later_window_mints_nothing() {
    let (engine, clock) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    let (_, reservation) = engine.quotas().reserve(&api(8)).unwrap();
    clock.advance(HOUR);
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
    reservation.unwrap().void().unwrap();
    assert!(!engine.check_ceiling(&api(1)).unwrap().allowed());
}

#[test]
fn a_rate_smooths_and_is_not_a_ceiling() {
    let (engine, clock) = open(
        "{agent: [{tier: LOW, resource: API, limit: 100}], \
         rate: [{tier: LOW, resource: API, amount: 2, perSeconds: 1, burst: 3}]}",
    );
    assert!(engine.check_ceiling(&api(3)).unwrap().allowed());
    let refused = engine.check_ceiling(&api(1)).unwrap();
    assert_eq!(refused.reason_code(), CeilingCode::RateExceeded);
    let wait = refused.retry_after().unwrap();
    assert!(wait > Duration::from_millis(499) && wait < Duration::from_millis(501), "{wait:?}");
    assert_eq!(used(&engine, "a", Level::Agent), 3, "what a rate refuses is not charged");
    clock.advance(wait);
    assert!(engine.check_ceiling(&api(1)).unwrap().allowed());
    let never = engine.check_ceiling(&api(4)).unwrap();
    assert_eq!((never.reason_code(), never.retry_after()), (CeilingCode::RateExceeded, None));
    // An amount that a ceiling refuses is not taken from the rate; and a change of the agent does not fill the bucket.
    clock.advance(HOUR);
    engine
        .policy()
        .swap(
            policy(
                "{agent: [{tier: LOW, resource: API, limit: 2}], \
         rate: [{tier: LOW, resource: API, amount: 2, perSeconds: 1, burst: 3}]}",
            ),
            "ops",
        )
        .unwrap();
    assert_eq!(engine.check_ceiling(&api(3)).unwrap().reason_code(), CeilingCode::CeilingExceeded);
    assert!(engine.check_ceiling(&api(2)).unwrap().allowed());
    assert_eq!(engine.check_ceiling(&api(2)).unwrap().reason_code(), CeilingCode::RateExceeded);
}

#[test]
fn an_unreachable_authority_is_a_refusal_or_an_explicit_recorded_admission() {
    for open in [false, true] {
        let clock = clock();
        let counters = Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())));
        let rows = format!("{{failOpen: {open}, agent: [{{tier: LOW, resource: API, limit: 10}}]}}");
        let options = Options::memory().policy(policy(&rows)).clock(clock).counters(counters.clone());
        let engine = Engine::open(options).unwrap();
        counters.fail_leases([Fault::Unreachable, Fault::AnswerLost]);
        let verdict = engine.check_ceiling(&api(4)).unwrap();
        let expected = if open { CeilingCode::FailOpen } else { CeilingCode::StoreUnavailable };
        assert_eq!((verdict.reason_code(), verdict.allowed()), (expected, open));
        let record = engine.log().get(verdict.id().unwrap());
        // An admission is only on its way into the log when it is answered.
        assert!(record.is_ok() || open);
        // The answer was lost after the grant: it stays charged, wasted.
        assert_eq!(engine.check_ceiling(&api(4)).unwrap().reason_code(), expected);
        assert_eq!(used(&engine, "a", Level::Agent), 4);
        assert!(engine.check_ceiling(&api(6)).unwrap().allowed(), "it is reached again");
        assert!(!engine.check_ceiling(&api(1)).unwrap().allowed());
        engine.close();
    }
}

#[test]
fn a_call_that_never_waits_says_so_and_the_grant_is_not_lost() {
    let clock = clock();
    let counters = Arc::new(FailingCounters::new(storage::memory_counters(clock.clone())));
    let rows = "{agent: [{tier: LOW, resource: API, limit: 10}]}";
    let options = Options::memory().policy(policy(rows)).clock(clock).counters(counters.clone());
    let engine = Engine::open(options).unwrap();
    counters.hold();
    assert_eq!(engine.check_ceiling_now(&api(4)).unwrap_err().kind(), ErrorKind::WouldBlock);
    counters.deliver();
    assert_eq!(used(&engine, "a", Level::Agent), 0, "what nobody waited for went back");
    assert!(engine.check_ceiling_now(&api(10)).unwrap().0.allowed());
}

#[test]
fn a_peek_charges_and_records_nothing() {
    let (engine, _) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    engine.check_ceiling(&api(4)).unwrap();
    engine
        .log()
        .record(trust_engine::NewRecord::new(RecordType::Escalation, "a", trust_engine::Decision::Allow))
        .unwrap();
    let before = engine.log().checkpoint().unwrap();
    assert!(engine.quotas().peek(&api(6)).unwrap().allowed());
    let refused = engine.quotas().peek(&api(7)).unwrap();
    assert_eq!((refused.reason_code(), refused.recorded()), (CeilingCode::CeilingExceeded, Recorded::Not));
    assert_eq!(refused.measure().unwrap().current_usage(), 4);
    assert_eq!(engine.log().checkpoint().unwrap(), before);
    assert_eq!(used(&engine, "a", Level::Agent), 4);
}

#[test]
fn unrecorded_checks_are_counted() {
    let mut document = policy("{agent: [{tier: LOW, resource: API, limit: 1000}]}");
    document.recording.ceilings.mode = trust_engine::RecordingMode::None;
    let engine = Engine::open(Options::memory().policy(document).clock(clock())).unwrap();
    let quota = engine.quota("a").unwrap();
    for n in 0..1100 {
        let verdict = quota.try_take("API", 1).unwrap();
        assert_eq!(verdict.allowed(), n < 1000);
        assert_eq!((verdict.recorded(), verdict.id()), (Recorded::Not, None));
    }
    let inner = engine.as_async().clone();
    engine.close();
    let stats = pollster::block_on(inner.stats(TimeRange::All, None)).unwrap().ceiling;
    assert_eq!((stats.total_checks, stats.admitted, stats.exceeded), (1100, 1000, 100));
    assert_eq!((stats.near_limit, stats.unrecorded), (201, 1100), "from 800 on");
}

#[test]
fn values_out_of_bounds_are_refused_with_their_field() {
    let (engine, _) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    let long = "x".repeat(300);
    for (request, field) in [
        (api(0), "requestedAmount"),
        (api(1 << 40), "requestedAmount"),
        (CeilingRequest::new("", "API", 1), "agentId"),
        (CeilingRequest::new(&long, "API", 1), "agentId"),
        (CeilingRequest::new("a", "", 1), "resourceType"),
        (api(1).and("API", 2), "resourceType"),
        ((0..16).fold(api(1), |request, n| request.and(format!("R{n}"), 1)), "resources"),
        (api(1).request_id(&long), "requestId"),
        (api(1).tier("a\n"), "tier"),
        (api(1).caller(&long), "caller"),
    ] {
        for error in [
            engine.check_ceiling(&request).unwrap_err(),
            engine.check_ceiling_now(&request).unwrap_err(),
            engine.quotas().peek(&request).unwrap_err(),
            engine.quotas().reserve(&request).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)), "{error}");
        }
    }
    let quota = engine.quota("a").unwrap();
    assert_eq!(quota.try_take("API", 0).unwrap_err().field(), Some("requestedAmount"));
    assert_eq!(used(&engine, "a", Level::Agent), 0);
    assert!(engine.check_ceiling(&api(10)).unwrap().allowed());
}

#[test]
fn a_closed_engine_gives_no_verdicts() {
    let (engine, _) = open("{agent: [{tier: LOW, resource: API, limit: 10}]}");
    let quota = engine.quota("a").unwrap();
    assert!(quota.try_take("API", 1).unwrap().allowed());
    engine.close();
    assert_eq!(quota.try_take("API", 1).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(engine.check_ceiling(&api(1)).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn the_embedded_store_remembers_and_a_clean_end_wastes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let rows = "{agent: [{tier: LOW, resource: API, limit: 1000}, {tier: LOW, resource: CPU, limit: 10}]}";
    let open = || {
        let options =
            Options::embedded(folder.path().join("store")).policy(policy(rows)).clock(clock.clone());
        Engine::open(options).unwrap()
    };
    let mut admitted = 0;
    for _ in 0..3 {
        let engine = open();
        for _ in 0..50 {
            clock.advance(Duration::from_millis(1));
            assert!(engine.check_ceiling_now(&api(2)).unwrap().0.allowed());
            admitted += 2;
        }
        assert_eq!(used(&engine, "a", Level::Agent), admitted);
        engine.close();
    }
    let engine = open();
    assert_eq!(used(&engine, "a", Level::Agent), admitted);
    assert!(engine.check_ceiling(&api(1000 - admitted)).unwrap().allowed());
    assert!(!engine.check_ceiling(&api(1)).unwrap().allowed());
    // A clock set back over a restart is noticed too.
    engine.close();
    drop(engine);
    clock.set(start().minus(Duration::from_secs(1)));
    let engine = open();
    assert_eq!(engine.check_ceiling(&api(1)).unwrap().reason_code(), CeilingCode::ClockSetBack);
}
