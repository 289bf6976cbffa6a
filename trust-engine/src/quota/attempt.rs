//! A check: take from every meter or from none.
//!
//! Meters are taken in a fixed order: resources as the request names them, levels from the agent to the fleet. Where
//! slots have enough that is all. Otherwise the short ones ask the authority together, in one request that is granted
//! whole or not at all. Whatever was taken before a refusal goes back.

use std::borrow::Borrow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::limits::ResourceLimits;
use super::meter::{Meter, PendingLease, Taken};
use crate::ceiling::{
    CeilingCode, Consumed, LeaseAnswer, LeaseRequest, LeaseRequests, Measure, Rate, Refusal, Terms,
};
use crate::clock::Moment;
use crate::error::Result;

/// How a check came out.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) code: CeilingCode,
    /// The counters that were looked at, with the place of their resource in the request and its amount, in the order
    /// of levels; of a refusal the one that refused.
    pub(crate) measures: SmallVec<[(u32, u64, Measure); 1]>,
    /// Until a rate admits it, in microseconds.
    pub(crate) retry_after: Option<i64>,
}

impl Outcome {
    pub(crate) fn new(code: CeilingCode) -> Self {
        Self { code, measures: SmallVec::new(), retry_after: None }
    }
}

/// What was taken. Dropped, it goes back.
pub(crate) struct Charge<M: Borrow<Arc<Meter>>> {
    taken: SmallVec<[(u32, M, Taken); 1]>,
    rates: SmallVec<[(Arc<Rate>, Consumed); 1]>,
}

impl<M: Borrow<Arc<Meter>>> Charge<M> {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self { taken: SmallVec::new(), rates: SmallVec::new() }
    }

    /// It is used, or may have been.
    pub(crate) fn keep(mut self) {
        self.taken.clear();
        self.rates.clear();
    }

    /// Of the amounts that were taken for each place only so much was used. The rest goes back, if it still counts.
    pub(crate) fn settle(mut self, used: &[u64]) {
        for (place, meter, taken) in self.taken.drain(..) {
            let used = used.get(place as usize).copied().unwrap_or(u64::MAX);
            meter.borrow().refund(&taken, taken.amount().saturating_sub(used));
        }
        self.rates.clear();
    }

    /// The same, to outlive what the meters were borrowed from.
    pub(crate) fn into_owned(mut self) -> Charge<Arc<Meter>> {
        let own = |(place, meter, taken): (u32, M, Taken)| (place, Arc::clone(meter.borrow()), taken);
        Charge { taken: self.taken.drain(..).map(own).collect(), rates: std::mem::take(&mut self.rates) }
    }
}

impl<M: Borrow<Arc<Meter>>> Drop for Charge<M> {
    fn drop(&mut self) {
        self.taken.drain(..).for_each(|(_, meter, taken)| meter.borrow().refund(&taken, taken.amount()));
        self.rates.drain(..).for_each(|(rate, consumed)| rate.undo(consumed));
    }
}

/// A counter that has to be asked for: place of its resource, counter, amount.
type Short<'q> = (u32, &'q (Arc<Meter>, Terms), u64);

/// A first attempt, with what the engine holds.
pub(crate) enum Attempt<'q> {
    /// Admitted, or refused by a rate or as a moment ago.
    Done(Outcome, Charge<&'q Arc<Meter>>),
    /// The authority has to be asked.
    Short(Box<Fetch>, LeaseRequests),
}

pub(crate) fn attempt<'q>(wanted: &[(&'q ResourceLimits, u64)], now: Moment) -> Attempt<'q> {
    let mut charge = Charge::new();
    let mut outcome = Outcome::new(CeilingCode::WithinCeiling);
    let mut short: SmallVec<[Short<'_>; 1]> = SmallVec::new();
    for (place, (limits, amount)) in (0..).zip(wanted) {
        for rate in &limits.rates {
            match rate.take(*amount, now.steady) {
                Ok(consumed) => charge.rates.push((Arc::clone(rate), consumed)),
                Err(retry_after) => {
                    let outcome = Outcome { retry_after, ..Outcome::new(CeilingCode::RateExceeded) };
                    return Attempt::Done(outcome, Charge::new());
                }
            }
        }
        for counter in &limits.meters {
            let (meter, terms) = counter;
            match meter.take(terms, *amount, now) {
                Some((taken, measure)) => {
                    charge.taken.push((place, meter, taken));
                    outcome.measures.push((place, *amount, measure));
                }
                None => match meter.refused(terms, *amount, now) {
                    Some(measure) => {
                        let mut outcome = Outcome::new(CeilingCode::CeilingExceeded);
                        outcome.measures.push((place, *amount, measure));
                        return Attempt::Done(outcome, Charge::new());
                    }
                    None => short.push((place, counter, *amount)),
                },
            }
        }
    }
    if short.is_empty() {
        return Attempt::Done(outcome, charge);
    }
    let mut requests = LeaseRequests::new();
    let mut asked = SmallVec::new();
    for (place, (meter, terms), amount) in short {
        let (request, pending) = meter.lease_request(terms, amount, now);
        requests.push(request.clone());
        asked.push(Asked { place, meter: Arc::clone(meter), terms: *terms, request, pending: Some(pending) });
    }
    let fetch = Fetch { charge: charge.into_owned(), outcome, asked, sent: now, again: false };
    Attempt::Short(Box::new(fetch), requests)
}

