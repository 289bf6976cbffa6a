//! Several engines on one log in PostgreSQL: shards of their own, takeover, one view of all of them, changes by others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/postgres.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use pollster::block_on;
use support::{Schema, sql};
use trust_engine::blocking::Engine;
use trust_engine::log::Report;
use trust_engine::provenance::SignedCheckpoint;
use trust_engine::storage::{self, Change, DocumentKey, DocumentKind, FailingStore, Fault};
use trust_engine::{
    AgentChange, CeilingRequest, Decision, ErrorKind, GateRequest, NewAgent, NewRecord, OrganizationId,
    PolicyDocument, Query, RecordType, verify,
};
use uuid::Uuid;

fn alert(agent: &str) -> NewRecord {
    NewRecord::new(RecordType::Alert, agent, Decision::Deny)
}

/// Tries until it is so.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}: not in {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes a shard's owner look as if it had been silent for a minute.
fn silence(schema: &Schema, shard: u32) {
    sql(&format!("update {}.heads set seen = seen - interval '1 minute' where shard = {shard}", schema.0));
}

#[test]
fn every_engine_writes_a_shard_of_its_own_and_sees_them_all() {
    let schema = Schema::new();
    let engines: Vec<Engine> = (0..3).map(|_| Engine::open(schema.options()).unwrap()).collect();
    let shards: BTreeSet<u32> = engines.iter().map(Engine::shard).collect();
    assert_eq!(shards, BTreeSet::from([0, 1, 2]));
    let mut ids = Vec::new();
    for round in 0..20 {
        for engine in &engines {
            let mut record = alert("agent_001");
            // A line of records that goes through all shards.
            if let Some(last) = ids.last() {
                record = record.parent(*last);
            }
            ids.push(engine.log().record(record).unwrap().id());
            engine.log().record(alert(&format!("other_{round}"))).unwrap();
        }
    }
    let query = || Query::new().agent("agent_001").limit(7);
    let mut page = engines[1].log().query(&query()).unwrap();
    let mut found = Vec::new();
    loop {
        // Written meanwhile, also in a shard that is new, and part of no page.
        engines[0].log().record(alert("agent_001")).unwrap();
        found.extend(page.records.iter().map(|record| record.receipt().id()));
        assert!(page.records.windows(2).all(|pair| pair[0].entry().time >= pair[1].entry().time));
        let Some(next) = page.next else { break };
        page = engines[1].log().query(&query().after(next)).unwrap();
    }
    found.reverse();
    assert_eq!(found, ids, "every record once, in the order of time");
    let chain = engines[2].log().chain(*ids.last().unwrap(), 9).unwrap();
    let line: Vec<Uuid> = chain.iter().map(|record| record.receipt().id()).collect();
    let wanted: Vec<Uuid> = ids.iter().rev().take(10).copied().collect();
    assert_eq!(line, wanted);
    for record in &chain {
        let origin = record.receipt().origin().to_owned();
        let shard: u32 = origin.rsplit('/').next().unwrap().parse().unwrap();
        let proof = engines[0].log().prove(record.receipt().id()).unwrap().to_string();
        verify::record(record.entry_bytes(), &proof, &engines[0].verifier_key_of(shard)).unwrap();
        let other = engines[0].verifier_key_of(shard + 1);
        assert!(verify::record(record.entry_bytes(), &proof, &other).is_err(), "a shard's name is signed");
    }
    let reports = engines[0].log().verify_all().unwrap();
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(Report::is_clean), "{reports:?}");
    let one = engines[0].log().shard(2).query(&Query::new().limit(1000)).unwrap();
    assert!(one.records.iter().all(|record| record.receipt().origin().ends_with("/prov/2")));
    assert_eq!(one.records.len(), 40);
}

