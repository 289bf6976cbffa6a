//! The store's methods, each in terms of the tables below.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{HighWaterMark, Kv, Table, WriteBatch, keys};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, HashRange};
use crate::storage::{
    Batch, Committed, DecodedRecord, Document, DocumentFilter, DocumentKey, DocumentKind, DocumentPage,
    DocumentPlace, FollowerClaim, FollowerKey, FollowerRow, Head, Scan, Scanned, Shard, StatCounts,
    StatsDelta, Store, StoredRecord, Succession,
};

/// A store with one shard that is written, the last one; those before it are sealed.
pub(in crate::storage) struct KvStore<K> {
    pub(super) kv: Arc<K>,
    /// Held from the checks of a claim or commit to its write, so that the checks still hold then. It is taken before
    /// any lock of the engine.
    writing: Mutex<()>,
}

impl<K: Kv> KvStore<K> {
    pub(in crate::storage) fn new(kv: Arc<K>) -> Self {
        Self { kv, writing: Mutex::new(()) }
    }

    pub(in crate::storage) fn read_head(&self, shard: Shard) -> Result<Head> {
        match self.kv.get(Table::Meta, &keys::head(shard))? {
            Some(bytes) => decode(&bytes, "the log's head"),
            None => Ok(Head::empty(shard)),
        }
    }

    /// Claims the log: recovers the engine, checks the head against the high-water mark, and raises the epoch.
    fn claim_log(&self, owner: Uuid) -> Result<Head> {
        let writing = self.writing.lock();
        self.claim_locked(owner, &writing)
    }

    /// Takes the log while no commit and no other claim can come between.
    fn claim_locked(&self, owner: Uuid, _: &MutexGuard<'_, ()>) -> Result<Head> {
        self.kv.check_writable()?;
        self.kv.recover()?;
        if let Some(mark) = self.kv.high_water_mark()? {
            check_mark(&mark, &self.read_head(mark.shard)?)?;
        }
        let mut head = self.open_shard()?;
        head.epoch += 1;
        let mut rows = WriteBatch::default();
        rows.put(Table::Meta, &[&keys::owner(head.shard)], &[owner.as_bytes()]);
        put_head(&head, &mut rows)?;
        self.kv.write(&rows)?;
        Ok(head)
    }

    fn is_owner(&self, shard: Shard, owner: Uuid) -> Result<bool> {
        let stored = self.kv.get(Table::Meta, &keys::owner(shard))?;
        Ok(stored.as_deref() == Some(owner.as_bytes().as_slice()))
    }

    /// The shard that is written: the last one, or the one after it when that is sealed.
    fn open_shard(&self) -> Result<Head> {
        let [from, to] = keys::heads();
        let last = self.kv.range(Table::Meta, &from, &to, true, 1)?.pop();
        let Some((_, bytes)) = last else { return Ok(Head::empty(0)) };
        let last: Head = decode(&bytes, "the log's head")?;
        let after = || Head { time: last.time, era: last.era, ..Head::empty(last.shard + 1) };
        Ok(if last.sealed { after() } else { last })
    }

    /// Sets the high-water mark of a copy to the head that was committed last.
    #[cfg(feature = "embedded")]
    pub(in crate::storage) fn set_mark(&self) -> Result<()> {
        let last = self.read_heads()?.into_iter().rfind(|head| head.size > 0);
        last.map_or(Ok(()), |Head { shard, size, root, .. }| {
            self.kv.set_high_water_mark(&HighWaterMark { shard, size, root })
        })
    }

    /// Seals the shard that is written, and lets the log go on in another one: `above` the next.
    #[cfg(feature = "embedded")]
    pub(in crate::storage) fn go_on_above(&self, above: u32) -> Result<()> {
        let _writing = self.writing.lock();
        let open = self.open_shard()?;
        let next = open.shard.saturating_add(1).saturating_add(above);
        let (time, era, mut rows) = (open.time, open.era, WriteBatch::default());
        put_head(&Head { sealed: true, epoch: open.epoch.max(1), ..open }, &mut rows)?;
        // As if it had been claimed, so that all who list shards see it.
        put_head(&Head { time, era, epoch: 1, ..Head::empty(next) }, &mut rows)?;
        self.kv.write(&rows)
    }

    fn read_heads(&self) -> Result<Vec<Head>> {
        let [from, to] = keys::heads();
        let rows = self.kv.range(Table::Meta, &from, &to, false, usize::MAX)?;
        rows.iter().map(|(_, bytes)| decode(bytes, "the log's head")).collect()
    }