/// A check that waits for its authority.
pub(crate) struct Fetch {
    charge: Charge<Arc<Meter>>,
    outcome: Outcome,
    asked: SmallVec<[Asked; 1]>,
    sent: Moment,
    /// Whether it was asked for the second time.
    again: bool,
}

struct Asked {
    place: u32,
    meter: Arc<Meter>,
    terms: Terms,
    request: LeaseRequest,
    /// `None` once it has come back.
    pending: Option<PendingLease>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(pending) = self.pending {
            self.meter.give_up(pending);
        }
    }
}

/// Receives the outcome of a check that had to wait.
pub(crate) type Done = Box<dyn FnOnce((Outcome, Charge<Arc<Meter>>)) + Send>;

impl Fetch {
    /// Takes in the authority's answer. Where too little was left it asks once more, with all that the slots hold.
    pub(crate) fn settle(mut self: Box<Self>, leased: Result<LeaseAnswer>, done: Done) {
        let exhausted = matches!(leased, Ok(LeaseAnswer::Refused { refusal: Refusal::Exhausted, .. }));
        if exhausted && !self.again {
            self.again = true;
            let mut more = false;
            for Asked { meter, request, pending, .. } in &mut self.asked {
                if let Some(pending) = pending {
                    more |= meter.ask_again(request, pending);
                }
            }
            let store = self.asked.first().filter(|_| more).map(|asked| Arc::clone(asked.meter.store()));
            if let Some(store) = store {
                let requests = self.asked.iter().map(|asked| asked.request.clone()).collect();
                return store.lease(requests, Box::new(move |leased| self.settle(leased, done)));
            }
        }
        done(self.conclude(leased));
    }

    /// The outcome, and what was taken: all of it when admitted, and when the authority could not be reached what the
    /// engine held itself.
    fn conclude(mut self, leased: Result<LeaseAnswer>) -> (Outcome, Charge<Arc<Meter>>) {
        match leased {
            Ok(LeaseAnswer::Granted(grants)) if grants.len() == self.asked.len() => {
                for (asked, grant) in self.asked.iter_mut().zip(&grants) {
                    let Some(pending) = asked.pending.take() else { continue };
                    let (taken, measure) =
                        asked.meter.land(&asked.terms, grant, &asked.request, pending, self.sent);
                    self.charge.taken.push((asked.place, Arc::clone(&asked.meter), taken));
                    self.outcome.measures.push((asked.place, asked.request.need, measure));
                }
                self.outcome.measures.sort_by_key(|(place, _, measure)| (*place, measure.level()));
                (self.outcome, self.charge)
            }
            Ok(LeaseAnswer::Refused { place, refusal, charged, slice }) => {
                let mut outcome = Outcome::new(match refusal {
                    Refusal::Exhausted => CeilingCode::CeilingExceeded,
                    Refusal::ClockSetBack => CeilingCode::ClockSetBack,
                });
                if let Some(asked) = self.asked.get_mut(place) {
                    if refusal == Refusal::Exhausted
                        && let Some(pending) = asked.pending.take()
                    {
                        let need = asked.request.need;
                        asked.meter.refuse(&asked.terms, need, pending, charged, slice, self.sent);
                    }
                    let measure = asked.terms.measure(asked.meter.window(), charged, slice);
                    outcome.measures.push((asked.place, asked.request.need, measure));
                }
                (outcome, Charge::new())
            }
            Ok(LeaseAnswer::Granted(_)) | Err(_) => {
                (Outcome::new(CeilingCode::StoreUnavailable), self.charge)
            }
        }
    }
}
