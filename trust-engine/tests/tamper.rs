//! Damage inside the embedded store's database, made behind the engine's back: verification names the first bad entry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use trust_engine::log::{Damage, Report, check_store};
use trust_engine::storage::{
    After, Batch, Committed, Document, DocumentChange, DocumentKey, DocumentKind, Store,
};
use trust_engine::{Decision, NewRecord, Options, RecordType, VerifierKey, blocking::Engine, storage};

const ENTRIES: u64 = 300;

/// A closed store with 300 entries, its key, and the checkpoint of its end.
fn store(folder: &Path) -> (VerifierKey, trust_engine::provenance::SignedCheckpoint) {
    let engine = Engine::open(Options::embedded(folder)).unwrap();
    for n in 2..ENTRIES {
        engine
            .log()
            .record(NewRecord::new(RecordType::Alert, format!("a{}", n % 3), Decision::Deny))
            .unwrap();
    }
    let result = (engine.verifier_key(), engine.log().checkpoint().unwrap().unwrap());
    engine.close();
    result
}

type Change<'a> = &'a dyn Fn(&dyn Fn(&str) -> fjall::Keyspace);

fn tampered(change: Change<'_>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = store(folder.path());
    {
        let database = Database::builder(folder.path().join("db")).open().unwrap();
        change(&|name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap());
        database.persist(PersistMode::SyncAll).unwrap();
    }
    let store = storage::embedded(folder.path()).unwrap();
    pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap()
}

/// The place of an entry of shard 0.
fn key(index: u64) -> Vec<u8> {
    [&[0; 4][..], &index.to_be_bytes()].concat()
}

/// The key of a run of leaf hashes of shard 0.
fn leaves(start: u64) -> Vec<u8> {
    [&[0; 5][..], &start.to_be_bytes()].concat()
}

fn assert_first(report: &Report, index: u64, damage: Damage) {
    assert_eq!(report.first_bad_index(), Some(index), "{report}");
    assert!(report.findings.iter().any(|f| f.index == index && f.damage == damage), "{report}");
}

#[test]
fn an_untouched_store_is_clean() {
    let report = tampered(&|_| {});
    assert!(report.is_clean() && report.entries == ENTRIES && report.payloads == ENTRIES, "{report}");
}

#[test]
fn a_changed_byte_of_any_entry_is_found_at_its_index() {
    for index in [0, 1, 100, 255, 256, ENTRIES - 1] {
        let report = tampered(&|open| {
            let entries = open("entries");
            let mut bytes = entries.get(key(index)).unwrap().unwrap().to_vec();
            bytes[40] ^= 1;
            entries.insert(key(index), bytes).unwrap();
        });
        assert_first(&report, index, Damage::EntryChanged);
    }
}

#[test]
fn an_entry_of_a_newer_format_is_found_and_does_not_end_the_check() {
    let report = tampered(&|open| {
        let entries = open("entries");
        let bytes = entries.get(key(7)).unwrap().unwrap().to_vec();
        let newer = String::from_utf8(bytes).unwrap().replace("\"v\":1}", "\"v\":2}");
        entries.insert(key(7), newer).unwrap();
        // The ids of two entries change places, so that one leads to the entry that cannot be read.
        let ids = open("by_id");
        let all: Vec<_> = ids.iter().map(|row| row.into_inner().unwrap()).collect();
        let id = |index| all.iter().find(|(_, home)| **home == key(index)).unwrap().0.clone();
        let (seventh, ninth) = (id(7), id(9));
        ids.insert(ninth, key(7)).unwrap();
        ids.insert(seventh, key(9)).unwrap();
    });
    assert_first(&report, 7, Damage::EntryChanged);
    assert!(report.findings.iter().any(|f| f.index == 9 && f.damage == Damage::IndexWrong), "{report}");
    assert_eq!(report.entries, ENTRIES, "{report}");
}

#[test]
fn a_changed_or_dropped_payload_is_found_at_its_index() {
    let report = tampered(&|open| {
        let payloads = open("payloads");
        let mut bytes = payloads.get(key(7)).unwrap().unwrap().to_vec();
        bytes[33] ^= 1;
        payloads.insert(key(7), bytes).unwrap();
    });
    assert_first(&report, 7, Damage::PayloadChanged);
    let report = tampered(&|open| open("payloads").remove(key(9)).unwrap());
    assert_first(&report, 9, Damage::PayloadMissing);
}

