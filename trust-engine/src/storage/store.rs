//! The contract of a store.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::batch::{Batch, Committed, Head, Shard, StatCounts, StatsDelta};
use super::document::{Document, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace};
use super::follower_state::{FollowerClaim, FollowerKey, FollowerRow};
use super::relay::Listener;
use super::search::{DecodedRecord, Scan, Scanned, StoredRecord};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, HashRange};

pub(crate) fn uncovered(index: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("entry {index} has no checkpoint that covers it"))
        .with("index", index)
}

/// The log, the documents and the statistics of one deployment.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A short name for messages: `memory`, `embedded`…
    fn name(&self) -> &'static str;

    /// Whether others may write while an engine has it open, so that a value that was read can become outdated
    /// unnoticed.
    fn is_shared(&self) -> bool {
        true
    }

    /// Whether a commit says [`Committed::Duplicate`] for every id that its organization has, in any shard, so that ids that
    /// are hardly ever there need not be looked up first.
    fn refuses_taken_ids(&self) -> bool {
        false
    }

    /// A copy to search instead, which may be behind; `None` if there is none.
    fn replica(&self) -> Option<&dyn Store> {
        None
    }

    /// Warnings for the operator: promises that this store cannot keep as it is set up.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells a listener of changes that others make, as soon as it can. No engine relies on it: an engine that was
    /// not told of a change finds it by looking, every half second.
    fn listen(&self, _: Listener) {}

    /// Takes over a shard, also from another owner, and gives its head. `owner` names the engine that will write.
    ///
    /// # Behavior
    /// - The first claim of a shard gives the empty head with epoch 1, at a time that no reader who goes by time can have
    ///   passed: none passes the earliest of the open shards.
    /// - Every claim raises the epoch by one and changes nothing else.
    /// - After a claim, a commit with an earlier epoch is [`Committed::Fenced`].
    /// - After a commit whose outcome is unknown, the head says whether it happened, and will not change any more.
    async fn claim(&self, shard: Shard, owner: Uuid) -> Result<Head>;

    /// Claims a shard that has no owner, or whose owner gave no sign for `patience`; if there is none, a new one.
    ///
    /// # Behavior
    /// - A shard that `owner` holds already comes first.
    /// - A store that can have only one shard gives it, also if another owner holds it.
    /// - Never gives one of `except`, unless the store can have only one.
    /// - A new shard is of the era of the last one.
    /// - Commits and renewals are signs, by the store's clock.
    async fn claim_free(&self, owner: Uuid, patience: Duration, except: &[Shard]) -> Result<Head>;

    /// Claims a shard again, if it is still the owner's; `None` if another has taken it.
    ///
    /// # Behavior
    /// - Raises the epoch as a claim does; `None` changes nothing.
    /// - Either way a commit that was on its way before has happened or never will.
    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>>;

    /// A sign of life from a shard's owner, who will commit no entry with an earlier time than `time`. Says whether the shard is
    /// still the owner's, and gives the time by the store's clock either way.
    ///
    /// # Behavior
    /// - Raises the head's time to `time`; it never lowers it.
    /// - A commit with a time below the head's is [`Committed::Fenced`].
    /// - A store without a clock gives `time` back.
    async fn renew(&self, shard: Shard, owner: Uuid, time: Timestamp) -> Result<(bool, Timestamp)>;

    /// Raises the time of the shards that nobody owns, or whose owner gave no sign for `patience`, to the earliest time of
    /// the other shards, so that readers who go by time need not wait for them.
    ///
    /// # Behavior
    /// - Never lowers a time, and does nothing where every shard is like that.
    async fn raise_idle(&self, patience: Duration) -> Result<()>;

    /// Closes a shard's log for ever; the next [`claim_free`](Self::claim_free) goes on in another shard.
    ///
    /// # Behavior
    /// - No claim, sign or commit changes a sealed shard; a claim of it is an error of kind
    ///   [`Fenced`](crate::ErrorKind::Fenced).
    /// - Only the owner of the claim with this epoch seals it; `false` if another has claimed it since.
    /// - A shard that comes later begins at a time that none before it has passed.
    async fn seal(&self, shard: Shard, epoch: u64) -> Result<bool>;

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

    /// The number of entries that were ever acknowledged, by a memory that damage to the log does not reach.
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
    /// - A change of a document from an outdated version is a [`Committed::Conflict`] that names every such change;
    ///   nothing is written.
    /// - Two changes of the same document in one batch apply one after the other.
    /// - A succession seals every open shard with the batch, and makes its own, which begins at its time and is free to be
    ///   claimed. If there is a shard behind the last one that the succession knows, it is [`Committed::ShardTaken`], and
    ///   nothing is written.
    /// - Statistics are added to the stored ones.
    /// - A batch without entries keeps the head's size and root and is still written.
    /// - A batch with an outdated claim of a follower is [`Committed::Outdated`], which names every such claim; nothing is
    ///   written.
    /// - A batch with an entry whose id its organization has in another shard is [`Committed::Duplicate`]; nothing is
    ///   written.
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

    /// The record of an organization with an id.
    ///
    /// # Behavior
    /// - An unknown id is `None`, and so is one that only other organizations have.
    async fn record_by_id(&self, organization: &OrganizationId, id: Uuid) -> Result<Option<DecodedRecord>>;

    /// The organizations that have a record with an id, in order, at most `limit`.
    ///
    /// # Behavior
    /// - An unknown id gives nothing.
    async fn organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>>;

    /// Records of an organization that follow from one another: the one with this id, its parent, and so on, at most `limit`.
    ///
    /// # Behavior
    /// - Ends with the record that names no parent, or one that is not there; an unknown id gives nothing.
    async fn ancestry(
        &self,
        organization: &OrganizationId,
        id: Uuid,
        limit: usize,
    ) -> Result<Vec<DecodedRecord>> {
        let mut found = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|_| found.len() < limit) {
            let Some(record) = self.record_by_id(organization, id).await? else { break };
            next = record.entry.parent.map(|parent| parent.id);
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
            // An entry between another one and the checkpoint of that one has the same checkpoint.
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

    /// A document.
    ///
    /// # Behavior
    /// - A document of another organization or kind is `None`, even with the same id.
    async fn document(&self, key: &DocumentKey) -> Result<Option<Document>>;

    /// The version of a document; 0 if there is none.
    async fn document_version(&self, key: &DocumentKey) -> Result<u64> {
        Ok(self.document(key).await?.map_or(0, |document| document.version))
    }

    /// Documents of a filter in the order of (created, id), after a place, at most `limit`.
    ///
    /// # Behavior
    /// - Successive calls with the place that the last one gave give every document once that has the tags all the
    ///   while, whatever else is changed, added or removed meanwhile.
    /// - Does a bounded amount of work per call; a page may be short although there is more.
    async fn documents(
        &self,
        filter: &DocumentFilter,
        after: Option<&DocumentPlace>,
        limit: usize,
    ) -> Result<DocumentPage>;

    /// The number of documents of a filter, or `most` if there are more.
    ///
    /// # Behavior
    /// - Does a bounded amount of work; where that does not suffice, the error is of kind
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput).
    async fn count_documents(&self, filter: &DocumentFilter, most: u64) -> Result<u64>;

    /// Documents of a kind, over all organizations, that are due at or before `now`, the longest due first, at most
    /// `limit`.
    async fn due_documents(&self, kind: DocumentKind, now: Timestamp, limit: usize) -> Result<Vec<Document>>;

    /// All documents in the order of their keys, after one, at most `limit`.
    async fn all_documents(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Document>>;

    /// Claims a follower that has no owner, or whose owner gave no sign for `patience`; `None` if another has it. Beside
    /// the claim, the position that was written last: empty for a follower without one.
    ///
    /// # Behavior
    /// - `owner` gets a follower that is its own at once, with a new epoch; the earlier claim is outdated then.
    /// - A store that one engine has open at a time gives the claim always.
    async fn claim_follower(
        &self,
        follower: &str,
        owner: Uuid,
        patience: Duration,
    ) -> Result<Option<(FollowerClaim, String)>>;

    /// A sign of life from a follower's owner. `false` if the claim is outdated.
    async fn renew_follower(&self, claim: &FollowerClaim) -> Result<bool>;

    /// Lets go of a follower, so that the next claim may have it at once.
    ///
    /// # Behavior
    /// - An outdated claim changes nothing.
    async fn release_follower(&self, claim: &FollowerClaim) -> Result<()>;

    /// Writes rows of a follower and its position, all of it or nothing. `false` if the claim is outdated: nothing was
    /// written.
    ///
    /// # Behavior
    /// - Is a sign of life as well.
    /// - Of two rows with one key the later one counts.
    async fn write_follower(
        &self,
        claim: &FollowerClaim,
        rows: Vec<FollowerRow>,
        position: &str,
    ) -> Result<bool>;

    /// The states of a follower's rows, in the order of the keys; `None` for a row that is not there.
    async fn follower_rows(&self, follower: &str, keys: &[FollowerKey]) -> Result<Vec<Option<Vec<u8>>>>;

    /// The rows of a follower in the order of their keys, after one, at most `limit`.
    async fn all_follower_rows(
        &self,
        follower: &str,
        after: Option<&FollowerKey>,
        limit: usize,
    ) -> Result<Vec<(FollowerKey, Vec<u8>)>>;

    /// The names of the followers that were ever claimed, in order.
    async fn followers(&self) -> Result<Vec<String>>;

    /// The statistics of each organization and bucket, over all shards, in the order of (organization, bucket), after
    /// one, at most `limit`.
    async fn all_stats(&self, after: Option<&StatsDelta>, limit: usize) -> Result<Vec<StatsDelta>>;

    /// Copies the store, as it is at one instant, into a new folder, while it is in use.
    ///
    /// # Behavior
    /// - A store that is on another machine gives an error of kind [`Unsupported`](crate::ErrorKind::Unsupported): it has
    ///   tools of its own.
    async fn backup(&self, _folder: &Path) -> Result<()> {
        let issue = format!("the {} store is backed up with its own tools", self.name());
        Err(Error::new(ErrorKind::Unsupported, issue))
    }

    /// Copies the store into a new folder in which its log goes on in another shard: one that no other life of it writes,
    /// `above` the next one. For the restore of a backup, which was verified before.
    ///
    /// # Behavior
    /// - The shard that was written is sealed in the copy.
    async fn restore(&self, _folder: &Path, _above: u32) -> Result<()> {
        let issue = format!("the {} store is restored with its own tools", self.name());
        Err(Error::new(ErrorKind::Unsupported, issue))
    }

    /// Statistics of an organization (`None`: of all), summed over the buckets that begin in `[from, to)` seconds.
    ///
    /// # Behavior
    /// - Buckets without counts add nothing.
    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts>;
}
