//! Records on their way to the writer, and the ticket that waits for their commit.

use std::borrow::Cow;
use std::sync::Arc;

use futures_channel::oneshot;
use uuid::Uuid;

use super::state::closed;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::log::stats::VerdictStat;
use crate::policy::PolicyHash;
use crate::provenance::{DecisionWord, Hash, Parent, Payload, Receipt, RecordType, Source};
use crate::storage::{DocumentChange, FollowerClaim, Succession};

/// A record to be sequenced.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: Uuid,
    pub(crate) id_origin: IdOrigin,
    pub(crate) kind: RecordType,
    pub(crate) organization: OrganizationId,
    pub(crate) agent: Option<AgentId>,
    pub(crate) source: Source,
    pub(crate) decision: Option<DecisionWord>,
    pub(crate) reason_code: Option<Cow<'static, str>>,
    pub(crate) policy: Option<PolicyHash>,
    pub(crate) parent: ParentOf,
    pub(crate) payload: Arc<Payload>,
    /// The payload's commitment, computed on the caller's thread.
    pub(crate) commitment: Hash,
    /// The verdict stat of a verdict that the engine made itself; `None` for other records.
    pub(crate) stat: Option<VerdictStat>,
}

/// The origin of a record's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdOrigin {
    /// Made for this record.
    New,
    /// Chosen by a caller, who may be repeating itself: the record may be there already, with the same content.
    Caller,
    /// Derived by a follower from what the record is about: a record of the engine with this id and type is this one.
    Derived,
}

/// The record that a draft follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentOf {
    Nothing,
    Record(Parent),
    /// The first draft of the same submission.
    First,
}

/// The fate of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the log.
    Committed,
    /// Its callers were told that it is unknown whether it is in the log, which will be learnt.
    Open,
    /// The engine ends before it has learnt it.
    Unknown,
}

/// Drafts that belong together, and the change of state that commits with them.
pub(crate) struct Submission {
    /// The drafts; the receipt of the first one is the answer. A submission that only asks for a commit has none, and one
    /// whose change needs no record.
    pub(crate) drafts: Vec<Draft>,
    pub(crate) change: Option<DocumentChange>,
    /// The claim of the follower that the drafts come from: they are refused once it is outdated.
    pub(crate) claim: Option<FollowerClaim>,
    /// The succession that the commit brings.
    pub(crate) succession: Option<Succession>,
    /// Whether the caller has its verdict already, so that a lost record is a gap.
    pub(crate) answered_early: bool,
    /// Is told the fate on the writer's thread, before a caller hears of it, and whether or not a caller still waits. It is
    /// dropped if the submission is certainly not in the log.
    on_fate: Option<Box<dyn FnMut(Fate) + Send>>,
    done: oneshot::Sender<Result<Option<Receipt>>>,
    /// Callers that submitted the same record with the same id in the same batch.
    joined: Vec<oneshot::Sender<Result<Option<Receipt>>>>,
}

impl Submission {
    pub(crate) fn new(
        drafts: Vec<Draft>,
        change: Option<DocumentChange>,
        answered_early: bool,
    ) -> (Self, Ticket) {
        let (done, answer) = oneshot::channel();
        let submission = Self {
            drafts,
            change,
            claim: None,
            succession: None,
            answered_early,
            on_fate: None,
            done,
            joined: Vec::new(),
        };
        (submission, Ticket(Some(answer)))
    }

    /// Sets the action that follows from the commit, and from one that may have happened.
    pub(crate) fn on_commit(self, act: impl FnOnce() + Send + 'static) -> Self {
        let mut act = Some(act);
        self.on_fate(move |fate| {
            if fate != Fate::Open
                && let Some(act) = act.take()
            {
                act();
            }
        })
    }

    /// Sets the action that is told the fate.
    pub(crate) fn on_fate(mut self, act: impl FnMut(Fate) + Send + 'static) -> Self {
        self.on_fate = Some(Box::new(act));
        self
    }

    /// Makes the commit depend on the claim of a follower.
    pub(crate) fn under(mut self, claim: FollowerClaim) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Lets the log go on in a new shard after the commit.
    pub(crate) fn bringing(mut self, succession: Option<Succession>) -> Self {
        self.succession = succession;
        self
    }

    /// Whether a caller waits for the commit.
    pub(super) fn is_awaited(&self) -> bool {
        !self.done.is_canceled() || !self.joined.is_empty()
    }

    /// Whether an id was not made for its record, so that the log has to be asked first if the record is there already.
    pub(super) fn is_looked_up(&self) -> bool {
        self.drafts.iter().any(|draft| draft.id_origin != IdOrigin::New)
    }

    /// Whether a caller chose an id. An id that was derived is hardly ever there already, so a store that says when one is
    /// need not be asked first.
    pub(super) fn is_chosen(&self) -> bool {
        self.drafts.iter().any(|draft| draft.id_origin == IdOrigin::Caller)
    }

    /// Answers the callers of `other`, a repetition of this submission, together with those of this one.
    pub(super) fn join(&mut self, other: Self) {
        self.joined.push(other.done);
    }

    /// Tells the action a fate that is final.
    pub(super) fn meets(&mut self, fate: Fate) {
        if let Some(mut act) = self.on_fate.take() {
            act(fate);
        }
    }

    /// Takes out the parts of a submission that matter once its callers have been told that the outcome is unknown: the
    /// drafts that may become a gap, and the action that follows if the commit has happened after all.
    pub(super) fn unsettled(&mut self) -> Self {
        let drafts = if self.answered_early { self.drafts.clone() } else { Vec::new() };
        let (mut rest, _) = Self::new(drafts, None, self.answered_early);
        rest.on_fate = self.on_fate.take();
        if let Some(act) = &mut rest.on_fate {
            act(Fate::Open);
        }
        rest
    }

    /// Answers all callers of the submission.
    pub(super) fn answer(mut self, result: &Result<Option<Receipt>>) {
        // The action lets go of everything it holds before a caller hears that there was no commit.
        self.on_fate = None;
        for done in self.joined.into_iter().chain([self.done]) {
            // The caller may have stopped waiting; the record is committed all the same.
            let _ = done.send(result.clone());
        }
    }
}

/// Waits for the commit of a record; dropping it changes nothing about the record.
#[derive(Debug)]
pub struct Ticket(Option<oneshot::Receiver<Result<Option<Receipt>>>>);

impl Ticket {
    /// The ticket of a verdict that the policy does not record.
    pub(crate) fn unrecorded() -> Self {
        Self(None)
    }

    /// Waits until the record is committed and gives its receipt; `None` if the policy does not record this verdict.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace) or
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced): the record is not in the log, or it is not known whether it is;
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict): another record has its id.
    pub async fn committed(self) -> Result<Option<Receipt>> {
        match self.0 {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(closed())),
            None => Ok(None),
        }
    }

    /// Does the same as [`committed`](Self::committed) without async: blocks the thread.
    ///
    /// # Errors
    /// Those of [`committed`](Self::committed).
    pub fn wait(self) -> Result<Option<Receipt>> {
        pollster::block_on(self.committed())
    }
}
