//! The engine end to end, on memory and on the embedded store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{FailingStore, Fault};
use trust_engine::{
    AgentChange, AgentStatus, Decision, ErrorKind, GateRequest, ManualClock, NewAgent, NewRecord, Options,
    OrganizationId, PolicyDocument, Query, ReasonCode, RecordType, Recorded, RecordingMode, TimeRange,
    recompute, verify,
};

fn on_every_store(test: impl Fn(Options)) {
    test(Options::memory());
    let folder = tempfile::tempdir().unwrap();
    test(Options::embedded(folder.path().join("store")));
}

fn organization(name: &str) -> OrganizationId {
    OrganizationId::parse(name).unwrap()
}

#[test]
fn a_verdict_is_committed_proved_and_recomputed() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED").created_by("ops")).unwrap();
        let policy = engine.policy().current();
        for role in ["READER", "DATA_ANALYST", "SYSTEM_ADMIN", "NOBODY"] {
            let request = GateRequest::new("agent_001", role).resource("dataset_001").action("read");
            let verdict = engine.evaluate_gate(&request).unwrap();
            assert_eq!(verdict.recorded(), Recorded::Committed);
            let record = engine.log().get(verdict.id()).unwrap();
            assert_eq!(record.entry().decision, Some(verdict.decision().into()));
            assert_eq!(record.entry().policy, Some(policy.hash()));
            assert_eq!(record.receipt(), verdict.receipt().unwrap());
            let proof = engine.log().prove(verdict.id()).unwrap().to_string();
            let key = engine.verifier_key();
            let verified = verify::record(record.entry_bytes(), &proof, &key).unwrap();
            assert_eq!(verified.index, record.receipt().leaf_index());
            let payload = record.payload().unwrap();
            verify::payload(&verified.entry, payload).unwrap();
            let (again, same) = recompute(&payload.bytes, &policy).unwrap();
            assert!(same && again.reason_code() == verdict.reason_code());
            let mut tampered = record.entry_bytes().to_vec();
            tampered[20] ^= 1;
            assert!(verify::record(&tampered, &proof, &key).is_err());
        }
        let report = engine.log().verify(None).unwrap();
        assert!(report.is_clean(), "{report}");
    });
}

#[test]
fn claims_above_the_held_tier_leave_a_signal_that_follows_from_the_verdict() {
    let engine = Engine::open(Options::memory().tier_authority("gateway")).unwrap();
    let request = GateRequest::new("agent_001", "DATA_ANALYST").tier("VERIFIED");
    let asserted = engine.evaluate_gate(&request.clone().caller("gateway")).unwrap();
    assert!(asserted.allowed());
    let claimed = engine.evaluate_gate(&request.caller("someone")).unwrap();
    assert_eq!(claimed.reason_code(), ReasonCode::TierBelowMinimum);
    let signals = engine.log().query(&Query::new().kind(RecordType::Signal)).unwrap().records;
    assert_eq!(signals.len(), 1);
    assert_eq!(signals[0].entry().parent.unwrap().id, claimed.id());
    let chain = engine.log().chain(signals[0].id(), 10).unwrap();
    assert_eq!(chain.iter().map(|r| r.id()).collect::<Vec<_>>(), [signals[0].id(), claimed.id()]);
}

#[test]
fn agents_change_by_version_and_decisions_see_it_at_once() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        let agents = engine.agents();
        let first = agents.register(NewAgent::new("a").tier("TRUSTED")).unwrap();
        assert_eq!(first.agent.version, 1);
        assert_eq!(agents.register(NewAgent::new("a")).unwrap_err().kind(), ErrorKind::Conflict);
        let request = GateRequest::new("a", "CODE_EXECUTOR");
        assert!(engine.evaluate_gate(&request).unwrap().allowed());
        let suspend = AgentChange::of_version(1).status(AgentStatus::Suspended).changed_by("ops");
        agents.change("a", suspend.clone()).unwrap();
        let verdict = engine.evaluate_gate(&request).unwrap();
        assert_eq!(verdict.reason_code(), ReasonCode::AgentSuspended);
        assert_eq!(agents.change("a", suspend).unwrap_err().kind(), ErrorKind::Conflict);
        agents.change("a", AgentChange::of_current().status(AgentStatus::Revoked)).unwrap();
        let revive = AgentChange::of_current().status(AgentStatus::Active);
        assert_eq!(agents.change("a", revive).unwrap_err().field(), Some("status"));
        // Another organization's agent of the same name is another agent.
        let acme = organization("acme");
        assert_eq!(agents.clone().of(acme.clone()).get("a").unwrap_err().kind(), ErrorKind::NotFound);
        agents.of(acme.clone()).register(NewAgent::new("a").tier("BASIC")).unwrap();
        let verdict = engine.evaluate_gate(&request.organization(acme.clone())).unwrap();
        assert_eq!(verdict.required_tier(), Some("TRUSTED"));
        // And its records are invisible here.
        let log = engine.log();
        assert_eq!(log.get(verdict.id()).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(log.clone().of(acme).get(verdict.id()).is_ok());
        assert!(log.fleet_wide().get(verdict.id()).is_ok());
    });
}

