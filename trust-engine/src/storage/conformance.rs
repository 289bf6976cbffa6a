//! The contract of [`Store`], as a suite that runs on every adapter.
//!
//! Every line of the *Behavior* lists is checked here. Run it on an adapter of your own with a function that gives a
//! fresh, empty store each time. It panics at the first breach, as a test does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite: a breach is a panic"
)]

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use uuid::Uuid;

use super::conformance_log::{Log, OWNER, organization, payload};
use super::{
    Batch, Committed, DecodedRecord, Filter, Head, Scan, ShardRange, StatCounts, StatsDelta, Store,
    Succession, document_conformance, follower_conformance,
};
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Decision;
use crate::provenance::{Entry, Frontier, Hash, HashRange, Parent, RecordType, Source};

/// Runs the whole suite.
pub fn run(fresh: impl Fn() -> Arc<dyn Store>) {
    claims_raise_the_epoch_and_fence_older_writers(&*fresh());
    shards_are_claimed_again_only_by_their_owner(&*fresh());
    ancestry_goes_up_to_the_first_of_a_line(&*fresh());
    an_id_is_unique_within_its_organization(&*fresh());
    a_commit_is_all_or_nothing_and_then_visible(&*fresh());
    a_sign_of_life_moves_time_on_and_fences_earlier_commits(&*fresh());
    a_sealed_shard_never_changes_and_another_goes_on(&*fresh());
    a_succession_seals_with_its_batch_and_the_log_goes_on_in_its_shard(&*fresh());
    document_conformance::run(&fresh);
    follower_conformance::run(&fresh);
    statistics_add_up(&*fresh());
    hashes_are_whole_or_an_error(&*fresh());
    checkpoints_are_kept_for_every_head(&*fresh());
    scans_find_exactly_what_the_filter_says(&*fresh());
}

const OTHER: Uuid = Uuid::from_u128(2);

fn by_id(store: &dyn Store, name: &str, id: Uuid) -> Option<DecodedRecord> {
    block_on(store.record_by_id(&organization(name), id)).unwrap()
}

fn claims_raise_the_epoch_and_fence_older_writers(store: &dyn Store) {
    assert_eq!(block_on(store.head(0)).unwrap(), Head::empty(0));
    let mut old = Log::claim(store);
    assert_eq!(old.head, Head { epoch: 1, ..Head::empty(0) });
    let entry = old.entry("o", None, RecordType::Gap, None);
    old.commit(store, &[entry]);
    let new = block_on(store.claim(0, OTHER)).unwrap();
    assert_eq!(new, Head { epoch: 2, ..old.head.clone() });
    let entry = old.entry("o", None, RecordType::Gap, None);
    let (batch, _) = old.batch(&[entry]);
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Fenced);
    assert_eq!(block_on(store.head(0)).unwrap(), new, "a fenced commit changes nothing");
}

fn shards_are_claimed_again_only_by_their_owner(store: &dyn Store) {
    assert_eq!(block_on(store.heads()).unwrap(), []);
    let patience = Duration::from_secs(3600);
    let first = block_on(store.claim_free(OWNER, patience, &[])).unwrap();
    assert_eq!(first, Head { epoch: 1, ..Head::empty(first.shard) });
    let again = block_on(store.claim_free(OWNER, patience, &[])).unwrap();
    assert_eq!(again, Head { epoch: 2, ..first.clone() }, "one's own comes first");
    assert!(block_on(store.renew(first.shard, OWNER, first.time)).unwrap().0);
    let taken = block_on(store.claim(first.shard, OTHER)).unwrap();
    let (ours, by_the_store) = block_on(store.renew(first.shard, OWNER, first.time)).unwrap();
    assert!(!ours && by_the_store >= first.time, "the time is told all the same");
    assert_eq!(block_on(store.reclaim(first.shard, OWNER)).unwrap(), None);
    block_on(store.release(first.shard, OWNER)).unwrap();
    assert_eq!(block_on(store.heads()).unwrap(), std::slice::from_ref(&taken), "what is another's stays its");
    let again = block_on(store.reclaim(first.shard, OTHER)).unwrap();
    assert_eq!(again, Some(Head { epoch: taken.epoch + 1, ..taken }));
    block_on(store.release(first.shard, OTHER)).unwrap();
    let third = block_on(store.claim_free(OWNER, patience, &[])).unwrap();
    assert_eq!(third.shard, first.shard, "what was let go of is free at once");
}

