//! Documents against a naive map, on every adapter: versions, several tags, removals, due times, pages under change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod support;

use std::cell::Cell;
use std::collections::BTreeMap;

use pollster::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use trust_engine::storage::{
    self, After, Batch, Committed, Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind,
    DocumentPlace, Head, Store, Tag,
};
use trust_engine::{OrganizationId, Timestamp};
use uuid::Uuid;

const IDS: [&str; 6] = ["a", "ab", "abc", "b", "ba", "ü"];
const KINDS: [DocumentKind; DocumentKind::ALL.len()] = DocumentKind::ALL;

/// A change as it is drawn: the version that it expects is the stored one, moved by `stale`.
#[derive(Clone, Debug)]
struct Draw {
    kind: usize,
    id: usize,
    removed: bool,
    stale: u64,
    tags: u8,
    due: Option<i64>,
    length: usize,
    created: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Draw>),
    /// Reads a list in pages, with a change between the first and the second.
    List {
        tags: u8,
        page: usize,
        between: Draw,
    },
    Due(i64),
}

fn draw() -> impl Strategy<Value = Draw> {
    let ids = (0..KINDS.len(), 0..IDS.len());
    let state = (prop::bool::weighted(0.2), prop::option::weighted(0.3, 0..20i64));
    let stale = prop_oneof![9 => Just(0u64), 1 => 1..3u64];
    let length = prop_oneof![4 => 0..40usize, 1 => Just(2047), 1 => 2048..9000usize];
    (ids, state, stale, 0..8u8, length, 1..5i64).prop_map(
        |((kind, id), (removed, due), stale, tags, length, created)| Draw {
            kind,
            id,
            removed,
            stale,
            tags,
            due,
            length,
            created,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(draw(), 1..5).prop_map(Step::Commit),
        2 => (0..8u8, 1..4usize, draw()).prop_map(|(tags, page, between)| Step::List { tags, page, between }),
        1 => (0..25i64).prop_map(Step::Due),
    ];
    prop::collection::vec(step, 1..12)
}

/// Three tags of which each bit sets one: two values of one name, and another name.
fn tags(bits: u8) -> Vec<Tag> {
    let all = [Tag::new("status", "ACTIVE"), Tag::new("tier", "HIGH"), Tag::new("tier", "LOW")];
    all.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, tag)| tag).collect()
}

type Model = BTreeMap<(DocumentKind, String), Document>;

/// A store, and what must be in it.
struct Life<'a> {
    store: &'a dyn Store,
    head: &'a Head,
    organization: OrganizationId,
    model: Model,
}

