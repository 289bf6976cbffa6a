//! A full disk and a read-only folder: typed errors, nothing half-written, and work again afterwards.
//!
//! Both need a small file system of their own. Without the right to mount one, the test runs itself again in a user
//! and mount namespace (`unshare`), where everybody has it; where even that is forbidden it fails, unless
//! `TRUST_ENGINE_TEST_NO_MOUNT=1` says that this is known.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trust_engine::blocking::Engine;
use trust_engine::{Decision, ErrorKind, NewRecord, Options, RecordType};

/// Set in the child that runs in a namespace.
const INSIDE: &str = "TRUST_ENGINE_TEST_INSIDE";

/// A mounted tmpfs, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

/// Runs `test` on a file system of `size`.
fn on_small_disk(name: &str, size: &str, test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(_mount) = Mount::new(folder.path(), size) {
        return test(folder.path());
    }
    assert!(
        std::env::var_os(INSIDE).is_none(),
        "no file system can be mounted even in a namespace of our own"
    );
    let again = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output();
    let done = again.as_ref().is_ok_and(|output| output.status.success());
    if !done && std::env::var_os("TRUST_ENGINE_TEST_NO_MOUNT").is_some() {
        // To the stream itself: the harness hides what `eprintln!` prints.
        let note = format!("NOT RUN: {name} may not mount a file system here\n");
        return std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    assert!(done, "{name} could not mount a file system: {again:?}");
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_work_goes_on_after_space_returns() {
    let name = "a_full_disk_loses_nothing_acknowledged_and_work_goes_on_after_space_returns";
    on_small_disk(name, "256m", fill_up);
}

fn fill_up(folder: &Path) {
    // The journal takes its space in advance, so the disk must have room for it before it fills.
    let store = folder.join("store");
    let engine = Engine::open(Options::embedded(&store)).unwrap();
    let record =
        |n: usize| NewRecord::new(RecordType::Alert, "a", Decision::Deny).reason(format!("{n:04000}"));
    let mut acknowledged = vec![engine.log().record(record(0)).unwrap()];
    let ballast = folder.join("ballast");
    let _ = std::fs::write(&ballast, vec![1u8; 300 << 20]);
    let mut failed = None;
    for n in 1..100_000 {
        match engine.log().record(record(n)) {
            Ok(receipt) => acknowledged.push(receipt),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let error = failed.expect("the disk never filled up");
    assert!(matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Unavailable), "{error:?}");
    assert!(error.is_retryable());
    std::fs::remove_file(&ballast).unwrap();
    let again = (0..40).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        engine.log().record(record(1)).ok()
    });
    acknowledged.push(again.expect("it did not work again after space returned"));
    for receipt in &acknowledged {
        assert_eq!(engine.log().get(receipt.id()).unwrap().receipt(), receipt);
    }
    let report = engine.log().verify(None).unwrap();
    assert!(report.is_clean(), "{report}");
    engine.close();
    drop(engine);
    assert!(Engine::open(Options::embedded(&store)).unwrap().log().verify(None).unwrap().is_clean());
}

#[test]
fn a_read_only_folder_is_refused_as_such() {
    on_small_disk("a_read_only_folder_is_refused_as_such", "64m,ro", |folder| {
        let error = Engine::open(Options::embedded(folder.join("store"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    });
}