#[test]
fn the_shard_of_a_silent_engine_is_taken_and_the_engine_goes_on_in_another() {
    let schema = Schema::new();
    let silent = Engine::open(schema.options()).unwrap();
    let before = silent.log().record(alert("a")).unwrap();
    silence(&schema, 0);
    // It gives signs of life, so it may have to be silenced again.
    let mut taker = Engine::open(schema.options()).unwrap();
    while taker.shard() != 0 {
        silence(&schema, 0);
        taker = Engine::open(schema.options()).unwrap();
    }
    taker.log().record(alert("a")).unwrap();
    let after = silent.log().record(alert("a")).unwrap();
    assert!(before.origin().ends_with("/prov/0"));
    assert!(!after.origin().ends_with("/prov/0"), "it was fenced there");
    assert_ne!(silent.shard(), 0);
    assert_eq!(silent.verifier_key().name(), after.origin());
    assert_eq!(taker.log().query(&Query::new().agent("a")).unwrap().records.len(), 3);
    let reports = taker.log().verify_all().unwrap();
    assert!(reports.iter().all(Report::is_clean), "{reports:?}");
}

#[test]
fn a_shard_asked_for_is_taken_from_its_owner_and_not_given_up_for_another() {
    let schema = Schema::new();
    let request = GateRequest::new("agent_001", "DATA_ANALYST");
    let first = Engine::open(schema.options().shard(0)).unwrap();
    first.evaluate_gate(&request).unwrap();
    let second = Engine::open(schema.options().shard(0)).unwrap();
    assert_eq!(first.evaluate_gate(&request).unwrap_err().kind(), ErrorKind::Fenced);
    second.evaluate_gate(&request).unwrap();
    assert!(second.log().verify(None).unwrap().is_clean());
}

#[test]
fn a_shard_is_free_as_soon_as_its_engine_is_closed() {
    let schema = Schema::new();
    for _ in 0..3 {
        let engine = Engine::open(schema.options()).unwrap();
        engine.log().record(alert("a")).unwrap();
        assert_eq!(engine.shard(), 0);
        engine.close();
    }
}

#[test]
fn what_one_engine_changed_the_others_are_told() {
    let schema = Schema::new();
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let (tell, told) = channel();
    store.listen(Box::new(move |change| drop(tell.send(change))));
    let wait = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(wait(), Change::Anything, "what changed before is not told");
    let engine = Engine::open(schema.options()).unwrap();
    let key = |kind, id: &str| DocumentKey { kind, organization: OrganizationId::default(), id: id.into() };
    assert_eq!(wait(), Change::Document(key(DocumentKind::Deployment, "deployment")));
    assert_eq!(wait(), Change::Document(key(DocumentKind::Policy, "policy")));
    engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).unwrap();
    assert_eq!(wait(), Change::Document(key(DocumentKind::Agent, "agent_001")));
}

#[test]
fn a_policy_and_an_agent_that_one_engine_changed_decide_in_the_others_also_if_nobody_tells() {
    let schema = Schema::new();
    let (one, two) = (Engine::open(schema.options()).unwrap(), Engine::open(schema.options()).unwrap());
    one.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).unwrap();
    let request = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
    soon("the agent is known", || two.evaluate_gate(&request).unwrap().allowed());
    for told in [true, false] {
        if !told {
            // Every listening connection is cut off, so that the changes that follow are found by looking.
            let listening = format!("query = 'listen {}'", schema.0);
            sql(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {listening}"));
        }
        let mut document = PolicyDocument::published_default().unwrap();
        document.name = format!("swap {told}");
        one.policy().swap(document, "ops").unwrap();
        let hash = one.policy().current().hash();
        soon("the policy is in force", || two.policy().current().hash() == hash);
        let tier = if told { "UNKNOWN" } else { "VERIFIED" };
        one.agents().change("agent_001", AgentChange::of_current().tier(tier)).unwrap();
        soon("the agent is seen", || two.evaluate_gate(&request).unwrap().allowed() != told);
    }
    one.close();
    // The policy's records are in one shard and the engine that opens next writes to another.
    let three = Engine::open(schema.options()).unwrap();
    assert_eq!(three.policy().current().hash(), two.policy().current().hash());
}

