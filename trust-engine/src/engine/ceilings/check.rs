//! The checks: entry, attempt, lease, record.

use std::borrow::{Borrow, Cow};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use pollster::block_on;
use serde_json::json;
use smallvec::SmallVec;

use super::super::{Content, Engine};
use super::cache::{Asker, Entry};
use super::payload::CeilingPayload;
use super::recent::{Mark, Seen};
use super::verdict::{CeilingVerdict, Record};
use crate::ceiling::{
    AgentQuota, Attempt, CeilingCode, CeilingRequest, Charge, Fetch, Line, Measure, Meter, Outcome, attempt,
};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{Durability, RecordingMode};
use crate::provenance::{CeilingCount, Counted, Draft, ParentOf, RecordType, Submission, Ticket};
use crate::storage::Asks;

/// How a request was decided, and what was taken for it.
pub(super) type Decided = (Arc<Entry>, Outcome, Charge<Arc<Meter>>);

/// A verdict, what is to be recorded of it, and the ticket that waits for that.
pub(super) type Concluded = (CeilingVerdict, Option<Submission>, Ticket);

impl Engine {
    pub(super) async fn try_check(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        request.check()?;
        let mark = match self.seen(request)? {
            Some(Seen::Before(verdict)) => return Ok(verdict),
            Some(Seen::New(mark)) => Some(mark),
            None => None,
        };
        let now = self.0.clock.coarse();
        let (entry, outcome, charge) = self.decide(request, now).await?;
        let wait = waits(&entry, outcome.code);
        let inputs = || Cow::Borrowed(request);
        let (mut verdict, submission, ticket) = self.conclude(&entry, inputs, outcome, now, !wait)?;
        let wait = wait && submission.is_some();
        if let Some(submission) = submission {
            self.0.sequencer.submit(submission).await?;
        }
        finish(&verdict, charge, mark, request);
        if wait {
            verdict.committed(ticket.committed().await?);
        }
        Ok(verdict)
    }

