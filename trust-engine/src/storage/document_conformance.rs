//! The part of the contract of [`Store`] that is about documents.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test suite: a breach is a panic")]

use std::sync::Arc;

use pollster::block_on;
use uuid::Uuid;

use super::conformance_log::{Log, organization};
use super::{
    After, Committed, Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind, DocumentPage,
    DocumentPlace, Store, Tag,
};
use crate::clock::Timestamp;

pub(super) fn run(fresh: &impl Fn() -> Arc<dyn Store>) {
    outdated_changes_are_named_and_nothing_is_written(&*fresh());
    changes_of_one_document_apply_one_after_the_other(&*fresh());
    documents_of_kinds_and_organizations_are_kept_apart(&*fresh());
    a_long_document_comes_back_whole_and_a_shorter_one_after_it_too(&*fresh());
    lists_give_each_document_once_in_the_order_of_its_age(&*fresh());
    several_tags_are_all_asked_for(&*fresh());
    tags_and_due_times_follow_the_document(&*fresh());
}

fn key(kind: DocumentKind, name: &str, id: &str) -> DocumentKey {
    DocumentKey { kind, organization: organization(name), id: id.to_owned() }
}

fn agent(name: &str, id: &str, version: u64) -> Document {
    Document {
        key: key(DocumentKind::Agent, name, id),
        version,
        body: format!("{{\"n\":{version}}}"),
        created: Timestamp::from_micros(1),
        changed: Timestamp::from_micros(version.cast_signed()),
        tags: Vec::new(),
        due: None,
        record: Uuid::from_u128(u128::from(version)),
    }
}

fn set(expected: Option<u64>, document: &Document) -> DocumentChange {
    DocumentChange { expected, after: After::Document(Box::new(document.clone())) }
}

fn remove(expected: Option<u64>, key: &DocumentKey) -> DocumentChange {
    DocumentChange { expected, after: After::Removed(key.clone()) }
}

fn read(store: &dyn Store, key: &DocumentKey) -> Option<Document> {
    let document = block_on(store.document(key)).unwrap();
    let version = block_on(store.document_version(key)).unwrap();
    assert_eq!(version, document.as_ref().map_or(0, |document| document.version));
    document
}

fn filter(name: &str, tags: &[(&str, &str)]) -> DocumentFilter {
    let tags = tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect();
    DocumentFilter { kind: DocumentKind::Agent, organization: organization(name), tags }
}

/// All documents of a filter, read in pages.
fn list(store: &dyn Store, filter: &DocumentFilter, page: usize) -> Vec<Document> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let DocumentPage { documents, rest } =
            block_on(store.documents(filter, after.as_ref(), page)).unwrap();
        assert!(documents.len() <= page);
        found.extend(documents);
        after = rest;
        if after.is_none() {
            break;
        }
    }
    let count = block_on(store.count_documents(filter, 10_000)).unwrap();
    assert_eq!(count, found.len() as u64, "{filter:?}");
    assert_eq!(block_on(store.count_documents(filter, 2)).unwrap(), count.min(2));
    found
}

fn ids(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.key.id.as_str()).collect()
}

fn outdated_changes_are_named_and_nothing_is_written(store: &dyn Store) {
    let log = Log::claim(store);
    assert_eq!(log.commit_changes(store, vec![set(None, &agent("o", "a", 1))]), Committed::Yes);
    let changes = vec![
        set(None, &agent("o", "b", 1)),
        set(None, &agent("o", "a", 1)),
        set(Some(7), &agent("o", "a", 8)),
        set(Some(1), &agent("o", "c", 2)),
        remove(Some(2), &key(DocumentKind::Agent, "o", "a")),
        remove(Some(1), &key(DocumentKind::Agent, "o", "d")),
    ];
    assert_eq!(log.commit_changes(store, changes), Committed::Conflict(vec![1, 2, 3, 4, 5]));
    assert_eq!(read(store, &key(DocumentKind::Agent, "o", "b")), None);
    assert_eq!(read(store, &key(DocumentKind::Agent, "o", "a")), Some(agent("o", "a", 1)));
}

