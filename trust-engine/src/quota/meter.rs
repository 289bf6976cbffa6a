//! A meter: one counter as one engine sees it. A meter spends a lease through its slot, and makes the request for
//! another lease when the slot is short.

use std::sync::Arc;

use parking_lot::Mutex;

use super::registry::Registry;
use crate::ceiling::{
    CounterKey, Grant, Held, LeaseRequest, MAX_AMOUNT, Measure, Slot, Terms, Unspent, Window,
};
use crate::clock::{COARSE_TICK, Moment};
use crate::storage::CounterStore;

/// The shortest time that use is measured over, in microseconds: the coarse clock cannot tell shorter times apart.
const TICK: i64 = COARSE_TICK.as_micros() as i64;
/// The time for which a meter does not repeat a request that a remote authority has refused, in microseconds. The meter
/// sees an amount that another engine gives back at most this much later.
const REMEMBER_REFUSAL: i64 = 100_000;

/// One counter as one engine sees it.
///
/// The lock of `state` guards the fields of [`MeterState`] and every exchange, undo and new charge in the slot. A take needs
/// no lock: the slot's atomics order it against an exchange. The lock is released before an amount goes back to the
/// store.
pub(crate) struct Meter {
    slot: Slot,
    key: CounterKey,
    window: Window,
    state: Mutex<MeterState>,
    store: Arc<dyn CounterStore>,
    registry: Arc<Registry<Self>>,
}

/// The state of a meter that only one thread at a time may change, under the meter's lock.
#[derive(Default)]
struct MeterState {
    /// Whether a lease for the slot is on its way; only one is at a time.
    fetching: bool,
    /// The time at which the last lease for the slot was requested, on the steady clock.
    since: i64,
    /// The amount of the latest lease for the slot; 0 if its request got no grant.
    amount: u64,
    /// The authority's charge by its latest grants, less the amounts that the meter has given back since.
    charged: u64,
    /// The slice that was running then.
    slice: i64,
    /// The number of requests that are on their way.
    pending: u64,
    /// The number of requests that have ended, with an answer or without.
    answers: u64,
    /// The last refusal, as long as it is remembered.
    refused: Option<Refused>,
    /// Whether the registry lists the meter as a holder.
    listed: bool,
    /// The number of times that an amount went back into the slot, to the store or with a repeated request.
    returns: u64,
}

/// A refusal of a remote authority.
#[derive(Clone, Copy)]
struct Refused {
    need: u64,
    limit: u64,
    charged: u64,
    slice: i64,
    /// The end of the time for which it is remembered, on the steady clock.
    until: i64,
}

/// A lease request that is on its way to the authority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingLease {
    /// Whether the spare part of the grant is for the meter's slot.
    ours: bool,
    /// The meter's number of answers when the request was made.
    answers: u64,
    /// The meter's number of returns when the request was made or repeated.
    returns: u64,
}

impl MeterState {
    /// Notes that a request leaves.
    fn leave(&mut self, ours: bool) -> PendingLease {
        self.fetching |= ours;
        self.pending += 1;
        PendingLease { ours, answers: self.answers, returns: self.returns }
    }

    /// Notes that an amount went back, so that the authority may grant what it refused before.
    fn returned(&mut self) {
        self.returns += 1;
        self.refused = None;
    }

    /// Notes that a request has ended, with an answer or without.
    fn arrive(&mut self, pending: PendingLease) {
        self.fetching &= !pending.ours;
        self.pending -= 1;
        self.answers += 1;
    }

    /// Takes over the charge of a grant; to be called before [`arrive`](Self::arrive), which counts the answer.
    ///
    /// If requests overlap, their order at the authority is not known. The highest charge is taken then, so that the
    /// reported use is never too low.
    fn learn(&mut self, pending: PendingLease, grant: &Grant) {
        if grant.slice < self.slice {
            return;
        }
        let alone = self.answers == pending.answers && self.pending == 1;
        let known = if alone || grant.slice != self.slice { 0 } else { self.charged };
        self.charged = grant.charged.max(known);
        self.slice = grant.slice;
    }
}

/// An amount that was taken, and the lease that it was taken from (`None`: the authority granted it for this very
/// check).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    lease: Option<u64>,
    slice: i64,
    amount: u64,
}

impl Taken {
    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }
}

impl Meter {
    pub(super) fn new(
        key: CounterKey,
        window: Window,
        store: Arc<dyn CounterStore>,
        registry: Arc<Registry<Self>>,
    ) -> Self {
        Self { slot: Slot::new(), key, window, state: Mutex::default(), store, registry }
    }

    pub(crate) fn counter(&self) -> (CounterKey, Window) {
        (self.key.clone(), self.window)
    }

