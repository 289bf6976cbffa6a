//! A [`Store`](super::Store) over any ordered key–value engine: one layout, one set of rules, several engines.

#[cfg(feature = "embedded")]
mod counters;
mod keys;
mod log;
mod puts;
mod state;
mod store;

use crate::error::Result;
use crate::provenance::Hash;

#[cfg(feature = "embedded")]
pub(super) use counters::KvCounters;
pub(super) use puts::Puts;
pub(super) use store::KvStore;

/// How far the log had come when it was last committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// A table of keys in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    /// Head and layout version.
    Meta,
    /// Index → entry bytes.
    Entries,
    /// Index → salt and payload.
    Payloads,
    /// (Tile level, start) → run of hashes.
    Hashes,
    /// Size → signed checkpoint.
    Checkpoints,
    /// Record id → index.
    ById,
    /// (Organization, agent, index) → type and decision.
    ByAgent,
    /// (Organization, type, decision, index) → nothing.
    ByClass,
    /// (Parent id, index) → nothing.
    ByParent,
    /// (Time, index) of the first entry of each commit → nothing.
    ByTime,
    /// (Organization, agent) → agent.
    Agents,
    /// Version → policy.
    Policies,
    /// (Organization, bucket) → counters.
    Stats,
    /// What an engine keeps for itself.
    Parts,
    /// Counter → account.
    Counters,
}

impl Table {
    pub(super) const ALL: [Self; 15] = [
        Self::Meta,
        Self::Entries,
        Self::Payloads,
        Self::Hashes,
        Self::Checkpoints,
        Self::ById,
        Self::ByAgent,
        Self::ByClass,
        Self::ByParent,
        Self::ByTime,
        Self::Agents,
        Self::Policies,
        Self::Stats,
        Self::Parts,
        Self::Counters,
    ];

    #[cfg(feature = "embedded")]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Entries => "entries",
            Self::Payloads => "payloads",
            Self::Hashes => "hashes",
            Self::Checkpoints => "checkpoints",
            Self::ById => "by_id",
            Self::ByAgent => "by_agent",
            Self::ByClass => "by_class",
            Self::ByParent => "by_parent",
            Self::ByTime => "by_time",
            Self::Agents => "agents",
            Self::Policies => "policies",
            Self::Stats => "stats",
            Self::Parts => "parts",
            Self::Counters => "counters",
        }
    }
}

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// An ordered key–value engine.
pub(super) trait Kv: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Pairs with `from` ≤ key < `to`, ascending or descending, at most `limit`.
    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Pair>>;

    /// Sets all rows, durably, or none. After an error the outcome is unknown until [`recover`](Self::recover).
    fn write(&self, puts: &Puts) -> Result<()>;

    /// Makes the engine usable again after an error; what was durable is there afterwards, and nothing is pending.
    fn recover(&self) -> Result<()>;

    /// Remembers a committed head where damage to the tables cannot reach it.
    fn set_mark(&self, _: &Mark) -> Result<()> {
        Ok(())
    }

    /// The head remembered last; `None` if there is none or the engine cannot lose its end.
    fn mark(&self) -> Result<Option<Mark>> {
        Ok(None)
    }
}
