//! Copies of a store into PostgreSQL, whole and cut off at every commit. The command's tests kill the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/postgres.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use pollster::block_on;
use trust_engine::blocking::Engine;
use trust_engine::log::copy;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{self, CounterStore, FailingStore, Fault, Store};
use trust_engine::{ErrorKind, GateRequest, NewAgent, Options, SystemClock, TimeRange};
use uuid::Uuid;

fn options(store: Arc<dyn Store>) -> Options {
    Options::store(store)
        .signer(Arc::new(Ed25519Signer::from_seed(&[7; 32])))
        .deployment("test.example.com/copy")
}

/// Two shards, the first of them sealed.
fn source(folder: &Path) -> (Arc<dyn Store>, Arc<dyn CounterStore>) {
    let (store, counters) = storage::embedded_with_counters(folder, Arc::new(SystemClock)).unwrap();
    for shard in 0..2 {
        let engine = Engine::open(options(store.clone())).unwrap();
        assert_eq!(engine.shard(), shard);
        for n in 0..5 {
            engine.agents().register(NewAgent::new(format!("agent_{shard}_{n}")).tier("TRUSTED")).unwrap();
            engine.evaluate_gate(&GateRequest::new(format!("agent_{shard}_{n}"), "READER")).unwrap();
        }
        engine.close();
        let head = block_on(store.heads()).unwrap().remove(0);
        assert!(head.sealed || block_on(store.seal(0, head.epoch)).unwrap());
    }
    (store, counters)
}

fn target(schema: &support::Schema) -> (Arc<dyn Store>, Arc<dyn CounterStore>) {
    let (store, counters) = block_on(storage::postgres(&schema.database())).unwrap();
    (store, counters)
}

#[test]
fn a_copy_that_fails_at_any_commit_opens_only_after_its_source_was_retired() {
    let folder = tempfile::tempdir().unwrap();
    let (source, from_counters) = source(folder.path());
    let from = (&*source, &*from_counters);
    for fault in [Fault::Lost, Fault::AnswerLost] {
        let (mut finished, mut commits) = (false, 0);
        while !finished {
            let schema = support::Schema::new();
            let (store, to_counters) = target(&schema);
            let failing = FailingStore::new(store.clone());
            failing.fail_commits(std::iter::repeat_n(Fault::None, commits).chain([fault]));
            let mut retired = false;
            let retire = &mut || {
                retired = true;
                Ok(())
            };
            let to = (&failing as &dyn Store, &*to_counters);
            let copied = block_on(copy(from, to, Uuid::from_u128(1), &mut |_, _| {}, retire));
            finished = copied.is_ok();
            match Engine::open(options(store.clone())) {
                Ok(engine) => {
                    // Where nothing was written a new log begins, which knows none of the agents.
                    assert_eq!(engine.agents().get("agent_1_4").is_ok(), retired, "commit {commits}");
                    assert!(retired || commits == 0);
                    engine.close();
                }
                Err(error) => {
                    assert!(!finished && error.to_string().contains("not finished"), "{error}");
                    assert_eq!(error.kind(), ErrorKind::Key);
                    let to = (&*store, &*to_counters);
                    let issue = block_on(copy(from, to, Uuid::max(), &mut |_, _| {}, &mut || Ok(())))
                        .unwrap_err()
                        .to_string();
                    assert!(issue.contains("not finished") && issue.contains("drop it"), "{issue}");
                }
            }
            commits += 1;
        }
        assert!(commits > 10, "{commits} commits");
    }
}

#[test]
fn a_copy_holds_what_its_source_holds_and_goes_on_where_that_was_open() {
    let folder = tempfile::tempdir().unwrap();
    let (source, from_counters) = source(folder.path());
    let from = (&*source, &*from_counters);
    let (unfinished, schema) = (support::Schema::new(), support::Schema::new());
    let (store, to_counters) = target(&unfinished);
    let refused = block_on(copy(from, (&*store, &*to_counters), Uuid::max(), &mut |_, _| {}, &mut || {
        Err(trust_engine::Error::new(ErrorKind::Unavailable, "the source cannot be marked"))
    }));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(Engine::open(options(store)).unwrap_err().kind(), ErrorKind::Key);
    let (target, to_counters) = target(&schema);
    let to = (&*target, &*to_counters);
    let copied = block_on(copy(from, to, Uuid::max(), &mut |_, _| {}, &mut || Ok(()))).unwrap();
    let heads = |store: &dyn Store| {
        let heads = block_on(store.heads()).unwrap();
        heads
            .into_iter()
            .map(|head| (head.shard, head.size, head.root, head.note, head.sealed))
            .collect::<Vec<_>>()
    };
    assert_eq!(heads(&*target), heads(&*source));
    assert!(copied.documents >= 10 && copied.shards == 2, "{copied:?}");
    let engine = Engine::open(options(target)).unwrap();
    assert_eq!(engine.shard(), 1);
    assert!(engine.stats(TimeRange::All, None).is_ok());
    for shard in 0..2 {
        assert!(engine.log().shard(shard).verify(None).unwrap().is_clean());
        assert!(engine.agents().get(&format!("agent_{shard}_4")).is_ok());
    }
    engine.close();
}