    /// The authority that grants the leases of this meter.
    pub(super) fn store(&self) -> &Arc<dyn CounterStore> {
        &self.store
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Takes from the lease in the slot, without the lock; `None` if that lease holds too little or has ended, or if
    /// the use would exceed the limit.
    #[inline]
    pub(crate) fn take(&self, terms: &Terms, amount: u64, now: Moment) -> Option<(Taken, Measure)> {
        let take = self.slot.take(amount, terms.limit, now.steady, now.wall.micros())?;
        let taken = Taken { lease: Some(take.lease), slice: take.slice, amount };
        Some((taken, terms.measure(self.window, take.used, take.slice)))
    }

    /// Makes a lease request for the authority. While a lease for the slot is on its way, and where the ceiling is
    /// exact, the request is only for the need of the check.
    ///
    /// The rest of a lease that has ended leaves the slot and goes back with the request. If the request is lost, the
    /// rest stays charged until its window has gone by, which overspends nothing.
    pub(crate) fn lease_request(
        &self,
        terms: &Terms,
        need: u64,
        now: Moment,
    ) -> (LeaseRequest, PendingLease) {
        let mut state = self.state.lock();
        let left = self.slot.left();
        let mut request = LeaseRequest {
            key: self.key.clone(),
            window: self.window,
            limit: terms.limit,
            need,
            spare: 0,
            ahead: !terms.exact,
            unspent: None,
        };
        if left > 0 && self.has_ended(now) {
            request.unspent = self.close();
        }
        let ours = !state.fetching && !terms.exact;
        if ours {
            // The amount that the recent rate would use while a lease may be held.
            let spent = u128::from(state.amount.saturating_sub(left));
            let elapsed = now.steady.saturating_sub(state.since).max(TICK).unsigned_abs();
            let used = spent * u128::from(terms.hold(state.charged).unsigned_abs()) / u128::from(elapsed);
            let room = MAX_AMOUNT - need;
            let used = u64::try_from(used).unwrap_or(room).min(room);
            // A spare amount that is too small for another check like this would only go back.
            request.spare = if used < need { 0 } else { used };
            state.since = now.steady;
        }
        (request, state.leave(ours))
    }

    /// Gives the measure of a remembered refusal that covers this need too, so that another request would be useless.
    pub(crate) fn remembered_refusal(&self, terms: &Terms, need: u64, now: Moment) -> Option<Measure> {
        let refused = self.state.lock().refused?;
        let holds = need >= refused.need && terms.limit <= refused.limit && now.steady < refused.until;
        holds.then(|| terms.measure(self.window, refused.charged, refused.slice))
    }

    /// Takes in a refusal of the request that was first made at `sent`, and remembers it until [`REMEMBER_REFUSAL`]
    /// later.
    ///
    /// The meter forgets it earlier when its slice ends, when an amount goes back and when a grant lands. The meter
    /// does not remember it at all if the ceiling is exact, if the authority is local, so that another request costs
    /// little, or if an amount went back since the request was made or repeated.
    pub(crate) fn remember_refusal(
        &self,
        terms: &Terms,
        need: u64,
        pending: PendingLease,
        charged: u64,
        slice: i64,
        sent: Moment,
    ) {
        let mut state = self.state.lock();
        state.arrive(pending);
        if pending.ours {
            state.amount = 0;
        }
        if terms.exact || self.store.is_local() || state.returns != pending.returns {
            return;
        }
        let runs = self.window.slice_end(slice).micros().saturating_sub(sent.wall.micros());
        let until = sent.steady.saturating_add(runs.min(REMEMBER_REFUSAL));
        state.refused = Some(Refused { need, limit: terms.limit, charged, slice, until });
    }

    /// Prepares a request to be sent once more after the authority had too little left: the rest of the slot goes back
    /// with it. `false` if the slot holds nothing.
    pub(crate) fn ask_again(&self, request: &mut LeaseRequest, pending: &mut PendingLease) -> bool {
        let mut state = self.state.lock();
        request.unspent = self.close();
        if request.unspent.is_some() {
            // This request carries the rest, so its refusal counts; a refusal of other requests does not know of the
            // rest.
            state.returned();
            pending.returns = state.returns;
        }
        request.unspent.is_some()
    }

    /// Ends the lease in force, and gives its rest with the slice that the rest is charged to. The caller holds the
    /// lock.
    fn close(&self) -> Option<(i64, u64)> {
        let slice = self.slot.slice();
        let left = self.slot.close();
        (left > 0).then_some((slice, left))
    }

    /// Takes in a grant: the check gets its need, and the slot gets the spare part. `sent` is the time of the request,
    /// the earliest instant at which the authority's time for the grant can have begun.
    ///
    /// The lock is held until the new lease is open; the rest of the lease before it goes back after that, because
    /// `give_back` takes the lock again.
    pub(crate) fn land(
        self: &Arc<Self>,
        terms: &Terms,
        grant: &Grant,
        request: &LeaseRequest,
        pending: PendingLease,
        sent: Moment,
    ) -> (Taken, Measure) {
        let spare = grant.amount.saturating_sub(request.need);
        let mut taken = Taken { lease: None, slice: grant.slice, amount: request.need };
        let mut state = self.state.lock();
        state.learn(pending, grant);
        state.arrive(pending);
        state.refused = None;
        // The amount in the slot was charged before, and is not used either.
        let charged = if grant.slice == state.slice { state.charged } else { grant.charged };
        let unused = spare.saturating_add(self.held_of(grant.slice));
        let measure = terms.measure(self.window, charged.saturating_sub(unused), grant.slice);
        if pending.ours {
            state.amount = grant.amount;
        }
        if spare == 0 {
            self.slot.set_charged(state.charged);
            return (taken, measure);
        }
        let runs =
            i64::try_from(grant.valid_for.as_micros()).unwrap_or(i64::MAX).min(terms.hold(grant.charged));
        // The lease ends early: coarse readings may be a tick behind, and clocks are slewed by less than a thousandth.
        let runs = runs - TICK - runs / 1000;
        let before = self.close();
        taken.lease = Some(self.slot.open(&Held {
            amount: spare,
            steady_end: sent.steady.saturating_add(runs),
            wall_end:
                sent.wall.micros().saturating_add(runs).min(self.window.slice_end(grant.slice).micros()),
            slice: grant.slice,
            charged: state.charged,
        }));
        let listed = std::mem::replace(&mut state.listed, true);
        drop(state);
        if !listed {
            self.registry.add_holder(Arc::downgrade(self));
        }
        if let Some((slice, left)) = before {
            self.give_back(slice, left);
        }
        (taken, measure)
    }

    /// Ends a pending lease that gets no grant.
    pub(crate) fn give_up(&self, pending: PendingLease) {
        let mut state = self.state.lock();
        state.arrive(pending);
        if pending.ours {
            state.amount = 0;
        }
    }

    /// Takes back an amount that was not used: into the slot if it is from the lease in force, otherwise to the
    /// authority. The lock keeps that lease in force until the amount is in the slot.
    pub(crate) fn refund(&self, taken: &Taken, amount: u64) {
        let amount = amount.min(taken.amount);
        if amount == 0 {
            return;
        }
        if let Some(from) = taken.lease {
            let mut state = self.state.lock();
            if self.slot.undo(from, amount) {
                state.returned();
                return;
            }
        }
        self.give_back(taken.slice, amount);
    }

    /// Whether the meter holds a lease that has not ended at `now`. Otherwise (`None`: in any case) it gives back the rest,
    /// and counts as a holder again when it opens another lease.
    pub(super) fn holds_at(&self, now: Option<Moment>) -> bool {
        let mut state = self.state.lock();
        // A lease of which everything was taken may get some of it back.
        if now.is_some_and(|now| !self.has_ended(now)) {
            return true;
        }
        state.listed = false;
        drop(state);
        self.drain();
        false
    }

    /// Gives back the rest of the lease in force.
    pub(crate) fn drain(&self) {
        let left = {
            let _state = self.state.lock();
            self.close()
        };
        if let Some((slice, left)) = left {
            self.give_back(slice, left);
        }
    }

    /// Gives an amount back: it lowers the known charge under the lock, and tells the store after the lock is released.
    /// If the store loses the amount, it stays charged there, which overspends nothing.
    fn give_back(&self, slice: i64, amount: u64) {
        {
            let mut state = self.state.lock();
            state.returned();
            if self.window.counts(slice, state.slice) {
                state.charged = state.charged.saturating_sub(amount);
                self.slot.set_charged(state.charged);
            }
        }
        let (key, window) = self.counter();
        self.store.give_back(Unspent { key, window, slice, amount });
    }

    /// The amount that is held and not spent, or 0 if it does not count while `running` is the running slice.
    pub(super) fn held_of(&self, running: i64) -> u64 {
        if self.window.counts(self.slot.slice(), running) { self.slot.left() } else { 0 }
    }

    /// The count of leases so far. While it stays the same, the held amount changes only by takes and undos, and by the
    /// opening of a lease that was charged before.
    pub(super) fn lease_count(&self) -> u64 {
        self.slot.leases()
    }

    /// Says whether the lease in the slot has ended, so that it cannot be spent any more.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.slot.has_ended(now.steady, now.wall.micros())
    }
}

impl Drop for Meter {
    /// Gives back the rest, and then takes the registry's lock: no thread may drop a meter while it holds that lock.
    fn drop(&mut self) {
        self.drain();
        self.registry.forget(&self.key);
    }
}
