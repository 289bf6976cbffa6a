//! The store's methods, each handed to the adapter's runtime.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::config::Checked;
use super::connection::{Database, Purpose};
use super::{documents, followers, listen, log, scan, shards, stats};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::provenance::{Hash, HashRange, RecordType};
use crate::storage::{
    Batch, Committed, DecodedRecord, Document, DocumentFilter, DocumentKey, DocumentKind, DocumentPage,
    DocumentPlace, Filter, FollowerClaim, FollowerKey, FollowerRow, Head, Listener, Scan, Scanned, Shard,
    StatCounts, StatsDelta, Store, StoredRecord, check_follower,
};

pub(super) struct PostgresStore {
    pub(super) database: Arc<Database>,
    pub(super) config: Checked,
    pub(super) replica: Option<Box<PostgresStore>>,
    pub(super) warnings: Vec<String>,
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn refuses_taken_ids(&self) -> bool {
        true
    }

    fn replica(&self) -> Option<&dyn Store> {
        self.replica.as_deref().map(|replica| replica as &dyn Store)
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn listen(&self, on_change: Listener) {
        self.database.spawn(listen::listen(self.config.clone(), on_change));
    }

    async fn claim(&self, shard: Shard, owner: Uuid) -> Result<Head> {
        self.database.run(Purpose::Write, move |connection| shards::claim(connection, shard, owner)).await
    }

    async fn claim_free(&self, owner: Uuid, patience: Duration, except: &[Shard]) -> Result<Head> {
        let except = except.iter().copied().map(i64::from).collect();
        self.database
            .run(Purpose::Write, move |connection| shards::claim_free(connection, owner, patience, except))
            .await
    }

    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
        self.database.run(Purpose::Write, move |connection| shards::reclaim(connection, shard, owner)).await
    }

    async fn renew(&self, shard: Shard, owner: Uuid, time: Timestamp) -> Result<(bool, Timestamp)> {
        self.database
            .run(Purpose::Sign, move |connection| shards::renew(connection, shard, owner, time))
            .await
    }

    async fn raise_idle(&self, patience: Duration) -> Result<()> {
        self.database.run(Purpose::Write, move |connection| shards::raise_idle(connection, patience)).await
    }

    async fn seal(&self, shard: Shard, epoch: u64) -> Result<bool> {
        self.database.run(Purpose::Write, move |connection| shards::seal(connection, shard, epoch)).await
    }

    async fn release(&self, shard: Shard, owner: Uuid) -> Result<()> {
        self.database.run(Purpose::Write, move |connection| shards::release(connection, shard, owner)).await
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        self.database.run(Purpose::Fact, shards::heads).await
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.database.run(Purpose::Fact, move |connection| shards::head(connection, shard)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        self.database.run(Purpose::Write, move |connection| log::commit(connection, batch)).await
    }

    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        let ranges = ranges.to_vec();
        self.database.run(Purpose::Fact, move |connection| log::hashes(connection, shard, ranges)).await
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        let read = move |connection| log::records(connection, shard, start, limit);
        // The end of a log, which is checked when it is claimed.
        let purpose = if limit <= 2 { Purpose::Fact } else { Purpose::Search };
        self.database.run(purpose, read).await
    }

    async fn record_by_id(&self, organization: &OrganizationId, id: Uuid) -> Result<Option<DecodedRecord>> {
        let organization = organization.clone();
        let read = move |connection| log::record_by_id(connection, organization, id);
        self.database.run(Purpose::Fact, read).await?.map(StoredRecord::decode).transpose()
    }

    async fn organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>> {
        self.database.run(Purpose::Fact, move |connection| log::organizations_of(connection, id, limit)).await
    }

