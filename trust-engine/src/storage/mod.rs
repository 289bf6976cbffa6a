//! Where the log and the state live.
//!
//! [`Store`] is one trait for the log, the state and the statistics, because they commit together: a change of state
//! and its record are one batch in one transaction. Adapters know nothing of the engine. What each method promises is
//! listed under *Behavior*, and every line of those lists is a test of the suite in `storage::conformance` (feature
//! `testing`), which also runs on an adapter of your own.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
pub mod counter_conformance;
mod counters;
#[cfg(feature = "embedded")]
mod embedded;
#[cfg(any(test, feature = "testing"))]
mod failing;
mod kv;
mod ledger;
mod memory;
mod memory_counters;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod relay;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod rounds;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod runtime;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agent::Agent;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{Decision, PolicyHash};
use crate::provenance::{Entry, Hash, HashRange, Payload, RecordType};

#[cfg(feature = "redis")]
pub use self::redis::{Redis, redis, redis_alone};
#[cfg(all(feature = "redis", any(test, feature = "testing")))]
pub use self::redis::{redis_alone_at, redis_at};
pub use counters::*;
#[cfg(feature = "embedded")]
pub(crate) use embedded::key_file;
#[cfg(feature = "embedded")]
pub use embedded::{embedded, embedded_with_counters, is_embedded_store};
#[cfg(any(test, feature = "testing"))]
pub use failing::{FailingCounters, FailingStore, Fault};
pub use memory::memory;
pub use memory_counters::memory_counters;
#[cfg(all(feature = "postgres", any(test, feature = "testing")))]
pub use postgres::postgres_at;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, postgres};
pub use relay::{Change, Listener, Relay};

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
    /// Time of the last entry.
    pub time: Timestamp,
    /// The signed checkpoint of exactly this size and root; empty for a log that has never been written.
    pub note: String,
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

/// A change of state that commits with its record.
#[derive(Clone, Debug)]
pub enum StateChange {
    /// Stores an agent, if the stored one has the version before (`None`: if there is none).
    Agent {
        /// Version of the stored agent that the change was made from.
        expected: Option<u64>,
        /// The agent as it is to be.
        agent: Box<Agent>,
    },
    /// Brings a policy into force, as the version after `expected`.
    Policy {
        /// Number of the policy in force that the change was made from; 0 for none.
        expected: u64,
        /// The policy that is to be in force.
        policy: Box<StoredPolicy>,
    },
}

/// A version of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPolicy {
    /// Counts versions from 1.
    pub version: u64,
    /// Hash of the document.
    #[serde(with = "crate::provenance::hex_hash")]
    pub hash: Hash,
    /// Canonical JSON of the document.
    pub document: String,
    /// When it came into force.
    pub since: Timestamp,
}

impl StoredPolicy {
    /// The hash as records name it.
    pub fn policy_hash(&self) -> PolicyHash {
        PolicyHash::from_bytes(*self.hash.as_bytes())
    }
}

/// Named counters.
pub type Counters = BTreeMap<String, u64>;

/// Length of a bucket of statistics.
pub const STATS_BUCKET_SECONDS: i64 = 300;

/// Counts to add to a bucket of an organization's statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsDelta {
    /// The organization.
    pub organization: OrganizationId,
    /// Start of the bucket in seconds since the epoch, a multiple of [`STATS_BUCKET_SECONDS`].
    pub bucket: i64,
    /// What to add.
    pub counters: Counters,
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
    /// State changes.
    pub changes: Vec<StateChange>,
    /// Statistics.
    pub stats: Vec<StatsDelta>,
}

/// How a commit came out, where it came out at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Everything is durable.
    Yes,
    /// Nothing was written: these state changes (places in the batch) were made from an outdated version.
    Conflict(Vec<usize>),
    /// Nothing was written: an entry's id is in the log of another shard. Only stores with several shards say so.
    Duplicate,
    /// Nothing was written: the shard has another owner, or another head than the batch was built on.
    Fenced,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The shard.
    pub shard: Shard,
    /// Index in the shard's log.
    pub index: u64,
    /// Exact bytes of the entry.
    pub entry: Vec<u8>,
    /// The payload, unless it is gone.
    pub payload: Option<Payload>,
}

/// Which records to find; what is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Filter {
    pub organization: Option<OrganizationId>,
    pub agent: Option<AgentId>,
    pub kind: Option<RecordType>,
    pub decision: Option<Decision>,
    /// Earliest time, inclusive.
    pub from: Option<Timestamp>,
    /// Latest time, exclusive.
    pub to: Option<Timestamp>,
    pub parent: Option<Uuid>,
}