impl Life<'_> {
    fn key(&self, kind: DocumentKind, id: &str) -> DocumentKey {
        DocumentKey { kind, organization: self.organization.clone(), id: id.to_owned() }
    }

    /// The changes of a batch, the places of the outdated ones, and the model after it.
    fn plan(&self, draws: &[Draw]) -> (Vec<DocumentChange>, Vec<usize>, Model) {
        let (mut model, mut changes, mut outdated) = (self.model.clone(), Vec::new(), Vec::new());
        for (place, draw) in draws.iter().enumerate() {
            let (kind, id) = (KINDS[draw.kind], IDS[draw.id].to_owned());
            let known = model.get(&(kind, id.clone()));
            let stored = known.map(|document| document.version);
            let expected = match (stored, draw.stale) {
                (stored, 0) => stored,
                (Some(version), by) if version > by => Some(version - by),
                (Some(_), _) => None,
                (None, by) => Some(by),
            };
            let created = known.map_or(Timestamp::from_micros(draw.created), |document| document.created);
            let version = expected.unwrap_or(0) + 1;
            let document = Document {
                key: self.key(kind, &id),
                version,
                body: format!("{{\"x\":\"{}\",\"n\":{version}}}", "é".repeat(draw.length / 2)),
                created,
                changed: Timestamp::from_micros(draw.created + 1),
                tags: tags(draw.tags),
                due: draw.due.map(Timestamp::from_micros),
                record: Uuid::from_u128(u128::from(version)),
            };
            let after = if draw.removed {
                After::Removed(document.key.clone())
            } else {
                After::Document(Box::new(document.clone()))
            };
            changes.push(DocumentChange { expected, after });
            match (expected == stored, draw.removed) {
                (false, _) => outdated.push(place),
                (true, true) => drop(model.remove(&(kind, id))),
                (true, false) => drop(model.insert((kind, id), document)),
            }
        }
        (changes, outdated, model)
    }

    fn commit(&mut self, draws: &[Draw]) {
        let (changes, outdated, model) = self.plan(draws);
        let batch = Batch { changes, ..Batch::on(self.head.clone()) };
        let committed = block_on(self.store.commit(batch)).unwrap();
        if outdated.is_empty() {
            assert_eq!(committed, Committed::Yes);
            self.model = model;
        } else {
            assert_eq!(committed, Committed::Conflict(outdated));
        }
    }

    /// Documents of a filter by the model, in order.
    fn wanted(&self, filter: &DocumentFilter) -> Vec<Document> {
        let mut wanted: Vec<Document> =
            self.model.values().filter(|document| filter.accepts(document)).cloned().collect();
        wanted.sort_by(|one, next| (one.created, &one.key.id).cmp(&(next.created, &next.key.id)));
        wanted
    }

    fn list(&mut self, bits: u8, page: usize, between: &Draw) {
        for kind in KINDS {
            let filter = DocumentFilter { kind, organization: self.organization.clone(), tags: tags(bits) };
            let before = self.wanted(&filter);
            assert_eq!(block_on(self.store.count_documents(&filter, 100)).unwrap(), before.len() as u64);
            let first = block_on(self.store.documents(&filter, None, page)).unwrap().documents;
            assert_eq!(first, before[..page.min(before.len())]);
            self.commit(std::slice::from_ref(between));
            let Some(last) = first.last() else { continue };
            let place = DocumentPlace { created: last.created, id: last.key.id.clone() };
            let after: Vec<Document> = self
                .wanted(&filter)
                .into_iter()
                .filter(|document| (document.created, &document.key.id) > (place.created, &place.id))
                .collect();
            let rest = block_on(self.store.documents(&filter, Some(&place), 100)).unwrap();
            assert_eq!((rest.documents, rest.rest), (after, None));
        }
    }

    fn due(&self, now: i64) {
        let now = Timestamp::from_micros(now);
        for kind in KINDS {
            let due = block_on(self.store.due_documents(kind, now, 100_000)).unwrap();
            assert!(due.is_sorted_by_key(|document| document.due));
            let mut due: Vec<Document> =
                due.into_iter().filter(|document| document.key.organization == self.organization).collect();
            due.sort_by(|one, next| one.key.cmp(&next.key));
            let is_due = |document: &&Document| {
                document.key.kind == kind && document.due.is_some_and(|due| due <= now)
            };
            let wanted: Vec<Document> = self.model.values().filter(is_due).cloned().collect();
            assert_eq!(due, wanted);
        }
    }

    fn check(&self) {
        for kind in KINDS {
            for id in IDS {
                let stored = block_on(self.store.document(&self.key(kind, id))).unwrap();
                assert_eq!(stored.as_ref(), self.model.get(&(kind, id.to_owned())), "{kind:?} {id}");
            }
        }
    }

    /// Leaves nothing behind that the next life would see.
    fn end(&mut self) {
        let remove = |document: &Document| DocumentChange {
            expected: Some(document.version),
            after: After::Removed(document.key.clone()),
        };
        let changes: Vec<DocumentChange> = self.model.values().map(remove).collect();
        let batch = Batch { changes, ..Batch::on(self.head.clone()) };
        assert_eq!(block_on(self.store.commit(batch)).unwrap(), Committed::Yes);
        self.model.clear();
        self.check();
    }
}

