//! The adapter's own runtime and its pool. Every call runs on that runtime, so that whoever awaits it, a plain thread or
//! a host's runtime, only waits for an answer.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime, Timeouts,
};
use futures_channel::oneshot;

use super::config::Checked;
use super::error::from_pool;
use crate::error::{Error, ErrorKind, Result, from_io};

/// Connections and the thread that drives them.
pub(super) struct Database {
    // In this order they are dropped.
    pool: Pool,
    runtime: Option<tokio::runtime::Runtime>,
    answer_timeout: Duration,
}

impl Database {
    pub(super) fn new(config: &Checked) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("trust-engine-postgres")
            .enable_all()
            .build()
            .map_err(|error| from_io(error, "the adapter's thread cannot be started"))?;
        let manager = Manager::from_config(
            config.driver.clone(),
            config.tls()?,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeouts = Timeouts {
            wait: Some(config.connect_timeout),
            create: Some(config.connect_timeout),
            recycle: Some(config.connect_timeout),
        };
        let pool = Pool::builder(manager)
            .max_size(config.connections)
            .runtime(PoolRuntime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
        Ok(Self { pool, runtime: Some(runtime), answer_timeout: config.answer_timeout })
    }

    /// Runs a call to its end on the adapter's runtime, also if whoever waits for it goes away.
    pub(super) async fn run<T, F>(
        self: &Arc<Self>,
        call: impl FnOnce(Object) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let database = Arc::clone(self);
        self.spawn(async move {
            // The caller may have stopped waiting.
            let _ = done.send(database.call(call).await);
        });
        answer.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the store was closed")))
    }

    /// The same for what runs on the adapter's runtime already.
    pub(super) async fn call<T, F>(&self, call: impl FnOnce(Object) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let connection = self.pool.get().await.map_err(from_pool)?;
        let limit = self.answer_timeout;
        tokio::time::timeout(limit, call(connection)).await.unwrap_or_else(|_| {
            // A server that is this late may be gone without having closed its connections: none of them is used again.
            self.pool.retain(|_, _| false);
            Err(Error::new(ErrorKind::Unavailable, format!("PostgreSQL did not answer within {limit:?}")))
        })
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The last owner may be a task of the runtime, or of another one, where waiting for its end is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
