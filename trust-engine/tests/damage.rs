//! Damage to the embedded store's files: it is refused or found, and never taken for a shorter, sound log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use trust_engine::blocking::Engine;
use trust_engine::log::{Damage, check_store};
use trust_engine::{Decision, ErrorKind, NewRecord, Options, RecordType, VerifierKey, storage};

const ENTRIES: u64 = 400;

fn record(engine: &Engine, entries: u64) {
    for n in 0..entries {
        let record = NewRecord::new(RecordType::Alert, format!("a{}", n % 3), Decision::Deny);
        // Every fiftieth payload is longer than a page.
        let reason = "x".repeat(if n % 50 == 0 { 4096 } else { 100 });
        engine.log().record(record.reason(reason)).unwrap();
    }
}

/// A closed store of [`ENTRIES`] entries.
fn store(folder: &Path) -> VerifierKey {
    let engine = Engine::open(Options::embedded(folder)).unwrap();
    record(&engine, ENTRIES - 2);
    let key = engine.verifier_key();
    engine.close();
    key
}

/// A folder's files in memory, each without the zeros at its end (a journal takes its space in advance).
struct Snapshot(Vec<(PathBuf, Vec<u8>, u64)>);

impl Snapshot {
    fn of(folder: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for file in fs::read_dir(&next).unwrap() {
                let path = file.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let mut bytes = fs::read(&path).unwrap();
                let length = bytes.len() as u64;
                while bytes.ends_with(&[0; 4096]) {
                    bytes.truncate(bytes.len() - 4096);
                }
                files.push((path.strip_prefix(folder).unwrap().to_owned(), bytes, length));
            }
        }
        files.sort();
        Self(files)
    }

    /// Makes `folder` what it was.
    fn restore(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        for (path, bytes, length) in &self.0 {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = fs::File::create(&path).unwrap();
            file.write_all(bytes).unwrap();
            file.set_len(*length).unwrap();
        }
        if let Ok(file) = fs::File::open(folder.join("signing.key")) {
            // The engine refuses a key that others can read.
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn a_database_set_back_to_an_older_copy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let key = store(&live);
    let old = Snapshot::of(&live.join("db"));
    let engine = Engine::open(Options::embedded(&live)).unwrap();
    record(&engine, 5);
    engine.close();
    drop(engine);
    old.restore(&live.join("db"));
    let error = Engine::open(Options::embedded(&live)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("400") && error.to_string().contains("405"), "{error}");
    let store = storage::embedded(&live).unwrap();
    let report = pollster::block_on(check_store(&*store, 0, &key, None, &mut |_, _| {})).unwrap();
    let found = |finding: &trust_engine::log::Finding| finding.damage == Damage::RolledBack;
    assert!(report.findings.iter().any(found), "{report}");
    drop(store);
    // The older copy can still be read and exported.
    assert_eq!(pollster::block_on(storage::embedded(&live).unwrap().head(0)).unwrap().size, ENTRIES);
}

/// Files and folders that others put there: the store opens, or the error names what is in its way. The process lives on, and
/// nothing of theirs is deleted.
#[test]
fn strange_names_in_the_stores_folders_are_passed_over_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    store(&live);
    let mut folders = vec![live.clone()];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        let inside = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        folders.extend(inside.filter(|path| path.is_dir()));
        at += 1;
    }
    assert!(folders.len() > 10, "{folders:?}");
    let mut refused = 0;
    for folder in &folders {
        for name in [
            "lost+found",
            ".DS_Store",
            "._1",
            "5 (copy)",
            "1.jnl.bak",
            "copy.jnl",
            "01.jnl",
            "verify.log",
            "-1",
            "7x",
        ] {
            for is_folder in [false, true] {
                let stray = folder.join(name);
                if is_folder {
                    fs::create_dir(&stray).unwrap()
                } else {
                    fs::write(&stray, "x").unwrap()
                }
                match Engine::open(Options::embedded(&live)) {
                    Ok(engine) => engine.close(),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Foreign, "{}: {error:?}", stray.display());
                        assert!(error.to_string().contains(stray.to_str().unwrap()), "{error}");
                        refused += 1;
                    }
                }
                assert!(stray.exists(), "{} was deleted", stray.display());
                if is_folder { fs::remove_dir(&stray).unwrap() } else { fs::remove_file(&stray).unwrap() }
            }
        }
    }
    assert!(refused > 0);
    assert!(Engine::open(Options::embedded(&live)).unwrap().log().verify(None).unwrap().is_clean());
}

