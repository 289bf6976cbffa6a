//! The checks, step by step: cached quota, attempt, lease, record.

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use futures_channel::oneshot;
use pollster::block_on;
use smallvec::SmallVec;

use super::cache::CachedQuota;
use super::recent::Seen;
use super::state::State;
use super::verdict::CeilingVerdict;
use crate::ceiling::{CeilingCode, CeilingRequest, LeaseRequests, Measure};
use crate::clock::Moment;
use crate::engine::instance::{Engine, at_once};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{CeilingStat, Ticket};
use crate::policy::Durability;
use crate::provenance::Source;
use crate::quota::{Attempt, Charge, Fetch, Meter, Outcome, ResourceLimits, attempt};

/// The quota of a request, the outcome of its check, the charge that was taken for it, and the time of the check.
pub(super) type Decided = (Arc<CachedQuota>, Outcome, Charge<Arc<Meter>>, Moment);

impl Engine {
    /// Checks amounts against an agent's ceilings, and charges all of them or none. Unless the policy says otherwise a
    /// refusal is committed before this returns, and an admission is on its way into the log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for values out of bounds,
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a request id that was used for another request. Any
    /// other error means that there is no verdict: treat it as a refusal.
    pub async fn check_ceiling(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        self.try_check(request).await.map_err(|error| error.during("check ceiling"))
    }

