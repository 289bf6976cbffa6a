//! The writer's thread: it gathers a batch, commits it and answers its callers.
//!
//! A commit goes through three steps, and each may fail. Signing: nothing was written, and the batch is refused.
//! Writing: the store says that nothing was written (a conflict, a duplicate, a fence), and the batch goes on without
//! the submissions at fault or in another shard; or the outcome is unknown, and [`recovery`](super::recovery) settles
//! it before anything else is signed. Answering: a caller that has gone changes nothing.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use pollster::block_on;

use super::batch::{Prepared, prepare};
use super::claim::claim;
use super::gap::Gap;
use super::known::{taken_id, without_known};
use super::pending_batch::PendingBatch;
use super::settings::Settings;
use super::shard_tip::ShardTip;
use super::state::{Shared, WriterState, fenced, unreachable_store};
use super::submission::{Fate, Submission};
use crate::error::{Error, ErrorKind, Result};
use crate::log::stats::StatsBatch;
use crate::provenance::Receipt;
use crate::storage::{Batch, Committed, Head, Shard};

/// The longest time for which submissions that no caller waits for are held back to gather more.
const IDLE_LINGER: Duration = Duration::from_millis(5);
/// Pause between attempts to reach a store that is down.
const RETRY: Duration = Duration::from_millis(250);

/// The writer. Everything here belongs to its thread and needs no lock, apart from `shared` and the queue.
pub(super) struct Writer {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    queue: Receiver<Submission>,
    pub(super) tip: ShardTip,
    /// The last heads of the shards that this engine wrote before.
    pub(super) left: HashMap<Shard, Head>,
    pub(super) gap: Gap,
    /// Counts of verdicts that are not recorded, until a commit has carried them.
    pub(super) unrecorded: StatsBatch,
    /// Submissions that are in the log and whose callers have not been told yet, with their receipts.
    unanswered: Vec<(Submission, Option<Receipt>)>,
    /// A batch whose callers were told that its outcome is unknown.
    pub(super) unsettled: Option<Unsettled>,
}

/// A batch whose outcome is to be learnt by [`recover`](Writer::recover).
pub(super) struct Unsettled {
    /// The tip of the shard if the batch was committed.
    pub(super) prepared: ShardTip,
    pub(super) batch: Vec<Submission>,
    /// The gap and the counts that the batch carried, which are still owed if it was not committed.
    pub(super) gap: Gap,
    pub(super) unrecorded: StatsBatch,
}

impl Writer {
    /// Claims a shard and checks that its tip is the one that was signed.
    pub(super) async fn open(
        settings: Settings,
        shared: Arc<Shared>,
        queue: Receiver<Submission>,
    ) -> Result<Self> {
        let tip = claim(&settings, &shared, &HashMap::new()).await?;
        shared.shard.store(tip.head.shard, Ordering::Release);
        Ok(Self {
            settings,
            shared,
            queue,
            tip,
            left: HashMap::new(),
            gap: Gap::default(),
            unrecorded: StatsBatch::default(),
            unanswered: Vec::new(),
            unsettled: None,
        })
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.next() {
            // The engine may have been closed while the store was down: nothing is signed before a claim has settled
            // the batch that was left open.
            self.recover();
            if self.is_down() {
                self.refuse(vec![first], &unreachable_store());
                continue;
            }
            let batch = self.gather(first);
            self.commit(batch);
            while self.is_down() && !self.queue.is_closed() {
                self.refuse_waiting();
                std::thread::sleep(RETRY);
                self.recover();
            }
        }
        self.recover();
        if !self.is_down() {
            self.commit(Vec::new());
        }
        // It will never be known here whether this batch is in the log.
        for submission in self.unsettled.iter_mut().flat_map(|open| &mut open.batch) {
            submission.meets(Fate::Unknown);
        }
        // A shard that was set back is not released, because it is not for others to write either. A release that fails
        // is not fatal: the shard is free anyway when this engine has been silent for long enough.
        if self.shared.state() != WriterState::SetBack {
            let _ = block_on(self.settings.store.release(self.tip.head.shard, self.settings.owner));
        }
    }

    fn is_down(&self) -> bool {
        self.shared.state() == WriterState::Down
    }

    /// Waits for a submission; `None` once the queue is closed and empty.
    fn next(&mut self) -> Option<Submission> {
        if self.queue.is_empty() {
            self.answer_committed();
        }
        self.queue.recv_blocking().ok()
    }

