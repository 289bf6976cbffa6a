//! The deployment as its operator changes it: its key is rotated, and its log is set back, each by a succession of shards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/postgres.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use support::{Schema, sql};
use trust_engine::blocking::Engine;
use trust_engine::log::Report;
use trust_engine::provenance::{Ed25519Signer, RecordType, SignedCheckpoint, Signer};
use trust_engine::storage::{self, DocumentKey, FailingStore, Fault};
use trust_engine::{
    Decision, ErrorKind, ManualClock, NewRecord, Options, Query, Result, TimeRange, Timestamp, VerifierKeys,
    verify,
};

const DAY: Duration = Duration::from_secs(86_400);

fn alert(agent: &str) -> NewRecord {
    NewRecord::new(RecordType::Alert, agent, Decision::Deny)
}

fn signer(seed: u8) -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::from_seed(&[seed; 32]))
}

/// The verification of all shards by the keys that an outsider has.
fn assert_verifies(folder: &std::path::Path, keys: &VerifierKeys) {
    let store = storage::embedded(folder).unwrap();
    let heads = block_on(store.heads()).unwrap();
    let keys: Vec<_> = heads.iter().map(|head| (head.shard, keys.of_shard(head.shard))).collect();
    let reports = block_on(trust_engine::log::check_shards(&*store, &keys, None, &mut |_, _| {})).unwrap();
    assert!(reports.iter().all(Report::is_clean), "{reports:?}");
}

fn is_clean(engine: &Engine) -> bool {
    engine.log().verify_all().unwrap().iter().all(Report::is_clean)
}

#[test]
fn an_embedded_store_goes_on_with_a_new_key_and_what_the_old_one_signed_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let engine = Engine::open(Options::embedded(path)).unwrap();
    let before = engine.log().record(alert("a")).unwrap();
    let proof = engine.log().prove(before.id()).unwrap().to_string();
    let old_key = engine.verifier_key();
    let locked = block_on(trust_engine::rotate_embedded_key(path, "ops")).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked, "nobody rotates under a running engine");
    engine.close();
    drop(engine);
    let private = std::fs::read_to_string(path.join("signing.key")).unwrap();
    for round in 1..=2u32 {
        let keys = block_on(trust_engine::rotate_embedded_key(path, "ops")).unwrap();
        assert_eq!(keys.to_string().lines().count(), round as usize + 1);
        let stored: VerifierKeys =
            std::fs::read_to_string(path.join("verifier.key")).unwrap().parse().unwrap();
        assert_eq!(stored, keys);
        assert!(!path.join("signing-next.key").exists());
        assert_ne!(std::fs::read_to_string(path.join("signing.key")).unwrap(), private);
        let engine = Engine::open(Options::embedded(path)).unwrap();
        assert_eq!((engine.shard(), engine.verifier_keys()), (round, keys.clone()));
        let after = engine.log().record(alert("a").parent(before.id())).unwrap();
        assert!(after.origin().ends_with(&format!("/prov/{round}")));
        assert_ne!(engine.verifier_key().public_key(), old_key.public_key());
        assert_eq!(engine.verifier_key_of(0), old_key);
        let again = engine.log().prove(before.id()).unwrap().to_string();
        let entry = engine.log().get(before.id()).unwrap();
        verify::record(entry.entry_bytes(), &again, &old_key).unwrap();
        verify::record(entry.entry_bytes(), &proof, &old_key).unwrap();
        let page = engine.log().fleet_wide().query(&Query::new().kind(RecordType::State)).unwrap();
        let rotated = page.records[0].details().unwrap().unwrap();
        assert_eq!(
            (&rotated["actor"], &rotated["reason"]),
            (&"ops".into(), &"the signing key was rotated".into())
        );
        assert!(
            page.records[0].receipt().origin().ends_with(&format!("/prov/{}", round - 1)),
            "signed by the old key"
        );
        assert!(is_clean(&engine));
        engine.close();
        drop(engine);
        assert_verifies(path, &keys);
    }
    // The old key is none of the store's any more, whoever has it.
    let old = Ed25519Signer::parse(&private).unwrap();
    let error = Engine::open(Options::embedded(path).signer(Arc::new(old))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(error.to_string().contains("rotated out"), "{error}");
    // With the old key alone an outsider finds that later shards are not signed with it.
    let store = storage::embedded(path).unwrap();
    let alone: Vec<_> = (0..3).map(|shard| (shard, old_key.of_shard(shard))).collect();
    let reports = block_on(trust_engine::log::check_shards(&*store, &alone, None, &mut |_, _| {})).unwrap();
    let clean: Vec<bool> = reports.iter().map(Report::is_clean).collect();
    assert_eq!(clean, [true, false, false]);
}

