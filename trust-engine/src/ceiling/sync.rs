//! The atomics of the slot. The model of it (`trust-engine/loom`) puts loom's in their place.

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
