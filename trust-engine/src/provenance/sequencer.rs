//! Group commit: one thread orders the records of a shard, signs and commits them.
//!
//! A batch is whatever gathered while the last one was committing: one caller alone waits for one commit, a thousand
//! callers share one. Each batch costs one signature and one transaction. A checkpoint is signed before the commit
//! and shown to nobody until the commit is known to have happened; when the outcome is unknown, the shard is claimed
//! again first, because a head that was read after a claim cannot change any more.

mod batch;
mod gap;
mod gathered;
mod ground;
mod writer;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_channel::{Receiver, Sender, TrySendError};
use futures_channel::oneshot;
use parking_lot::Mutex;
use uuid::Uuid;

use super::entry::{Parent, RecordType};
use super::hash::Hash;
use super::note::VerifierKey;
use super::payload::Payload;
use super::record::Receipt;
use super::signer::Signer;
use super::tally::{Counted, Tally};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{Decision, PolicyHash};
use crate::storage::{Shard, StateChange, Store};

/// What a sequencer works with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn crate::clock::Entropy>,
    /// Logs are called `<deployment>/prov/<shard>`.
    pub(crate) deployment: Arc<str>,
    /// The shard to write; `None`: any that is free.
    pub(crate) shard: Option<Shard>,
    /// Names this engine to the others.
    pub(crate) owner: Uuid,
    /// How long an owner may be silent before others take its shard.
    pub(crate) patience: Duration,
    /// Submissions that may wait.
    pub(crate) queue: usize,
    /// Entries per commit.
    pub(crate) max_batch: usize,
    /// How long a batch waits for company.
    pub(crate) linger: Duration,
}

impl Settings {
    /// The key of a shard's log.
    pub(crate) fn key_of(&self, shard: Shard) -> Result<VerifierKey> {
        VerifierKey::new(&origin(&self.deployment, shard), &self.signer.public_key())
    }
}

/// What a shard's log is called.
fn origin(deployment: &str, shard: Shard) -> String {
    format!("{deployment}/prov/{shard}")
}

/// A record to be sequenced.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: Uuid,
    /// Whether a caller chose the id, so that the record may be there already.
    pub(crate) supplied: bool,
    pub(crate) kind: RecordType,
    pub(crate) organization: OrganizationId,
    pub(crate) agent: Option<AgentId>,
    pub(crate) decision: Option<Decision>,
    pub(crate) reason_code: Option<Cow<'static, str>>,
    pub(crate) policy: Option<PolicyHash>,
    pub(crate) parent: ParentOf,
    pub(crate) payload: Arc<Payload>,
    /// The payload's commitment, taken on the caller's thread.
    pub(crate) commitment: Hash,
    /// Set for the engine's own verdicts.
    pub(crate) counted: Option<Counted>,
}

/// What a draft follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentOf {
    Nothing,
    Record(Parent),
    /// The first draft of the same submission.
    First,
}

/// Drafts that belong together, and the change of state that commits with them.
pub(crate) struct Submission {
    /// The first one's receipt is the answer; none for a submission that only asks for a commit.
    pub(crate) drafts: Vec<Draft>,
    pub(crate) change: Option<StateChange>,
    /// Whether the caller has its verdict already, so that a lost record is a gap.
    pub(crate) given: bool,
    /// Runs once the commit is known to have happened, before anyone is answered, whether or not anyone still waits.
    landed: Option<Box<dyn FnOnce() + Send>>,
    done: oneshot::Sender<Result<Receipt>>,
    /// Callers that submitted the same record with the same id in the same batch.
    also: Vec<oneshot::Sender<Result<Receipt>>>,
}

impl Submission {
    pub(crate) fn new(drafts: Vec<Draft>, change: Option<StateChange>, given: bool) -> (Self, Ticket) {
        let (done, answer) = oneshot::channel();
        (Self { drafts, change, given, landed: None, done, also: Vec::new() }, Ticket(Some(answer)))
    }