#[test]
fn a_dropped_entry_is_found_at_its_index() {
    // The first ones are the records of deployment and policy, which documents name.
    for index in [120, 0, 1] {
        let report = tampered(&|open| open("entries").remove(key(index)).unwrap());
        assert_first(&report, index, Damage::EntryMissing);
        assert_eq!(report.entries, ENTRIES - 1, "{report}");
    }
}

#[test]
fn swapped_entries_are_found_at_the_first_of_them() {
    let report = tampered(&|open| {
        let entries = open("entries");
        let (a, b) = (entries.get(key(30)).unwrap().unwrap(), entries.get(key(200)).unwrap().unwrap());
        entries.insert(key(30), b).unwrap();
        entries.insert(key(200), a).unwrap();
    });
    assert_first(&report, 30, Damage::EntryMoved);
}

#[test]
fn a_truncated_log_is_found_where_it_ends_and_is_not_written_on() {
    let report =
        tampered(&|open| (250..ENTRIES).for_each(|index| open("entries").remove(key(index)).unwrap()));
    assert_first(&report, 250, Damage::EntryMissing);
}

#[test]
fn an_entry_changed_together_with_its_tree_hash_is_found_by_its_checkpoint() {
    let report = tampered(&|open| {
        let (entries, hashes) = (open("entries"), open("hashes"));
        let mut bytes = entries.get(key(60)).unwrap().unwrap().to_vec();
        let at = bytes.windows(4).position(|part| part == b"DENY").unwrap();
        bytes.splice(at..at + 4, *b"ALLOW");
        let leaf = trust_engine::provenance::Hash::leaf(&bytes);
        entries.insert(key(60), bytes).unwrap();
        hashes.insert(leaves(60), leaf.as_bytes()).unwrap();
    });
    assert_first(&report, 60, Damage::RootMismatch);
}

#[test]
fn state_that_was_changed_behind_the_log_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    for tier in ["UNKNOWN", "TRUSTED", "BASIC", "VERIFIED"] {
        engine.agents().register(trust_engine::NewAgent::new(tier).tier(tier)).unwrap();
    }
    assert!(engine.log().verify(None).unwrap().is_clean());
    let key = engine.verifier_key();
    engine.close();
    drop(engine);
    let default = trust_engine::OrganizationId::default;
    let key_of = |kind, id: &str| DocumentKey { kind, organization: default(), id: id.to_owned() };
    // Writes documents without records.
    let write = |edit: &dyn Fn(&dyn Store) -> Vec<Document>| {
        let store = storage::embedded(folder.path()).unwrap();
        let head = pollster::block_on(store.claim(0, uuid::Uuid::from_u128(1))).unwrap();
        let change = |document: Document| {
            let version = pollster::block_on(store.document_version(&document.key)).unwrap();
            let after = After::Document(Box::new(document));
            DocumentChange { expected: Some(version).filter(|version| *version > 0), after }
        };
        let changes = edit(&*store).into_iter().map(change).collect();
        let batch = Batch { changes, ..Batch::on(head) };
        assert_eq!(pollster::block_on(store.commit(batch)).unwrap(), Committed::Yes);
    };
    let read =
        |store: &dyn Store, key: &DocumentKey| pollster::block_on(store.document(key)).unwrap().unwrap();
    write(&|store| {
        // With a version that no record has made, and a tag that its content does not have.
        let mut suspended = read(store, &key_of(DocumentKind::Agent, "BASIC"));
        suspended.version += 1;
        let mut mistagged = read(store, &key_of(DocumentKind::Agent, "VERIFIED"));
        mistagged.tags.retain(|tag| tag.name != "status");
        let mut risen = read(store, &key_of(DocumentKind::Agent, "UNKNOWN"));
        risen.body = risen.body.replace("\"tier\":\"UNKNOWN\"", "\"tier\":\"PRIVILEGED\"");
        let mut unregistered = read(store, &key_of(DocumentKind::Agent, "TRUSTED"));
        unregistered.key.id = "X".into();
        vec![risen, unregistered, suspended, mistagged]
    });
    {
        let store = storage::embedded(folder.path()).unwrap();
        let report = pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap();
        assert_eq!(report.findings.len(), 4, "{report}");
        let found: Vec<_> = report.findings.iter().map(|found| (found.index, found.damage)).collect();
        assert_eq!(found, [2, 3, 4, 5].map(|index| (index, Damage::StateChanged)), "{report}");
    }
    // The deployment's document, whose record holds a digest of all of it, and nothing of it.
    let deployment = key_of(DocumentKind::Deployment, "deployment");
    let original = read(&*storage::embedded(folder.path()).unwrap(), &deployment);
    let edits: [&dyn Fn(&mut Document); 5] = [
        &|document| document.body = document.body.replace("local", "other"),
        &|document| document.version += 1,
        &|document| document.due = Some(document.created),
        &|document| document.changed = trust_engine::Timestamp::from_micros(7),
        &|document| document.record = uuid::Uuid::from_u128(7),
    ];
    let removal: &dyn Fn(&mut Document) = &|_| ();
    for edit in edits.into_iter().chain([removal]) {
        let mut edited = original.clone();
        edit(&mut edited);
        let removed = edited == original;
        let change = |store: &dyn Store, after: After| {
            let head = pollster::block_on(store.claim(0, uuid::Uuid::from_u128(1))).unwrap();
            let expected = pollster::block_on(store.document_version(&deployment)).unwrap();
            let changes =
                vec![DocumentChange { expected: Some(expected).filter(|version| *version > 0), after }];
            let batch = Batch { changes, ..Batch::on(head) };
            assert_eq!(pollster::block_on(store.commit(batch)).unwrap(), Committed::Yes);
        };
        let store = storage::embedded(folder.path()).unwrap();
        let after =
            if removed { After::Removed(deployment.clone()) } else { After::Document(Box::new(edited)) };
        change(&*store, after);
        let report = pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap();
        assert!(report.findings.iter().any(|f| f.index == 0 && f.damage == Damage::StateChanged), "{report}");
        change(&*store, After::Document(Box::new(original.clone())));
    }
    // Another policy with the hash that fits it: neither verification nor opening takes it for the recorded one.
    let mut open = trust_engine::PolicyDocument::published_default().unwrap();
    open.roles.iter_mut().for_each(|role| role.minimum_tier = "UNKNOWN".into());
    let forged = trust_engine::Policy::compile(open).unwrap();
    write(&|store| {
        let mut policy = read(store, &key_of(DocumentKind::Policy, "policy"));
        policy.body = forged.document().canonical_json();
        vec![policy]
    });
    let store = storage::embedded(folder.path()).unwrap();
    let report = pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap();
    assert!(report.findings.iter().any(|f| f.index == 1 && f.damage == Damage::StateChanged), "{report}");
    drop(store);
    let error = Engine::open(Options::embedded(folder.path())).unwrap_err();
    assert_eq!(error.kind(), trust_engine::ErrorKind::Corrupt, "{error:?}");
}

