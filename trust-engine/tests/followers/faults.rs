//! Faults of single steps, on one engine.

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use trust_engine::blocking::Engine;
use trust_engine::log::{Effect, EventPlace, Fold};
use trust_engine::provenance::{Ed25519Signer, Entry};
use trust_engine::storage::{self, DecodedRecord, FailingStore, Fault, FollowerKey, Store};
use trust_engine::{Decision, ErrorKind, NewRecord, Options, RecordType, Source};
use uuid::Uuid;

use crate::counter::{Counter, FOLLOWER, alerts, escalate, folded, folded_in_order, seen, soon};

fn options(store: Arc<dyn Store>) -> Options {
    let signer = Arc::new(Ed25519Signer::from_seed(&[3; 32]));
    Options::store(store).signer(signer).deployment("test.example.com/followers")
}

#[test]
fn effects_follow_from_events_and_name_them() {
    let store = storage::memory();
    let engine = Engine::open(options(Arc::clone(&store))).unwrap();
    let ids: Vec<Uuid> = (0..7).map(|n| escalate(&engine, if n == 3 { "b" } else { "a" })).collect();
    let following = engine.as_async().follow(Counter).unwrap();
    soon("all are folded", || folded(&*store).0 == 7);
    assert_eq!(folded(&*store), folded_in_order(&ids));
    assert_eq!(seen(&*store, "b"), [ids[3]]);
    let effects = alerts(&engine);
    let parents: Vec<Uuid> = effects.iter().map(|alert| alert.entry().parent.unwrap().id).collect();
    assert_eq!(parents, [ids[2], ids[6]]);
    let first = &effects[0];
    assert_eq!((first.entry().source, first.id().get_version_num()), (Source::Host, 8));
    // What comes later is folded too, until the follower is let go of.
    let eighth = escalate(&engine, "b");
    soon("another one is folded", || seen(&*store, "b") == [ids[3], eighth]);
    drop(following);
    assert!(engine.log().verify(None).unwrap().is_clean());
    // No caller can take the id of an effect to come.
    let taken = NewRecord::new(RecordType::Alert, "a", Decision::Deny).id(first.id());
    let refused = engine.log().record(taken).unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("id")));
    engine.close();
}

struct Named(&'static str);

impl Fold for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn wants(&self, _: &Entry) -> bool {
        false
    }
    fn keys(&self, _: &DecodedRecord) -> Vec<FollowerKey> {
        Vec::new()
    }
    fn fold(&self, _: &FollowerKey, _: &mut Vec<u8>, _: &DecodedRecord) -> Vec<Effect> {
        Vec::new()
    }
}

#[test]
fn names_out_of_bounds_are_refused() {
    let engine = Engine::open(Options::memory()).unwrap();
    for name in ["a b", "ä", "a\0", "name_that_is_longer_than_the_fifty_nine_bytes_that_are_allowed_"] {
        assert_eq!(engine.as_async().follow(Named(name)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    engine.close();
}

#[test]
fn whatever_step_fails_effects_happen_once_and_rows_are_folded_once() {
    // Every combination of a fault of the effects' commit with one of the rows' write, before and after it is done.
    let faults = [Fault::None, Fault::Lost, Fault::AnswerLost];
    for (commit, rows) in faults.iter().flat_map(|commit| faults.map(|rows| (*commit, rows))) {
        let inner = storage::memory();
        let store = Arc::new(FailingStore::new(Arc::clone(&inner)));
        let engine = Engine::open(options(Arc::clone(&store) as Arc<dyn Store>)).unwrap();
        let ids: Vec<Uuid> = (0..6).map(|_| escalate(&engine, "a")).collect();
        store.fail_commits([commit]);
        store.fail_rows([rows]);
        let _following = engine.as_async().follow(Counter).unwrap();
        soon("all are folded", || folded(&*inner).0 == 6);
        soon("no fault is left", || store.commit_faults_left() == 0);
        // One more, so that a round that repeats the others would show.
        let last = escalate(&engine, "a");
        soon("the last is folded", || seen(&*inner, "a").len() > 6);
        assert_eq!(seen(&*inner, "a"), [&ids[..], &[last]].concat(), "{commit:?} {rows:?}");
        // One whose commit failed may come behind the other.
        let mut parents: Vec<Uuid> =
            alerts(&engine).iter().map(|alert| alert.entry().parent.unwrap().id).collect();
        parents.sort_by_key(|parent| ids.iter().position(|id| id == parent));
        assert_eq!(parents, [ids[2], ids[5]], "{commit:?} {rows:?}");
        engine.close();
    }
}

#[test]
fn a_lost_position_folds_nothing_twice() {
    let store = storage::memory();
    let engine = Engine::open(options(Arc::clone(&store))).unwrap();
    let ids: Vec<Uuid> = (0..6).map(|_| escalate(&engine, "a")).collect();
    let following = engine.as_async().follow(Counter).unwrap();
    soon("all are folded", || folded(&*store).0 == 6);
    drop(following);
    let owner = Uuid::from_u128(9);
    let (claim, position) = block_on(store.claim_follower(FOLLOWER, owner, Duration::ZERO)).unwrap().unwrap();
    assert!(!position.is_empty());
    assert!(block_on(store.write_follower(&claim, Vec::new(), "")).unwrap());
    let _following = engine.as_async().follow(Counter).unwrap();
    let last = escalate(&engine, "a");
    soon("the last is folded", || seen(&*store, "a").len() > 6);
    assert_eq!(seen(&*store, "a"), [&ids[..], &[last]].concat());
    assert_eq!(alerts(&engine).len(), 2);
    engine.close();
}

#[test]
fn the_order_goes_on_in_the_shard_after_a_sealed_one() {
    let store = storage::memory();
    let mut ids = Vec::new();
    for round in 0..3u32 {
        let engine = Engine::open(options(Arc::clone(&store))).unwrap();
        assert_eq!(engine.shard(), round);
        ids.extend((0..4).map(|_| escalate(&engine, "a")));
        let following = engine.as_async().follow(Counter).unwrap();
        soon("all are folded", || seen(&*store, "a") == ids);
        drop(following);
        engine.close();
        let head = block_on(store.head(round)).unwrap();
        assert!(block_on(store.seal(round, head.epoch)).unwrap());
    }
    let engine = Engine::open(options(Arc::clone(&store))).unwrap();
    assert_eq!(alerts(&engine).len(), 4);
    assert!(engine.log().verify_all().unwrap().iter().all(trust_engine::log::Report::is_clean));
    engine.close();
}

#[test]
fn places_are_ordered_by_time_then_shard_then_index() {
    let place = |micros, shard, index| EventPlace {
        time: trust_engine::Timestamp::from_micros(micros),
        shard,
        index,
    };
    let ordered = [place(1, 9, 9), place(2, 0, 9), place(2, 1, 0), place(2, 1, 1), place(3, 0, 0)];
    assert!(ordered.is_sorted());
}
