//! The store's methods, each handed to the adapter's runtime.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::config::Checked;
use super::connection::Database;
use super::{listen, log, scan, shards, state};
use crate::agent::Agent;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::provenance::{Hash, HashRange};
use crate::storage::{
    Batch, Committed, DecodedRecord, Head, Listener, Scan, Scanned, Shard, StatCounts, Store, StoredPolicy,
    StoredRecord,
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
        self.database.write(move |connection| shards::claim(connection, shard, owner)).await
    }

    async fn claim_free(&self, owner: Uuid, patience: Duration) -> Result<Head> {
        self.database.write(move |connection| shards::claim_free(connection, owner, patience)).await
    }

    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
        self.database.write(move |connection| shards::reclaim(connection, shard, owner)).await
    }

    async fn renew(&self, shard: Shard, owner: Uuid) -> Result<bool> {
        self.database.write(move |connection| shards::renew(connection, shard, owner)).await
    }

    async fn release(&self, shard: Shard, owner: Uuid) -> Result<()> {
        self.database.write(move |connection| shards::release(connection, shard, owner)).await
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        self.database.run(shards::heads).await
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.database.run(move |connection| shards::head(connection, shard)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        self.database.write(move |connection| log::commit(connection, batch)).await
    }

    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        let ranges = ranges.to_vec();
        self.database.run(move |connection| log::hashes(connection, shard, ranges)).await
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        self.database.run(move |connection| log::records(connection, shard, start, limit)).await
    }

    async fn record_by_id(&self, organization: &OrganizationId, id: Uuid) -> Result<Option<DecodedRecord>> {
        let organization = organization.clone();
        let read = move |connection| log::record_by_id(connection, organization, id);
        self.database.run(read).await?.map(StoredRecord::decode).transpose()
    }

    async fn organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>> {
        self.database.run(move |connection| log::organizations_of(connection, id, limit)).await
    }

    async fn ancestry(
        &self,
        organization: &OrganizationId,
        id: Uuid,
        limit: usize,
    ) -> Result<Vec<DecodedRecord>> {
        let organization = organization.clone();
        let read = move |connection| log::ancestry(connection, organization, id, limit);
        decoded(self.database.run(read).await?)
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned> {
        let scan = scan.clone();
        let (records, rest) = self.database.run(move |connection| scan::scan(connection, scan)).await?;
        Ok(Scanned { records: decoded(records)?, rest })
    }

    async fn checkpoints(&self, shard: Shard, size: u64, limit: usize) -> Result<Vec<(u64, String)>> {
        self.database.run(move |connection| log::checkpoints(connection, shard, size, limit)).await
    }

    async fn covering(&self, shard: Shard, indexes: &[u64]) -> Result<Vec<(u64, String)>> {
        let indexes = indexes.to_vec();
        self.database.run(move |connection| log::covering(connection, shard, indexes)).await
    }

    async fn agent(&self, organization: &OrganizationId, id: &AgentId) -> Result<Option<Agent>> {
        let (organization, id) = (organization.clone(), id.clone());
        self.database.run(move |connection| state::agent(connection, organization, id)).await
    }

    async fn agents(
        &self,
        organization: &OrganizationId,
        after: Option<&AgentId>,
        limit: usize,
    ) -> Result<Vec<Agent>> {
        let (organization, after) = (organization.clone(), after.cloned());
        self.database.run(move |connection| state::agents(connection, organization, after, limit)).await
    }

    async fn policy(&self) -> Result<Option<StoredPolicy>> {
        Ok(self.policies(u64::MAX, 1).await?.pop())
    }

    async fn policy_version(&self) -> Result<u64> {
        self.database.run(state::policy_version).await
    }

    async fn policies(&self, below: u64, limit: usize) -> Result<Vec<StoredPolicy>> {
        self.database.run(move |connection| state::policies(connection, below, limit)).await
    }

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts> {
        let organization = organization.cloned();
        self.database.run(move |connection| state::stats(connection, organization, from, to)).await
    }
}

/// Decodes records on the caller's thread: the adapter's own drives the commits as well.
fn decoded(records: Vec<StoredRecord>) -> Result<Vec<DecodedRecord>> {
    records.into_iter().map(StoredRecord::decode).collect()
}