#[test]
fn a_forged_entry_is_named_whatever_else_is_damaged_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::embedded(folder.path())).unwrap();
    let record = || NewRecord::new(RecordType::Alert, "a", Decision::Deny);
    (0..5).for_each(|_| drop(engine.log().record(record()).unwrap()));
    let key = engine.verifier_key();
    engine.close();
    drop(engine);
    {
        let database = Database::builder(folder.path().join("db")).open().unwrap();
        let open = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        let mut bytes = open("entries").get(self::key(2)).unwrap().unwrap().to_vec();
        let at = bytes.windows(4).position(|part| part == b"DENY").unwrap();
        bytes.splice(at..at + 4, *b"ALLOW");
        let leaf = trust_engine::provenance::Hash::leaf(&bytes);
        open("entries").insert(self::key(2), bytes).unwrap();
        open("hashes").insert(leaves(2), leaf.as_bytes()).unwrap();
        (2..5).for_each(|index| open("payloads").remove(self::key(index)).unwrap());
        database.persist(PersistMode::SyncAll).unwrap();
    }
    let store = storage::embedded(folder.path()).unwrap();
    let report = pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap();
    assert_first(&report, 2, Damage::RootMismatch);
}

#[test]
fn a_log_rolled_back_to_an_older_copy_is_found_by_a_kept_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::memory()).unwrap();
    let record = || NewRecord::new(RecordType::Alert, "a", Decision::Deny);
    engine.log().record(record()).unwrap();
    let out = folder.path().join("out");
    engine.log().export(&out).unwrap();
    engine.log().record(record()).unwrap();
    let kept = engine.log().checkpoint().unwrap().unwrap();
    let report = trust_engine::log::check_export(&out, &engine.verifier_key(), Some(&kept)).unwrap();
    assert_first(&report, 3, Damage::RolledBack);
    assert!(engine.log().verify(Some(&kept)).unwrap().is_clean());
}
