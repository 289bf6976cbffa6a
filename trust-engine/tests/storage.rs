//! The conformance suite on the adapters of this crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

// Written to the stream itself, because the harness hides what `println!` prints.
use std::io::Write as _;

use trust_engine::storage;

#[test]
fn the_memory_store_keeps_the_contract() {
    storage::conformance::run(storage::memory);
    writeln!(std::io::stderr(), "conformance: ran on memory").unwrap();
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    storage::conformance::run(|| {
        count.set(count.get() + 1);
        storage::embedded(&folder.path().join(count.get().to_string())).unwrap()
    });
    writeln!(std::io::stderr(), "conformance: ran on embedded").unwrap();
}

#[test]
fn the_memory_counters_keep_the_contract() {
    storage::counter_conformance::run(storage::memory_counters);
    writeln!(std::io::stderr(), "conformance of counters: ran on memory").unwrap();
}

#[test]
fn the_embedded_counters_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    storage::counter_conformance::run(|clock| {
        count.set(count.get() + 1);
        storage::embedded_with_counters(&folder.path().join(count.get().to_string()), clock).unwrap().1
    });
    writeln!(std::io::stderr(), "conformance of counters: ran on embedded").unwrap();
}
