//! The store's methods, each handed to the adapter's runtime.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::connection::Database;
use super::{log, scan, state};
use crate::agent::Agent;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::provenance::{Hash, HashRange};
use crate::storage::{
    Batch, Committed, Counters, Head, Scan, Scanned, Shard, Store, StoredPolicy, StoredRecord,
};

pub(super) struct PostgresStore {
    pub(super) database: Arc<Database>,
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn claim(&self, shard: Shard) -> Result<Head> {
        self.database.run(move |connection| log::claim(connection, shard)).await
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.database.run(move |connection| log::head(connection, shard)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        self.database.run(move |connection| log::commit(connection, batch)).await
    }

    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        let ranges = ranges.to_vec();
        self.database.run(move |connection| log::hashes(connection, shard, ranges)).await
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        self.database.run(move |connection| log::records(connection, shard, start, limit)).await
    }

    async fn record_by_id(&self, id: Uuid) -> Result<Option<StoredRecord>> {
        self.database.run(move |connection| log::record_by_id(connection, id)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned> {
        let scan = scan.clone();
        self.database.run(move |connection| scan::scan(connection, scan)).await
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

    async fn policies(&self, below: u64, limit: usize) -> Result<Vec<StoredPolicy>> {
        self.database.run(move |connection| state::policies(connection, below, limit)).await
    }

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<Counters> {
        let organization = organization.cloned();
        self.database.run(move |connection| state::stats(connection, organization, from, to)).await
    }
}
