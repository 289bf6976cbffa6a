//! The atomics of the slot. The model of the slot (`trust-engine/loom`) puts loom's atomics in their place.

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