#[test]
fn an_engine_that_starts_again_with_an_earlier_policy_does_not_bring_it_back() {
    let schema = Schema::new();
    let policy = |name: &str| {
        let mut document = PolicyDocument::published_default().unwrap();
        document.name = name.into();
        document
    };
    let open = |name: &str| Engine::open(schema.options().policy(policy(name))).unwrap();
    let in_force = |engine: &Engine| engine.policy().current().document().name.clone();
    let old = open("first");
    assert_eq!((in_force(&old).as_str(), old.warnings().len()), ("first", 0));
    let new = open("second");
    assert_eq!((in_force(&new).as_str(), new.warnings().len()), ("second", 0));
    soon("the old one follows", || in_force(&old) == "second");
    old.close();
    let again = open("first");
    assert_eq!(in_force(&again), "second");
    assert!(
        again.warnings().iter().any(|warning| warning.contains("was in force before")),
        "{:?}",
        again.warnings()
    );
    again.policy().swap(policy("first"), "ops").unwrap();
    soon("what an operator brings back is in force", || in_force(&new) == "first");
    assert_eq!(in_force(&open("third")), "third");
}

/// Reads of counters hang, more of them than there are connections.
#[test]
fn reads_that_hang_keep_no_change_of_policy_or_agent_from_an_engine() {
    let schema = Schema::new();
    let [one, other] = [(); 2].map(|()| Engine::open(schema.options()).unwrap());
    one.agents().register(NewAgent::new("agent_001").tier("TRUSTED")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lock = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&support::url(), tokio_postgres::NoTls).await.unwrap();
        let driven = tokio::spawn(connection);
        let lock = format!("begin; lock table {}.counters in access exclusive mode", schema.0);
        client.batch_execute(&lock).await.unwrap();
        (client, driven)
    });
    std::thread::scope(|scope| {
        for _ in 0..16 {
            // It ends with the lock, or with the limit of its statement.
            scope.spawn(|| drop(other.quotas().usage("agent_001")));
        }
        let waiting = format!(
            "select count(*) from pg_locks where not granted and relation = '{}.counters'::regclass",
            schema.0
        );
        soon("reads hang", || support::one_row(&waiting).get::<_, i64>(0) >= 1);
        let mut document = PolicyDocument::published_default().unwrap();
        document.name = "later".into();
        one.policy().swap(document, "ops").unwrap();
        let hash = one.policy().current().hash();
        one.agents().change("agent_001", AgentChange::of_current().tier("UNKNOWN")).unwrap();
        soon("the policy is in force", || other.policy().current().hash() == hash);
        let gate = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
        soon("the agent is seen", || !other.evaluate_gate(&gate).unwrap().allowed());
        // Ids that callers chose are looked up before they are committed.
        for id in 1..20u128 {
            other
                .log()
                .record(alert("agent_001").id(Uuid::from_u128(0x7000 << 64 | 0x8 << 60 | id)))
                .unwrap();
        }
        assert!(support::one_row(&waiting).get::<_, i64>(0) >= 1, "the reads hang still");
        runtime.block_on(async move {
            lock.0.batch_execute("rollback").await.unwrap();
        });
    });
    one.close();
    other.close();
}

#[test]
fn the_fleets_view_finds_an_agent_among_records_that_are_of_none() {
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    engine.log().record(alert("a")).unwrap();
    let found = engine.log().fleet_wide().query(&Query::new().agent("a")).unwrap();
    assert_eq!(found.records.len(), 1, "and not the policy's record, which has no agent");
    let by_parent = Query::new().agent("a").parent(found.records[0].id());
    assert_eq!(engine.log().fleet_wide().query(&by_parent).unwrap().records.len(), 0);
}