impl Filter {
    /// Whether an entry passes.
    pub fn accepts(&self, entry: &Entry) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        }
        is(&self.organization, Some(&entry.organization))
            && is(&self.agent, entry.agent.as_ref())
            && is(&self.kind, Some(&entry.kind))
            && is(&self.decision, entry.decision.as_ref())
            && is(&self.parent, entry.parent.as_ref().map(|parent| &parent.id))
            && self.from.is_none_or(|from| from <= entry.time)
            && self.to.is_none_or(|to| entry.time < to)
    }
}

/// A part of a shard's log: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ShardRange {
    pub shard: Shard,
    pub start: u64,
    pub end: u64,
}

/// A search through a part of a shard's log.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What to find.
    pub filter: Filter,
    /// Where to look.
    pub range: ShardRange,
    /// Newest first, or oldest first.
    pub newest_first: bool,
    /// Most records to return.
    pub limit: usize,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// In the order asked for.
    pub records: Vec<StoredRecord>,
    /// Where to go on; `None` when everything was seen. A search may stop early, with fewer records than asked for.
    pub rest: Option<ShardRange>,
}

pub(crate) fn uncovered(index: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("entry {index} has no checkpoint that covers it"))
        .with("index", index)
}

/// The log, the state and the statistics of one deployment.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A short name for messages: `memory`, `embedded`…
    fn name(&self) -> &'static str;

    /// Whether others may write while an engine has it open, so that what was read can become outdated unnoticed.
    fn is_shared(&self) -> bool {
        true
    }

    /// A copy to search instead, which may be behind; `None` if there is none.
    fn replica(&self) -> Option<&dyn Store> {
        None
    }

    /// What its operator should know: promises that it cannot keep as it is set up.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells a listener of changes that others make, as soon as it can. Nobody relies on it: what it does not tell is
    /// found by looking, once a second.
    fn listen(&self, _: Listener) {}

    /// Takes over a shard, whoever holds it, and gives its head. `owner` names the engine that will write.
    ///
    /// # Behavior
    /// - The first claim of a shard gives the empty head with epoch 1.
    /// - Every claim raises the epoch by one and changes nothing else.
    /// - After a claim, a commit with an earlier epoch is [`Committed::Fenced`].
    /// - After a commit whose outcome is unknown, the head says whether it happened, and will not change any more.
    async fn claim(&self, shard: Shard, owner: Uuid) -> Result<Head>;

    /// Claims a shard that nobody holds, or whose owner gave no sign for `patience`; if there is none, a new one.
    ///
    /// # Behavior
    /// - A shard that `owner` holds already comes first.
    /// - A store that can have only one shard gives it, whoever holds it.
    /// - Commits and renewals are signs, by the store's clock.
    async fn claim_free(&self, owner: Uuid, patience: Duration) -> Result<Head>;

    /// Claims a shard again, if it is still the owner's; `None` if another has taken it.
    ///
    /// # Behavior
    /// - Raises the epoch as a claim does; `None` changes nothing.
    /// - Either way a commit that was on its way before has happened or never will.
    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>>;

    /// A sign from a shard's owner. `false` if another has taken it.
    async fn renew(&self, shard: Shard, owner: Uuid) -> Result<bool>;

    /// Lets go of a shard, so that the next [`claim_free`](Self::claim_free) may have it at once.
    ///
    /// # Behavior
    /// - A shard that is another's stays its.
    async fn release(&self, shard: Shard, owner: Uuid) -> Result<()>;

    /// The heads of all shards that were ever claimed, in order.
    async fn heads(&self) -> Result<Vec<Head>>;

    /// Reads a shard's head.
    ///
    /// # Behavior
    /// - A shard that was never claimed has the empty head with epoch 0.
    async fn head(&self, shard: Shard) -> Result<Head>;

    /// How many entries were ever acknowledged, by a memory that damage to the log does not reach.
    ///
    /// # Behavior
    /// - Never more than the head's size, unless the log lost its end.
    /// - A store without such a memory gives the head's size.
    async fn acknowledged(&self, shard: Shard) -> Result<u64> {
        Ok(self.head(shard).await?.size)
    }

    /// Writes a batch: all of it, durably, or nothing.
    ///
    /// # Behavior
    /// - After [`Committed::Yes`] every read sees the batch, and a crash does not lose it.
    /// - A batch whose `previous` is not the shard's head (epoch, size, root) is [`Committed::Fenced`]; nothing is
    ///   written.
    /// - A state change from an outdated version is a [`Committed::Conflict`] that names every such change; nothing
    ///   is written.
    /// - Two changes of the same agent in one batch apply one after the other.
    /// - Statistics are added to what is there.
    /// - A batch without entries keeps the head's size and root and is still written.
    /// - An error means that the outcome is unknown until the shard has been claimed again.
    async fn commit(&self, batch: Batch) -> Result<Committed>;

    /// Tree hashes, one list per range.
    ///
    /// # Behavior
    /// - A range that is not stored whole is an error of kind [`Corrupt`](crate::ErrorKind::Corrupt).
    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>>;

    /// Records from `start`, at most `limit`, in order.
    ///
    /// # Behavior
    /// - Records that are missing from the middle are left out; the caller sees it by the indexes.
    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>>;

    /// The record with an id.
    ///
    /// # Behavior
    /// - An unknown id is `None`.
    async fn record_by_id(&self, id: Uuid) -> Result<Option<StoredRecord>>;

    /// Records that follow from one another: the one with this id, its parent, and so on, at most `limit`.
    ///
    /// # Behavior
    /// - Ends with the record that names no parent, or one that is not there; an unknown id gives nothing.
    async fn ancestry(&self, id: Uuid, limit: usize) -> Result<Vec<StoredRecord>> {
        let mut found = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|_| found.len() < limit) {
            let Some(record) = self.record_by_id(id).await? else { break };
            next = Entry::parse(&record.entry)?.parent.map(|parent| parent.id);
            found.push(record);
        }
        Ok(found)
    }

    /// Searches the log.
    ///
    /// # Behavior
    /// - Finds exactly the records of the range that pass the filter, in order, each once over successive calls.
    /// - Returns at most `limit` records, and says where to go on.
    /// - Does a bounded amount of work per call; a page may be short although there is more.
    async fn scan(&self, scan: &Scan) -> Result<Scanned>;

    /// Signed checkpoints with a size of at least `size`, smallest first, at most `limit`.
    ///
    /// # Behavior
    /// - Every head that was ever committed has its checkpoint here.
    async fn checkpoints(&self, shard: Shard, size: u64, limit: usize) -> Result<Vec<(u64, String)>>;

    /// The signed checkpoint that was the first to cover each of the entries, with its size; in the order asked for.
    ///
    /// # Behavior
    /// - An entry that no checkpoint covers is an error of kind [`Corrupt`](crate::ErrorKind::Corrupt).
    async fn covering(&self, shard: Shard, indexes: &[u64]) -> Result<Vec<(u64, String)>> {
        let mut found: Vec<(u64, String)> = Vec::with_capacity(indexes.len());
        let mut before = u64::MAX;
        for index in indexes {
            // What is between an entry and its checkpoint has the same one.
            let same = found.last().filter(|(size, _)| (before..*size).contains(index)).cloned();
            let covering = match same {
                Some(same) => Some(same),
                None => self.checkpoints(shard, index + 1, 1).await?.into_iter().next(),
            };
            found.push(covering.ok_or_else(|| uncovered(*index))?);
            before = *index;
        }
        Ok(found)
    }

    /// A registered agent.
    ///
    /// # Behavior
    /// - An agent of another organization is `None`, even with the same id.
    async fn agent(&self, organization: &OrganizationId, id: &AgentId) -> Result<Option<Agent>>;

    /// Agents of an organization in the order of their ids, after `after`, at most `limit`.
    ///
    /// # Behavior
    /// - Successive calls with the last id seen give every agent once.
    async fn agents(
        &self,
        organization: &OrganizationId,
        after: Option<&AgentId>,
        limit: usize,
    ) -> Result<Vec<Agent>>;

    /// The policy in force.
    ///
    /// # Behavior
    /// - `None` before the first one.
    async fn policy(&self) -> Result<Option<StoredPolicy>>;

    /// The number of the policy in force; 0 before the first one.
    async fn policy_version(&self) -> Result<u64> {
        Ok(self.policy().await?.map_or(0, |policy| policy.version))
    }

    /// Versions of the policy, newest first, below `below`, at most `limit`.
    ///
    /// # Behavior
    /// - Every version that was ever in force is kept.
    async fn policies(&self, below: u64, limit: usize) -> Result<Vec<StoredPolicy>>;

    /// Statistics of an organization (`None`: of all), summed over the buckets that begin in `[from, to)` seconds.
    ///
    /// # Behavior
    /// - Buckets without counts add nothing.
    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<Counters>;
}