#[test]
fn many_changes_at_once_let_exactly_one_win_per_version() {
    let engine = Engine::open(Options::memory()).unwrap();
    engine.agents().register(NewAgent::new("a")).unwrap();
    let wins = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for score in 0..50 {
                    match engine.agents().change("a", AgentChange::of_current().score(score)) {
                        Ok(_) => drop(wins.fetch_add(1, std::sync::atomic::Ordering::SeqCst)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                    }
                }
            });
        }
    });
    let wins = wins.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(engine.agents().get("a").unwrap().version, 1 + wins);
    let stats = engine.stats(TimeRange::All, None).unwrap();
    assert_eq!(stats.provenance.by_type.get("AGENT"), Some(&(1 + wins)));
}

#[test]
fn a_retry_with_the_same_id_returns_the_same_receipt_and_other_content_conflicts() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        let id = uuid::Uuid::from_u128(77);
        let record =
            NewRecord::new(RecordType::Escalation, "a", Decision::Allow).id(id).reason("approved by two");
        let first = engine.log().record(record.clone()).unwrap();
        engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap();
        assert_eq!(engine.log().record(record.clone()).unwrap(), first);
        let other = record.reason("approved by one");
        assert_eq!(engine.log().record(other).unwrap_err().kind(), ErrorKind::Conflict);
        let orphan = NewRecord::new(RecordType::Alert, "a", Decision::Deny).parent(uuid::Uuid::from_u128(1));
        assert_eq!(engine.log().record(orphan).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn pages_neither_skip_nor_repeat_while_records_are_written() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        for n in 0..25 {
            let agent = format!("a{}", n % 2);
            engine.log().record(NewRecord::new(RecordType::Alert, agent, Decision::Deny)).unwrap();
        }
        let query = Query::new().agent("a0").limit(4);
        let mut seen = Vec::new();
        let mut page = engine.log().query(&query).unwrap();
        loop {
            seen.extend(page.records.iter().map(|record| record.receipt().leaf_index()));
            engine.log().record(NewRecord::new(RecordType::Alert, "a0", Decision::Deny)).unwrap();
            let Some(next) = page.next else { break };
            assert_eq!(engine.log().query(&Query::new().after(&next)).unwrap_err().field(), Some("cursor"));
            page = engine.log().query(&query.clone().after(next)).unwrap();
        }
        // Entries 0 and 1 are the deployment and the policy; a0 has the even ones.
        assert_eq!(seen, (0..13).map(|n| 26 - 2 * n).collect::<Vec<u64>>());
        for bad in ["", "x", "e30"] {
            assert_eq!(engine.log().query(&query.clone().after(bad)).unwrap_err().field(), Some("cursor"));
        }
    });
}

#[test]
fn swapping_the_policy_is_recorded_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::embedded(folder.path());
    let engine = Engine::open(options()).unwrap();
    let first = engine.policy().current().hash();
    let mut document = PolicyDocument::published_default().unwrap();
    document.default_effect = Decision::Escalate;
    engine.policy().swap(document.clone(), "ops").unwrap();
    let second = engine.policy().current().hash();
    assert_ne!(first, second);
    document.tiers.clear();
    assert_eq!(engine.policy().swap(document, "ops").unwrap_err().kind(), ErrorKind::InvalidPolicy);
    engine.close();
    assert_eq!(engine.evaluate_gate(&GateRequest::new("a", "READER")).unwrap_err().kind(), ErrorKind::Closed);
    drop(engine);
    let engine = Engine::open(options()).unwrap();
    assert_eq!(engine.policy().current().hash(), second);
    let history = engine.policy().history(None, 10).unwrap();
    assert_eq!(history.iter().map(|v| v.hash).collect::<Vec<_>>(), [second, first]);
    assert_eq!(engine.log().query(&Query::new().kind(RecordType::Policy)).unwrap().records.len(), 2);
}

