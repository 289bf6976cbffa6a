//! The tables of the layout.

/// A table of keys in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::storage) enum Table {
    /// The log's head and owner.
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
    /// Rows that an engine keeps for itself: the overflow rows of long values.
    Overflow,
    /// Counter → account.
    Counters,
}

impl Table {
    pub(in crate::storage) const ALL: [Self; 15] = [
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
        Self::Overflow,
        Self::Counters,
    ];

    #[cfg(feature = "embedded")]
    pub(in crate::storage) fn name(self) -> &'static str {
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
            Self::Overflow => "parts",
            Self::Counters => "counters",
        }
    }
}