/// Runs lives, each in an organization of its own, and removes everything again.
fn run(store: &dyn Store, cases: u32) {
    let cases = if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 10_000 } else { cases };
    let head = block_on(store.claim(0, Uuid::from_u128(1))).unwrap();
    let life = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            life.set(life.get() + 1);
            let organization = OrganizationId::parse(&format!("o{}", life.get())).unwrap();
            let mut life = Life { store, head: &head, organization, model: BTreeMap::new() };
            for step in &steps {
                match step {
                    Step::Commit(draws) => life.commit(draws),
                    Step::List { tags, page, between } => life.list(*tags, *page, between),
                    Step::Due(now) => life.due(*now),
                }
                life.check();
            }
            life.end();
            Ok(())
        })
        .unwrap();
    assert_eq!(block_on(store.all_documents(None, 10)).unwrap(), []);
}

#[test]
fn memory_holds_what_a_map_would() {
    run(&*storage::memory(), 500);
}

#[test]
fn the_embedded_store_holds_what_a_map_would() {
    let folder = tempfile::tempdir().unwrap();
    run(&*storage::embedded(folder.path()).unwrap(), 40);
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_holds_what_a_map_would() {
    let schema = support::Schema::new();
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    run(&*store, 40);
}

/// Two tags that many documents have and none has together: every page does a bounded amount of work, and the pages come
/// to the end.
#[test]
fn tags_that_seldom_meet_are_passed_over_in_bounded_steps() {
    seldom_meet(&*storage::memory());
}

#[cfg(feature = "postgres")]
#[test]
fn on_postgres_tags_that_seldom_meet_are_passed_over_in_bounded_steps() {
    let schema = support::Schema::new();
    seldom_meet(&*block_on(storage::postgres(&schema.database())).unwrap().0);
}

/// Documents have the one tag or the other in turn, and here and there both: in a row wherever a page may run out of steps,
/// for each of the places within a match that this may come at.
fn seldom_meet(store: &dyn Store) {
    const MANY: u64 = 105_000;
    let head = block_on(store.claim(0, Uuid::from_u128(1))).unwrap();
    for shift in 0..2 {
        let organization = OrganizationId::parse(&format!("shift_{shift}")).unwrap();
        let both = |n: u64| n <= shift || n.is_multiple_of(9_973) || n % 50_000 >= 48_500 || n == MANY;
        let document = |n: u64| Document {
            key: DocumentKey {
                kind: DocumentKind::Agent,
                organization: organization.clone(),
                id: format!("{n:06}"),
            },
            version: 1,
            body: "{}".into(),
            created: Timestamp::from_micros(n.cast_signed()),
            changed: Timestamp::from_micros(1),
            tags: match n {
                _ if both(n) => tags(0b011),
                n if n.is_multiple_of(2) => tags(0b001),
                _ => tags(0b010),
            },
            due: None,
            record: Uuid::from_u128(1),
        };
        let set = |n| DocumentChange { expected: None, after: After::Document(Box::new(document(n))) };
        for first in (0..=MANY).step_by(10_000) {
            let (previous, head) = (head.clone(), head.clone());
            let changes = (first..=MANY.min(first + 9_999)).map(set).collect();
            let batch = Batch { head, changes, ..Batch::on(previous) };
            assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
        }
        let filter = DocumentFilter {
            kind: DocumentKind::Agent,
            organization: organization.clone(),
            tags: tags(0b011),
        };
        let meet: Vec<Document> = (0..=MANY).filter(|n| both(*n)).map(document).collect();
        for limit in [7, 5_000] {
            let (mut found, mut after, mut short) = (Vec::new(), None, 0);
            loop {
                let page = block_on(store.documents(&filter, after.as_ref(), limit)).unwrap();
                short += u32::from(page.documents.len() < limit && page.rest.is_some());
                found.extend(page.documents);
                after = page.rest;
                if after.is_none() {
                    break;
                }
            }
            assert!(found == meet, "{} of {} were listed", found.len(), meet.len());
            assert!(limit == 7 || short > 0, "no page ran out of steps");
        }
        assert_eq!(block_on(store.count_documents(&filter, 10_000)).unwrap(), meet.len() as u64);
    }
}