    /// The submissions that have gathered since the last commit, up to the bounds of a batch.
    fn gather(&mut self, first: Submission) -> Vec<Submission> {
        if !self.settings.linger.is_zero() && self.queue.len() < self.settings.max_batch {
            self.answer_committed();
            std::thread::sleep(self.settings.linger);
        }
        let mut batch = PendingBatch::new(first, self.settings.max_batch);
        // The flag is set before the queue is looked at: a submission that comes after that ends the linger if it must.
        self.shared.lingering.store(true, Ordering::SeqCst);
        batch.fill(&self.queue);
        if !batch.is_awaited() && !batch.is_full() {
            self.answer_committed();
            self.linger();
            batch.fill(&self.queue);
        }
        self.shared.lingering.store(false, Ordering::SeqCst);
        batch.into_submissions()
    }

    /// Sleeps until a caller waits, enough has gathered, or [`IDLE_LINGER`] has gone by.
    fn linger(&self) {
        let since = Instant::now();
        let left = || IDLE_LINGER.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
        while self.shared.lingering.load(Ordering::SeqCst)
            && let Some(left) = left()
        {
            // The parking may end for no reason, so the flag and the time are looked at again.
            std::thread::park_timeout(left);
        }
    }

    /// Commits a batch, together with the gap and the counts that are owed. Every caller is answered here, or a little
    /// later from `unanswered`.
    pub(super) fn commit(&mut self, batch: Vec<Submission>) {
        // Callers whose records are committed must not wait for look-ups and refusals.
        if self.shared.state() != WriterState::Up || batch.iter().any(Submission::is_looked_up) {
            self.answer_committed();
        }
        if let Some(refusal) = self.shared.state().refusal() {
            return answer_all(batch, &Err(refusal));
        }
        let asks = if self.settings.store.refuses_taken_ids() {
            Submission::is_chosen
        } else {
            Submission::is_looked_up
        };
        let mut batch = self.without_known(batch, asks);
        loop {
            self.unrecorded.merge(std::mem::take(&mut *self.shared.unrecorded.lock()));
            let gaps = self.gap.drafts(&self.settings, self.settings.clock.now());
            if batch.is_empty() && gaps.is_empty() && self.unrecorded.is_empty() {
                return self.answer_committed();
            }
            let time = self.shared.log_time.begin_commit(self.settings.now(), self.tip.head.time);
            let prepared =
                match prepare(&self.settings, time, &self.tip, &gaps, &batch, self.unrecorded.clone()) {
                    Ok(prepared) => prepared,
                    // The signer failed; nothing was written.
                    Err(error) => {
                        self.shared.log_time.end_commit();
                        return self.refuse(batch, &error);
                    }
                };
            let Prepared { batch: prepared_batch, tip, receipts, owners, claimants } = prepared;
            let begun = Instant::now();
            let written = self.write(prepared_batch);
            self.shared.log_time.end_commit();
            match written {
                Ok(Committed::Yes) => {
                    self.tip = tip;
                    return self.committed(batch, receipts);
                }
                Ok(Committed::Conflict(places)) => {
                    let outdated: Vec<usize> =
                        places.iter().filter_map(|at| owners.get(*at).copied()).collect();
                    if outdated.is_empty() {
                        let error = Error::new(ErrorKind::Corrupt, "the store names no conflicting change");
                        return self.refuse(batch, &error);
                    }
                    let error = Error::new(ErrorKind::Conflict, "it was changed by someone else meanwhile");
                    batch = without(batch, &outdated, &error);
                }
                Ok(Committed::Outdated(places)) => {
                    let outdated: Vec<usize> =
                        places.iter().filter_map(|at| claimants.get(*at).copied()).collect();
                    if outdated.is_empty() {
                        let error = Error::new(ErrorKind::Corrupt, "the store names no outdated claim");
                        return self.refuse(batch, &error);
                    }
                    let error = Error::new(ErrorKind::Fenced, "another engine has claimed the follower");
                    batch = without(batch, &outdated, &error);
                }
                Ok(Committed::ShardTaken) => {
                    let error = Error::new(ErrorKind::Conflict, "another engine has added a shard meanwhile");
                    let places =
                        batch.iter().enumerate().filter(|(_, submission)| submission.succession.is_some());
                    let places: Vec<usize> = places.map(|(place, _)| place).collect();
                    batch = without(batch, &places, &error);
                }
                Ok(Committed::Duplicate) => {
                    let before = batch.len();
                    batch = self.without_known(batch, Submission::is_looked_up);
                    if batch.len() == before {
                        // The id is one that this engine made and another caller has learnt of: only its record is lost.
                        batch = self.without_taken(batch);
                    }
                    if batch.len() == before {
                        let error =
                            Error::new(ErrorKind::Corrupt, "the store names an id that it does not have");
                        return self.refuse(batch, &error);
                    }
                }
                // Nothing was written, so the batch can go on in another shard.
                Ok(Committed::Fenced) => match self.claim_another() {
                    Ok(true) => {}
                    Ok(false) => return self.refuse(batch, &fenced()),
                    Err(error) => {
                        if self.shared.state().refusal().is_none() {
                            self.shared.set_state(WriterState::Down);
                        }
                        return self.refuse(batch, &error);
                    }
                },
                Err(error) => return self.settle(tip, batch, receipts, error, begun),
            }
        }
    }

