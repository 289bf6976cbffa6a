//! The pool of connections, on the adapter's own runtime.

use std::sync::Arc;
use std::time::Duration;

use super::config::Checked;
use super::error::from_pool;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::runtime::AdapterRuntime;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime, Timeouts,
};

/// Connections that only what writes may use, so that searches never keep a commit waiting.
const RESERVED: usize = 2;

/// Connections and the thread that drives them.
pub(super) struct Database {
    // In this order they are dropped.
    writes: Pool,
    reads: Pool,
    runtime: AdapterRuntime,
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
            Pool::builder(manager)
                .max_size(size)
                .runtime(PoolRuntime::Tokio1)
                .timeouts(timeouts)
                .build()
                .map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))
        };
        let (writes, reads) = (pool(RESERVED)?, pool(config.connections - RESERVED)?);
        Ok(Self { writes, reads, runtime, answer_timeout: config.answer_timeout })
    }

    /// Reads: runs a call to its end on the adapter's runtime, also if whoever waits for it goes away.
    pub(super) async fn run<T, F>(
        self: &Arc<Self>,
        call: impl FnOnce(Object) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let database = Arc::clone(self);
        self.runtime.run(async move { database.call(&database.reads, call).await }).await
    }

    /// Writes: the same on a connection that no read uses.
    pub(super) async fn write<T, F>(
        self: &Arc<Self>,
        call: impl FnOnce(Object) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let database = Arc::clone(self);
        self.runtime.run(async move { database.call(&database.writes, call).await }).await
    }

    /// The same for what runs on the adapter's runtime already.
    pub(super) async fn write_here<T, F>(&self, call: impl FnOnce(Object) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.call(&self.writes, call).await
    }

    async fn call<T, F>(&self, pool: &Pool, call: impl FnOnce(Object) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let connection = pool.get().await.map_err(from_pool)?;
        let limit = self.answer_timeout;
        tokio::time::timeout(limit, call(connection)).await.unwrap_or_else(|_| {
            // A server that is this late may be gone without having closed its connections: none of them is used again.
            [&self.writes, &self.reads].into_iter().for_each(|pool| drop(pool.retain(|_, _| false)));
            Err(Error::new(ErrorKind::Unavailable, format!("PostgreSQL did not answer within {limit:?}")))
        })
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }
}
