//! Group commit: one thread orders the records of a shard, signs and commits them.
//!
//! A batch holds the submissions that gathered while the batch before was committing: one caller alone waits for one
//! commit, a thousand callers share one. Each batch costs one signature and one transaction. A checkpoint is signed
//! before the commit and shown to no caller until the commit is known to have happened; when the outcome is unknown,
//! the shard is claimed again first, because a head that was read after a claim cannot change any more.
//!
//! Threads meet in two places. Callers hand submissions over by a bounded channel, which the writer alone reads; and
//! both see [`Shared`](state::Shared), where only the writer changes the state, only the engine changes the intake, and
//! locks guard the counts of unrecorded verdicts and the log's time. Everything else belongs to the writer's thread and needs no lock.

mod batch;
mod claim;
mod gap;
mod known;
mod log_time;
mod pending_batch;
mod recovery;
mod settings;
mod shard_tip;
mod state;
mod submission;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_channel::{Receiver, Sender, TrySendError};
use parking_lot::Mutex;

use self::state::{Shared, closed};
use self::writer::Writer;
use super::stats::VerdictStat;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::ids::OrganizationId;
use crate::provenance::{VerifierKey, VerifierKeys};
use crate::storage::Shard;

pub(in crate::log) use batch::push_hash;
use log_time::LogTime;
pub(crate) use settings::Settings;
pub use submission::Ticket;
pub(crate) use submission::{Draft, Fate, IdOrigin, ParentOf, Submission};

/// Number of unrecorded verdicts that cause a commit of their counts.
const UNRECORDED_PER_COMMIT: u64 = 1024;

/// The callers' side of a shard's writer.
pub(crate) struct Sequencer {
    submissions: Sender<Submission>,
    shared: Arc<Shared>,
    /// Closed when the writer has ended.
    ended: Receiver<()>,
    /// Taken by the drop, which joins the thread.
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// The writer's thread, to unpark it when its linger ends.
    writer: std::thread::Thread,
    /// Number of waiting submissions that ends the writer's linger.
    enough: usize,
    keys: VerifierKeys,
}

impl Sequencer {
    /// Claims the shard, checks its head and starts the writer.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        let (submissions, queue) = async_channel::bounded(settings.queue);
        let (ending, ended) = async_channel::bounded(1);
        let shared = Arc::new(Shared::default());
        let keys = settings.keys.clone();
        shared.log_time.warn_of(settings.max_clock_jump);
        let enough = settings.max_batch.min(settings.queue);
        let writer = Writer::open(settings, Arc::clone(&shared), queue).await?;
        let thread = std::thread::Builder::new()
            .name("trust-engine-log".into())
            .spawn(move || {
                writer.run();
                drop(ending);
            })
            .map_err(|error| from_io(error, "the log's thread cannot be started"))?;
        let writer = thread.thread().clone();
        let thread = Mutex::new(Some(thread));
        Ok(Self { submissions, shared, ended, thread, writer, enough, keys })
    }

    /// The key of a shard's log.
    pub(crate) fn key_of(&self, shard: Shard) -> VerifierKey {
        self.keys.of_shard(shard)
    }

    /// The keys of all shards.
    pub(crate) fn keys(&self) -> &VerifierKeys {
        &self.keys
    }

    /// The shard that is written now.
    pub(crate) fn shard(&self) -> Shard {
        self.shared.shard.load(Ordering::Acquire)
    }

    /// The time of the log.
    pub(crate) fn log_time(&self) -> &LogTime {
        &self.shared.log_time
    }

    /// Warnings for the operator.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let foreign = self.shared.foreign.lock().clone();
        let foreign = foreign.into_iter().map(|shard| {
            format!(
                "shard {shard} of the log was signed with a key that is not the deployment's: it is left alone, and its \
                 records do not verify"
            )
        });
        foreign.chain(self.shared.log_time.warnings(now)).collect()
    }

    /// Whether the writer has ended, so that nothing is committed any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_closed()
    }

    /// Hands over a submission, waiting for room in the queue.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<()> {
        self.check_state()?;
        let awaited = submission.is_awaited();
        self.submissions.send(submission).await.map_err(|_| closed())?;
        self.end_linger(awaited);
        Ok(())
    }

    /// Hands over a submission without waiting, or says why that is not possible now.
    pub(crate) fn try_submit(&self, submission: Submission) -> Result<()> {
        self.check_state()?;
        let awaited = submission.is_awaited();
        self.submissions.try_send(submission).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(ErrorKind::Overloaded, "the queue of records is full"),
            TrySendError::Closed(_) => closed(),
        })?;
        self.end_linger(awaited);
        Ok(())
    }

    /// Ends the writer's linger if a caller waits now, or enough has gathered. It is called after the submission is in
    /// the queue: the field `lingering` of [`Shared`] says why that order matters.
    #[inline]
    fn end_linger(&self, awaited: bool) {
        if self.shared.lingering.load(Ordering::SeqCst) && (awaited || self.submissions.len() >= self.enough)
        {
            self.shared.lingering.store(false, Ordering::SeqCst);
            self.writer.unpark();
        }
    }

    /// Whether records are accepted now.
    #[inline]
    pub(crate) fn check_state(&self) -> Result<()> {
        self.shared.check()
    }

    /// Counts verdicts that are not recorded; the next commit writes them to the statistics, and every
    /// [`UNRECORDED_PER_COMMIT`] of them cause a commit.
    pub(crate) fn count_unrecorded(
        &self,
        organization: &OrganizationId,
        time: Timestamp,
        verdict: &VerdictStat,
        times: u64,
    ) {
        let mut stats = self.shared.unrecorded.lock();
        let before = stats.unrecorded() / UNRECORDED_PER_COMMIT;
        stats.verdict(organization, time, verdict, false, times);
        if stats.unrecorded() / UNRECORDED_PER_COMMIT > before {
            // If the queue is full, a commit is about to come anyway.
            let _ = self.submissions.try_send(Submission::new(Vec::new(), None, false).0);
        }
    }

    /// The number of entries committed, of commits made and of submissions that wait.
    pub(crate) fn progress(&self) -> (u64, u64, usize) {
        let entries = self.shared.entries.load(Ordering::Relaxed);
        (entries, self.shared.commits.load(Ordering::Relaxed), self.submissions.len())
    }

    /// Pauses or resumes the intake. It is paused while the policy in force is one that this engine cannot read.
    pub(crate) fn set_outdated(&self, outdated: bool) {
        self.shared.set_outdated(outdated);
    }

    /// Accepts no more submissions, lets the writer commit those that wait, and waits for the writer's end.
    pub(crate) async fn close(&self) {
        self.shared.close();
        self.submissions.close();
        self.end_linger(true);
        // Nothing is ever sent: this waits for the writer's end.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.submissions.close();
        self.end_linger(true);
        let thread = self.thread.lock().take();
        // A waker that runs on the writer's thread may drop the last engine, and a thread cannot join itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}