fn a_sign_of_life_moves_time_on_and_fences_earlier_commits(store: &dyn Store) {
    let mut log = Log::claim(store);
    let entry = log.entry("o", None, RecordType::Gap, None);
    log.commit(store, &[entry]);
    let late = log.entry("o", None, RecordType::Gap, None);
    let passed = Timestamp::from_micros(late.time.micros() + 5);
    assert!(block_on(store.renew(0, OWNER, passed)).unwrap().0);
    assert!(block_on(store.renew(0, OWNER, late.time)).unwrap().0);
    assert_eq!(block_on(store.head(0)).unwrap(), Head { time: passed, ..log.head.clone() }, "never back");
    let (batch, _) = log.batch(&[late]);
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Fenced);
    block_on(store.raise_idle(Duration::ZERO)).unwrap();
    log.head = block_on(store.head(0)).unwrap();
    assert!(log.head.time >= passed);
    let mut next = log.entry("o", None, RecordType::Gap, None);
    next.time = Timestamp::from_micros(log.head.time.micros());
    log.commit(store, &[next]);
}

fn a_sealed_shard_never_changes_and_another_goes_on(store: &dyn Store) {
    let mut log = Log::claim(store);
    let entry = log.entry("o", None, RecordType::Gap, None);
    log.commit(store, std::slice::from_ref(&entry));
    assert!(!block_on(store.seal(0, log.head.epoch - 1)).unwrap(), "only the owner seals");
    assert!(block_on(store.seal(0, log.head.epoch)).unwrap());
    let sealed = Head { sealed: true, ..log.head.clone() };
    assert_eq!(block_on(store.head(0)).unwrap(), sealed);
    let late = log.entry("o", None, RecordType::Gap, None);
    let (batch, _) = log.batch(&[late]);
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Fenced);
    assert!(!block_on(store.renew(0, OWNER, sealed.time)).unwrap().0);
    assert_eq!(block_on(store.reclaim(0, OWNER)).unwrap(), None);
    assert!(!block_on(store.seal(0, log.head.epoch)).unwrap());
    assert_eq!(block_on(store.claim(0, OWNER)).unwrap_err().kind(), ErrorKind::Fenced);
    let next = block_on(store.claim_free(OWNER, Duration::ZERO, &[])).unwrap();
    assert_eq!(next, Head { epoch: 1, time: next.time, ..Head::empty(1) });
    assert!(next.time >= sealed.time);
    assert_eq!(block_on(store.heads()).unwrap(), [sealed.clone(), next.clone()]);
    let mut log = Log { head: next, frontier: Frontier::default(), next: log.next };
    let entry_after = log.entry("o", None, RecordType::Gap, None);
    log.commit(store, std::slice::from_ref(&entry_after));
    assert_eq!(block_on(store.claim_free(OTHER, Duration::ZERO, &[])).unwrap().shard, 1);
    for (shard, entry) in [(0, entry), (1, entry_after)] {
        let found = by_id(store, "o", entry.id).unwrap();
        assert_eq!((found.shard, found.index, &found.bytes), (shard, 0, &entry.to_bytes()));
        assert_eq!(block_on(store.records(shard, 0, 9)).unwrap().len(), 1);
        assert_eq!(block_on(store.acknowledged(shard)).unwrap(), 1);
        assert_eq!(block_on(store.checkpoints(shard, 0, 9)).unwrap().len(), 1);
        let range = ShardRange { shard, start: 0, end: 1 };
        let scan = Scan { filter: Filter::default(), range, newest_first: false, limit: 9 };
        assert_eq!(block_on(store.scan(&scan)).unwrap().records, [found]);
    }
}