#[test]
fn a_store_opens_once_and_keeps_what_was_acknowledged_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    assert_eq!(Engine::open(Options::embedded(folder.path())).unwrap_err().kind(), ErrorKind::Locked);
    let tickets: Vec<_> =
        (0..500).map(|_| engine.decide_gate(&GateRequest::new("a", "READER")).unwrap().1).collect();
    drop(engine);
    let receipts: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap().unwrap()).collect();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    for receipt in &receipts {
        assert_eq!(engine.log().get(receipt.id()).unwrap().receipt(), receipt);
    }
    assert!(engine.log().verify(None).unwrap().is_clean());
}

#[test]
fn entry_times_never_go_back_and_time_queries_are_exact() {
    let clock = Arc::new(ManualClock::new("2026-01-05T12:00:00Z".parse().unwrap()));
    let engine = Engine::open(Options::memory().clock(clock.clone())).unwrap();
    let mut times = Vec::new();
    for step in [5i64, -100, 7, 0, 50, -3] {
        let now = trust_engine::Clock::now(&*clock).micros() + step * 1_000_000;
        clock.set(trust_engine::Timestamp::from_micros(now));
        times.push(
            engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap().time(),
        );
    }
    assert!(times.is_sorted(), "{times:?}");
    for from in &times {
        for to in times.iter().filter(|to| *to >= from) {
            let found =
                engine.log().query(&Query::new().agent("a").from(*from).to(*to)).unwrap().records.len();
            assert_eq!(found, times.iter().filter(|time| *time >= from && *time < to).count());
        }
    }
}

#[test]
fn a_log_that_is_ahead_of_the_clock_is_warned_of_at_opening() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new("2099-01-01T00:00:00Z".parse().unwrap());
    let open = |clock: ManualClock| {
        Engine::open(Options::embedded(folder.path().join("store")).clock(Arc::new(clock))).unwrap()
    };
    let wrong = open(clock);
    assert_eq!(wrong.warnings(), Vec::<String>::new());
    wrong.agents().register(NewAgent::new("a")).unwrap();
    wrong.close();
    drop(wrong);
    let right = open(ManualClock::new("2026-11-27T00:00:00Z".parse().unwrap()));
    let warnings = right.warnings();
    assert!(
        warnings.iter().any(|warning| warning.contains("2099-01-01") && warning.contains("ahead")),
        "{warnings:?}"
    );
    right.close();
    drop(right);
    let later = open(ManualClock::new("2099-01-01T00:00:01Z".parse().unwrap()));
    assert_eq!(later.warnings(), Vec::<String>::new());
}

