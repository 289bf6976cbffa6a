//! Owned followers: effects happen once, rows are folded once and in order, whatever is cut off, lost or taken over.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(unreachable_pub, reason = "tests")]

mod counter;
mod faults;
#[cfg(feature = "postgres")]
mod fleet;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod support;