fn a_succession_seals_with_its_batch_and_the_log_goes_on_in_its_shard(store: &dyn Store) {
    let mut log = Log::claim(store);
    let entry = log.entry("o", None, RecordType::Gap, None);
    log.commit(store, std::slice::from_ref(&entry));
    let (from, to) = (log.head.time, Timestamp::from_micros(3));
    assert!(to < from);
    for era in 1..=2 {
        let last = log.entry("o", None, RecordType::Gap, None);
        let (batch, _) = log.batch(std::slice::from_ref(&last));
        let head = Head { sealed: true, ..batch.head.clone() };
        let next = log.head.shard + 1;
        for taken in [log.head.shard, 0] {
            let succession = Some(Succession { next: taken, time: to, era });
            let refused = Batch { head: head.clone(), succession, ..batch.clone() };
            assert_eq!(block_on(store.commit(refused)).unwrap(), Committed::ShardTaken);
            assert_eq!(block_on(store.head(log.head.shard)).unwrap(), log.head, "nothing was written");
        }
        let succession = Some(Succession { next, time: to, era });
        let batch = Batch { head: head.clone(), succession, ..batch };
        assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes, "era {era}");
        assert_eq!(block_on(store.head(log.head.shard)).unwrap(), head);
        assert!(by_id(store, "o", last.id).is_some());
        assert_eq!(block_on(store.reclaim(log.head.shard, OWNER)).unwrap(), None);
        // The new shard begins at its time, whatever times the ones before have.
        let claimed = block_on(store.claim_free(OTHER, Duration::from_secs(3600), &[])).unwrap();
        assert_eq!((claimed.shard, claimed.era, claimed.size, claimed.sealed), (next, era, 0, false));
        assert!(claimed.time >= to && claimed.time < from, "{claimed:?}");
        let first = claimed.time;
        log = Log { head: claimed, frontier: Frontier::default(), next: log.next };
        let mut entry = log.entry("o", None, RecordType::Gap, None);
        entry.time = first;
        log.commit(store, std::slice::from_ref(&entry));
        assert_eq!(by_id(store, "o", entry.id).unwrap().shard, next);
    }
    if store.is_shared() {
        // Shards that are added later are of the same era, also one that is asked for.
        let added = block_on(store.claim_free(OWNER, Duration::from_secs(3600), &[])).unwrap();
        assert_eq!((added.shard, added.era), (3, 2));
        assert!(added.time < from);
        block_on(store.release(3, OWNER)).unwrap();
        let other = block_on(store.claim_free(OTHER, Duration::from_secs(3600), &[2, 3])).unwrap();
        assert_eq!(other.shard, 4, "those that are excepted are left alone");
        assert_eq!(block_on(store.claim(9, OWNER)).unwrap().era, 2);
    }
}

fn ancestry_goes_up_to_the_first_of_a_line(store: &dyn Store) {
    let mut log = Log::claim(store);
    let mut line: Vec<Entry> = Vec::new();
    for _ in 0..5 {
        let mut entry = log.entry("o", None, RecordType::Alert, None);
        entry.parent = line.last().map(|last| Parent { id: last.id, leaf: Hash::leaf(&last.to_bytes()) });
        log.commit(store, std::slice::from_ref(&entry));
        line.push(entry);
    }
    let up = |from: usize, limit| -> Vec<Vec<u8>> {
        let found = block_on(store.ancestry(&organization("o"), line[from].id, limit)).unwrap();
        found.into_iter().map(|record| record.bytes).collect()
    };
    let wanted = |range: std::ops::Range<usize>| -> Vec<Vec<u8>> {
        line[range].iter().rev().map(Entry::to_bytes).collect()
    };
    assert_eq!(up(4, 100), wanted(0..5));
    assert_eq!(up(4, 2), wanted(3..5));
    assert_eq!(up(0, 9), wanted(0..1));
    assert_eq!(block_on(store.ancestry(&organization("o"), Uuid::from_u128(99), 9)).unwrap(), []);
    assert_eq!(block_on(store.ancestry(&organization("p"), line[4].id, 9)).unwrap(), []);
}

fn an_id_is_unique_within_its_organization(store: &dyn Store) {
    let mut log = Log::claim(store);
    // Names of which one begins with the other; "o" and its id come first and last.
    for name in ["o", "oo", "p", "a"] {
        let mut entry = log.entry(name, Some("a"), RecordType::Alert, Some(Decision::Deny));
        entry.id = Uuid::from_u128(7);
        log.commit(store, &[entry]);
    }
    for (index, name) in ["o", "oo", "p", "a"].into_iter().enumerate() {
        let found = by_id(store, name, Uuid::from_u128(7)).unwrap();
        assert_eq!((found.index, found.entry.organization), (index as u64, organization(name)));
    }
    assert_eq!(by_id(store, "q", Uuid::from_u128(7)), None);
    let owners = |id, limit| block_on(store.organizations_of(Uuid::from_u128(id), limit)).unwrap();
    assert_eq!(owners(7, 9), ["a", "o", "oo", "p"].map(organization));
    assert_eq!(owners(7, 2), ["a", "o"].map(organization));
    assert_eq!(owners(8, 9), []);
}

