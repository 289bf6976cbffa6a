//! The tables of the layout.

/// A table of keys in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::storage) enum Table {
    /// Head and owner of each shard.
    Meta,
    /// Place (shard, index) → entry bytes.
    Entries,
    /// Place → salt and payload.
    Payloads,
    /// (Shard, tile level, start) → run of hashes.
    Hashes,
    /// (Shard, size) → signed checkpoint.
    Checkpoints,
    /// (Record id, organization) → place.
    ById,
    /// (Organization, agent, place) → type and decision.
    ByAgent,
    /// (Organization, type, decision, place) → nothing.
    ByClass,
    /// (Parent id, organization, place) → nothing.
    ByParent,
    /// (Shard, time, index) of the first entry of each commit → nothing.
    ByTime,
    /// (Kind, organization, id) → document.
    Documents,
    /// Documents by age, by tag and by due time → nothing; see the keys.
    DocumentIndex,
    /// (Organization, bucket, shard) → counters.
    Stats,
    /// Follower → its claim and position; (follower, organization, key) → state of its rows.
    Followers,
    /// Rows that an engine keeps for itself: the overflow rows of long values.
    Overflow,
    /// Counter → account.
    Counters,
}

impl Table {
    pub(in crate::storage) const ALL: [Self; 16] = [
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
        Self::Documents,
        Self::DocumentIndex,
        Self::Stats,
        Self::Followers,
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
            Self::Documents => "documents",
            Self::DocumentIndex => "document_index",
            Self::Stats => "stats",
            Self::Followers => "followers",
            Self::Overflow => "parts",
            Self::Counters => "counters",
        }
    }
}
