//! Searches of a store in this process. They keep a processor busy, for milliseconds where few of the records that they pass
//! are wanted, so they run on threads of their own, a few at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use futures_channel::oneshot;
use trust_engine::Result;

use crate::error::{closed, panicked};
use crate::tasks::offload;

/// Searches at a time.
const AT_ONCE: usize = 2;

/// The searches that run and those that wait for their turn; lives on Node's thread.
#[derive(Default)]
pub(crate) struct Searches {
    /// Whether the store is one in this process.
    local: Cell<bool>,
    ended: Cell<bool>,
    running: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

/// A search that runs; the next one begins when it is dropped.
struct Turn<'a>(&'a Searches);

impl Searches {
    pub(crate) fn set_local(&self) {
        self.local.set(true);
    }

    pub(crate) fn are_local(&self) -> bool {
        self.local.get()
    }

    /// Runs a search on another thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        search: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let _turn = self.turn().await?;
        offload(search).await.ok_or_else(panicked)
    }

    async fn turn(&self) -> Result<Turn<'_>> {
        if self.ended.get() {
            return Err(closed());
        }
        if self.running.get() >= AT_ONCE {
            let (done, turn) = oneshot::channel();
            self.waiting.borrow_mut().push_back(done);
            turn.await.map_err(|_| closed())?;
        } else {
            self.running.set(self.running.get() + 1);
        }
        Ok(Turn(self))
    }

    /// Those that wait are refused, and all that come.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.waiting.take();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The turn goes to the first that still waits.
        while let Some(next) = self.0.waiting.borrow_mut().pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        self.0.running.set(self.0.running.get() - 1);
    }
}