#[test]
fn engines_that_open_together_agree_on_their_policy() {
    let schema = Schema::new();
    for round in 0..3 {
        let mut document = PolicyDocument::published_default().unwrap();
        document.name = format!("rollout {round}");
        let hashes: Vec<String> = std::thread::scope(|scope| {
            let open = |_| {
                let options = schema.options().policy(document.clone());
                scope.spawn(|| Engine::open(options).unwrap().policy().current().hash().to_string())
            };
            let threads: Vec<_> = (0..4).map(open).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
    let engine = Engine::open(schema.options()).unwrap();
    assert_eq!(engine.policy().history(None, 100).unwrap().len(), 3, "each was brought into force once");
}

#[test]
fn an_agent_that_nobody_changed_is_not_read_again() {
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).unwrap();
    let request = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
    // The first looks have been made.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(engine.evaluate_gate(&request).unwrap().allowed());
    // No record tells of this deletion, so the engine does not read the agent again.
    sql(&format!("delete from {}.documents where kind = 0", schema.0));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        assert!(engine.evaluate_gate(&request).unwrap().allowed(), "after {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_id_that_two_engines_take_at_once_is_given_to_one_and_harms_no_other_record() {
    let schema = Schema::new();
    let engines: Vec<Engine> = (0..2).map(|_| Engine::open(schema.options()).unwrap()).collect();
    for round in 0..40 {
        let same = round % 2 == 0;
        let id = Uuid::now_v7();
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|at| {
                    let engine = &engines[at % 2];
                    scope.spawn(move || {
                        let contested = alert(if same { "a" } else { ["a", "b"][at % 2] }).id(id);
                        let record = if at < 4 { contested } else { alert("bystander") };
                        (at, engine.log().record(record))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut receipts = BTreeSet::new();
        for (at, result) in results {
            match result {
                Ok(receipt) if at < 4 => {
                    receipts.insert((receipt.origin().to_owned(), receipt.leaf_index()));
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(at < 4 && !same, "round {round}, {at}: {error:?}");
                    assert_eq!(error.kind(), ErrorKind::Conflict);
                }
            }
        }
        assert_eq!(receipts.len(), 1, "one record has the id");
    }
    let reports = engines[0].log().verify_all().unwrap();
    assert!(reports.iter().all(Report::is_clean), "{reports:?}");
}

#[test]
fn an_id_of_a_verdict_that_another_engine_was_told_costs_that_verdict_and_no_other() {
    let schema = Schema::new();
    let slow = Engine::open(schema.options().linger(Duration::from_millis(500))).unwrap();
    let other = Engine::open(schema.options()).unwrap();
    let request = GateRequest::new("a", "DATA_ANALYST");
    // From here on the agent is in the cache.
    slow.evaluate_gate(&request).unwrap();
    let (verdict, ticket) = slow.decide_gate(&request).unwrap();
    let bystanders: Vec<_> = (0..20).map(|_| slow.decide_gate(&request).unwrap()).collect();
    // The verdict's id is known before its record is committed, and somebody writes a record with it.
    let taken = other.log().record(alert("thief").id(verdict.id())).unwrap();
    assert_eq!(taken.id(), verdict.id());
    assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Conflict);
    for (bystander, ticket) in bystanders {
        assert_eq!(ticket.wait().unwrap().unwrap().id(), bystander.id());
    }
    // The lost verdict is owned up to.
    slow.log().record(alert("later")).unwrap();
    let gaps = slow.log().query(&Query::new().kind(RecordType::Gap)).unwrap().records;
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].details().unwrap().unwrap()["verdicts"]["ROLE_GATE.DENY"], 1);
    assert!(slow.log().verify_all().unwrap().iter().all(Report::is_clean));
}

#[test]
fn nothing_is_signed_on_top_of_a_database_that_was_set_back() {
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    for _ in 0..3 {
        engine.log().record(alert("a")).unwrap();
    }
    let tables = ["heads", "entries", "hashes", "checkpoints", "stats"];
    let on_all = |statement: &str| {
        let each: Vec<String> =
            tables.iter().map(|table| statement.replace("TABLE", &format!("{}.{table}", schema.0))).collect();
        sql(&format!("begin; {}; commit", each.join(";")));
    };
    on_all("create table TABLE_backup as select * from TABLE");
    let lost = engine.log().record(alert("a")).unwrap();
    on_all("delete from TABLE; insert into TABLE select * from TABLE_backup");
    let error = engine.log().record(alert("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(!error.is_retryable());
    let error = engine.evaluate_gate(&GateRequest::new("a", "DATA_ANALYST")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "no verdicts either");
    // A checkpoint that was kept shows that the database was set back.
    let kept = SignedCheckpoint::parse(&lost.checkpoint()).unwrap();
    let next = Engine::open(schema.options()).unwrap();
    assert!(!next.log().shard(0).verify(Some(&kept)).unwrap().is_clean());
}

/// The store is away while another engine takes the shard and the shard that the engine had before is set back. The commit
/// had happened, which does not make the engine one that may write again.
#[test]
fn an_engine_that_recovers_onto_a_shard_that_was_set_back_writes_no_more() {
    let schema = Schema::new();
    let on_heads = |statement: &str| sql(&statement.replace("heads", &format!("{}.heads", schema.0)));
    let other = Uuid::now_v7();
    let (inner, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let store = Arc::new(FailingStore::new(inner));
    let options = trust_engine::Options::store(store.clone()).signer(support::signer());
    let engine = Engine::open(options.deployment("test.example.com/fleet")).unwrap();
    engine.log().record(alert("a")).unwrap();
    on_heads(&format!("update heads set owner = '{other}', epoch = epoch + 1 where shard = 0"));
    engine.log().record(alert("a")).unwrap();
    assert_eq!(engine.shard(), 1, "it was fenced in the first");

    // The commit is written; neither its answer nor a claim comes through before both shards are as they should be.
    store.fail_commits([Fault::AnswerLost]);
    store.fail_claims([Fault::Unreachable; 5 + 16]);
    let error = engine.log().record(alert("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    on_heads(&format!(
        "update heads set owner = '{other}', epoch = epoch + 1, seen = clock_timestamp() where shard = 1"
    ));
    sql(&format!("delete from {0}.checkpoints where shard = 0", schema.0));
    on_heads("update heads set owner = null where shard = 0");
    let is_set_back =
        || matches!(engine.log().record(alert("a")), Err(error) if error.kind() == ErrorKind::Corrupt);
    soon("the writer finds that the shard it had before was set back", is_set_back);
    let owner = support::one_row(&format!("select owner is null from {}.heads where shard = 0", schema.0));
    assert!(owner.get::<_, bool>(0), "and claims none");
    assert!(!engine.health().store, "it was set back, and is not up for a moment either");
    let error = engine.log().record(alert("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}

#[test]
fn shards_that_were_set_back_are_retired_as_the_manual_says() {
    let manual = include_str!("../../docs/operations.md");
    let statements = manual.split_once("   begin;").unwrap().1.split_once("commit;").unwrap().0;
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    let before = engine.log().record(alert("a")).unwrap();
    engine.close();
    // An earlier era was far ahead, which is no matter of this one.
    sql(&format!(
        "update {0}.heads set era = 1;
        insert into {0}.heads (shard, epoch, size, root, time, note, sealed, era)
        values (1, 1, 0, sha256(''), 4070908800000000, '', true, 0)",
        schema.0
    ));
    sql(&format!(
        "begin; {}; commit",
        statements.replace("trust_engine.", &format!("{}.", schema.0)).trim_end()
    ));
    let engine = Engine::open(schema.options()).unwrap();
    assert_eq!(engine.shard(), 1002, "neither a shard of the copy nor one that may have come after it");
    engine.log().record(alert("a")).unwrap();
    assert_eq!(engine.log().query(&Query::new().agent("a")).unwrap().records.len(), 2);
    let kept = SignedCheckpoint::parse(&before.checkpoint()).unwrap();
    assert!(engine.log().shard(0).verify(Some(&kept)).unwrap().is_clean());
    assert!(engine.log().verify_all().unwrap().iter().all(Report::is_clean));
}

#[test]
fn searches_go_to_the_replica_and_what_decides_does_not() {
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    engine.log().record(alert("a")).unwrap();
    // Another database, empty but for the schema, stands for a standby that is far behind.
    let behind = format!("{}_replica", schema.0);
    sql(&format!("create database {behind}"));
    let url = format!("{}/{behind}", support::url().rsplit_once('/').unwrap().0);
    let replica = storage::Postgres::new(url.clone()).schema(&schema.0);
    drop(block_on(storage::postgres(&replica)).unwrap());
    let options = trust_engine::Options::postgres(schema.database().replica(url)).signer(support::signer());
    let reader = Engine::open(options.deployment("test.example.com/fleet")).unwrap();
    let warnings = reader.warnings();
    assert!(warnings.iter().any(|warning| warning.contains("not a standby")), "{warnings:?}");
    let query = Query::new().agent("a");
    assert_eq!(reader.log().query(&query).unwrap().records.len(), 0);
    assert_eq!(reader.log().query(&query.read_your_writes()).unwrap().records.len(), 1);
    let request = GateRequest::new("a", "DATA_ANALYST");
    let id = reader.evaluate_gate(&request).unwrap().receipt().unwrap().id();
    assert_eq!(reader.log().get(id).unwrap().receipt().id(), id);
    drop(reader);
    sql(&format!("drop database {behind} with (force)"));
}

/// A batch of 1,024 submissions, of which one changes an agent that another engine has changed since it was read.
#[test]
fn of_a_thousand_submissions_of_one_batch_only_the_conflicting_one_is_lost() {
    let schema = Schema::new();
    let other = Engine::open(schema.options()).unwrap();
    other.agents().register(NewAgent::new("contended")).unwrap();
    let (inner, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let store = Arc::new(FailingStore::new(inner));
    let options = trust_engine::Options::store(store.clone()).signer(support::signer());
    let options = options.deployment("test.example.com/fleet").linger(Duration::from_millis(300));
    let engine = Engine::open(options).unwrap();
    let before = engine.stats(trust_engine::TimeRange::All, None).unwrap().provenance.commits;
    let agents: Vec<NewAgent> = (0..1023).map(|n| NewAgent::new(format!("a{n}"))).collect();
    let (outcomes, conflicting) = std::thread::scope(|scope| {
        let import = scope.spawn(|| engine.agents().import(agents));
        let change = scope.spawn(|| {
            // Between the reading of the agent and the commit.
            let other = other.clone();
            store.on_document_read(move || {
                drop(other.agents().change("contended", AgentChange::of_current().score(1)))
            });
            engine.agents().change("contended", AgentChange::of_current().score(2))
        });
        (import.join().unwrap(), change.join().unwrap())
    });
    assert!(outcomes.iter().all(Result::is_ok), "{:?}", outcomes.iter().find(|outcome| outcome.is_err()));
    assert_eq!(conflicting.unwrap_err().kind(), ErrorKind::Conflict);
    let commits = engine.stats(trust_engine::TimeRange::All, None).unwrap().provenance.commits - before;
    assert!(commits < 100, "{commits} commits");
    assert_eq!(other.agents().count(&trust_engine::AgentQuery::new()).unwrap(), 1024);
}

fn api(amount: u64, id: &str) -> CeilingRequest {
    CeilingRequest::new("a", "API", amount).request_id(id)
}

/// Options with one ceiling of an agent that is not registered.
fn limited(schema: &Schema, limit: u64, recording: &str) -> trust_engine::Options {
    let text = format!(
        "policyFormat: 1\nname: limited\ntiers: [{{name: LOW}}]\nroles: [{{name: READER, minimumTier: LOW}}]\n\
         defaultEffect: DENY\nresources: [API]\n\
         ceilings: {{agent: [{{tier: LOW, resource: API, limit: {limit}, window: FIXED, windowSeconds: 31536000}}]}}\n\
         recording: {{ceilings: {{{recording}}}}}\n"
    );
    schema.options().policy(PolicyDocument::parse(&text).unwrap())
}

#[test]
fn a_request_id_is_charged_once_in_all_engines_and_each_gets_the_first_answer() {
    let schema = Schema::new();
    let engines: Vec<Engine> =
        (0..3).map(|_| Engine::open(limited(&schema, 100_000, "mode: NONE")).unwrap()).collect();
    let mut firsts = Vec::new();
    for round in 0..30 {
        let id = format!("order_{round}");
        let verdicts: Vec<_> = std::thread::scope(|scope| {
            let check = |at: usize| {
                let (engine, id) = (&engines[at % 3], &id);
                scope.spawn(move || engine.check_ceiling(&api(7, id)).unwrap())
            };
            let threads: Vec<_> = (0..9).map(check).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for verdict in &verdicts {
            assert!(verdict.allowed() && verdict.receipt().is_some(), "{verdict:?}");
            assert_eq!(verdict.id(), verdicts[0].id(), "round {round}");
            assert_eq!(verdict.measure(), verdicts[0].measure());
            assert_eq!(verdict.evaluated_at(), verdicts[0].evaluated_at());
        }
        firsts.push(verdicts[0].clone());
    }
    let used = |engine: &Engine| engine.quotas().usage("a").unwrap()[0].measure.current_usage();
    engines.into_iter().for_each(|engine| engine.close());
    let later = Engine::open(limited(&schema, 100_000, "mode: NONE")).unwrap();
    assert_eq!(used(&later), 30 * 7, "every id once");
    for (round, first) in firsts.iter().enumerate() {
        let again = later.check_ceiling(&api(7, &format!("order_{round}"))).unwrap();
        assert_eq!(
            (again.id(), again.receipt(), again.to_string()),
            (first.id(), first.receipt(), first.to_string())
        );
    }
    let other = later.check_ceiling(&api(8, "order_3")).unwrap_err();
    assert!(other.kind() == ErrorKind::Conflict && other.to_string().contains("other content"), "{other}");
    let never = later.check_ceiling_now(&api(7, "new")).unwrap_err();
    assert_eq!(never.kind(), ErrorKind::WouldBlock, "it is committed before it is answered");
    // Another agent and another organization have ids of their own.
    let elsewhere = CeilingRequest::new("b", "API", 7).request_id("order_3");
    assert_ne!(later.check_ceiling(&elsewhere).unwrap().id(), firsts[3].id());
    let elsewhere = api(7, "order_3").organization(OrganizationId::parse("other").unwrap());
    assert_ne!(later.check_ceiling(&elsewhere).unwrap().id(), firsts[3].id());
    assert_eq!(used(&later), 30 * 7);
    assert!(later.log().verify_all().unwrap().iter().all(Report::is_clean));
}

#[test]
fn a_retry_of_what_used_the_last_is_admitted_elsewhere_and_no_new_request_is() {
    let schema = Schema::new();
    let [one, two] = [(); 2].map(|()| Engine::open(limited(&schema, 10, "mode: ALL")).unwrap());
    let first = one.check_ceiling(&api(10, "last")).unwrap();
    assert!(first.allowed());
    assert!(!two.check_ceiling(&api(1, "more")).unwrap().allowed());
    let again = two.check_ceiling(&api(10, "last")).unwrap();
    assert_eq!((again.allowed(), again.id()), (true, first.id()));
    // A day later the id is free, for an engine that has to look it up.
    let day = 24 * 3600 * 1_000_000i64;
    sql(&format!(
        "update {}.documents set due = due - {day}, created = created - {day} where kind = 3",
        schema.0
    ));
    let three = Engine::open(limited(&schema, 10, "mode: ALL")).unwrap();
    let refused = three.check_ceiling(&api(10, "last")).unwrap();
    assert!(!refused.allowed(), "and there is nothing left: {refused:?}");
}
