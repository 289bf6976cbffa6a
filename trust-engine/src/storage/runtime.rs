//! The runtime that an adapter of a remote store brings along: one thread that drives its connections. The caller of an
//! adapter, on a plain thread or in a host's runtime, only waits for an answer.

use std::sync::Arc;

use futures_channel::oneshot;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, from_io};

/// The thread of an adapter; it ends when this value is dropped.
pub(super) struct AdapterRuntime(Option<tokio::runtime::Runtime>);

impl AdapterRuntime {
    pub(super) fn new(thread: &'static str) -> Result<Self> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(thread)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| from_io(error, "the adapter's thread cannot be started"))
    }

    /// Runs a call to its end, also if its caller stops waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.spawn(async move {
            // The caller may have stopped waiting.
            let _ = done.send(call.await);
        });
        answer.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the store was closed")))
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for AdapterRuntime {
    fn drop(&mut self) {
        // The last owner may be a task of the runtime, or of another one, where waiting for its end is not allowed.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The clock that decides which slice of a window is running.
#[derive(Clone)]
pub(super) enum Time {
    /// The server's clock.
    Server,
    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, reason = "for tests"))]
    Given(Arc<dyn Clock>),
}
