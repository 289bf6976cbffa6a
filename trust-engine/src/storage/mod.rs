//! The stores of the log and the state.
//!
//! [`Store`] is one trait for the log, the documents and the statistics, because they commit together: a change of a
//! document and its record are one batch in one transaction. Adapters know nothing of the engine. The promises of each method
//! are listed under *Behavior*, and the suites in `storage::conformance` and `storage::counter_conformance` (feature
//! `testing`) test them, on an adapter of your own too.

mod batch;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod coalescer;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
mod conformance_log;
#[cfg(any(test, feature = "testing"))]
pub mod counter_conformance;
mod counters;
mod document;
#[cfg(any(test, feature = "testing"))]
mod document_conformance;
#[cfg(feature = "embedded")]
mod embedded;
#[cfg(any(test, feature = "testing"))]
mod failing;
#[cfg(any(test, feature = "testing"))]
mod follower_conformance;
mod follower_state;
mod kv;
mod memory;
mod memory_counters;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod relay;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod runtime;
mod search;
mod store;

#[cfg(feature = "redis")]
pub use self::redis::{Redis, redis, redis_best_effort};
#[cfg(all(feature = "redis", any(test, feature = "testing")))]
pub use self::redis::{redis_at, redis_best_effort_at};
pub use batch::{
    Append, Batch, Committed, HashRun, Head, STATS_BUCKET_SECONDS, Shard, StatCounts, StatsDelta, Succession,
};
pub use counters::{CounterStore, LeaseCallback, StoredAccount};
pub use document::{
    After, Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace,
    MAX_COUNT, MAX_TAGS, Tag,
};
#[cfg(feature = "embedded")]
pub(crate) use embedded::key_file;
#[cfg(feature = "embedded")]
pub use embedded::{backup_embedded, embedded, embedded_with_counters, is_embedded_store, retire_embedded};
#[cfg(any(test, feature = "testing"))]
pub use failing::{FailingCounters, FailingStore, Fault};
pub(crate) use follower_state::check_follower;
pub use follower_state::{FollowerClaim, FollowerKey, FollowerRow, MAX_ROW_BYTES};
pub use memory::memory;
pub use memory_counters::memory_counters;
#[cfg(all(feature = "postgres", any(test, feature = "testing")))]
pub use postgres::postgres_at;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, is_postgres_store, postgres};
pub use relay::{Change, Listener, Relay};
pub use search::{DecodedRecord, Filter, Scan, Scanned, ShardRange, StoredRecord};
pub use store::Store;
pub(crate) use store::uncovered;