#[test]
fn bad_input_is_refused_with_its_field_and_nothing_is_recorded() {
    let engine = Engine::open(Options::memory()).unwrap();
    let before = engine.log().checkpoint().unwrap();
    let deep = (0..9).fold(serde_json::json!(1), |inner, _| serde_json::json!({ "x": inner }));
    let big = serde_json::json!({ "x": "y".repeat(20_000) });
    let map = |value: serde_json::Value| value.as_object().unwrap().clone();
    let good = || GateRequest::new("a", "READER");
    let requests = [
        (GateRequest::new("", "READER"), "agentId"),
        (GateRequest::new("x".repeat(257), "READER"), "agentId"),
        (GateRequest::new("a\u{7}", "READER"), "agentId"),
        (GateRequest::new("a", ""), "role"),
        (GateRequest::new("a", "R".repeat(65)), "role"),
        (good().tier("\n"), "tier"),
        (good().caller(" x"), "caller"),
        (good().resource("r".repeat(1025)), "context.resourceId"),
        (good().action(""), "context.action"),
        (good().environment("e\0"), "context.environment"),
        (good().metadata(map(deep.clone())), "context.metadata"),
        (good().metadata(map(big)), "context.metadata"),
    ];
    for (request, field) in requests {
        for error in [engine.evaluate_gate(&request).unwrap_err(), engine.decide_gate(&request).unwrap_err()]
        {
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)), "{error}");
        }
    }
    assert_eq!(engine.agents().register(NewAgent::new("a").tier("GOD")).unwrap_err().field(), Some("tier"));
    assert_eq!(
        engine.agents().register(NewAgent::new("a").score(1_000_001)).unwrap_err().field(),
        Some("score")
    );
    let record = NewRecord::new(RecordType::Agent, "a", Decision::Allow);
    assert_eq!(engine.log().record(record).unwrap_err().field(), Some("type"));
    let record = NewRecord::new(RecordType::Alert, "a", Decision::Allow);
    assert_eq!(engine.log().record(record.clone().context(map(deep))).unwrap_err().field(), Some("context"));
    assert_eq!(engine.log().record(record.reason("\u{1b}[2J")).unwrap_err().field(), Some("reason"));
    assert_eq!(engine.log().query(&Query::new().limit(0)).unwrap_err().field(), Some("limit"));
    assert_eq!(engine.log().checkpoint().unwrap(), before);
}

fn failing() -> (Arc<FailingStore>, Engine) {
    let store = Arc::new(FailingStore::new(trust_engine::storage::memory()));
    let signer = Arc::new(Ed25519Signer::from_seed(&[9; 32]));
    let options = Options::store(store.clone()).signer(signer).deployment("test");
    (store, Engine::open(options).unwrap())
}

#[test]
fn a_commit_whose_answer_is_lost_is_acknowledged_and_one_that_is_lost_is_not() {
    let (store, engine) = failing();
    let record = || NewRecord::new(RecordType::Alert, "a", Decision::Deny);
    store.fail_commits([Fault::AnswerLost]);
    let receipt = engine.log().record(record()).unwrap();
    assert_eq!(engine.log().get(receipt.id()).unwrap().receipt(), &receipt);
    store.fail_commits([Fault::Lost]);
    assert!(engine.log().record(record()).unwrap_err().is_retryable());
    engine.log().record(record()).unwrap();
    let report = engine.log().verify(None).unwrap();
    assert!(report.is_clean() && report.entries == 4, "{report}");
}

#[test]
fn a_cursor_that_names_a_shard_twice_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let engine = Engine::open(Options::memory()).unwrap();
    for _ in 0..3 {
        engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap();
    }
    let query = || Query::new().agent("a").limit(1);
    let cursor = engine.log().query(&query()).unwrap().next.unwrap();
    let mut forged: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
    let range = forged["rest"][0].clone();
    forged["rest"].as_array_mut().unwrap().push(range);
    let forged = URL_SAFE_NO_PAD.encode(forged.to_string());
    let error = engine.log().query(&query().after(forged)).unwrap_err();
    assert_eq!(error.field(), Some("cursor"));
    engine.log().query(&query().after(cursor)).unwrap();
}

#[test]
fn verdicts_that_could_not_be_recorded_are_counted_in_a_gap_record() {
    let (store, engine) = failing();
    store.fail_commits([Fault::Lost]);
    let (verdict, ticket) = engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    assert_eq!(verdict.recorded(), Recorded::Pending);
    assert!(ticket.wait().unwrap_err().is_retryable());
    engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap();
    let gaps = engine.log().query(&Query::new().kind(RecordType::Gap)).unwrap().records;
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].details().unwrap().unwrap()["verdicts"]["ROLE_GATE.DENY"], 1);
}

