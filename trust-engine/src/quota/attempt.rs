//! A check: it takes from every meter or from none.
//!
//! A check takes from its meters in a fixed order: resources as the request names them, levels from the agent to the
//! fleet. If every slot has enough, the check needs no authority. Otherwise the lease requests of all short meters go
//! to the authority together, which grants all of them or none. An amount that was taken before a refusal goes back.
//!
//! A check never holds the locks of two meters at once, so checks cannot deadlock.

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

/// The outcome of a check.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) code: CeilingCode,
    /// The measures of the counters that admitted the check, in the order of resources and levels, or of the counter
    /// that refused it; each with the place of its resource in the request and the requested amount.
    pub(crate) measures: SmallVec<[(u32, u64, Measure); 1]>,
    /// The time until the rate that refused would admit the check, in microseconds; `None` if it never would, or if no
    /// rate refused.
    pub(crate) retry_after: Option<i64>,
}

impl Outcome {
    pub(crate) fn new(code: CeilingCode) -> Self {
        Self { code, measures: SmallVec::new(), retry_after: None }
    }
}

/// The amounts that a check has taken from meters and rates. A charge that is dropped gives them back.
pub(crate) struct Charge<M: Borrow<Arc<Meter>>> {
    taken: SmallVec<[(u32, M, Taken); 1]>,
    rates: SmallVec<[(Arc<Rate>, Consumed); 1]>,
}

impl<M: Borrow<Arc<Meter>>> Charge<M> {
    /// Makes an empty charge.
    pub(crate) fn new() -> Self {
        Self { taken: SmallVec::new(), rates: SmallVec::new() }
    }

    /// Keeps the amounts taken, because they were used or may have been.
    pub(crate) fn keep(mut self) {
        self.taken.clear();
        self.rates.clear();
    }

    /// Keeps the amount in `used` for each place, and gives the rest back to the meters; the rates keep everything. A
    /// rest that does not count any more changes nothing.
    pub(crate) fn settle(mut self, used: &[u64]) {
        for (place, meter, taken) in self.taken.drain(..) {
            let used = used.get(place as usize).copied().unwrap_or(u64::MAX);
            meter.borrow().refund(&taken, taken.amount().saturating_sub(used));
        }
        self.rates.clear();
    }

    /// Makes the charge own its meters, so that it can outlive the limits that they were borrowed from.
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

/// A counter whose slot is short: the place of its resource, the counter and the amount.
type Short<'q> = (u32, &'q (Arc<Meter>, Terms), u64);

/// The result of a first attempt, with the amounts that the engine holds.
pub(crate) enum Attempt<'q> {
    /// The check is admitted, or refused by a rate or by a refusal that a meter remembers.
    Done(Outcome, Charge<&'q Arc<Meter>>),
    /// The authority has to grant these lease requests.
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
                None => match meter.remembered_refusal(terms, *amount, now) {
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
    /// Whether the lease requests were sent for the second time.
    again: bool,
}

/// A lease request of the check, and the meter that it is for.
struct Asked {
    place: u32,
    meter: Arc<Meter>,
    terms: Terms,
    request: LeaseRequest,
    /// `None` once its grant or refusal has reached the meter.
    pending: Option<PendingLease>,
}

impl Drop for Asked {
    /// Gives up a lease that is still pending, also when the authority drops the answer. Otherwise the meter would wait
    /// for it for ever and lease nothing ahead again.
    fn drop(&mut self) {
        if let Some(pending) = self.pending {
            self.meter.give_up(pending);
        }
    }
}

/// Receives the outcome of a check that had to wait.
pub(crate) type Done = Box<dyn FnOnce((Outcome, Charge<Arc<Meter>>)) + Send>;

impl Fetch {
    /// Takes in the authority's answer. If too little was left and the slots hold anything, the check sends its lease
    /// requests once more, and all that the slots hold goes back with them; a second refusal is final.
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

    /// Gives the outcome and the charge: all amounts if the check is admitted, none if it is refused, and only the
    /// amounts that the engine held itself if the authority could not be reached.
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
                        asked.meter.remember_refusal(&asked.terms, need, pending, charged, slice, self.sent);
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