    pub(super) fn check_shard(&self, shard: Shard) -> Result<()> {
        // The first shard is looked up nowhere, so that the checks of most stores cost nothing.
        if shard == 0 || self.read_head(shard)?.epoch > 0 || self.open_shard()?.shard == shard {
            return Ok(());
        }
        let issue = format!("is {shard}; the {} store has no such shard", self.kv.name());
        Err(Error::invalid("shard", issue))
    }
}

#[async_trait]
impl<K: Kv> Store for KvStore<K> {
    fn name(&self) -> &'static str {
        self.kv.name()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn claim(&self, shard: Shard, owner: Uuid) -> Result<Head> {
        self.check_shard(shard)?;
        if self.read_head(shard)?.sealed {
            return Err(Error::new(ErrorKind::Fenced, format!("shard {shard} is sealed")));
        }
        self.claim_log(owner)
    }

    async fn claim_free(&self, owner: Uuid, _: Duration, _: &[Shard]) -> Result<Head> {
        self.claim_log(owner)
    }

    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
        self.check_shard(shard)?;
        let writing = self.writing.lock();
        if self.is_owner(shard, owner)? && !self.read_head(shard)?.sealed {
            self.claim_locked(owner, &writing).map(Some)
        } else {
            Ok(None)
        }
    }

    async fn renew(&self, shard: Shard, owner: Uuid, time: Timestamp) -> Result<(bool, Timestamp)> {
        self.check_shard(shard)?;
        let _writing = self.writing.lock();
        let head = self.read_head(shard)?;
        if head.sealed || !self.is_owner(shard, owner)? {
            return Ok((false, time));
        }
        if head.time < time {
            let mut rows = WriteBatch::default();
            put_head(&Head { time, ..head }, &mut rows)?;
            self.kv.write(&rows)?;
        }
        Ok((true, time))
    }

    async fn raise_idle(&self, _: Duration) -> Result<()> {
        // The shards before the one that is written are sealed.
        Ok(())
    }

    async fn seal(&self, shard: Shard, epoch: u64) -> Result<bool> {
        self.check_shard(shard)?;
        let _writing = self.writing.lock();
        let head = self.read_head(shard)?;
        if head.sealed || head.epoch != epoch {
            return Ok(false);
        }
        let mut rows = WriteBatch::default();
        put_head(&Head { sealed: true, ..head }, &mut rows)?;
        self.kv.write(&rows)?;
        Ok(true)
    }

    async fn release(&self, shard: Shard, _: Uuid) -> Result<()> {
        // The next claim takes the shard anyway.
        self.check_shard(shard)
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        self.read_heads()
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.check_shard(shard)?;
        self.read_head(shard)
    }

    async fn acknowledged(&self, shard: Shard) -> Result<u64> {
        self.check_shard(shard)?;
        let mark = self.kv.high_water_mark()?.filter(|mark| mark.shard == shard);
        Ok(mark.map_or(self.read_head(shard)?.size, |mark| mark.size))
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        let _writing = self.writing.lock();
        self.check_shard(batch.head.shard)?;
        let head = self.read_head(batch.head.shard)?;
        let fenced = head.epoch != batch.previous.epoch || !head.same_tree(&batch.previous);
        if fenced || head.sealed || batch.head.time < head.time {
            return Ok(Committed::Fenced);
        }
        let outdated = self.outdated_claims(&batch.claims)?;
        if !outdated.is_empty() {
            return Ok(Committed::Outdated(outdated));
        }
        let mut rows = Self::log_rows(&batch);
        if let Err(conflicts) = self.add_documents(&batch.changes, &mut rows)? {
            return Ok(Committed::Conflict(conflicts));
        }
        self.add_stats(batch.head.shard, &batch.stats, &mut rows)?;
        if let Some(Succession { next, time, era }) = batch.succession {
            if next != batch.head.shard + 1 {
                return Ok(Committed::ShardTaken);
            }
            put_head(&Head { time, era, epoch: 1, ..Head::empty(next) }, &mut rows)?;
        }
        // The head comes last, so that a reader of the head finds everything that it vouches for.
        put_head(&batch.head, &mut rows)?;
        self.kv.write(&rows)?;
        // An error here leaves the outcome unknown to the caller although the rows are durable. It is not fatal: the
        // next claim accepts a head that is ahead of the high-water mark.
        self.kv.set_high_water_mark(&HighWaterMark {
            shard: batch.head.shard,
            size: batch.head.size,
            root: batch.head.root,
        })?;
        Ok(Committed::Yes)
    }

    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        self.check_shard(shard)?;
        self.read_hashes(shard, ranges)
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        self.check_shard(shard)?;
        self.read_records(shard, start, limit)
    }

    async fn record_by_id(&self, organization: &OrganizationId, id: Uuid) -> Result<Option<DecodedRecord>> {
        self.read_by_id(organization, id)
    }

    async fn organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>> {
        self.read_organizations_of(id, limit)
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned> {
        self.run_scan(scan)
    }

    async fn checkpoints(&self, shard: Shard, size: u64, limit: usize) -> Result<Vec<(u64, String)>> {
        self.check_shard(shard)?;
        self.read_checkpoints(shard, size, limit)
    }

    async fn document(&self, key: &DocumentKey) -> Result<Option<Document>> {
        self.read_document(key)
    }

    async fn documents(
        &self,
        filter: &DocumentFilter,
        after: Option<&DocumentPlace>,
        limit: usize,
    ) -> Result<DocumentPage> {
        self.list_documents(filter, after, limit)
    }

    async fn count_documents(&self, filter: &DocumentFilter, most: u64) -> Result<u64> {
        self.count_documents_of(filter, most)
    }

    async fn due_documents(&self, kind: DocumentKind, now: Timestamp, limit: usize) -> Result<Vec<Document>> {
        self.list_due(kind, now, limit)
    }

    async fn all_documents(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Document>> {
        self.list_all(after, limit)
    }

    async fn backup(&self, folder: &Path) -> Result<()> {
        self.kv.copy_to(folder, None)
    }

    async fn restore(&self, folder: &Path, above: u32) -> Result<()> {
        self.kv.copy_to(folder, Some(above))
    }

    async fn followers(&self) -> Result<Vec<String>> {
        self.list_followers()
    }

    async fn all_stats(&self, after: Option<&StatsDelta>, limit: usize) -> Result<Vec<StatsDelta>> {
        self.list_stats(after, limit)
    }

    async fn claim_follower(
        &self,
        follower: &str,
        _: Uuid,
        _: Duration,
    ) -> Result<Option<(FollowerClaim, String)>> {
        let _writing = self.writing.lock();
        self.claim_follower_row(follower).map(Some)
    }

    async fn renew_follower(&self, claim: &FollowerClaim) -> Result<bool> {
        Ok(self.outdated_claims(std::slice::from_ref(claim))?.is_empty())
    }

    async fn release_follower(&self, _: &FollowerClaim) -> Result<()> {
        // The next claim takes the follower anyway.
        Ok(())
    }

    async fn write_follower(
        &self,
        claim: &FollowerClaim,
        rows: Vec<FollowerRow>,
        position: &str,
    ) -> Result<bool> {
        let _writing = self.writing.lock();
        self.write_follower_rows(claim, &rows, position)
    }

    async fn follower_rows(&self, follower: &str, keys: &[FollowerKey]) -> Result<Vec<Option<Vec<u8>>>> {
        self.read_follower_rows(follower, keys)
    }

    async fn all_follower_rows(
        &self,
        follower: &str,
        after: Option<&FollowerKey>,
        limit: usize,
    ) -> Result<Vec<(FollowerKey, Vec<u8>)>> {
        self.list_follower_rows(follower, after, limit)
    }

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts> {
        self.read_stats(organization, from, to)
    }
}

/// Checks a head against the high-water mark: the head may be ahead of the mark, which is written after it, and never
/// behind.
pub(in crate::storage) fn check_mark(mark: &HighWaterMark, head: &Head) -> Result<()> {
    let issue = if head.size < mark.size {
        format!(
            "the database ends at entry {}, but {} entries were acknowledged: it was damaged or set back to an older copy",
            head.size, mark.size
        )
    } else if head.size == mark.size && head.root != mark.root {
        format!("the database holds another log of {} entries than the one that was acknowledged", head.size)
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Corrupt, format!("{issue}; nothing is signed on top of it"))
        .with("stored", head.size)
        .with("acknowledged", mark.size))
}

fn put_head(head: &Head, rows: &mut WriteBatch) -> Result<()> {
    rows.put(Table::Meta, &[&keys::head(head.shard)], &[&encode(head)?]);
    Ok(())
}

/// State is stored as JSON: it outlives versions of this crate.
pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Corrupt, "a value cannot be stored").caused_by(error))
}

pub(super) fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::Corrupt, format!("{what} cannot be read: {error}")).caused_by(error)
    })
}