fn changes_of_one_document_apply_one_after_the_other(store: &dyn Store) {
    let log = Log::claim(store);
    let changes = vec![set(None, &agent("o", "a", 1)), set(Some(1), &agent("o", "a", 2))];
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    let changes = vec![set(Some(2), &agent("o", "a", 3)), set(Some(2), &agent("o", "a", 3))];
    assert_eq!(log.commit_changes(store, changes), Committed::Conflict(vec![1]));
    let a = key(DocumentKind::Agent, "o", "a");
    assert_eq!(read(store, &a).unwrap().version, 2);
    let again = Document { created: Timestamp::from_micros(9), ..agent("o", "a", 1) };
    let changes =
        vec![remove(Some(2), &a), set(None, &again), set(Some(1), &Document { version: 2, ..again.clone() })];
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    assert_eq!(read(store, &a), Some(Document { version: 2, ..again }));
    let changes = vec![set(Some(2), &agent("o", "a", 3)), remove(Some(3), &a)];
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    assert_eq!(read(store, &a), None);
    assert_eq!(list(store, &filter("o", &[]), 10), []);
}

fn documents_of_kinds_and_organizations_are_kept_apart(store: &dyn Store) {
    let log = Log::claim(store);
    // Ids and organizations that begin with one another.
    let names = [("o", "a"), ("o", "ab"), ("o", "b"), ("oa", "a"), ("p", "a")];
    let mut all: Vec<Document> = names.iter().map(|(name, id)| agent(name, id, 1)).collect();
    all.push(Document { key: key(DocumentKind::Policy, "o", "a"), ..agent("o", "a", 5) });
    let changes = all.iter().map(|document| set(None, document)).collect();
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    for document in &all {
        assert_eq!(read(store, &document.key).as_ref(), Some(document));
    }
    assert_eq!(read(store, &key(DocumentKind::Agent, "q", "a")), None);
    assert_eq!(ids(&list(store, &filter("o", &[]), 2)), ["a", "ab", "b"]);
    assert_eq!(ids(&list(store, &filter("oa", &[]), 2)), ["a"]);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = block_on(store.all_documents(after.as_ref(), 4)).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        found.extend(page);
    }
    all.sort_by(|one, next| one.key.cmp(&next.key));
    assert_eq!(found, all);
}

fn a_long_document_comes_back_whole_and_a_shorter_one_after_it_too(store: &dyn Store) {
    let log = Log::claim(store);
    let mut before = None;
    for (version, length) in (1..).zip([10, 70_000, 5_000, 2_048, 1, 9_000]) {
        let body = serde_json::Value::String("x".repeat(length)).to_string();
        let document = Document { body, ..agent("o", "a", version) };
        assert_eq!(log.commit_changes(store, vec![set(before, &document)]), Committed::Yes);
        assert_eq!(read(store, &document.key), Some(document.clone()));
        assert_eq!(list(store, &filter("o", &[]), 5), [document]);
        before = Some(version);
    }
    let a = key(DocumentKind::Agent, "o", "a");
    assert_eq!(log.commit_changes(store, vec![remove(before, &a)]), Committed::Yes);
    let short = agent("o", "a", 1);
    assert_eq!(log.commit_changes(store, vec![set(None, &short)]), Committed::Yes);
    assert_eq!(read(store, &a), Some(short));
}

fn lists_give_each_document_once_in_the_order_of_its_age(store: &dyn Store) {
    let log = Log::claim(store);
    let at = |id: &str, created| Document { created: Timestamp::from_micros(created), ..agent("o", id, 1) };
    let documents = [at("z", 1), at("b", 2), at("a", 300), at("c", 2), at("bb", 2)];
    let changes = documents.iter().map(|document| set(None, document)).collect();
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    let all = filter("o", &[]);
    for page in [1, 2, 100] {
        assert_eq!(ids(&list(store, &all, page)), ["z", "b", "bb", "c", "a"]);
    }
    // Between two pages one is changed, one is removed and two are added.
    let first = block_on(store.documents(&all, None, 2)).unwrap();
    assert_eq!(ids(&first.documents), ["z", "b"]);
    let changes = vec![
        set(Some(1), &Document { version: 2, ..at("c", 2) }),
        remove(Some(1), &key(DocumentKind::Agent, "o", "bb")),
        set(None, &at("ba", 2)),
        set(None, &at("aa", 1)),
    ];
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    assert_eq!(first.rest, Some(DocumentPlace { created: Timestamp::from_micros(2), id: "b".into() }));
    let rest = block_on(store.documents(&all, first.rest.as_ref(), 100)).unwrap();
    assert_eq!(ids(&rest.documents), ["ba", "c", "a"]);
}