/// The rotation is cut off before its commit, behind it, and before the old key is replaced.
#[test]
fn a_rotation_that_was_cut_off_leaves_a_key_that_opens_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Engine::open(Options::embedded(path)).unwrap().close();
    let key_of =
        |name: &str| Ed25519Signer::parse(&std::fs::read_to_string(path.join(name)).unwrap()).unwrap();
    let first = key_of("signing.key").public_key();
    // A key was staged and never brought into the log.
    let stray = Ed25519Signer::from_seed(&[9; 32]);
    std::fs::write(path.join("signing-next.key"), &**stray.to_text("d/prov/1").unwrap()).unwrap();
    set_private(&path.join("signing-next.key"));
    let engine = Engine::open(Options::embedded(path)).unwrap();
    assert_eq!(engine.verifier_key().public_key(), first);
    engine.log().record(alert("a")).unwrap();
    // One that would not be kept beside the store is not rotated to.
    let lost = engine.deployment().rotate_key(signer(11), "ops").unwrap_err();
    assert!(lost.kind() == ErrorKind::Key && lost.to_string().contains("rotate_embedded_key"), "{lost}");
    // It is in the log, and the files are as before.
    let next = Ed25519Signer::from_seed(&[10; 32]);
    std::fs::write(path.join("signing-next.key"), &**next.to_text("d/prov/1").unwrap()).unwrap();
    engine.deployment().rotate_key(Arc::new(next), "ops").unwrap();
    let stopped = engine.log().record(alert("a")).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Key, "{stopped}");
    assert!(stopped.to_string().contains("was rotated"), "{stopped}");
    let backup = tempfile::tempdir().unwrap();
    engine.backup(&backup.path().join("b")).unwrap();
    // A backup whose key is another than its log's could never be gone on with.
    let staged = std::fs::read(path.join("signing-next.key")).unwrap();
    std::fs::remove_file(path.join("signing-next.key")).unwrap();
    let torn = engine.backup(&backup.path().join("torn")).unwrap_err();
    assert!(torn.to_string().contains("was rotated while the copy was made"), "{torn}");
    std::fs::write(path.join("signing-next.key"), staged).unwrap();
    set_private(&path.join("signing-next.key"));
    engine.close();
    drop(engine);
    let engine = Engine::open(Options::embedded(path)).unwrap();
    assert_eq!(engine.shard(), 1);
    engine.log().record(alert("a")).unwrap();
    assert!(is_clean(&engine));
    assert!(!path.join("signing-next.key").exists());
    let keys: VerifierKeys = std::fs::read_to_string(path.join("verifier.key")).unwrap().parse().unwrap();
    assert_eq!(keys, engine.verifier_keys());
    // A backup of that moment becomes a store as well.
    let restored = backup.path().join("r");
    block_on(storage::embedded(&backup.path().join("b")).unwrap().restore(&restored, 7)).unwrap();
    let restored = Engine::open(Options::embedded(&restored)).unwrap();
    restored.log().record(alert("a")).unwrap();
    assert!(is_clean(&restored));
}

fn set_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_key_that_cannot_be_rotated_to_is_refused_and_nothing_changes() {
    /// Says that it has another key than it signs with.
    struct Wrong;
    impl Signer for Wrong {
        fn public_key(&self) -> [u8; 32] {
            Ed25519Signer::from_seed(&[3; 32]).public_key()
        }
        fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
            Ed25519Signer::from_seed(&[4; 32]).sign(message)
        }
    }
    let engine = Engine::open(Options::memory().signer(signer(1)).deployment("d")).unwrap();
    engine.log().record(alert("a")).unwrap();
    let rotate = |signer: Arc<dyn Signer>, actor| engine.deployment().rotate_key(signer, actor).unwrap_err();
    let errors = [rotate(signer(1), "ops"), rotate(Arc::new(Wrong), "ops"), rotate(signer(2), "")];
    let said = ["is, or was, the deployment's own", "does not sign with the key", "actor"];
    for (error, said) in errors.iter().zip(said) {
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(engine.shard(), 0);
    engine.log().record(alert("a")).unwrap();
    assert!(is_clean(&engine));
}