fn a_commit_is_all_or_nothing_and_then_visible(store: &dyn Store) {
    let mut log = Log::claim(store);
    let entries: Vec<Entry> =
        (0..3).map(|_| log.entry("o", Some("a"), RecordType::Alert, Some(Decision::Deny))).collect();
    log.commit(store, &entries);
    let records = block_on(store.records(0, 0, 10)).unwrap();
    assert_eq!(records.len(), 3);
    for (index, (record, entry)) in records.iter().zip(&entries).enumerate() {
        assert_eq!(record.index, index as u64);
        assert_eq!(record.bytes, entry.to_bytes());
        assert_eq!(record.payload.as_ref(), Some(&payload(entry.id.as_u128())));
        assert_eq!(by_id(store, "o", entry.id), Some(record.clone().decode().unwrap()));
    }
    assert_eq!(by_id(store, "o", Uuid::from_u128(999)), None);
    assert_eq!(block_on(store.acknowledged(0)).unwrap(), 3);
    assert_eq!(block_on(store.records(0, 1, 1)).unwrap(), records[1..2]);
    // Built on another head than the stored one.
    let mut stale = Log { head: log.head.clone(), frontier: Frontier::default(), next: 50 };
    stale.head.size = 1;
    let entry = stale.entry("o", None, RecordType::Gap, None);
    let (batch, _) = stale.batch(std::slice::from_ref(&entry));
    assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Fenced);
    assert_eq!(by_id(store, "o", entry.id), None);
    assert_eq!(block_on(store.head(0)).unwrap(), log.head);
}

fn statistics_add_up(store: &dyn Store) {
    let log = Log::claim(store);
    let add = |organization: &str, bucket: i64, name: &str, count: u64| {
        let (mut batch, _) = log.batch(&[]);
        batch.head = batch.previous.clone();
        let organization = self::organization(organization);
        batch.stats = vec![StatsDelta { organization, bucket, counts: [(name.to_owned(), count)].into() }];
        assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
    };
    add("o", 300, "x", 1);
    add("o", 300, "x", 2);
    add("o", 600, "y", 5);
    add("p", 300, "x", 10);
    let o = organization("o");
    let sum = |organization: Option<&OrganizationId>, from, to| {
        block_on(store.stats(organization, from, to)).unwrap()
    };
    assert_eq!(sum(Some(&o), 0, 900), [("x".to_owned(), 3), ("y".to_owned(), 5)].into());
    assert_eq!(sum(Some(&o), 300, 600), [("x".to_owned(), 3)].into());
    assert_eq!(sum(None, 0, i64::MAX).get("x"), Some(&13));
    assert_eq!(sum(Some(&o), 900, 1200), StatCounts::new());
}

fn hashes_are_whole_or_an_error(store: &dyn Store) {
    let mut log = Log::claim(store);
    let entries: Vec<Entry> = (0..600).map(|_| log.entry("o", None, RecordType::Gap, None)).collect();
    for chunk in entries.chunks(170) {
        log.commit(store, chunk);
    }
    let leaves: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(&entry.to_bytes())).collect();
    let range = |level, start, count| HashRange { level, start, count };
    for (start, count) in [(0, 256), (256, 256), (512, 88), (599, 1), (100, 28), (384, 64)] {
        let found = block_on(store.hashes(0, &[range(0, start, count)])).unwrap();
        assert_eq!(found, [leaves[start as usize..(start + count) as usize].to_vec()]);
    }
    assert_eq!(block_on(store.hashes(0, &[range(1, 0, 2)])).unwrap()[0].len(), 2);
    for beyond in [range(0, 512, 89), range(1, 2, 1), range(2, 0, 1)] {
        assert_eq!(
            block_on(store.hashes(0, &[beyond])).unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{beyond:?}"
        );
    }
}

fn checkpoints_are_kept_for_every_head(store: &dyn Store) {
    let mut log = Log::claim(store);
    for size in [2, 1, 3] {
        let entries: Vec<Entry> = (0..size).map(|_| log.entry("o", None, RecordType::Gap, None)).collect();
        log.commit(store, &entries);
    }
    let sizes = |from, limit| -> Vec<u64> {
        block_on(store.checkpoints(0, from, limit)).unwrap().into_iter().map(|(size, _)| size).collect()
    };
    assert_eq!(sizes(0, 10), [2, 3, 6]);
    assert_eq!(sizes(3, 1), [3]);
    assert_eq!(sizes(4, 10), [6]);
    assert_eq!(block_on(store.checkpoints(0, 6, 1)).unwrap()[0].1, "note of size 6");
    let covering = block_on(store.covering(0, &[5, 0, 2, 1, 3])).unwrap();
    let note = |size: u64| (size, format!("note of size {size}"));
    assert_eq!(covering, [note(6), note(2), note(3), note(2), note(6)]);
    assert_eq!(block_on(store.covering(0, &[0, 6])).unwrap_err().kind(), ErrorKind::Corrupt);
}