#[test]
fn a_store_whose_making_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    fs::create_dir_all(live.join("db")).unwrap();
    for file in ["LOCK", "MARK", "db/0.jnl"] {
        fs::write(live.join(file), [0; 64]).unwrap();
    }
    let engine = Engine::open(Options::embedded(&live)).unwrap();
    record(&engine, 3);
    engine.close();
    drop(engine);
    assert!(Engine::open(Options::embedded(&live)).unwrap().log().verify(None).unwrap().is_clean());
}

#[test]
fn a_missing_or_damaged_high_water_mark_is_refused_and_half_of_it_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    store(&live);
    let mark = live.join("MARK");
    let whole = fs::read(&mark).unwrap();
    for (name, change) in [("first", 0..512), ("second", 512..1024)] {
        let mut torn = whole.clone();
        torn[change].fill(0xA5);
        fs::write(&mark, torn).unwrap();
        drop(Engine::open(Options::embedded(&live)).unwrap_or_else(|error| panic!("{name}: {error}")));
        fs::write(&mark, &whole).unwrap();
    }
    fs::write(&mark, [7; 1024]).unwrap();
    assert_eq!(Engine::open(Options::embedded(&live)).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_file(&mark).unwrap();
    assert_eq!(Engine::open(Options::embedded(&live)).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// The outcome for a store with one damaged place.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    Found,
    Harmless,
}

fn outcome(folder: &Path, key: &VerifierKey) -> Outcome {
    let opened = std::panic::catch_unwind(|| Engine::open(Options::embedded(folder)));
    let engine = match opened.unwrap_or_else(|_| panic!("opening a damaged store panicked")) {
        Err(error) => {
            assert!(!error.is_retryable() && !error.to_string().is_empty(), "{error:?}");
            return Outcome::Refused;
        }
        Ok(engine) => engine,
    };
    drop(engine);
    let store = storage::embedded(folder).unwrap();
    match pollster::block_on(check_store(&*store, 0, key, None, &mut |_, _| {})) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            Outcome::Found
        }
        Ok(report) if !report.is_clean() => Outcome::Found,
        Ok(report) => {
            assert_eq!((report.entries, report.payloads), (ENTRIES, ENTRIES), "entries vanished unnoticed");
            Outcome::Harmless
        }
    }
}

/// Damages places spread over every file of the database, one at a time; many more with `TRUST_ENGINE_HEAVY=1`.
fn damage(change: impl Fn(&mut [u8], usize)) -> [usize; 3] {
    let places = if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 200 } else { 4 };
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let key = store(&live);
    let whole = Snapshot::of(&live);
    let mut counts = [0; 3];
    for (path, bytes, _) in whole.0.iter().filter(|(path, _, _)| path.starts_with("db")) {
        let places = places.min(bytes.len());
        for at in (0..places).map(|place| place * bytes.len() / places) {
            let mut damaged = bytes.clone();
            change(&mut damaged, at);
            if damaged == *bytes {
                continue;
            }
            whole.restore(&live);
            let mut file = fs::OpenOptions::new().write(true).open(live.join(path)).unwrap();
            file.write_all(&damaged).unwrap();
            let outcome = std::panic::catch_unwind(|| outcome(&live, &key))
                .unwrap_or_else(|_| panic!("byte {at} of {} of {}", bytes.len(), path.display()));
            counts[outcome as usize] += 1;
        }
    }
    println!("refused, found, harmless: {counts:?}");
    counts
}

#[test]
fn a_flipped_bit_in_the_database_is_refused_found_or_harmless() {
    let [refused, _, _] = damage(|bytes, at| bytes[at] ^= 1 << (at % 8));
    assert!(refused > 0, "no flipped bit was ever noticed");
}

#[test]
fn a_zeroed_page_in_the_database_is_refused_found_or_harmless() {
    let [refused, _, _] = damage(|bytes, at| {
        let page = at / 4096 * 4096;
        let end = bytes.len().min(page + 4096);
        bytes[page..end].fill(0);
    });
    assert!(refused > 0, "no zeroed page was ever noticed");
}
