//! The conformance suite on the adapters of this crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use trust_engine::storage;

#[test]
fn the_memory_store_keeps_the_contract() {
    storage::conformance::run(storage::memory);
    println!("conformance: ran on memory");
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    storage::conformance::run(|| {
        count.set(count.get() + 1);
        storage::embedded(&folder.path().join(count.get().to_string())).unwrap()
    });
    println!("conformance: ran on embedded");
}
