//! A full disk and a read-only folder: typed errors, nothing half-written, and work again afterwards.
//!
//! Both need a small file system of their own, so they need root on Linux; elsewhere the test says that it did not run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use trust_engine::blocking::Engine;
use trust_engine::{Decision, ErrorKind, NewRecord, Options, RecordType};

/// A mounted tmpfs, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_work_goes_on_after_space_returns() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(folder.path(), "256m") else {
        writeln!(std::io::stderr(), "NOT RUN: the full-disk test needs the right to mount a tmpfs").unwrap();
        return;
    };
    // The journal takes its space in advance, so the disk must have room for it before it fills.
    let store = folder.path().join("store");
    let engine = Engine::open(Options::embedded(&store)).unwrap();
    let record =
        |n: usize| NewRecord::new(RecordType::Alert, "a", Decision::Deny).reason(format!("{n:04000}"));
    let mut acknowledged = vec![engine.log().record(record(0)).unwrap()];
    let ballast = folder.path().join("ballast");
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
    let folder = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(folder.path(), "64m,ro") else {
        writeln!(std::io::stderr(), "NOT RUN: the read-only test needs the right to mount a tmpfs").unwrap();
        return;
    };
    let error = Engine::open(Options::embedded(folder.path().join("store"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
}
