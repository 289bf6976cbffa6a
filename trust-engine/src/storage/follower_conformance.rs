//! The part of the contract that is about followers: claims, rows and positions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test suite: a breach is a panic")]

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use uuid::Uuid;

use super::conformance_log::{Log, OWNER, organization};
use super::{Committed, FollowerClaim, FollowerKey, FollowerRow, MAX_ROW_BYTES, Store};
use crate::error::ErrorKind;
use crate::provenance::RecordType;

const OTHER: Uuid = Uuid::from_u128(2);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn run(fresh: &impl Fn() -> Arc<dyn Store>) {
    a_claim_outdates_the_one_before_it(&*fresh());
    rows_are_written_under_a_claim_and_read_back(&*fresh());
    a_commit_under_an_outdated_claim_writes_nothing(&*fresh());
}

fn claim(store: &dyn Store, follower: &str, owner: Uuid) -> Option<(FollowerClaim, String)> {
    block_on(store.claim_follower(follower, owner, HOUR)).unwrap()
}

fn key(organization_name: &str, key: &str) -> FollowerKey {
    FollowerKey { organization: organization(organization_name), key: key.to_owned() }
}

fn row(key: FollowerKey, state: &[u8]) -> FollowerRow {
    FollowerRow { key, state: Some(state.to_vec()) }
}

fn a_claim_outdates_the_one_before_it(store: &dyn Store) {
    let (first, position) = claim(store, "f", OWNER).unwrap();
    assert_eq!((first.epoch, position.as_str()), (1, ""));
    let (second, _) = claim(store, "f", OWNER).unwrap();
    assert_eq!(second, FollowerClaim { follower: "f".into(), epoch: 2 });
    assert!(!block_on(store.renew_follower(&first)).unwrap());
    assert!(block_on(store.renew_follower(&second)).unwrap());
    assert!(!block_on(store.write_follower(&first, vec![row(key("o", "a"), b"x")], "1")).unwrap());
    assert_eq!(block_on(store.follower_rows("f", &[key("o", "a")])).unwrap(), [None]);
    assert!(block_on(store.write_follower(&second, Vec::new(), "2")).unwrap());
    if let Some((taken, _)) = claim(store, "f", OTHER) {
        // A store that one engine has open gives the claim always.
        assert!(!store.is_shared() && !block_on(store.renew_follower(&second)).unwrap());
        assert_eq!(taken.epoch, 3);
    } else {
        block_on(store.release_follower(&first)).unwrap();
        assert_eq!(claim(store, "f", OTHER), None, "an outdated claim lets go of nothing");
        block_on(store.release_follower(&second)).unwrap();
        assert_eq!(claim(store, "f", OTHER).unwrap().1, "2");
        let silent = block_on(store.claim_follower("f", OWNER, Duration::ZERO)).unwrap();
        assert_eq!(silent.unwrap().0.epoch, 4, "an owner that is silent for too long loses it");
    }
    assert_eq!(claim(store, "g", OTHER).unwrap().0.epoch, 1, "followers have nothing to do with each other");
    for name in ["", "a b", "1", "ä"] {
        let refused = block_on(store.claim_follower(name, OWNER, HOUR)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}

fn rows_are_written_under_a_claim_and_read_back(store: &dyn Store) {
    let (held, _) = claim(store, "f", OWNER).unwrap();
    let (other, _) = claim(store, "f2", OWNER).unwrap();
    let long = vec![7; MAX_ROW_BYTES];
    let rows = vec![
        row(key("o", "b"), b"old"),
        row(key("o", "a"), b""),
        row(key("oo", "a"), &long),
        row(key("a", "z"), b"z"),
        row(key("o", "b"), b"b"),
    ];
    assert!(block_on(store.write_follower(&held, rows, "p1")).unwrap());
    assert!(block_on(store.write_follower(&other, vec![row(key("o", "a"), b"2")], "q")).unwrap());
    let wanted = [key("o", "b"), key("o", "c"), key("oo", "a"), key("o", "a")];
    let found = block_on(store.follower_rows("f", &wanted)).unwrap();
    assert_eq!(found, [Some(b"b".to_vec()), None, Some(long.clone()), Some(Vec::new())]);
    let all =
        |after: Option<&FollowerKey>, limit| block_on(store.all_follower_rows("f", after, limit)).unwrap();
    let keys: Vec<_> = all(None, 9).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [key("a", "z"), key("o", "a"), key("o", "b"), key("oo", "a")]);
    assert_eq!(all(Some(&key("o", "a")), 1), [(key("o", "b"), b"b".to_vec())]);
    // A short state in the place of a long one, and a removal.
    let rows = vec![row(key("oo", "a"), b"s"), FollowerRow { key: key("o", "b"), state: None }];
    assert!(block_on(store.write_follower(&held, rows, "p2")).unwrap());
    let found = block_on(store.follower_rows("f", &wanted)).unwrap();
    assert_eq!(found, [None, None, Some(b"s".to_vec()), Some(Vec::new())]);
    assert_eq!(claim(store, "f", OWNER).unwrap().1, "p2");
    assert_eq!(claim(store, "f2", OWNER).unwrap().1, "q");
}

fn a_commit_under_an_outdated_claim_writes_nothing(store: &dyn Store) {
    let mut log = Log::claim(store);
    let (old, _) = claim(store, "f", OWNER).unwrap();
    let (new, _) = claim(store, "f", OWNER).unwrap();
    let unknown = FollowerClaim { follower: "g".into(), epoch: 1 };
    let entry = log.entry("o", None, RecordType::Alert, None);
    let (mut batch, _) = log.batch(std::slice::from_ref(&entry));
    batch.claims = vec![new.clone(), old, new.clone(), unknown];
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Outdated(vec![1, 3]));
    assert_eq!(block_on(store.head(0)).unwrap(), log.head);
    let (mut batch, _) = log.batch(std::slice::from_ref(&entry));
    batch.claims = vec![new.clone(), new];
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
}