    /// What is to follow from the commit.
    pub(crate) fn on_landing(mut self, act: impl FnOnce() + Send + 'static) -> Self {
        self.landed = Some(Box::new(act));
        self
    }

    /// Whether anyone waits for the commit.
    fn is_awaited(&self) -> bool {
        !self.done.is_canceled() || !self.also.is_empty()
    }

    fn land(&mut self) {
        if let Some(act) = self.landed.take() {
            act();
        }
    }

    fn answer(mut self, result: &Result<Receipt>) {
        // What was to follow from the commit lets go of what it holds before anyone knows that there was none.
        self.landed = None;
        for done in self.also.into_iter().chain([self.done]) {
            // The caller may have stopped waiting; the record is committed all the same.
            let _ = done.send(result.clone());
        }
    }
}

/// Waits for the commit of a record; dropping it changes nothing about the record.
#[derive(Debug)]
pub struct Ticket(Option<oneshot::Receiver<Result<Receipt>>>);

impl Ticket {
    /// For a verdict that the policy does not record.
    pub(crate) fn unrecorded() -> Self {
        Self(None)
    }

    /// Waits until the record is committed and gives its receipt; `None` if the policy does not record this verdict.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], [`ErrorKind::NoSpace`] or [`ErrorKind::Fenced`]: the record is not in the log, or
    /// it is not known whether it is.
    pub async fn committed(self) -> Result<Option<Receipt>> {
        match self.0 {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(closed())).map(Some),
            None => Ok(None),
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine was closed before the record was committed")
}

/// The caller's side of a shard's writer.
pub(crate) struct Sequencer {
    submissions: Sender<Submission>,
    shared: Arc<Shared>,
    /// Closed when the writer has ended.
    ended: Receiver<()>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    writer: std::thread::Thread,
    /// Submissions that are not left waiting for more.
    enough: usize,
    deployment: Arc<str>,
    /// Of shard 0.
    key: VerifierKey,
}

/// Verdicts that the policy does not record, between two commits of their counts.
const UNRECORDED_PER_COMMIT: u64 = 1024;

const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const OUTDATED: u8 = 2;

const UP: u8 = 0;
const DOWN: u8 = 1;
const FENCED: u8 = 2;
const SET_BACK: u8 = 3;

/// What callers and writer share.
#[derive(Default)]
struct Shared {
    state: AtomicU8,
    /// Whether records are taken at all: OPEN, CLOSED or OUTDATED.
    taking: AtomicU8,
    /// The shard that is written.
    shard: AtomicU32,
    commits: AtomicU64,
    entries: AtomicU64,
    /// Verdicts that were given but not recorded, by the policy's will.
    unrecorded: Mutex<Tally>,
    /// Whether the writer rests although something has been submitted, because nobody waits for it.
    resting: AtomicBool,
}

impl Sequencer {
    /// Claims the shard, checks its head and starts the writer.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        let (submissions, queue) = async_channel::bounded(settings.queue);
        let (ending, ended) = async_channel::bounded(1);
        let shared = Arc::new(Shared::default());
        let (deployment, key) = (Arc::clone(&settings.deployment), settings.key_of(0)?);
        let enough = settings.max_batch.min(settings.queue);
        let writer = writer::Writer::open(settings, Arc::clone(&shared), queue).await?;
        let thread = std::thread::Builder::new()
            .name("trust-engine-log".into())
            .spawn(move || {
                writer.run();
                drop(ending);
            })
            .map_err(|error| crate::error::from_io(error, "the log's thread cannot be started"))?;
        let writer = thread.thread().clone();
        let thread = Mutex::new(Some(thread));
        Ok(Self { submissions, shared, ended, thread, writer, enough, deployment, key })
    }

    /// The key of a shard's log.
    pub(crate) fn key_of(&self, shard: Shard) -> VerifierKey {
        self.key.named(&origin(&self.deployment, shard))
    }

    /// The shard that is written now.
    pub(crate) fn shard(&self) -> Shard {
        self.shared.shard.load(Ordering::Acquire)
    }

