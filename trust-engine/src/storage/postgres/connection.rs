//! The pool of connections, on the adapter's own runtime.

use std::sync::Arc;
use std::time::Duration;

use super::config::Checked;
use super::error::{from_pool, late};
use super::session;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::runtime::AdapterRuntime;
use deadpool_postgres::{
    ClientWrapper, Hook, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime,
    Timeouts,
};

/// Number of connections that are kept for writes, so that searches never keep a commit waiting.
const WRITES: usize = 2;

/// The purpose of a call, each of which has connections of its own.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Write,
    /// A short call that decisions or commits rest on: agents, the policy, whether they changed, heads, checkpoints, hashes, and
    /// records by their ids.
    Fact,
    /// Everything that may take its time.
    Search,
    /// A sign of life, which nothing else may delay.
    Sign,
}

/// Connections and the thread that drives them. Each pool has its own limit, so a call that waits for a free connection
/// of one pool never waits for the calls of another.
pub(super) struct Database {
    // The fields are dropped in this order: the pools before the runtime that drives their connections.
    writes: Pool,
    facts: Pool,
    searches: Pool,
    signs: Pool,
    runtime: AdapterRuntime,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl Database {
    pub(super) fn new(config: &Checked) -> Result<Self> {
        let runtime = AdapterRuntime::new("trust-engine-postgres")?;
        let timeouts = Timeouts {
            wait: Some(config.connect_timeout),
            create: Some(config.connect_timeout),
            recycle: Some(config.connect_timeout),
        };
        let pool = |size| {
            let manager = Manager::from_config(
                config.driver.clone(),
                config.tls()?,
                ManagerConfig { recycling_method: RecyclingMethod::Fast },
            );
            let settings = Arc::new(config.clone());
            let set_up = Hook::async_fn(move |client: &mut ClientWrapper, _| {
                let settings = Arc::clone(&settings);
                Box::pin(async move { session::set_up(client, &settings).await })
            });
            Pool::builder(manager)
                .max_size(size)
                .post_create(set_up)
                .runtime(PoolRuntime::Tokio1)
                .timeouts(timeouts)
                .build()
                .map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))
        };
        let reads = config.connections - WRITES;
        let (writes, facts, searches) = (pool(WRITES)?, pool(reads / 2)?, pool(reads.div_ceil(2))?);
        let (signs, connect_timeout, answer_timeout) =
            (pool(1)?, config.connect_timeout, config.answer_timeout);
        Ok(Self { writes, facts, searches, signs, runtime, connect_timeout, answer_timeout })
    }

    /// Runs a call on a connection for its purpose, on the adapter's runtime, to its end also if its caller stops waiting.
    pub(super) async fn run<T, F>(
        self: &Arc<Self>,
        purpose: Purpose,
        call: impl FnOnce(Object) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let database = Arc::clone(self);
        self.runtime.run(async move { database.call(database.pool(purpose), call).await }).await
    }

    fn pool(&self, purpose: Purpose) -> &Pool {
        match purpose {
            Purpose::Write => &self.writes,
            Purpose::Fact => &self.facts,
            Purpose::Search => &self.searches,
            Purpose::Sign => &self.signs,
        }
    }

    /// Runs a call on a connection for writes, for a task that is on the adapter's runtime already.
    pub(super) async fn write_here<T, F>(&self, call: impl FnOnce(Object) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.call(&self.writes, call).await
    }

    /// Runs a call on a connection of a pool. A late answer is an error of this call only: later calls open new
    /// connections.
    async fn call<T, F>(&self, pool: &Pool, call: impl FnOnce(Object) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        // The pool's own limits do not hold for the settings of a new session.
        let getting = tokio::time::timeout(self.connect_timeout, pool.get()).await;
        let connection = getting.map_err(|_| late())?.map_err(from_pool)?;
        let limit = self.answer_timeout;
        tokio::time::timeout(limit, call(connection)).await.unwrap_or_else(|_| {
            // A server that is this late may be gone without having closed its connections. The connection of this call
            // is back in its pool by now; no connection that is idle in a pool is used again.
            [&self.writes, &self.facts, &self.searches, &self.signs]
                .into_iter()
                .for_each(|pool| drop(pool.retain(|_, _| false)));
            Err(Error::new(ErrorKind::Unavailable, format!("PostgreSQL did not answer within {limit:?}")))
        })
    }

    /// Refuses a pooler that takes the settings of connections away.
    pub(super) async fn check_pooler(&self, config: &Checked) -> Result<()> {
        let config = config.clone();
        let checked = async move {
            let check = session::refuse_transaction_pooling(&config);
            tokio::time::timeout(config.connect_timeout, check).await.unwrap_or_else(|_| Err(late()))
        };
        self.runtime.run(checked).await
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }
}