    /// Checks amounts without ever waiting for another machine: with what the engine holds it answers at once, and a
    /// local store is asked in place (the embedded one writes a lease durably first). The ticket waits for the record's
    /// commit; dropping it changes nothing.
    ///
    /// # Errors
    /// As [`check_ceiling`](Self::check_ceiling), and [`ErrorKind::WouldBlock`](crate::ErrorKind::WouldBlock) if a
    /// remote store has to be asked: the agent, and the amount that it grants beyond the need, will be there when the
    /// check is made again. Where nothing is leased ahead (`EXACT` rows, or near the ceiling), a check would never be admitted in
    /// this way.
    pub fn check_ceiling_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)> {
        self.try_check_now(request).map_err(|error| error.during("check ceiling"))
    }

    pub(super) fn ceiling_state(&self) -> Result<&State> {
        self.0.ceilings.as_ref().ok_or_else(|| {
            Error::invalid("counters", "are missing: an engine on a store of its own needs Options::counters")
        })
    }

    async fn try_check(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        request.check()?;
        match request.id() {
            Some(id) => self.check_keyed(request, id).await,
            None => self.conclude_and_wait(request, self.decide(request).await?).await,
        }
    }

    /// Records an outcome and gives its verdict, after the commit if the policy says so.
    pub(super) async fn conclude_and_wait(
        &self,
        request: &CeilingRequest,
        (cached, outcome, charge, now): Decided,
    ) -> Result<CeilingVerdict> {
        let wait = waits(&cached, outcome.code);
        let inputs = || Cow::Borrowed(request);
        let (mut verdict, submission, ticket) = self.conclude(&cached, inputs, outcome, now, !wait)?;
        let wait = wait && submission.is_some();
        // If the caller does not wait, the ticket is dropped before the record is submitted, so that the writer may
        // linger.
        let ticket = wait.then_some(ticket);
        if let Some(submission) = submission {
            self.0.sequencer.submit(submission).await?;
        }
        if verdict.allowed() {
            charge.keep();
        }
        if let Some(ticket) = ticket {
            verdict.set_receipt(ticket.committed().await?);
        }
        Ok(verdict)
    }

    fn try_check_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)> {
        request.check()?;
        if let Some(id) = request.id() {
            return self.check_keyed_now(request, id);
        }
        let (cached, now) = self.quota_now(&self.key_of(request))?;
        if let Some((resource, amount)) = request.only_amount()
            && let Some(measure) = self.take_fast(&cached, resource, amount, now)?
        {
            return Ok((CeilingVerdict::admitted(amount, measure, now.wall), Ticket::unrecorded()));
        }
        self.check_quota(&cached, request.amounts(), || Cow::Borrowed(request), now)
    }

    /// A check with a request id is committed before it is answered, which a local store does in place.
    fn check_keyed_now(&self, request: &CeilingRequest, id: &str) -> Result<(CeilingVerdict, Ticket)> {
        self.0.sequencer.check_state()?;
        let would_block = |issue| Err(Error::new(ErrorKind::WouldBlock, issue));
        let seen = self.ceiling_state()?.recent.begin(id, request, self.now())?;
        if matches!(seen, Seen::New(_)) && self.is_local() {
            // So that the check can begin it.
            drop(seen);
            return Ok((block_on(self.check_keyed(request, id))?, Ticket::unrecorded()));
        }
        match seen {
            Seen::Before(verdict) => {
                let (cached, now) = self.quota_now(&self.key_of(request))?;
                match self.refusal(&cached, request)? {
                    Some(code) => {
                        let (outcome, charge) = (Outcome::new(code), Charge::<Arc<Meter>>::new());
                        self.give(&cached, || Cow::Borrowed(request), outcome, charge, now)
                    }
                    None => Ok((verdict.again(), Ticket::unrecorded())),
                }
            }
            Seen::Open(_) => {
                would_block("a request with this id is being decided; use check_ceiling, or ask again")
            }
            Seen::New(_) => {
                would_block("a check with a request id is committed before it is answered; use check_ceiling")
            }
        }
    }

    /// Whether neither the log nor the counters are on another machine.
    fn is_local(&self) -> bool {
        !self.0.store.is_shared()
            && self.ceiling_state().is_ok_and(|state| state.quotas.pool.store().is_local())
    }

    /// The verdict of an earlier call, with the receipt that its record may have by now.
    pub(super) async fn with_receipt(
        &self,
        mut verdict: CeilingVerdict,
        request: &CeilingRequest,
    ) -> CeilingVerdict {
        if verdict.receipt().is_none()
            && let Some(id) = verdict.id()
            && let Ok(record) = self.log().of(request.organization_id().clone()).get(id).await
            // A host may have taken the id.
            && record.entry().source == Source::Engine
        {
            verdict.set_receipt(Some(record.receipt().clone()));
        }
        verdict
    }

    /// Checks and records without waiting for another machine. `inputs` are for the record, if there is one.
    #[inline]
    pub(super) fn check_quota<'a>(
        &self,
        cached: &CachedQuota,
        amounts: impl Iterator<Item = (&'a str, u64)>,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        now: Moment,
    ) -> Result<(CeilingVerdict, Ticket)> {
        match self.attempt(cached, amounts, now)? {
            Attempt::Done(outcome, charge) => self.give(cached, inputs, outcome, charge, now),
            Attempt::Short(fetch, requests) => {
                let fetching = self.fetch(fetch, requests);
                let (outcome, charge) = match self.ceiling_state()?.quotas.pool.store().is_local() {
                    true => block_on(fetching)?,
                    false => {
                        at_once(fetching, "the counters have to be asked; use check_ceiling, or try again")?
                    }
                };
                self.give(cached, inputs, or_open(cached, outcome), charge, now)
            }
        }
    }

    /// The short way of most checks: one resource, one counter, no record, and enough held.
    #[inline(always)]
    pub(super) fn take_fast(
        &self,
        cached: &CachedQuota,
        resource: &str,
        amount: u64,
        now: Moment,
    ) -> Result<Option<Measure>> {
        if !cached.skips_record {
            return Ok(None);
        }
        let state = self.ceiling_state()?;
        self.0.sequencer.check_state()?;
        let Ok(limits) = cached.quota.limits(resource, &state.quotas.pool) else {
            return Ok(None);
        };
        let Some((_, measure)) =
            limits.only_meter().and_then(|(meter, terms)| meter.take(terms, amount, now))
        else {
            return Ok(None);
        };
        let count = if measure.near_limit() { CeilingStat::Near } else { CeilingStat::Admitted };
        if cached.counts.add(cached.agents_part, count) {
            state.sweeper.wake();
        }
        Ok(Some(measure))
    }

    #[inline]
    fn give<'a, M: Borrow<Arc<Meter>>>(
        &self,
        cached: &CachedQuota,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        outcome: Outcome,
        charge: Charge<M>,
        now: Moment,
    ) -> Result<(CeilingVerdict, Ticket)> {
        let (verdict, submission, ticket) = self.conclude(cached, inputs, outcome, now, true)?;
        if let Some(submission) = submission {
            self.0.sequencer.try_submit(submission)?;
        }
        if verdict.allowed() {
            charge.keep();
        }
        Ok((verdict, ticket))
    }

    /// Decides, and waits for the authority if it must. The charge goes back unless it is kept.
    pub(super) async fn decide(&self, request: &CeilingRequest) -> Result<Decided> {
        let (cached, now) = self.quota_for(&self.key_of(request)).await?;
        let (outcome, charge) = match self.attempt(&cached, request.amounts(), now)? {
            Attempt::Done(outcome, charge) => (outcome, charge.into_owned()),
            Attempt::Short(fetch, requests) => {
                let (outcome, charge) = self.fetch(fetch, requests).await?;
                (or_open(&cached, outcome), charge)
            }
        };
        Ok((cached, outcome, charge, now))
    }

    /// Tries the check with the leases that the engine holds.
    #[inline]
    fn attempt<'a, 'e>(
        &self,
        cached: &'e CachedQuota,
        amounts: impl Iterator<Item = (&'a str, u64)>,
        now: Moment,
    ) -> Result<Attempt<'e>> {
        let quotas = &self.ceiling_state()?.quotas;
        let mut wanted: SmallVec<[(&ResourceLimits, u64); 1]> = SmallVec::new();
        for (resource, amount) in amounts {
            match cached.quota.limits(resource, &quotas.pool) {
                Ok(limits) => wanted.push((limits, amount)),
                Err(code) => return Ok(Attempt::Done(Outcome::new(code), Charge::new())),
            }
        }
        Ok(attempt(&wanted, now))
    }

    /// Asks the authority. Its answer reaches the slots even if the caller has stopped waiting for it; then the amount
    /// that was needed goes back.
    async fn fetch(
        &self,
        fetch: Box<Fetch>,
        requests: LeaseRequests,
    ) -> Result<(Outcome, Charge<Arc<Meter>>)> {
        let state = self.ceiling_state()?;
        let (settled, answer) = oneshot::channel();
        let sweeper = state.sweeper.signal();
        let done = Box::new(move |outcome| {
            // If the caller has stopped waiting, the charge is dropped here and goes back.
            drop(settled.send(outcome));
            sweeper.wake();
        });
        state.quotas.pool.store().lease(requests, Box::new(move |leased| fetch.settle(leased, done)));
        answer.await.map_err(|_| Error::new(ErrorKind::Closed, "the counters were closed"))
    }
}

/// Whether the answer waits for the record's commit.
pub(super) fn waits(cached: &CachedQuota, code: CeilingCode) -> bool {
    let recording = &cached.quota.policy.document().recording.ceilings;
    let durability = if code.admits() { recording.durability } else { recording.refusals };
    durability == Durability::Commit
}

/// Admits a check that no authority answered, where the policy says so.
fn or_open(cached: &CachedQuota, mut outcome: Outcome) -> Outcome {
    if outcome.code == CeilingCode::StoreUnavailable && cached.quota.policy.document().ceilings.fail_open {
        outcome.code = CeilingCode::FailOpen;
    }
    outcome
}
