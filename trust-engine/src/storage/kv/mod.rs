//! A [`Store`](super::Store) over any ordered key–value engine: one layout, one set of rules, several engines.

mod contract;
#[cfg(feature = "embedded")]
mod counters;
mod documents;
mod followers;
mod keys;
mod log;
mod stats;
mod store;
mod table;
mod write_batch;

pub(super) use contract::{HighWaterMark, Kv, Pair};
#[cfg(feature = "embedded")]
pub(super) use counters::KvCounters;
pub(super) use store::KvStore;
#[cfg(feature = "embedded")]
pub(super) use store::check_mark;
pub(super) use table::Table;
pub(super) use write_batch::WriteBatch;
