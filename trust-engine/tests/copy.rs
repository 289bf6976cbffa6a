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

/// Copies with faults, and gives whether that succeeded and whether the source was retired. Engines open the copy if it was,
/// and none opens it otherwise.
fn copy_with(source: (&dyn Store, &dyn CounterStore), faults: impl FnOnce(&FailingStore)) -> (bool, bool) {
    let schema = support::Schema::new();
    let (store, counters) = target(&schema);
    let failing = FailingStore::new(store.clone());
    faults(&failing);
    let mut retired = false;
    let retire = &mut || {
        retired = true;
        Ok(())
    };
    let to = (&failing as &dyn Store, &*counters);
    let copied = block_on(copy(source, to, Uuid::from_u128(1), &mut |_, _| {}, retire)).is_ok();
    let again = block_on(copy(source, (&*store, &*counters), Uuid::max(), &mut |_, _| {}, &mut || Ok(())));
    let told = again.map_or_else(|error| error.to_string(), |_| "copied now".into());
    let opened = Engine::open(options(store));
    if retired && told.contains("copied there already") {
        let engine = opened.unwrap();
        assert!(engine.agents().get("agent_1_4").is_ok());
        engine.close();
    } else if told.contains("not finished") {
        assert!(!copied && told.contains("drop it"));
        let error = opened.unwrap_err();
        assert!(error.kind() == ErrorKind::Key && error.to_string().contains("not finished"), "{error}");
    } else {
        // Nothing was written but the claim of a shard.
        assert!(!copied && !retired && (told.contains("not empty") || told.contains("copied now")), "{told}");
    }
    (copied, retired)
}

#[test]
fn a_copy_that_fails_at_any_step_opens_only_after_its_source_was_retired() {
    let folder = tempfile::tempdir().unwrap();
    let (store, counters) = source(folder.path());
    let source = (&*store, &*counters);
    let nth = |step: usize, fault: Fault| std::iter::repeat_n(Fault::None, step).chain([fault]);
    let commits = |fault: Fault| {
        let outcomes = (0..).map(|step| copy_with(source, |store| store.fail_commits(nth(step, fault))));
        let failed: Vec<_> = outcomes.take_while(|(copied, _)| !copied).collect();
        assert!(failed.len() > 10, "{failed:?}");
        failed.iter().filter(|(_, retired)| *retired).count()
    };
    assert_eq!(commits(Fault::Lost), 1, "the last commit only");
    assert_eq!(commits(Fault::AnswerLost), 0, "a last commit whose answer is lost was made");
    for step in 0..2 {
        assert_eq!(
            copy_with(source, |store| store.fail_claims(nth(step, Fault::Unreachable))),
            (false, false)
        );
    }
    assert_eq!(copy_with(source, |_| {}), (true, true));
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