    async fn ancestry(
        &self,
        organization: &OrganizationId,
        id: Uuid,
        limit: usize,
    ) -> Result<Vec<DecodedRecord>> {
        let organization = organization.clone();
        let read = move |connection| log::ancestry(connection, organization, id, limit);
        decoded(self.database.run(Purpose::Search, read).await?)
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned> {
        let scan = scan.clone();
        // All changes of documents: what an engine asks that keeps its facts up to date.
        let follows = [RecordType::Agent, RecordType::State]
            .map(|kind| Filter { kind: Some(kind), ..Filter::default() })
            .contains(&scan.filter);
        let read = move |connection| scan::scan(connection, scan);
        let purpose = if follows { Purpose::Fact } else { Purpose::Search };
        let (records, rest) = self.database.run(purpose, read).await?;
        Ok(Scanned { records: decoded(records)?, rest })
    }

    async fn checkpoints(&self, shard: Shard, size: u64, limit: usize) -> Result<Vec<(u64, String)>> {
        self.database
            .run(Purpose::Fact, move |connection| log::checkpoints(connection, shard, size, limit))
            .await
    }

    async fn covering(&self, shard: Shard, indexes: &[u64]) -> Result<Vec<(u64, String)>> {
        let indexes = indexes.to_vec();
        self.database.run(Purpose::Fact, move |connection| log::covering(connection, shard, indexes)).await
    }

    async fn document(&self, key: &DocumentKey) -> Result<Option<Document>> {
        let key = key.clone();
        self.database.run(Purpose::Fact, move |connection| documents::document(connection, key)).await
    }

    async fn document_version(&self, key: &DocumentKey) -> Result<u64> {
        let key = key.clone();
        self.database.run(Purpose::Fact, move |connection| documents::version(connection, key)).await
    }

    async fn documents(
        &self,
        filter: &DocumentFilter,
        after: Option<&DocumentPlace>,
        limit: usize,
    ) -> Result<DocumentPage> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.database
            .run(Purpose::Search, move |connection| documents::documents(connection, filter, after, limit))
            .await
    }

    async fn count_documents(&self, filter: &DocumentFilter, most: u64) -> Result<u64> {
        let filter = filter.clone();
        self.database.run(Purpose::Search, move |connection| documents::count(connection, filter, most)).await
    }

    async fn due_documents(&self, kind: DocumentKind, now: Timestamp, limit: usize) -> Result<Vec<Document>> {
        self.database
            .run(Purpose::Search, move |connection| documents::due(connection, kind, now, limit))
            .await
    }

    async fn all_documents(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Document>> {
        let after = after.cloned();
        self.database.run(Purpose::Search, move |connection| documents::all(connection, after, limit)).await
    }

    async fn followers(&self) -> Result<Vec<String>> {
        self.database.run(Purpose::Search, followers::names).await
    }

    async fn all_stats(&self, after: Option<&StatsDelta>, limit: usize) -> Result<Vec<StatsDelta>> {
        let after = after.cloned();
        self.database.run(Purpose::Search, move |connection| stats::all(connection, after, limit)).await
    }

    async fn claim_follower(
        &self,
        follower: &str,
        owner: Uuid,
        patience: Duration,
    ) -> Result<Option<(FollowerClaim, String)>> {
        check_follower(follower)?;
        let follower = follower.to_owned();
        self.database
            .run(Purpose::Write, move |connection| followers::claim(connection, follower, owner, patience))
            .await
    }

    async fn renew_follower(&self, claim: &FollowerClaim) -> Result<bool> {
        let claim = claim.clone();
        self.database.run(Purpose::Write, move |connection| followers::renew(connection, claim)).await
    }

    async fn release_follower(&self, claim: &FollowerClaim) -> Result<()> {
        let claim = claim.clone();
        self.database.run(Purpose::Write, move |connection| followers::release(connection, claim)).await
    }

    async fn write_follower(
        &self,
        claim: &FollowerClaim,
        rows: Vec<FollowerRow>,
        position: &str,
    ) -> Result<bool> {
        let (claim, position) = (claim.clone(), position.to_owned());
        self.database
            .run(Purpose::Write, move |connection| followers::write(connection, claim, rows, position))
            .await
    }

    async fn follower_rows(&self, follower: &str, keys: &[FollowerKey]) -> Result<Vec<Option<Vec<u8>>>> {
        let (follower, keys) = (follower.to_owned(), keys.to_vec());
        self.database
            .run(Purpose::Search, move |connection| followers::rows(connection, follower, keys))
            .await
    }

    async fn all_follower_rows(
        &self,
        follower: &str,
        after: Option<&FollowerKey>,
        limit: usize,
    ) -> Result<Vec<(FollowerKey, Vec<u8>)>> {
        let (follower, after) = (follower.to_owned(), after.cloned());
        self.database
            .run(Purpose::Search, move |connection| followers::all(connection, follower, after, limit))
            .await
    }

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts> {
        let organization = organization.cloned();
        self.database
            .run(Purpose::Search, move |connection| stats::stats(connection, organization, from, to))
            .await
    }
}

/// Decodes records on the caller's thread: the adapter's own drives the commits as well.
fn decoded(records: Vec<StoredRecord>) -> Result<Vec<DecodedRecord>> {
    records.into_iter().map(StoredRecord::decode).collect()
}