#[test]
fn verdicts_given_while_a_commit_was_open_are_in_the_gap_also_if_that_commit_had_landed() {
    let (store, engine) = failing();
    store.fail_commits([Fault::AnswerLost]);
    store.fail_claims([Fault::Unreachable; 6]);
    let (_, open) = engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    // Once it is under way no other verdict joins its commit.
    for _ in 0..1000 {
        if store.commit_faults_left() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // While it is tried to learn what became of it, others are given and wait.
    let given: Vec<_> =
        (0..3).map(|_| engine.decide_gate(&GateRequest::new("b", "READER")).unwrap().1).collect();
    assert_eq!(open.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    given.into_iter().for_each(|ticket| drop(ticket.wait().unwrap_err()));
    let gaps = || engine.log().query(&Query::new().kind(RecordType::Gap)).unwrap().records;
    for _ in 0..100 {
        if !gaps().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let details = gaps()[0].details().unwrap().unwrap();
    assert_eq!(details["verdicts"]["ROLE_GATE.DENY"], 3, "{details}");
    let landed = engine.log().query(&Query::new().agent("a")).unwrap().records;
    assert_eq!(landed.len(), 1, "the one that was open is in the log itself");
}

#[test]
fn while_the_store_is_down_nothing_is_decided_and_the_gap_is_written_on_recovery() {
    let (store, engine) = failing();
    store.fail_commits([Fault::Lost]);
    store.fail_claims([Fault::Unreachable; 6]);
    let (_, ticket) = engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    let refused = engine.decide_gate(&GateRequest::new("a", "READER")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // It recovers by itself, without traffic.
    let gap = || engine.log().query(&Query::new().kind(RecordType::Gap)).unwrap().records.len();
    for _ in 0..100 {
        if gap() == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gap(), 1);
    engine.evaluate_gate(&GateRequest::new("a", "READER")).unwrap();
}

#[test]
fn an_engine_that_was_taken_over_signs_nothing_any_more() {
    let store = trust_engine::storage::memory();
    let signer = Arc::new(Ed25519Signer::from_seed(&[9; 32]));
    let options = || Options::store(store.clone()).signer(signer.clone()).deployment("test");
    let old = Engine::open(options()).unwrap();
    let new = Engine::open(options()).unwrap();
    let record = || NewRecord::new(RecordType::Alert, "a", Decision::Deny);
    assert_eq!(old.log().record(record()).unwrap_err().kind(), ErrorKind::Fenced);
    new.log().record(record()).unwrap();
    assert_eq!(old.log().record(record()).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(new.log().verify(None).unwrap().is_clean());
}

#[test]
fn statistics_count_by_decision_tier_and_type() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        engine.agents().register(NewAgent::new("a").tier("TRUSTED")).unwrap();
        for role in ["READER", "CODE_EXECUTOR", "SYSTEM_ADMIN"] {
            engine.evaluate_gate(&GateRequest::new("a", role)).unwrap();
        }
        let stats = engine.stats(TimeRange::Hour, Some(&OrganizationId::default())).unwrap();
        assert_eq!((stats.role_gates.total, stats.role_gates.allowed, stats.role_gates.denied), (3, 2, 1));
        assert_eq!(stats.role_gates.by_tier.get("TRUSTED"), Some(&3));
        assert_eq!(stats.provenance.by_type.get("ROLE_GATE"), Some(&3));
        let other = engine.stats(TimeRange::All, Some(&organization("acme"))).unwrap();
        assert_eq!(other.role_gates.total, 0);
    });
}

#[test]
fn counts_of_unrecorded_verdicts_survive_a_commit_that_fails() {
    let store = Arc::new(FailingStore::new(trust_engine::storage::memory()));
    let mut policy = PolicyDocument::published_default().unwrap();
    policy.recording.gates.mode = RecordingMode::None;
    let options = Options::store(store.clone()).signer(Arc::new(Ed25519Signer::from_seed(&[9; 32])));
    let engine = Engine::open(options.deployment("test").policy(policy)).unwrap();
    engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    let record = || engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny));
    store.fail_commits([Fault::Lost]);
    record().unwrap_err();
    engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    record().unwrap();
    record().unwrap();
    let gates = engine.stats(TimeRange::All, None).unwrap().role_gates;
    assert_eq!((gates.total, gates.unrecorded), (2, 2));
}