#[test]
fn every_engine_of_a_fleet_stops_when_the_key_is_rotated_and_goes_on_with_the_new_one() {
    let schema = Schema::new();
    let engines: Vec<Engine> = (0..3).map(|_| Engine::open(schema.options()).unwrap()).collect();
    let before: Vec<_> = engines.iter().map(|engine| engine.log().record(alert("a")).unwrap()).collect();
    // They record all the time; what is acknowledged stays.
    let until = std::time::Instant::now() + Duration::from_secs(30);
    let acknowledged = std::thread::scope(|scope| {
        let threads: Vec<_> = engines
            .iter()
            .map(|engine| {
                scope.spawn(|| {
                    let mut ids = Vec::new();
                    loop {
                        assert!(std::time::Instant::now() < until, "the engine goes on with the old key");
                        match engine.log().record(alert("b")) {
                            Ok(receipt) => ids.push(receipt.id()),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Key, "{error}");
                                return ids;
                            }
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let receipt = engines[1].deployment().rotate_key(signer(8), "ops").unwrap();
        assert!(receipt.origin().ends_with("/prov/1"), "in the log of the engine that rotates");
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for engine in &engines {
        assert_eq!(engine.log().record(alert("a")).unwrap_err().kind(), ErrorKind::Key);
        assert!(!engine.health().store);
    }
    let old = Engine::open(schema.options()).unwrap_err();
    assert!(old.kind() == ErrorKind::Key && old.to_string().contains("rotated out"), "{old}");
    let other = Engine::open(schema.options().signer(signer(9))).unwrap_err();
    assert!(other.kind() == ErrorKind::Key && !other.to_string().contains("rotated out"), "{other}");
    let next: Vec<Engine> =
        (0..2).map(|_| Engine::open(schema.options().signer(signer(8))).unwrap()).collect();
    for engine in &next {
        assert!(engine.shard() >= 3, "{}", engine.shard());
        engine.log().record(alert("a")).unwrap();
    }
    assert!(is_clean(&next[0]));
    for receipt in &before {
        let proof = next[0].log().prove(receipt.id()).unwrap().to_string();
        let entry = next[0].log().get(receipt.id()).unwrap();
        let shard: u32 = receipt.origin().rsplit('/').next().unwrap().parse().unwrap();
        verify::record(entry.entry_bytes(), &proof, &next[1].verifier_key_of(shard)).unwrap();
    }
    assert!(!acknowledged.is_empty());
    for id in acknowledged {
        next[1].log().get(id).unwrap();
    }
    // Back to a key that was rotated out there is no way.
    let back = next[0].deployment().rotate_key(support::signer(), "ops").unwrap_err();
    assert_eq!(back.kind(), ErrorKind::Key);
}

#[test]
fn a_shard_with_a_foreign_signature_is_named_and_left_alone() {
    let schema = Schema::new();
    let engine = Engine::open(schema.options()).unwrap();
    engine.log().record(alert("a")).unwrap();
    engine.close();
    // The checkpoint of the same tree, with a signature that is not the deployment's.
    let note: String = support::one_row(&format!("select note from {}.heads", schema.0)).get(0);
    let signed = SignedCheckpoint::parse(&note).unwrap();
    let forged = signed.checkpoint.sign(&Ed25519Signer::from_seed(&[9; 32])).unwrap();
    sql(&format!("update {}.heads set note = '{forged}' where shard = 0", schema.0));
    let engines: Vec<Engine> = (0..3).map(|_| Engine::open(schema.options()).unwrap()).collect();
    for engine in &engines {
        assert_ne!(engine.shard(), 0);
        engine.log().record(alert("b")).unwrap();
        let warnings = engine.warnings();
        assert!(
            warnings.iter().any(|warning| warning.contains("shard 0 ") && warning.contains("left alone")),
            "{warnings:?}"
        );
    }
    let error = Engine::open(schema.options().shard(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key, "a shard that is asked for is not passed over");
    let reports = engines[0].log().verify_all().unwrap();
    let damaged: Vec<bool> = reports.iter().map(|report| !report.is_clean()).collect();
    assert_eq!(damaged, [true, false, false, false], "{reports:?}");
}

#[test]
fn a_log_that_was_once_far_ahead_is_set_back_and_goes_on_at_the_clocks_time() {
    let folder = tempfile::tempdir().unwrap();
    let start: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let open = || Engine::open(Options::embedded(folder.path()).clock(clock.clone())).unwrap();
    let engine = open();
    let first = engine.log().record(alert("a")).unwrap();
    let refused = engine.deployment().set_log_back("ops").unwrap_err();
    assert!(
        refused.kind() == ErrorKind::InvalidInput && refused.to_string().contains("more than 300s ahead"),
        "{refused}"
    );
    assert_eq!(engine.warnings(), Vec::<String>::new());
    // One run in 2099.
    clock.set("2099-01-01T00:00:00Z".parse().unwrap());
    engine.log().record(alert("a")).unwrap();
    let warnings = engine.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("jumped ahead"), "{warnings:?}");
    engine.close();
    drop(engine);
    let engine = open();
    let warnings = engine.warnings();
    assert!(warnings.is_empty(), "the log is as late as the clock: {warnings:?}");
    engine.close();
    drop(engine);
    clock.set(start.plus(DAY));
    let engine = open();
    let stuck = engine.log().record(alert("a")).unwrap();
    let last_hour = |engine: &Engine| {
        let query =
            Query::new().agent("a").from(start.plus(DAY)).to(start.plus(DAY).plus(Duration::from_secs(3600)));
        engine.log().query(&query).unwrap()
    };
    let page = last_hour(&engine);
    assert_eq!(page.records.len(), 0, "the last hour finds nothing");
    assert!(page.ahead.unwrap() > 72 * 365 * DAY, "and says so: {:?}", page.ahead);
    let ahead = |engine: &Engine| engine.stats(TimeRange::Hour, None).unwrap().provenance.ahead_seconds;
    assert!(ahead(&engine) > 72 * 365 * 86_400);
    let warnings = engine.warnings();
    assert!(warnings.iter().any(|warning| warning.contains("log set-back")), "{warnings:?}");
    engine.deployment().set_log_back("ops").unwrap();
    // The engine goes on by itself.
    let after = engine.log().record(alert("a").parent(stuck.id())).unwrap();
    assert_eq!((engine.shard(), after.time()), (1, start.plus(DAY)));
    let page = last_hour(&engine);
    assert_eq!((page.records.len(), page.ahead), (1, None));
    assert_eq!((ahead(&engine), engine.warnings()), (0, Vec::new()));
    assert!(engine.deployment().set_log_back("ops").is_err(), "it is not ahead any more");
    engine.close();
    drop(engine);
    clock.advance(DAY);
    let engine = open();
    assert_eq!(engine.log().record(alert("a")).unwrap().time(), start.plus(2 * DAY));
    assert_eq!(engine.log().query(&Query::new().agent("a")).unwrap().records.len(), 5);
    assert_eq!(engine.log().get(first.id()).unwrap().entry().time, start);
    assert!(is_clean(&engine));
    let states = engine.log().fleet_wide().query(&Query::new().kind(RecordType::State)).unwrap().records;
    let said = states[0].details().unwrap().unwrap();
    assert_eq!(said["reason"], "the log was set back to the clock");
}

#[test]
fn a_fleet_goes_on_in_new_shards_when_its_log_is_set_back() {
    let schema = Schema::new();
    let engines: Vec<Engine> = (0..2).map(|_| Engine::open(schema.options()).unwrap()).collect();
    engines.iter().for_each(|engine| drop(engine.log().record(alert("a")).unwrap()));
    let ahead = || {
        engines
            .iter()
            .all(|engine| engine.stats(TimeRange::Hour, None).unwrap().provenance.ahead_seconds > 3000)
    };
    // The database's clock was an hour ahead for a moment: a commit and a promise keep its time.
    sql(&format!("update {}.heads set time = time + 3600000000", schema.0));
    let started = std::time::Instant::now();
    while !ahead() {
        assert!(started.elapsed() < Duration::from_secs(20), "it is noticed");
        std::thread::sleep(Duration::from_millis(50));
    }
    for engine in &engines {
        assert!(engine.warnings().iter().any(|warning| warning.contains("log set-back")));
    }
    engines[0].deployment().set_log_back("ops").unwrap();
    for round in 0..3 {
        for engine in &engines {
            let receipt = engine.log().record(alert("a")).unwrap();
            let now = Timestamp::from_micros(
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros()
                    as i64,
            );
            let apart = receipt.time().micros().abs_diff(now.micros());
            assert!(apart < 20_000_000, "round {round}: {} at {now}", receipt.time());
            assert!(engine.shard() >= 2);
        }
    }
    let heads = block_on(async {
        let (store, _) = storage::postgres(&schema.database()).await.unwrap();
        store.heads().await.unwrap()
    });
    let eras: Vec<(bool, u32)> = heads.iter().map(|head| (head.sealed, head.era)).collect();
    assert_eq!(eras, [(true, 0), (true, 0), (false, 1), (false, 1)]);
    assert!(is_clean(&engines[1]));
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let body = block_on(store.document(&DocumentKey::deployment())).unwrap().unwrap().body;
    assert!(body.contains("\"setBack\":[{\"fromShard\":2"), "{body}");
}

/// The commit of a rotation fails, or its answer is lost: either it happened or it did not, and the log verifies.
#[test]
fn a_rotation_whose_commit_fails_has_happened_or_not() {
    for (fault, happened) in
        [(Fault::Lost, false), (Fault::AnswerLost, true), (Fault::Unreachable, false), (Fault::None, true)]
    {
        for certain_shard in [false, true] {
            let store = Arc::new(FailingStore::new(storage::memory()));
            let open = |seed: u8| {
                let options = Options::store(store.clone()).signer(signer(seed)).deployment("d");
                Engine::open(if certain_shard { options.shard(0) } else { options })
            };
            let engine = open(1).unwrap();
            let before = engine.log().record(alert("a")).unwrap();
            store.fail_commits([fault]);
            let rotated = engine.deployment().rotate_key(signer(2), "ops");
            assert_eq!(rotated.is_ok(), happened, "{fault:?}: {rotated:?}");
            let stopped = engine.log().record(alert("a")).map_err(|error| error.kind()).err();
            assert_eq!(
                stopped,
                happened.then_some(ErrorKind::Key),
                "{fault:?}, shard 0 asked for: {certain_shard}"
            );
            engine.close();
            drop(engine);
            if happened && certain_shard {
                assert_eq!(open(2).unwrap_err().kind(), ErrorKind::Fenced, "shard 0 is sealed");
                continue;
            }
            assert_eq!(open(if happened { 1 } else { 2 }).unwrap_err().kind(), ErrorKind::Key);
            let engine = open(if happened { 2 } else { 1 }).unwrap();
            engine.log().record(alert("a")).unwrap();
            assert!(is_clean(&engine));
            assert_eq!(engine.log().get(before.id()).unwrap().receipt().id(), before.id());
        }
    }
}

#[test]
fn of_rotations_at_the_same_time_one_comes_after_the_other_or_is_refused() {
    let schema = Schema::new();
    let engines: Vec<Engine> = (0..3).map(|_| Engine::open(schema.options()).unwrap()).collect();
    engines.iter().for_each(|engine| drop(engine.log().record(alert("a")).unwrap()));
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (20..)
            .zip(&engines)
            .map(|(seed, engine)| {
                scope.spawn(move || (seed, engine.deployment().rotate_key(signer(seed), "ops")))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<u8> = results.iter().filter(|(_, done)| done.is_ok()).map(|(seed, _)| *seed).collect();
    assert_eq!(won.len(), 1, "whoever has the old key rotates no more: {results:?}");
    for (_, refused) in results.iter().filter(|(_, done)| done.is_err()) {
        assert_eq!(refused.as_ref().unwrap_err().kind(), ErrorKind::Key);
    }
    let engine = Engine::open(schema.options().signer(signer(won[0]))).unwrap();
    engine.log().record(alert("a")).unwrap();
    assert!(is_clean(&engine));
    assert_eq!(engine.verifier_keys().to_string().lines().count(), 2);
}

#[test]
fn a_shard_that_does_not_come_next_cannot_be_asked_for() {
    let schema = Schema::new();
    let first = Engine::open(schema.options().shard(0)).unwrap();
    first.log().record(alert("a")).unwrap();
    let error = Engine::open(schema.options().shard(7)).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("shard")));
    assert!(error.to_string().contains("the next one is 1"), "{error}");
    let second = Engine::open(schema.options().shard(1)).unwrap();
    second.log().record(alert("a")).unwrap();
    first.deployment().rotate_key(signer(8), "ops").unwrap();
    // Both asked for their shards, which are sealed; they hear why.
    for engine in [&first, &second] {
        assert_eq!(engine.log().record(alert("a")).unwrap_err().kind(), ErrorKind::Key);
    }
    let sealed = Engine::open(schema.options().signer(signer(8)).shard(1)).unwrap_err();
    assert!(sealed.kind() == ErrorKind::Fenced && sealed.to_string().contains("sealed"), "{sealed}");
}

/// An engine that only reads hears that the log is not ahead any more, and verifies by the keys of now.
#[test]
fn an_engine_that_records_nothing_knows_what_others_did_to_the_log() {
    let schema = Schema::new();
    let [idle, busy] = [(); 2].map(|()| Engine::open(schema.options()).unwrap());
    busy.log().record(alert("a")).unwrap();
    sql(&format!("update {}.heads set time = time + 3600000000", schema.0));
    let soon = |what: &str, is_so: &dyn Fn() -> bool| {
        let started = std::time::Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let ahead = || idle.stats(TimeRange::Hour, None).unwrap().provenance.ahead_seconds;
    soon("it is ahead", &|| ahead() > 3000);
    busy.deployment().set_log_back("ops").unwrap();
    busy.log().record(alert("a")).unwrap();
    soon("it is ahead no more", &|| ahead() == 0 && idle.warnings().is_empty());
    busy.deployment().rotate_key(signer(8), "ops").unwrap();
    let next = Engine::open(schema.options().signer(signer(8))).unwrap();
    next.log().record(alert("a")).unwrap();
    let outdated = idle.log().verify_all().unwrap_err();
    assert_eq!(
        outdated.kind(),
        ErrorKind::Key,
        "it verifies by no key that it was not opened with: {outdated}"
    );
    assert!(is_clean(&next));
    // Somebody who can write into the database names a key of their own.
    sql(&format!(
        "update {}.documents set body = replace(body, '{}', '{}') where kind = 2",
        schema.0,
        hex::encode(signer(8).public_key()),
        hex::encode(signer(9).public_key())
    ));
    assert_eq!(next.log().verify_all().unwrap_err().kind(), ErrorKind::Key);
}

/// All that a log was set back by is in its copy, also before anything was recorded after it.
#[test]
fn a_log_that_was_set_back_is_copied_as_it_is() {
    let (schema, folder) = (Schema::new(), tempfile::tempdir().unwrap());
    let clock = Arc::new(ManualClock::new("2099-01-01T00:00:00Z".parse().unwrap()));
    let options = Options::embedded(folder.path()).signer(support::signer()).clock(clock.clone());
    let engine = Engine::open(options.deployment("test.example.com/fleet")).unwrap();
    engine.log().record(alert("a")).unwrap();
    let now: Timestamp = "2026-11-27T00:00:00Z".parse().unwrap();
    clock.set(now);
    engine.deployment().set_log_back("ops").unwrap();
    engine.close();
    drop(engine);
    let (from, used) = storage::embedded_with_counters(folder.path(), clock).unwrap();
    let (to, charged) = block_on(storage::postgres(&schema.database())).unwrap();
    let (from, to) = ((&*from, &*used), (&*to, &*charged));
    let owner = uuid::Uuid::from_u128(5);
    block_on(trust_engine::log::copy(from, to, owner, &mut |_, _| {}, &mut || Ok(()))).unwrap();
    let heads = block_on(to.0.heads()).unwrap();
    let eras: Vec<(bool, u32)> = heads.iter().map(|head| (head.sealed, head.era)).collect();
    assert_eq!(eras, [(true, 0), (false, 1)]);
    assert_eq!(heads[1].time, now);
    let engine = Engine::open(schema.options()).unwrap();
    let after = engine.log().record(alert("a")).unwrap();
    assert_eq!((engine.shard(), engine.warnings()), (1, Vec::new()));
    assert!(after.time() < "2099-01-01T00:00:00Z".parse().unwrap());
    assert!(is_clean(&engine));
}
