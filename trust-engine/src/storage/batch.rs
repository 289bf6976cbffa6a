//! The data that a commit writes and leaves: heads, entries, changes of documents and statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::DocumentChange;
use super::follower_state::FollowerClaim;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::provenance::{Entry, Hash, Payload};

/// Number of a shard: one log with one writer.
pub type Shard = u32;

/// The end of a shard's log, as its owner last committed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The shard.
    pub shard: Shard,
    /// Counts claims; a writer with an older epoch is fenced.
    pub epoch: u64,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    #[serde(with = "crate::provenance::hex_hash")]
    pub root: Hash,
    /// No entry that is still to come has an earlier time.
    pub time: Timestamp,
    /// Whether the log is closed for ever; another shard goes on after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// Counts how often the log's time was set back: shards of a later era come after those of an earlier one, whatever
    /// their times.
    #[serde(default, skip_serializing_if = "is_first")]
    pub era: u32,
    /// The signed checkpoint of exactly this size and root; empty for a log that has never been written.
    pub note: String,
}

fn is_first(era: &u32) -> bool {
    *era == 0
}

impl Head {
    /// The head of a shard that was never written.
    pub fn empty(shard: Shard) -> Self {
        Self {
            shard,
            epoch: 0,
            size: 0,
            root: Hash::empty_tree(),
            time: Timestamp::default(),
            sealed: false,
            era: 0,
            note: String::new(),
        }
    }

    /// Whether both describe the same tree.
    pub fn same_tree(&self, other: &Self) -> bool {
        (self.shard, self.size, self.root) == (other.shard, other.size, other.root)
    }
}

/// An entry to append.
#[derive(Clone, Debug)]
pub struct Append {
    /// The decoded entry, for the indexes.
    pub entry: Entry,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// Its payload.
    pub payload: Arc<Payload>,
}

/// A run of tree hashes to store; it never crosses the edge of a tile.
#[derive(Clone, Debug)]
pub struct HashRun {
    /// Tile level.
    pub level: u8,
    /// Index of the first hash.
    pub start: u64,
    /// The hashes.
    pub hashes: Vec<Hash>,
}

/// Named counters.
pub type StatCounts = BTreeMap<String, u64>;

/// Length of a bucket of statistics.
pub const STATS_BUCKET_SECONDS: i64 = 300;

/// Counts to add to a bucket of an organization's statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsDelta {
    /// The organization.
    pub organization: OrganizationId,
    /// Start of the bucket in seconds since the epoch, a multiple of [`STATS_BUCKET_SECONDS`].
    pub bucket: i64,
    /// The counts to add.
    pub counts: StatCounts,
}

/// The end of all open shards: they are sealed with the commit, and the log goes on in a new one, which nobody owns yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The new shard: the one after the last.
    pub next: Shard,
    /// The time that it begins at; a store may let it begin later, behind every time of the same era.
    pub time: Timestamp,
    /// Its era.
    pub era: u32,
}

/// Everything that one commit writes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The head that the batch was built on.
    pub previous: Head,
    /// The head after it.
    pub head: Head,
    /// Entries, in the order of their indexes, from `previous.size`.
    pub appends: Vec<Append>,
    /// Tree hashes that became final.
    pub hashes: Vec<HashRun>,
    /// Changes of documents.
    pub changes: Vec<DocumentChange>,
    /// Statistics.
    pub stats: Vec<StatsDelta>,
    /// Claims of followers on whose behalf entries are appended.
    pub claims: Vec<FollowerClaim>,
    /// The succession that the commit brings; its head is sealed then.
    pub succession: Option<Succession>,
}

impl Batch {
    /// A batch that writes nothing and leaves the head as it is.
    pub fn on(head: Head) -> Self {
        Self {
            previous: head.clone(),
            head,
            appends: Vec::new(),
            hashes: Vec::new(),
            changes: Vec::new(),
            stats: Vec::new(),
            claims: Vec::new(),
            succession: None,
        }
    }
}

/// The outcome of a commit, where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Everything is durable.
    Yes,
    /// Nothing was written: these changes of documents (places in the batch) were made from an outdated version.
    Conflict(Vec<usize>),
    /// Nothing was written: an entry's organization has its id in another shard. Only stores with several shards say so.
    Duplicate,
    /// Nothing was written: these claims of followers (places in the batch) are outdated.
    Outdated(Vec<usize>),
    /// Nothing was written: the succession's shard is not the one after the last any more.
    ShardTaken,
    /// Nothing was written: the shard has another owner, is sealed, or has another head than the batch was built
    /// on.
    Fenced,
}