#[test]
fn folders_that_are_not_stores_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Engine::open(Options::embedded(folder.path().join(name))).unwrap_err();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    std::fs::write(folder.path().join("photos/cat.jpg"), "meow").unwrap();
    assert_eq!(open("photos").kind(), ErrorKind::Foreign);
    assert_eq!(std::fs::read_dir(folder.path().join("photos")).unwrap().count(), 1);
    std::fs::write(folder.path().join("file"), "x").unwrap();
    assert_eq!(open("file").kind(), ErrorKind::Foreign);
    std::fs::create_dir(folder.path().join("newer")).unwrap();
    std::fs::write(folder.path().join("newer/FORMAT"), "trust-engine store\nformat 99\n").unwrap();
    assert_eq!(open("newer").kind(), ErrorKind::Unsupported);
    std::fs::create_dir(folder.path().join("older")).unwrap();
    std::fs::write(folder.path().join("older/FORMAT"), "trust-engine store\nformat 1\n").unwrap();
    assert_eq!(open("older").kind(), ErrorKind::Unsupported);
    let store = folder.path().join("store");
    Engine::open(Options::embedded(&store)).unwrap().close();
    std::fs::remove_file(store.join("signing.key")).unwrap();
    assert_eq!(open("store").kind(), ErrorKind::Key);
}

#[test]
fn an_export_verifies_and_every_tampering_is_named() {
    use trust_engine::log::{Damage, check_export};
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::memory()).unwrap();
    let tickets: Vec<_> = (0..600)
        .map(|n| engine.decide_gate(&GateRequest::new(format!("a{n}"), "READER")).unwrap().1)
        .collect();
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    let key = engine.verifier_key();
    let out = folder.path().join("out");
    let exported = engine.log().export(&out).unwrap();
    assert_eq!(exported.entries, 602);
    assert!(check_export(&out, &key, None).unwrap().is_clean());
    let bundle = out.join("tile/entries/001");
    let bytes = std::fs::read(&bundle).unwrap();
    for at in [2usize, 300, 5000, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        std::fs::write(&bundle, &changed).unwrap();
        // Which entry of the bundle the byte belongs to.
        let (mut index, mut seen) = (256, 0);
        while seen + 2 + usize::from(u16::from_be_bytes([bytes[seen], bytes[seen + 1]])) <= at {
            seen += 2 + usize::from(u16::from_be_bytes([bytes[seen], bytes[seen + 1]]));
            index += 1;
        }
        let report = check_export(&out, &key, None).unwrap();
        assert_eq!(report.first_bad_index(), Some(index), "{report}");
        assert_eq!(report.findings[0].damage, Damage::EntryChanged);
    }
    std::fs::write(&bundle, &bytes).unwrap();
    let other = Engine::open(Options::memory()).unwrap().verifier_key();
    assert!(!check_export(&out, &other, None).unwrap().is_clean());
}

/// Polls a future once and gives it up, as a timeout does.
fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    assert!(future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
}

#[test]
fn what_is_committed_is_in_force_even_if_nobody_waited_for_it() {
    // The commit waits long enough to be given up.
    let open = trust_engine::Engine::open(Options::memory().linger(Duration::from_millis(30)));
    let engine = pollster::block_on(open).unwrap();
    let gate =
        || pollster::block_on(engine.evaluate_gate(&GateRequest::new("a", "READER"))).unwrap().allowed();
    pollster::block_on(engine.agents().register(NewAgent::new("a").tier("TRUSTED"))).unwrap();
    assert!(gate());
    let revoke = AgentChange::of_version(1).status(AgentStatus::Suspended);
    let agents = engine.agents();
    give_up(agents.change("a", revoke));
    // The next commit is behind the one that was given up.
    gate();
    assert!(!gate(), "the cache kept an agent that was suspended");

    let active = AgentChange::of_version(2).status(AgentStatus::Active);
    pollster::block_on(agents.change("a", active)).unwrap();
    let mut closed = PolicyDocument::published_default().unwrap();
    closed.default_effect = Decision::Deny;
    let policies = engine.policy();
    give_up(policies.swap(closed, "ops"));
    gate();
    assert!(!gate(), "the old policy decides although another one is in the log");
}

#[test]
fn the_id_of_a_verdict_that_waits_for_its_commit_cannot_be_taken() {
    let options = || Options::memory().linger(Duration::from_millis(50));
    let engine = Engine::open(options()).unwrap();
    let (verdict, ticket) = engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    let record = NewRecord::new(RecordType::Alert, "a", Decision::Deny).id(verdict.id());
    assert_eq!(engine.log().record(record).unwrap_err().kind(), ErrorKind::Conflict);
    ticket.wait().unwrap();
    assert_eq!(engine.log().get(verdict.id()).unwrap().entry().kind, RecordType::RoleGate);
    assert!(engine.log().verify(None).unwrap().is_clean());
}

