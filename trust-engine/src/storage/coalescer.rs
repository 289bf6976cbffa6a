//! A queue in front of an authority: while the authority settles one round of checks, later checks gather for the next.

use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counters::LeaseCallback;
use crate::ceiling::{LeaseAnswer, LeaseRequests, Unspent};
use crate::error::{Error, ErrorKind, Result};

/// Most checks, and most amounts given back, that may wait. While either number is reached, checks and flushes fail,
/// and amounts given back stay charged.
const MAX_WAITING: usize = 65_536;
/// Most checks of one round.
const MAX_ROUND: usize = 1024;

/// The checks, amounts given back and flushes that wait for the next round.
///
/// `waiting` is locked only to add an item, to close or to take a round, never while a round is settled or an answer is
/// called. `work` is notified after the lock is released; it remembers a notification, so the worker misses no item.
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

/// The content of one round. The authority takes back the unspent amounts before it answers the checks.
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
        // An amount that cannot be queued stays charged.
        let _ = self.enter(unspent, |waiting, unspent| waiting.unspent.push(unspent));
    }

    /// Waits until the amounts given back before this call are settled.
    pub(super) async fn flush(&self) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.enter(done, |waiting, done| waiting.flushes.push(done)).map_err(|(_, error)| error)?;
        flushed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the worker settle the items that wait, and then end. Later items are refused.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_one();
    }

    /// Settles round after round until the coalescer is closed and nothing waits.
    ///
    /// A round that fails is not fatal to later ones: each of its checks gets the error and no grant. The amounts given
    /// back with it are not given back again: the round may have taken them back, and a second time would be too much.
    pub(super) async fn run<F>(&self, settle: impl Fn(Arc<Round>) -> F)
    where
        F: Future<Output = Result<Vec<Result<LeaseAnswer>>>>,
    {
        // The guard also runs if a settlement panics, so that no caller waits for ever.
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
                // The caller that waited may have given up.
                let _ = flush.send(flushed.clone());
            }
        }
    }

    /// Adds an item to those that wait, or returns it with the error that refuses it.
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
        // A flush waits for the amounts given back before it; all of them are in this round or an earlier one.
        let flushes = std::mem::take(&mut waiting.flushes);
        (Round { checks, unspent }, answers, flushes, waiting.closed)
    }
}

/// Closes the coalescer when the worker ends, and drops the checks and flushes that still wait.
struct CloseOnDrop<'a>(&'a Coalescer);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting.lock();
            waiting.closed = true;
            (std::mem::take(&mut waiting.checks), std::mem::take(&mut waiting.flushes))
        };
        // A dropped answer counts as an error for its caller. The answers are dropped after the lock is released.
        drop(left);
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the counters were closed")
}