    /// Hands over a submission, waiting for room in the queue.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<()> {
        self.check_state()?;
        let awaited = submission.is_awaited();
        self.submissions.send(submission).await.map_err(|_| closed())?;
        self.submitted(awaited);
        Ok(())
    }

    /// Ends the writer's rest if someone waits now, or enough has gathered.
    #[inline]
    fn submitted(&self, awaited: bool) {
        if self.shared.resting.load(Ordering::SeqCst) && (awaited || self.submissions.len() >= self.enough) {
            self.shared.resting.store(false, Ordering::SeqCst);
            self.writer.unpark();
        }
    }

    /// Hands over a submission, or says why not now.
    pub(crate) fn try_submit(&self, submission: Submission) -> Result<()> {
        self.check_state()?;
        let awaited = submission.is_awaited();
        self.submissions.try_send(submission).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(ErrorKind::Overloaded, "the queue of records is full"),
            TrySendError::Closed(_) => closed(),
        })?;
        self.submitted(awaited);
        Ok(())
    }

    /// Whether records can be taken now.
    #[inline]
    pub(crate) fn check_state(&self) -> Result<()> {
        match self.shared.state.load(Ordering::Acquire) {
            UP if self.shared.taking.load(Ordering::Acquire) == OPEN => Ok(()),
            state => Err(self.refusal(state)),
        }
    }

    #[cold]
    fn refusal(&self, state: u8) -> Error {
        match self.shared.taking.load(Ordering::Acquire) {
            CLOSED => return closed(),
            OUTDATED => return outdated(),
            _ => {}
        }
        match state {
            FENCED => fenced(),
            SET_BACK => set_back(),
            _ => Error::new(ErrorKind::Unavailable, "the store cannot be written; it is tried again"),
        }
    }

    /// Counts verdicts that are not recorded; the next commit writes them to the statistics, and every
    /// [`UNRECORDED_PER_COMMIT`] of them cause one.
    pub(crate) fn count_unrecorded(
        &self,
        organization: &OrganizationId,
        time: crate::Timestamp,
        counted: &Counted,
        times: u64,
    ) {
        let mut tally = self.shared.unrecorded.lock();
        let before = tally.unrecorded() / UNRECORDED_PER_COMMIT;
        tally.verdict(organization, time, counted, false, times);
        if tally.unrecorded() / UNRECORDED_PER_COMMIT > before {
            // If the queue is full, a commit is about to come anyway.
            let _ = self.submissions.try_send(Submission::new(Vec::new(), None, false).0);
        }
    }

    /// Entries committed, commits made, submissions waiting.
    pub(crate) fn progress(&self) -> (u64, u64, usize) {
        let entries = self.shared.entries.load(Ordering::Relaxed);
        (entries, self.shared.commits.load(Ordering::Relaxed), self.submissions.len())
    }

    /// Takes no more until told otherwise: the policy in force is one that this engine cannot read.
    pub(crate) fn set_outdated(&self, outdated: bool) {
        let (from, to) = if outdated { (OPEN, OUTDATED) } else { (OUTDATED, OPEN) };
        let _ = self.shared.taking.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Takes no more, commits what waits, and ends.
    pub(crate) async fn close(&self) {
        self.shared.taking.store(CLOSED, Ordering::Release);
        self.submissions.close();
        self.submitted(true);
        // Nothing is ever sent: this waits for the writer's end.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.submissions.close();
        self.submitted(true);
        let thread = self.thread.lock().take();
        // The last engine may be dropped by a waker that runs on the writer itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn outdated() -> Error {
    let issue = "the policy that another engine brought into force cannot be read by this one; update it";
    Error::new(ErrorKind::Unsupported, issue)
}

fn set_back() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the store has lost entries that this engine saw committed: it was set back to an older copy, or failed over to \
         a standby that was behind; nothing is signed on top of it",
    )
}

fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "another engine has taken over this log; open the engine again to take it back",
    )
}