#[test]
fn a_lower_claim_escapes_no_rule() {
    let mut policy = PolicyDocument::published_default().unwrap();
    policy.rules = serde_json::from_value(serde_json::json!([
        { "id": "trusted-are-frozen", "effect": "DENY", "when": { "tiers": ["TRUSTED"] } }
    ]))
    .unwrap();
    let engine = Engine::open(Options::memory().policy(policy)).unwrap();
    engine.agents().register(NewAgent::new("a").tier("TRUSTED")).unwrap();
    for claim in ["BASIC", "VERIFIED", "TRUSTED"] {
        let verdict = engine.evaluate_gate(&GateRequest::new("a", "READER").tier(claim)).unwrap();
        assert_eq!(verdict.decision(), Decision::Deny, "claiming {claim}");
        let record = engine.log().get(verdict.id()).unwrap();
        let current = engine.policy().current();
        assert!(recompute(&record.payload().unwrap().bytes, &current).unwrap().1);
    }
}

#[test]
fn unrecorded_verdicts_need_a_store_too_and_excess_claims_are_always_recorded() {
    let store = trust_engine::storage::memory();
    let mut policy = PolicyDocument::published_default().unwrap();
    policy.recording.gates.mode = RecordingMode::None;
    let open = || {
        let signer = Arc::new(Ed25519Signer::from_seed(&[9; 32]));
        Engine::open(Options::store(store.clone()).signer(signer).deployment("test").policy(policy.clone()))
    };
    let engine = open().unwrap();
    engine.evaluate_gate(&GateRequest::new("a", "READER").tier("PRIVILEGED")).unwrap();
    let signals = engine.log().query(&Query::new().kind(RecordType::Signal)).unwrap().records;
    assert_eq!(signals.len(), 1);
    for _ in 0..3000 {
        engine.decide_gate(&GateRequest::new("a", "READER")).unwrap();
    }
    engine.close();
    assert_eq!(engine.decide_gate(&GateRequest::new("a", "READER")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(open().unwrap().stats(TimeRange::All, None).unwrap().role_gates.unrecorded, 3000);
}

#[test]
fn a_log_that_is_written_on_is_verified_without_false_findings() {
    on_every_store(|options| {
        let engine = Engine::open(options).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut wrong = None;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    engine.evaluate_gate(&GateRequest::new("a", "READER")).unwrap();
                }
            });
            for _ in 0..20 {
                match engine.log().verify(None) {
                    Ok(report) if report.is_clean() => {}
                    // A panic would wait for the writer for ever.
                    found => wrong = Some(format!("{found:?}")),
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(wrong, None);
    });
}

#[test]
fn an_export_with_more_or_other_lines_than_were_signed_is_not_clean() {
    let engine = Engine::open(Options::memory()).unwrap();
    (0..5).for_each(|_| drop(engine.evaluate_gate(&GateRequest::new("a", "READER")).unwrap()));
    let key = engine.verifier_key();
    let check = |change: &dyn Fn(&std::path::Path)| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        engine.log().export(&out).unwrap();
        change(&out);
        trust_engine::log::check_export(&out, &key, None).unwrap()
    };
    assert!(check(&|_| ()).is_clean());
    let lines = |out: &std::path::Path, change: &dyn Fn(Vec<String>) -> Vec<String>| {
        let path = out.join("records.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(text.lines().map(str::to_owned).collect());
        std::fs::write(path, changed.join("\n") + "\n").unwrap();
    };
    let twice = check(&|out| lines(out, &|all| [&all[..1], &all[..]].concat()));
    assert!(!twice.is_clean());
    let leaf = check(&|out| {
        lines(out, &|all| all.iter().map(|l| l.replace("\"leaf\":\"", "\"leaf\":\"00")).collect())
    });
    assert!(!leaf.is_clean());
    let longer = check(&|out| {
        let bundle = out.join("tile/entries/000.p/7");
        let mut bytes = std::fs::read(&bundle).unwrap();
        assert!(trust_engine::provenance::push_bundled(&mut bytes, b"{}"));
        std::fs::write(bundle, bytes).unwrap();
    });
    assert!(!longer.is_clean());
    let endless = check(&|out| {
        let path = out.join("checkpoint");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replacen("\n7\n", "\n18446744073709551615\n", 1)).unwrap();
    });
    assert!(!endless.is_clean());
}

