//! The state that callers and writer share, and the errors that follow from it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::log_time::LogTime;
use crate::error::{Error, ErrorKind, Result};
use crate::log::stats::StatsBatch;
use crate::storage::Shard;

/// The state of the writer and its store. Only the writer's thread changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum WriterState {
    Up,
    /// The store cannot be written; it is tried again.
    Down,
    /// Another engine has the shard, and this one may write no other.
    Fenced,
    /// The store has lost entries that this engine saw committed. This state is final.
    SetBack,
    /// The deployment signs with another key now. This state is final.
    Replaced,
}

impl WriterState {
    /// The error of everything that comes in a state that is final.
    pub(super) fn refusal(self) -> Option<Error> {
        match self {
            Self::Up | Self::Down => None,
            Self::Fenced => Some(fenced()),
            Self::SetBack => Some(set_back()),
            Self::Replaced => Some(replaced()),
        }
    }
}

/// Whether the engine accepts records at all, whatever the state of the writer. The closing of the engine and the
/// follower's thread change it, and never the writer's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Intake {
    Open,
    /// The engine was closed. This state is final.
    Closed,
    /// The policy in force is one that this engine cannot read.
    Outdated,
}

/// The state that callers and the writer share. Callers read the atomics without a lock, and each atomic stands on its
/// own: no decision needs two of them from the same instant.
#[derive(Default)]
pub(super) struct Shared {
    /// A [`WriterState`].
    state: AtomicU8,
    /// An [`Intake`].
    intake: AtomicU8,
    /// The shard that is written. Only the writer's thread changes it.
    pub(super) shard: AtomicU32,
    /// Commits that the writer made, for the statistics.
    pub(super) commits: AtomicU64,
    /// Entries that the writer committed, for the statistics.
    pub(super) entries: AtomicU64,
    /// Counts of verdicts that the policy does not record, until the writer takes them along with its next commit.
    pub(super) unrecorded: Mutex<StatsBatch>,
    /// The shards that were found signed with a key that is not the deployment's.
    pub(super) foreign: Mutex<Vec<Shard>>,
    /// The time of the log, for the writer and the thread that gives signs of life.
    pub(super) log_time: LogTime,
    /// Whether the writer lingers although something has been submitted, because no caller waits for it. The writer
    /// sets the flag before it looks at the queue, and a caller submits before it reads the flag: so either the writer
    /// sees the submission, or the caller sees the flag and ends the linger. Both orders need `SeqCst`.
    pub(super) lingering: AtomicBool,
}

impl Shared {
    pub(super) fn state(&self) -> WriterState {
        match self.state.load(Ordering::Acquire) {
            state if state == WriterState::Up as u8 => WriterState::Up,
            state if state == WriterState::Fenced as u8 => WriterState::Fenced,
            state if state == WriterState::SetBack as u8 => WriterState::SetBack,
            state if state == WriterState::Replaced as u8 => WriterState::Replaced,
            _ => WriterState::Down,
        }
    }

    pub(super) fn set_state(&self, state: WriterState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Closes the intake for good.
    pub(super) fn close(&self) {
        self.intake.store(Intake::Closed as u8, Ordering::Release);
    }

    /// Pauses or resumes the intake. A closed intake stays closed: the exchange fails then, which is no error.
    pub(super) fn set_outdated(&self, outdated: bool) {
        let (from, to) =
            if outdated { (Intake::Open, Intake::Outdated) } else { (Intake::Outdated, Intake::Open) };
        let _ = self.intake.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether records can be accepted now. State or intake may change after the check: a submission that comes in then
    /// still gets an answer, by the writer or because the queue is closed.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        let up = self.state.load(Ordering::Acquire) == WriterState::Up as u8;
        let open = self.intake.load(Ordering::Acquire) == Intake::Open as u8;
        if up && open { Ok(()) } else { Err(self.refusal()) }
    }

    #[cold]
    fn refusal(&self) -> Error {
        match self.intake.load(Ordering::Acquire) {
            intake if intake == Intake::Closed as u8 => return closed(),
            intake if intake == Intake::Outdated as u8 => return outdated(),
            _ => {}
        }
        self.state().refusal().unwrap_or_else(unreachable_store)
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine was closed before the record was committed")
}

pub(super) fn unreachable_store() -> Error {
    Error::new(ErrorKind::Unavailable, "the store cannot be written; it is tried again")
}

pub(super) fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "another engine has taken over this shard of the log, or it was sealed; open the engine again to go on",
    )
}

pub(super) fn set_back() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the store has lost entries that this engine saw committed: it was set back to an older copy, or failed over to \
         a standby that was behind; nothing is signed on top of it",
    )
}

fn replaced() -> Error {
    let issue = "the deployment's key was rotated; open the engine again with the one that it signs with now";
    Error::new(ErrorKind::Key, issue)
}

fn outdated() -> Error {
    let issue = "the policy that another engine brought into force cannot be read by this one; update it";
    Error::new(ErrorKind::Unsupported, issue)
}