    pub(super) fn try_check_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)> {
        request.check()?;
        let mark = match self.seen(request)? {
            Some(Seen::Before(verdict)) => return Ok((verdict, Ticket::unrecorded())),
            Some(Seen::New(mark)) => Some(mark),
            None => None,
        };
        let now = self.0.clock.coarse();
        let asker = self.asker(request);
        let entry = match self.known(&asker, now)? {
            Some(entry) => entry,
            None => self.find_now(&asker, now)?,
        };
        if let (None, Some((resource, amount))) = (&mark, request.only_amount())
            && let Some(measure) = self.take_short(&entry, resource, amount, now)?
        {
            return Ok((CeilingVerdict::admitted(amount, measure, now.wall), Ticket::unrecorded()));
        }
        let (verdict, ticket) =
            self.check_entry(&entry, request.amounts(), || Cow::Borrowed(request), now)?;
        if let Some(mark) = mark.filter(|_| verdict.allowed()) {
            mark.admitted(request, &verdict);
        }
        Ok((verdict, ticket))
    }

    /// Whether a request with an id was made before.
    fn seen(&self, request: &CeilingRequest) -> Result<Option<Seen>> {
        let Some(id) = request.id() else { return Ok(None) };
        self.state()?.recent.begin(id, request, self.now()).map(Some)
    }

    /// Checks and records without waiting for another machine. `inputs` are for the record, if there is one.
    #[inline]
    pub(super) fn check_entry<'a>(
        &self,
        entry: &Entry,
        amounts: impl Iterator<Item = (&'a str, u64)>,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        now: Moment,
    ) -> Result<(CeilingVerdict, Ticket)> {
        match self.attempt(entry, amounts, now)? {
            Attempt::Done(outcome, charge) => self.give(entry, inputs, outcome, charge, now),
            Attempt::Short(fetch, asks) => {
                let fetching = self.fetch(fetch, asks);
                let (outcome, charge) = match self.state()?.quotas.bank.store().is_local() {
                    true => block_on(fetching)?,
                    false => {
                        at_once(fetching, "the counters have to be asked; use check_ceiling, or try again")?
                    }
                };
                self.give(entry, inputs, or_open(entry, outcome), charge, now)
            }
        }
    }

    /// The short way of most checks: one resource, one counter, no record, and enough held.
    #[inline(always)]
    pub(super) fn take_short(
        &self,
        entry: &Entry,
        resource: &str,
        amount: u64,
        now: Moment,
    ) -> Result<Option<Measure>> {
        if !entry.unrecorded {
            return Ok(None);
        }
        let state = self.state()?;
        self.0.sequencer.check_state()?;
        let Ok(line) = entry.quota.line(resource, &state.quotas.bank, &state.quotas) else { return Ok(None) };
        let Some((_, measure)) = line.only_meter().and_then(|meter| meter.take(amount, now)) else {
            return Ok(None);
        };
        let count = if measure.near_limit() { CeilingCount::Near } else { CeilingCount::Admitted };
        if entry.counts.add(entry.mark_place, count) {
            state.sweeper.wake();
        }
        Ok(Some(measure))
    }

    #[inline]
    fn give<'a, M: Borrow<Arc<Meter>>>(
        &self,
        entry: &Entry,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        outcome: Outcome,
        charge: Charge<M>,
        now: Moment,
    ) -> Result<(CeilingVerdict, Ticket)> {
        let (verdict, submission, ticket) = self.conclude(entry, inputs, outcome, now, true)?;
        if let Some(submission) = submission {
            self.0.sequencer.try_submit(submission)?;
        }
        if verdict.allowed() {
            charge.keep();
        }
        Ok((verdict, ticket))
    }

    /// Decides, and waits for the authority if it must. What was taken goes back unless it is kept.
    pub(super) async fn decide(&self, request: &CeilingRequest, now: Moment) -> Result<Decided> {
        let asker = self.asker(request);
        let entry = match self.known(&asker, now)? {
            Some(entry) => entry,
            None => self.find(&asker, now).await?,
        };
        let (outcome, charge) = match self.attempt(&entry, request.amounts(), now)? {
            Attempt::Done(outcome, charge) => (outcome, charge.into_owned()),
            Attempt::Short(fetch, asks) => {
                let (outcome, charge) = self.fetch(fetch, asks).await?;
                (or_open(&entry, outcome), charge)
            }
        };
        Ok((entry, outcome, charge))
    }

    /// Whom a request is for.
    pub(super) fn asker<'a>(&self, request: &'a CeilingRequest) -> Asker<'a> {
        let claim = request.claimed_tier();
        let authority = request.caller_name().is_some_and(|caller| self.0.authorities.contains(caller));
        Asker {
            organization: request.organization_id().as_str(),
            agent: request.agent_name(),
            claim,
            asserted: authority && claim.is_some(),
        }
    }

    /// The quota that is known and still to be relied on.
    #[inline]
    pub(super) fn known(&self, asker: &Asker<'_>, now: Moment) -> Result<Option<Arc<Entry>>> {
        let entry = self.state()?.quotas.get(asker);
        Ok(entry.filter(|entry| self.is_fresh(entry, now)))
    }

    #[inline]
    pub(super) fn is_fresh(&self, entry: &Entry, now: Moment) -> bool {
        let edition = self.0.edition.load(Ordering::Acquire);
        entry.is_fresh(edition, self.0.agents.mark(entry.mark_place), now)
    }

    pub(super) fn find_now(&self, asker: &Asker<'_>, now: Moment) -> Result<Arc<Entry>> {
        at_once(self.find(asker, now), "the agent is not cached and its store is remote; use check_ceiling")
    }

    /// Reads agent and policy again, and gives the quota that follows from them.
    pub(super) async fn find(&self, asker: &Asker<'_>, now: Moment) -> Result<Arc<Entry>> {
        let state = self.state()?;
        let organization = OrganizationId::parse(asker.organization)?;
        let id = AgentId::parse(asker.agent)?;
        // Read before what they stand for, so that a change in between is noticed.
        let edition = self.0.edition.load(Ordering::Acquire);
        let mark_place = self.0.agents.mark_of(&organization, &id);
        let mark = self.0.agents.mark(mark_place);
        let policy = self.snapshot();
        let (agent, good_for) = self.agent_for(&organization, &id).await?;
        let fresh_until = now.plus(good_for).steady;
        if let Some(old) = state.quotas.get(asker) {
            let version = |agent: &Option<Arc<crate::Agent>>| agent.as_ref().map(|agent| agent.version);
            if Arc::ptr_eq(&old.quota.policy, &policy) && version(&old.quota.agent) == version(&agent) {
                old.edition.store(edition, Ordering::Relaxed);
                old.mark.store(mark, Ordering::Relaxed);
                old.fresh_until.store(fresh_until, Ordering::Relaxed);
                return Ok(old);
            }
            old.quota.drain();
        }
        let counts = state.quotas.unrecorded.of(&organization);
        let quota = AgentQuota::new(policy, organization, id, agent, asker.claim, asker.asserted);
        let mode = quota.policy.document().recording.ceilings.mode;
        let unrecorded = mode == RecordingMode::None && !quota.tier.excess;
        let entry = Arc::new(Entry {
            quota,
            mark_place,
            mark: AtomicU64::new(mark),
            edition: AtomicU64::new(edition),
            fresh_until: AtomicI64::new(fresh_until),
            counts,
            unrecorded,
        });
        state.quotas.insert(asker, Arc::clone(&entry));
        Ok(entry)
    }

    /// Takes what the engine holds.
    #[inline]
    fn attempt<'a, 'e>(
        &self,
        entry: &'e Entry,
        amounts: impl Iterator<Item = (&'a str, u64)>,
        now: Moment,
    ) -> Result<Attempt<'e>> {
        let quotas = &self.state()?.quotas;
        let mut wanted: SmallVec<[(&Line, u64); 1]> = SmallVec::new();
        for (resource, amount) in amounts {
            match entry.quota.line(resource, &quotas.bank, quotas) {
                Ok(line) => wanted.push((line, amount)),
                Err(code) => return Ok(Attempt::Done(Outcome::new(code), Charge::new())),
            }
        }
        Ok(attempt(&wanted, now))
    }

    /// Asks the authority. Its answer reaches the slots even if nobody waits for it any more; then what was needed goes
    /// back.
    async fn fetch(&self, fetch: Box<Fetch>, asks: Asks) -> Result<(Outcome, Charge<Arc<Meter>>)> {
        let state = self.state()?;
        let (settled, answer) = oneshot::channel();
        state
            .quotas
            .bank
            .store()
            .lease(asks, Box::new(move |leased| drop(settled.send(fetch.settle(leased)))));
        let outcome = answer.await.map_err(|_| Error::new(ErrorKind::Closed, "the counters were closed"));
        state.sweeper.wake();
        outcome
    }

    /// The verdict and what is to be recorded of it. `given`: the caller has the verdict before it is committed.
    #[inline]
    pub(super) fn conclude<'a>(
        &self,
        entry: &Entry,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        outcome: Outcome,
        now: Moment,
        given: bool,
    ) -> Result<Concluded> {
        let mut verdict = CeilingVerdict::new(outcome, now.wall);
        let quota = &entry.quota;
        let recording = &quota.policy.document().recording.ceilings;
        let always = quota.tier.excess || verdict.code == CeilingCode::FailOpen;
        if !always && !self.is_sampled(recording.mode, recording.sample_per_thousand, verdict.allowed()) {
            // As for those that are recorded: an engine that was fenced decides by an outdated policy.
            self.0.sequencer.check_state()?;
            if entry.counts.add(entry.mark_place, verdict.count()) {
                self.state()?.sweeper.wake();
            }
            return Ok((verdict, None, Ticket::unrecorded()));
        }
        let (submission, ticket) = self.recording(quota, &inputs(), &mut verdict, given)?;
        Ok((verdict, Some(submission), ticket))
    }

    fn recording(
        &self,
        quota: &AgentQuota,
        request: &CeilingRequest,
        verdict: &mut CeilingVerdict,
        given: bool,
    ) -> Result<(Submission, Ticket)> {
        let now = self.now();
        verdict.evaluated_at = now;
        let authority = request.caller_name().filter(|caller| self.0.authorities.contains(*caller));
        let authority = authority.filter(|_| request.claimed_tier().is_some());
        let mut draft = self.ceiling_draft(
            quota,
            verdict.reason_code().as_str(),
            Some(verdict.decision()),
            CeilingPayload::bytes(verdict, request, quota, authority)?,
        );
        draft.counted = Some(Counted::Ceiling(verdict.count()));
        verdict.record = Some(Box::new(Record { id: draft.id, receipt: None }));
        let mut drafts = vec![draft];
        if quota.tier.excess {
            let body = json!({
                "reason": "a tier above the held one was claimed",
                "claimed": request.claimed_tier(),
                "held": quota.tier_name(),
                "caller": request.caller_name(),
            });
            let mut signal =
                self.ceiling_draft(quota, "TIER_CLAIM_ABOVE_HELD", None, body.to_string().into_bytes());
            signal.kind = RecordType::Signal;
            signal.parent = ParentOf::First;
            drafts.push(signal);
        }
        Ok(Submission::new(drafts, None, given))
    }

    pub(super) fn ceiling_draft(
        &self,
        quota: &AgentQuota,
        code: &'static str,
        decision: Option<crate::Decision>,
        payload: Vec<u8>,
    ) -> Draft {
        let content = Content {
            kind: RecordType::Ceiling,
            organization: quota.organization.clone(),
            agent: Some(quota.id.clone()),
            decision,
            reason_code: Some(code.into()),
            policy: Some(quota.policy.hash()),
            payload,
        };
        self.draft(content, self.now())
    }
}

/// Keeps what an admitted check has taken, and remembers it under its request's id.
fn finish(
    verdict: &CeilingVerdict,
    charge: Charge<Arc<Meter>>,
    mark: Option<Mark>,
    request: &CeilingRequest,
) {
    if verdict.allowed() {
        charge.keep();
        if let Some(mark) = mark {
            mark.admitted(request, verdict);
        }
    }
}

/// Whether the answer waits for the record's commit.
pub(super) fn waits(entry: &Entry, code: CeilingCode) -> bool {
    let recording = &entry.quota.policy.document().recording.ceilings;
    let durability = if code.admits() { recording.durability } else { recording.refusals };
    durability == Durability::Commit
}

/// Admits what no authority answered, where the policy says so.
fn or_open(entry: &Entry, mut outcome: Outcome) -> Outcome {
    if outcome.code == CeilingCode::StoreUnavailable && entry.quota.policy.document().ceilings.fail_open {
        outcome.code = CeilingCode::FailOpen;
    }
    outcome
}

/// What a future gives without waiting.
fn at_once<T>(future: impl Future<Output = Result<T>>, issue: &'static str) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::new(ErrorKind::WouldBlock, issue)),
    }
}