    fn without_known(&self, batch: Vec<Submission>, asks: fn(&Submission) -> bool) -> Vec<Submission> {
        block_on(without_known(&*self.settings.store, batch, asks))
    }

    /// Refuses the submissions of which an id is taken, and gives the rest.
    fn without_taken(&mut self, batch: Vec<Submission>) -> Vec<Submission> {
        let mut rest = Vec::with_capacity(batch.len());
        for submission in batch {
            // A caller's own id is looked up again anyway, and may turn out to be a repetition.
            if submission.is_looked_up() {
                rest.push(submission);
                continue;
            }
            match block_on(taken_id(&*self.settings.store, &submission)) {
                Ok(None) => rest.push(submission),
                Ok(Some(error)) | Err(error) => self.refuse(vec![submission], &error),
            }
        }
        rest
    }

    /// Commits a batch. While another machine works on it, the callers of the batch before are answered.
    fn write(&mut self, batch: Batch) -> Result<Committed> {
        let store = Arc::clone(&self.settings.store);
        let mut commit = pin!(store.commit(batch));
        // The first poll sends it off.
        let begun = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.answer_committed();
        match begun {
            Poll::Ready(committed) => committed,
            Poll::Pending => block_on(commit),
        }
    }

    /// Sets the shard that is written from now on, and its tip.
    pub(super) fn set_tip(&mut self, tip: ShardTip) {
        if tip.head.era != self.tip.head.era {
            // Before the shard is known to the thread that gives signs of life: it promises nothing of the era before.
            self.shared.log_time.begin_era();
        }
        self.shared.shard.store(tip.head.shard, Ordering::Release);
        self.tip = tip;
    }

    /// Answers the callers whose records are committed. The action of a submission runs before its callers are
    /// answered.
    fn answer_committed(&mut self) {
        for (mut submission, receipt) in self.unanswered.drain(..) {
            submission.meets(Fate::Committed);
            submission.answer(&Ok(receipt));
        }
    }

    /// Notes that the batch is in the log, and with it the gap and the counts that were owed.
    pub(super) fn committed(&mut self, batch: Vec<Submission>, receipts: Vec<Option<Receipt>>) {
        let entries: usize = batch.iter().map(|submission| submission.drafts.len()).sum();
        self.shared.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        // Where others commit too, a record is final only later: the local follower tells then.
        if !self.settings.store.is_shared() {
            self.settings.news.tell();
        }
        self.gap.clear();
        self.unrecorded = StatsBatch::default();
        self.unanswered.extend(batch.into_iter().zip(receipts));
        // If more is waiting, it is sent off first: answering a thousand callers takes a while.
        if !self.settings.store.is_shared() || self.queue.is_empty() {
            self.answer_committed();
        }
    }

    /// Refuses a batch that is certainly not in the log. Its verdicts that were answered early become part of the gap.
    pub(super) fn refuse(&mut self, batch: Vec<Submission>, error: &Error) {
        let now = self.settings.clock.now();
        batch.iter().for_each(|submission| self.gap.count(submission, now));
        answer_all(batch, &Err(error.clone()));
    }

    /// Answers the submissions that got into the queue before it was known that the store is down.
    fn refuse_waiting(&mut self) {
        let error = unreachable_store();
        while let Ok(submission) = self.queue.try_recv() {
            self.refuse(vec![submission], &error);
        }
    }
}

/// Answers the submissions in some places with an error, and gives the rest.
fn without(batch: Vec<Submission>, places: &[usize], error: &Error) -> Vec<Submission> {
    let mut rest = Vec::with_capacity(batch.len());
    for (place, submission) in batch.into_iter().enumerate() {
        if places.contains(&place) {
            submission.answer(&Err(error.clone()));
        } else {
            rest.push(submission);
        }
    }
    rest
}

fn answer_all(batch: Vec<Submission>, result: &Result<Option<Receipt>>) {
    for submission in batch {
        submission.answer(result);
    }
}