fn scans_find_exactly_what_the_filter_says(store: &dyn Store) {
    let mut log = Log::claim(store);
    let mut all: Vec<Entry> = Vec::new();
    for round in 0..40u32 {
        let mut batch = Vec::new();
        for i in 0..(1 + round % 7) {
            let pick = round * 7 + i;
            let organization = ["o", "oo", "p"][(pick % 3) as usize];
            let agent = [None, Some("a"), Some("ab"), Some("b")][(pick % 4) as usize];
            let kind = RecordType::ALL[pick as usize % RecordType::ALL.len()];
            let decision = [None, Some(Decision::Allow), Some(Decision::Deny), Some(Decision::Escalate)];
            let mut entry = log.entry(organization, agent, kind, decision[(pick / 2 % 4) as usize]);
            if kind.is_public() && pick % 2 == 1 {
                entry.source = Source::Host;
                entry.decision = Some(["APPROVED", "WAIVED"][pick as usize / 2 % 2].parse().unwrap());
            }
            if pick % 5 == 4 {
                // The same id may be a parent in several organizations.
                let parent = &all[all.len() / 2];
                entry.parent = Some(Parent { id: parent.id, leaf: Hash::leaf(&parent.to_bytes()) });
            }
            batch.push(entry);
        }
        log.commit(store, &batch);
        all.extend(batch);
    }
    let o = Some(organization("o"));
    let a = Some(AgentId::parse("a").unwrap());
    let parent = all.iter().find_map(|entry| entry.parent).map(|parent| parent.id);
    let (early, late) = (all[20].time, all[90].time);
    let none = Filter::default;
    let filters = [
        none(),
        Filter { organization: o.clone(), ..none() },
        Filter { organization: o.clone(), agent: a.clone(), ..none() },
        Filter { organization: o.clone(), kind: Some(RecordType::Alert), ..none() },
        Filter { organization: o.clone(), decision: Some(Decision::Deny.into()), ..none() },
        Filter {
            organization: o.clone(),
            agent: a.clone(),
            decision: Some(Decision::Allow.into()),
            ..none()
        },
        Filter { organization: o.clone(), agent: a.clone(), from: Some(early), to: Some(late), ..none() },
        Filter { from: Some(early), to: Some(late), ..none() },
        Filter { from: Some(late), to: Some(early), ..none() },
        Filter { parent, ..none() },
        Filter { organization: o.clone(), decision: Some("APPROVED".parse().unwrap()), ..none() },
        Filter { decision: Some("APPROVED".parse().unwrap()), ..none() },
        Filter { public_only: true, ..none() },
        Filter { organization: o.clone(), public_only: true, ..none() },
        Filter { organization: o.clone(), agent: a.clone(), public_only: true, ..none() },
        Filter { organization: o.clone(), kind: Some(RecordType::Gap), public_only: true, ..none() },
        Filter { parent, public_only: true, ..none() },
        Filter { organization: o, parent, kind: Some(RecordType::Gap), ..none() },
    ];
    for filter in filters {
        for newest_first in [true, false] {
            for limit in [1, 3, 1000] {
                let mut wanted: Vec<Vec<u8>> =
                    all.iter().filter(|entry| filter.accepts(entry)).map(Entry::to_bytes).collect();
                if newest_first {
                    wanted.reverse();
                }
                let mut rest = Some(ShardRange { shard: 0, start: 0, end: log.head.size });
                let mut found = Vec::new();
                while let Some(range) = rest {
                    let scan = Scan { filter: filter.clone(), range, newest_first, limit };
                    let page = block_on(store.scan(&scan)).unwrap();
                    assert!(page.records.len() <= limit);
                    found.extend(page.records.into_iter().map(|record| record.bytes));
                    rest = page.rest;
                }
                assert_eq!(found, wanted, "{filter:?} newest_first={newest_first} limit={limit}");
            }
        }
    }
}