fn several_tags_are_all_asked_for(store: &dyn Store) {
    let log = Log::claim(store);
    let document = |n: u64| {
        let mut tags = vec![Tag::new("tier", format!("T{}", n % 3))];
        if n.is_multiple_of(2) {
            tags.push(Tag::new("status", "EVEN"));
        }
        if n.is_multiple_of(7) {
            tags.push(Tag::new("family", "f"));
        }
        tags.sort();
        let created = Timestamp::from_micros((n / 4).cast_signed());
        Document { tags, created, ..agent("o", &format!("a{n:03}"), 1) }
    };
    let documents: Vec<Document> = (0..120).map(document).collect();
    let changes = documents.iter().map(|document| set(None, document)).collect();
    assert_eq!(log.commit_changes(store, changes), Committed::Yes);
    let queries: [&[(&str, &str)]; 8] = [
        &[("tier", "T1")],
        &[("tier", "T1"), ("status", "EVEN")],
        &[("family", "f"), ("status", "EVEN"), ("tier", "T0")],
        &[("tier", "T0"), ("tier", "T1")],
        &[("tier", "T")],
        &[("tier", "T11")],
        &[("family", "f"), ("tier", "T9")],
        &[("tie", "rT1")],
    ];
    for tags in queries {
        let filter = filter("o", tags);
        let wanted: Vec<Document> =
            documents.iter().filter(|document| filter.accepts(document)).cloned().collect();
        for page in [1, 7, 1000] {
            assert_eq!(list(store, &filter, page), wanted, "{tags:?}");
        }
    }
}

fn tags_and_due_times_follow_the_document(store: &dyn Store) {
    let log = Log::claim(store);
    let tagged = |version, tags: &[(&str, &str)], due: Option<i64>| Document {
        tags: tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect(),
        due: due.map(Timestamp::from_micros),
        ..agent("o", "a", version)
    };
    let due = |now| {
        let due =
            block_on(store.due_documents(DocumentKind::Agent, Timestamp::from_micros(now), 10)).unwrap();
        due.into_iter().map(|document| document.key.id).collect::<Vec<_>>()
    };
    let first = tagged(1, &[("status", "ACTIVE"), ("tier", "LOW")], Some(50));
    let other = Document { due: Some(Timestamp::from_micros(40)), ..agent("p", "b", 1) };
    assert_eq!(log.commit_changes(store, vec![set(None, &first), set(None, &other)]), Committed::Yes);
    assert_eq!(due(39), [""; 0]);
    assert_eq!(due(40), ["b"]);
    assert_eq!(due(50), ["b", "a"]);
    let one = block_on(store.due_documents(DocumentKind::Agent, Timestamp::from_micros(99), 1)).unwrap();
    assert_eq!(ids(&one), ["b"]);
    assert_eq!(
        block_on(store.due_documents(DocumentKind::Policy, Timestamp::from_micros(99), 9)).unwrap(),
        []
    );
    let second = tagged(2, &[("status", "ACTIVE"), ("tier", "HIGH")], Some(30));
    assert_eq!(log.commit_changes(store, vec![set(Some(1), &second)]), Committed::Yes);
    assert_eq!(list(store, &filter("o", &[("tier", "LOW")]), 9), []);
    assert_eq!(list(store, &filter("o", &[("tier", "HIGH"), ("status", "ACTIVE")]), 9), [second]);
    assert_eq!(due(30), ["a"]);
    let third = tagged(3, &[], None);
    assert_eq!(log.commit_changes(store, vec![set(Some(2), &third)]), Committed::Yes);
    assert_eq!(due(99), ["b"]);
    assert_eq!(list(store, &filter("o", &[("status", "ACTIVE")]), 9), []);
    assert_eq!(list(store, &filter("o", &[]), 9), [third]);
    assert_eq!(log.commit_changes(store, vec![remove(Some(1), &other.key)]), Committed::Yes);
    assert_eq!(due(99), [""; 0]);
    assert_eq!(list(store, &filter("p", &[]), 9), []);
}
