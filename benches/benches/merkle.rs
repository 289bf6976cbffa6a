//! Leaf hash and tree for entries of the usual size, and a checkpoint's signature.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trust_engine::provenance::{Checkpoint, Ed25519Signer, Frontier, Hash};

/// About what an entry of a gate takes.
const ENTRY_BYTES: usize = 330;

fn bench(criterion: &mut Criterion) {
    let entry = vec![b'e'; ENTRY_BYTES];
    let mut group = criterion.benchmark_group("merkle");
    group.throughput(Throughput::Elements(1));
    let mut frontier = Frontier::default();
    group.bench_function("leaf hash and tree", |bencher| {
        bencher.iter(|| {
            frontier.push(Hash::leaf(black_box(&entry)), |_, _, hash| {
                black_box(hash);
            })
        });
    });
    let signer = Ed25519Signer::from_seed(&[7; 32]);
    let checkpoint = Checkpoint { origin: "bench/prov/0".into(), size: 1, root: Hash::empty_tree() };
    group.bench_function("checkpoint signed", |bencher| {
        bencher.iter(|| black_box(&checkpoint).sign(&signer).unwrap());
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
