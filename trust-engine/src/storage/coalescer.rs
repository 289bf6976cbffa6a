//! Checks that wait together travel together: while one round is with the authority, the next one gathers.

use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counters::LeaseCallback;
use crate::ceiling::{LeaseAnswer, LeaseRequests, Unspent};
use crate::error::{Error, ErrorKind, Result};

/// Checks that may wait; what is given back beyond it stays charged.
const MAX_WAITING: usize = 65_536;
/// Checks of one round.
const MAX_ROUND: usize = 1024;

/// What waits for the next round.
#[derive(Default)]
pub(super) struct Coalescer {
    waiting: Mutex<Waiting>,
    work: Notify,
}

#[derive(Default)]
struct Waiting {
    checks: Vec<(LeaseRequests, LeaseCallback)>,
    unspent: Vec<Unspent>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    closed: bool,
}

/// What one round settles: what is given back comes first.
#[derive(Default)]
pub(super) struct Round {
    pub(super) checks: Vec<LeaseRequests>,
    pub(super) unspent: Vec<Unspent>,
}

impl Coalescer {
    pub(super) fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        if let Err(((_, answer), error)) =
            self.enter((requests, answer), |waiting, check| waiting.checks.push(check))
        {
            answer(Err(error));
        }
    }

    pub(super) fn give_back(&self, unspent: Unspent) {
        // Otherwise it stays charged.
        let _ = self.enter(unspent, |waiting, unspent| waiting.unspent.push(unspent));
    }

    /// Waits until what was given back before is settled.
    pub(super) async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.enter(done, |waiting, done| waiting.flushes.push(done)).map_err(|(_, error)| error)?;
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Settles what waits, and ends.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_one();
    }

    /// Settles round after round until they are closed. An error of a round means that nobody was granted anything by it,
    /// and what was given back with it stays charged: perhaps it was taken back, and twice would be too much.
    pub(super) async fn run<F>(&self, settle: impl Fn(Arc<Round>) -> F)
    where
        F: Future<Output = Result<Vec<Result<LeaseAnswer>>>>,
    {
        // Also if a settlement panics: then nobody waits for ever.
        let _closed = CloseOnDrop(self);
        loop {
            let (round, answers, flushes, closed) = self.take();
            if round.checks.is_empty() && round.unspent.is_empty() && flushes.is_empty() {
                if closed {
                    return;
                }
                self.work.notified().await;
                continue;
            }
            let settled = settle(Arc::new(round)).await;
            let flushed = settled.as_ref().map(|_| ()).map_err(Clone::clone);
            match settled {
                Ok(leased) => answers.into_iter().zip(leased).for_each(|(answer, leased)| answer(leased)),
                Err(error) => answers.into_iter().for_each(|answer| answer(Err(error.clone()))),
            }
            for flush in flushes {
                // Whoever waited may have given up.
                let _ = flush.send(flushed.clone());
            }
        }
    }

    /// Adds to what waits, or gives it back if it cannot.
    fn enter<T>(&self, item: T, add: impl FnOnce(&mut Waiting, T)) -> Result<(), (T, Error)> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err((item, closed()));
        }
        if waiting.checks.len() >= MAX_WAITING || waiting.unspent.len() >= MAX_WAITING {
            return Err((item, Error::new(ErrorKind::Overloaded, "too many checks wait for the counters")));
        }
        add(&mut waiting, item);
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    fn take(&self) -> (Round, Vec<LeaseCallback>, Vec<oneshot::Sender<Result<()>>>, bool) {
        let mut waiting = self.waiting.lock();
        let count = waiting.checks.len().min(MAX_ROUND);
        let (checks, answers) = waiting.checks.drain(..count).unzip();
        let unspent = std::mem::take(&mut waiting.unspent);
        // A flush waits for what was given back before it, which is in this round.
        let flushes = std::mem::take(&mut waiting.flushes);
        (Round { checks, unspent }, answers, flushes, waiting.closed)
    }
}

struct CloseOnDrop<'a>(&'a Coalescer);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting.lock();
            waiting.closed = true;
            (std::mem::take(&mut waiting.checks), std::mem::take(&mut waiting.flushes))
        };
        // An answer that is dropped counts as an error.
        drop(left);
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the counters were closed")
}
