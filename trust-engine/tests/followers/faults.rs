//! Faults of single steps, on one engine.

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use trust_engine::blocking::Engine;
use trust_engine::log::{Effect, EventPlace, Fold};
use trust_engine::provenance::{Ed25519Signer, Entry};
use trust_engine::storage::{self, DecodedRecord, FailingStore, Fault, FollowerKey, Store};
use trust_engine::{
    Clock as _, Decision, ErrorKind, ManualClock, NewRecord, Options, OrganizationId, RecordType, Source,
    Timestamp,
};
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

/// Does what the counter does, under a name of its own.
struct Later;

impl Fold for Later {
    fn name(&self) -> &'static str {
        "later"
    }

    fn wants(&self, entry: &Entry) -> bool {
        Counter.wants(entry)
    }

    fn keys(&self, event: &DecodedRecord) -> Vec<FollowerKey> {
        Counter.keys(event)
    }

    fn fold(&self, key: &FollowerKey, state: &mut Vec<u8>, event: &DecodedRecord) -> Vec<Effect> {
        Counter.fold(key, state, event);
        Vec::new()
    }
}

/// The log was once far ahead, and was set back: what came then is folded before what comes now, by a follower that saw
/// it live and by one that reads it later, and neither waits for the time to come.
#[test]
fn the_order_goes_on_where_a_log_was_set_back() {
    let store = storage::memory();
    let start: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let engine = Engine::open(options(Arc::clone(&store)).clock(clock.clone())).unwrap();
    let live = engine.as_async().follow(Counter).unwrap();
    let mut ids = Vec::new();
    for round in 0..3u64 {
        ids.push(escalate(&engine, "a"));
        clock.set("2099-01-01T00:00:00Z".parse().unwrap());
        ids.extend((0..3).map(|_| escalate(&engine, "a")));
        if round == 0 {
            soon("those of 2099 are folded", || seen(&*store, "a") == ids);
        }
        clock.set(start.plus(Duration::from_secs(round + 1)));
        engine.deployment().set_log_back("ops").unwrap();
        assert_eq!(
            engine.log().record(NewRecord::new(RecordType::Alert, "other", Decision::Deny)).unwrap().time(),
            clock.now()
        );
        ids.push(escalate(&engine, "a"));
        soon("those after it too", || seen(&*store, "a") == ids);
    }
    drop(live);
    let heads = block_on(store.heads()).unwrap();
    let eras: Vec<(bool, u32)> = heads.iter().map(|head| (head.sealed, head.era)).collect();
    assert_eq!(eras, [(true, 0), (true, 1), (true, 2), (false, 3)]);
    let rows = [FollowerKey { organization: OrganizationId::default(), key: "all".into() }];
    let live = block_on(store.follower_rows(FOLLOWER, &rows)).unwrap();
    let later = engine.as_async().follow(Later).unwrap();
    soon("a follower that begins reads all in the same order", || {
        let read = block_on(store.follower_rows("host.later", &rows)).unwrap();
        read[0].is_some() && read[0] == live[0]
    });
    drop(later);
    engine.close();
}

#[test]
fn places_are_ordered_by_era_then_time_then_shard_then_index() {
    let place = |era, micros, shard, index| EventPlace {
        era,
        time: trust_engine::Timestamp::from_micros(micros),
        shard,
        index,
    };
    let ordered = [
        place(0, 1, 9, 9),
        place(0, 2, 0, 9),
        place(0, 2, 1, 0),
        place(0, 2, 1, 1),
        place(0, 3, 0, 0),
        place(1, 1, 0, 0),
    ];
    assert!(ordered.is_sorted());
}
