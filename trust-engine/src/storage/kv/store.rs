//! The store's methods, each in terms of the tables below.

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
    DocumentPlace, Head, Scan, Scanned, Shard, StatCounts, Store, StoredRecord,
};

/// The shard that is written.
const ONLY_SHARD: Shard = 0;

/// A store with one shard, number 0.
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

    fn read_head(&self, shard: Shard) -> Result<Head> {
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
        self.kv.recover()?;
        let mut head = self.read_head(ONLY_SHARD)?;
        if let Some(mark) = self.kv.high_water_mark()? {
            check_mark(&mark, &head)?;
        }
        head.epoch += 1;
        let mut rows = WriteBatch::default();
        rows.put(Table::Meta, &[&keys::owner(ONLY_SHARD)], &[owner.as_bytes()]);
        put_head(&head, &mut rows)?;
        self.kv.write(&rows)?;
        Ok(head)
    }

    fn is_owner(&self, owner: Uuid) -> Result<bool> {
        let stored = self.kv.get(Table::Meta, &keys::owner(ONLY_SHARD))?;
        Ok(stored.as_deref() == Some(owner.as_bytes().as_slice()))
    }

    pub(super) fn only_shard(&self, shard: Shard) -> Result<()> {
        match shard {
            ONLY_SHARD => Ok(()),
            _ => Err(Error::invalid(
                "shard",
                format!("is {shard}; the {} store has only shard 0", self.kv.name()),
            )),
        }
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
        self.only_shard(shard)?;
        self.claim_log(owner)
    }

    async fn claim_free(&self, owner: Uuid, _: Duration) -> Result<Head> {
        self.claim_log(owner)
    }

    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
        self.only_shard(shard)?;
        let writing = self.writing.lock();
        if self.is_owner(owner)? { self.claim_locked(owner, &writing).map(Some) } else { Ok(None) }
    }

    async fn renew(&self, shard: Shard, owner: Uuid) -> Result<bool> {
        self.only_shard(shard)?;
        self.is_owner(owner)
    }

    async fn release(&self, shard: Shard, _: Uuid) -> Result<()> {
        // The next claim takes the shard anyway.
        self.only_shard(shard)
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        let head = self.read_head(ONLY_SHARD)?;
        Ok(if head.epoch > 0 { vec![head] } else { Vec::new() })
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.only_shard(shard)?;
        self.read_head(shard)
    }

    async fn acknowledged(&self, shard: Shard) -> Result<u64> {
        self.only_shard(shard)?;
        Ok(self.kv.high_water_mark()?.map_or(self.read_head(shard)?.size, |mark| mark.size))
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        let _writing = self.writing.lock();
        self.only_shard(batch.head.shard)?;
        let head = self.read_head(batch.head.shard)?;
        if head.epoch != batch.previous.epoch || !head.same_tree(&batch.previous) {
            return Ok(Committed::Fenced);
        }
        let mut rows = Self::log_rows(&batch);
        if let Err(conflicts) = self.add_documents(&batch.changes, &mut rows)? {
            return Ok(Committed::Conflict(conflicts));
        }
        self.add_stats(batch.head.shard, &batch.stats, &mut rows)?;
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
        self.only_shard(shard)?;
        self.read_hashes(shard, ranges)
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        self.only_shard(shard)?;
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
        self.only_shard(shard)?;
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

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts> {
        self.read_stats(organization, from, to)
    }
}

/// Checks a head against the high-water mark: the head may be ahead of the mark, which is written after it, and never
/// behind.
fn check_mark(mark: &HighWaterMark, head: &Head) -> Result<()> {
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
