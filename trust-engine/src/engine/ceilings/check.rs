//! The checks: entry, attempt, lease, record.

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use futures_channel::oneshot;
use pollster::block_on;
use smallvec::SmallVec;

use super::super::{Engine, at_once};
use super::cache::Entry;
use super::recent::Seen;
use super::verdict::CeilingVerdict;
use crate::ceiling::{
    Attempt, CeilingCode, CeilingRequest, Charge, Fetch, Line, Measure, Meter, Outcome, attempt,
};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Durability;
use crate::provenance::{CeilingCount, Ticket};
use crate::storage::Asks;

/// How a request was decided, what was taken for it, and when.
pub(super) type Decided = (Arc<Entry>, Outcome, Charge<Arc<Meter>>, Moment);

impl Engine {
    pub(super) async fn try_check(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        request.check()?;
        let mark = match self.seen(request)? {
            Some(Seen::Before(verdict)) => return Ok(self.with_receipt(verdict).await),
            Some(Seen::New(mark)) => Some(mark),
            None => None,
        };
        let (entry, outcome, charge, now) = self.decide(request).await?;
        let wait = waits(&entry, outcome.code);
        let inputs = || Cow::Borrowed(request);
        let (mut verdict, submission, ticket) = self.conclude(&entry, inputs, outcome, now, !wait)?;
        let wait = wait && submission.is_some();
        // Dropped before it is submitted where nobody waits: the writer then takes its time.
        let ticket = wait.then_some(ticket);
        // An answer that waits for its record is remembered when that is committed, whoever still waits.
        let (early, late) = if wait { (None, mark) } else { (mark, None) };
        if let Some(mut submission) = submission {
            if let Some(mark) = late.filter(|_| verdict.allowed()) {
                let (request, verdict) = (request.clone(), verdict.clone());
                submission = submission.on_landing(move || mark.admitted(&request, &verdict));
            }
            self.0.sequencer.submit(submission).await?;
        }
        if verdict.allowed() {
            charge.keep();
            if let Some(mark) = early {
                mark.admitted(request, &verdict);
            }
        }
        if let Some(ticket) = ticket {
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
        let (entry, now) = self.entry_now(&self.asker(request))?;
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

    /// The verdict of an earlier call, with the receipt that its record may have by now.
    async fn with_receipt(&self, mut verdict: CeilingVerdict) -> CeilingVerdict {
        if let Some(id) = verdict.id()
            && let Ok(record) = self.log().fleet_wide().get(id).await
        {
            verdict.committed(Some(record.receipt().clone()));
        }
        verdict
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
        let Some((_, measure)) = line.only_meter().and_then(|(meter, terms)| meter.take(terms, amount, now))
        else {
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
    pub(super) async fn decide(&self, request: &CeilingRequest) -> Result<Decided> {
        let (entry, now) = self.entry(&self.asker(request)).await?;
        let (outcome, charge) = match self.attempt(&entry, request.amounts(), now)? {
            Attempt::Done(outcome, charge) => (outcome, charge.into_owned()),
            Attempt::Short(fetch, asks) => {
                let (outcome, charge) = self.fetch(fetch, asks).await?;
                (or_open(&entry, outcome), charge)
            }
        };
        Ok((entry, outcome, charge, now))
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
        let sweeper = state.sweeper.signal();
        let done = Box::new(move |outcome| {
            // Where nobody waits any more, what was needed is dropped here and goes back.
            drop(settled.send(outcome));
            sweeper.wake();
        });
        state.quotas.bank.store().lease(asks, Box::new(move |leased| fetch.settle(leased, done)));
        answer.await.map_err(|_| Error::new(ErrorKind::Closed, "the counters were closed"))
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