#[test]
fn many_agents_are_imported_together_and_each_outcome_is_in_its_place() {
    let engine = Engine::open(Options::memory()).unwrap();
    engine.agents().register(NewAgent::new("known")).unwrap();
    let mut agents: Vec<NewAgent> = (0..3000).map(|n| NewAgent::new(format!("a{n}")).tier("BASIC")).collect();
    // Descendants of agents that stand before them, one of a later one, one that is known, one twice, one that is wrong.
    agents.push(NewAgent::new("child").made_from("a2999", trust_engine::Creation::Cloned));
    agents.push(NewAgent::new("grandchild").created_by("child"));
    agents.push(NewAgent::new("early").made_from("late", trust_engine::Creation::Cloned));
    agents.push(NewAgent::new("late"));
    agents.extend(["known", "a0"].map(NewAgent::new));
    agents.push(NewAgent::new("x").tier("NO_TIER"));
    let outcomes = engine.agents().import(agents);
    assert_eq!(outcomes.len(), 3007);
    for (n, outcome) in outcomes.iter().take(3000).enumerate() {
        let receipt = outcome.as_ref().unwrap();
        assert_eq!(
            (receipt.agent.id.as_str(), receipt.receipt.leaf_index()),
            (&*format!("a{n}"), n as u64 + 3)
        );
    }
    let family = |place: usize| {
        outcomes[place].as_ref().unwrap().agent.family.as_ref().map(|root| root.as_str().to_owned())
    };
    assert_eq!((family(3000), family(3001)), (Some("a2999".into()), Some("a2999".into())));
    let refused: Vec<_> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(place, outcome)| Some((place, outcome.as_ref().err()?.kind())))
        .collect();
    let (invalid, conflict) = (ErrorKind::InvalidInput, ErrorKind::Conflict);
    assert_eq!(refused, [(3002, invalid), (3004, conflict), (3005, conflict), (3006, invalid)]);
    let query = trust_engine::AgentQuery::new().tier("BASIC");
    assert_eq!(engine.agents().count(&query).unwrap(), 3000);
    assert!(engine.log().verify(None).unwrap().is_clean());
}

/// A call that never waits cannot succeed the first time; the load that it began must not be lost with it.
#[test]
fn an_agent_that_a_call_could_not_wait_for_is_loaded_once_and_there_for_the_next() {
    let store = Arc::new(FailingStore::new(trust_engine::storage::memory()));
    let signer = Arc::new(Ed25519Signer::from_seed(&[7; 32]));
    let options = Options::store(store.clone())
        .counters(trust_engine::storage::memory_counters(Arc::new(trust_engine::SystemClock)))
        .signer(signer)
        .deployment("test.example.com/loads");
    let engine = Engine::open(options).unwrap();
    for agent in ["gate", "ceiling"] {
        engine.agents().register(NewAgent::new(agent).tier("TRUSTED")).unwrap();
    }
    let before = store.document_reads();
    let held = store.hold_document_reads();
    let gate = || engine.decide_gate(&GateRequest::new("gate", "READER"));
    let ceiling = || engine.check_ceiling_now(&trust_engine::CeilingRequest::new("ceiling", "API_CALLS", 1));
    for _ in 0..5 {
        assert_eq!(gate().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(ceiling().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(store.document_reads() - before, 2, "each agent is asked for once");
    drop(held);
    let until_loaded = |call: &dyn Fn() -> Option<ErrorKind>| {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while call() == Some(ErrorKind::WouldBlock) {
            assert!(std::time::Instant::now() < deadline, "never loaded");
            std::thread::yield_now();
        }
        assert_eq!(call(), None);
    };
    until_loaded(&|| gate().err().map(|error| error.kind()));
    until_loaded(&|| ceiling().err().map(|error| error.kind()));
    assert_eq!(store.document_reads() - before, 2, "the loads that were begun were not lost");
    engine.close();
}
