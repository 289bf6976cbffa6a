//! A meter: one counter as one engine sees it. It spends a lease by its slot and fetches another when that is short.

use std::sync::Arc;

use parking_lot::Mutex;

use super::registry::Registry;
use crate::ceiling::{
    CounterKey, Grant, Held, LeaseRequest, MAX_AMOUNT, Measure, Slot, Terms, Unspent, Window,
};
use crate::clock::{COARSE_TICK, Moment};
use crate::storage::CounterStore;

/// The shortest time that use is measured over, in microseconds: the coarse clock does not tell less apart.
const TICK: i64 = COARSE_TICK.as_micros() as i64;
/// How long it is not asked again for what a remote authority has refused, in microseconds: what others give back is
/// seen so much later.
const REMEMBER_REFUSAL: i64 = 100_000;

pub(crate) struct Meter {
    slot: Slot,
    key: CounterKey,
    window: Window,
    lease: Mutex<Lease>,
    store: Arc<dyn CounterStore>,
    registry: Arc<Registry<Self>>,
}

/// What only one thread at a time may change.
#[derive(Default)]
struct Lease {
    /// Whether another lease is on its way.
    fetching: bool,
    /// When the last one was asked for, on the steady clock.
    since: i64,
    /// How much it was.
    amount: u64,
    /// What the authority had charged when it was last heard of, and the slice that was running.
    charged: u64,
    slice: i64,
    /// Requests that are on their way, and answers that have come.
    pending: u64,
    answers: u64,
    /// The last refusal, and how often something went back since the beginning.
    refused: Option<Refused>,
    returns: u64,
}

/// What a remote authority has refused.
#[derive(Clone, Copy)]
struct Refused {
    need: u64,
    limit: u64,
    charged: u64,
    slice: i64,
    /// On the steady clock.
    until: i64,
}

/// A request to the authority that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingLease {
    /// Whether the spare part of the grant is for the meter's slot.
    ours: bool,
    /// Answers that the meter had when the request was sent.
    answers: u64,
    returns: u64,
}

impl Lease {
    fn leave(&mut self, ours: bool) -> PendingLease {
        self.fetching |= ours;
        self.pending += 1;
        PendingLease { ours, answers: self.answers, returns: self.returns }
    }

    /// There is more to be had than there was.
    fn more(&mut self) {
        self.returns += 1;
        self.refused = None;
    }

    fn arrive(&mut self, pending: PendingLease) {
        self.fetching &= !pending.ours;
        self.pending -= 1;
        self.answers += 1;
    }

    /// Where requests overlap their order at the authority is not known: the highest charge is believed, so that the
    /// usage that is told is never too low.
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

/// An amount that was taken, and the lease that it was taken from (`None`: it was granted for this very check).
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
        Self { slot: Slot::new(), key, window, lease: Mutex::default(), store, registry }
    }

    pub(crate) fn counter(&self) -> (CounterKey, Window) {
        (self.key.clone(), self.window)
    }

    /// The authority that its leases come from.
    pub(super) fn store(&self) -> &Arc<dyn CounterStore> {
        &self.store
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Takes from the lease that is held.
    #[inline]
    pub(crate) fn take(&self, terms: &Terms, amount: u64, now: Moment) -> Option<(Taken, Measure)> {
        let take = self.slot.take(amount, terms.limit, now.steady, now.wall.micros())?;
        let taken = Taken { lease: Some(take.lease), slice: take.slice, amount };
        Some((taken, terms.measure(self.window, take.used, take.slice)))
    }

    /// What to ask of the authority. While a lease is on its way, a check asks only for what it needs.
    pub(crate) fn lease_request(
        &self,
        terms: &Terms,
        need: u64,
        now: Moment,
    ) -> (LeaseRequest, PendingLease) {
        let mut lease = self.lease.lock();
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
        let ours = !lease.fetching && !terms.exact;
        if ours {
            // What the recent rate would use while a lease may be held.
            let spent = u128::from(lease.amount.saturating_sub(left));
            let elapsed = now.steady.saturating_sub(lease.since).max(TICK).unsigned_abs();
            let used = spent * u128::from(terms.hold(lease.charged).unsigned_abs()) / u128::from(elapsed);
            let room = MAX_AMOUNT - need;
            let used = u64::try_from(used).unwrap_or(room).min(room);
            // What is not enough for another check like this would only go back.
            request.spare = if used < need { 0 } else { used };
            lease.since = now.steady;
        }
        (request, lease.leave(ours))
    }

    /// Whether the authority has just refused as much: then there is no use in asking again.
    pub(crate) fn refused(&self, terms: &Terms, need: u64, now: Moment) -> Option<Measure> {
        let refused = self.lease.lock().refused?;
        let holds = need >= refused.need && terms.limit <= refused.limit && now.steady < refused.until;
        holds.then(|| terms.measure(self.window, refused.charged, refused.slice))
    }

    /// The authority has refused what was asked for at `sent`. That is forgotten when its slice ends, and when something
    /// goes back; where nothing is leased ahead, and where asking costs little, it is not remembered at all.
    pub(crate) fn refuse(
        &self,
        terms: &Terms,
        need: u64,
        pending: PendingLease,
        charged: u64,
        slice: i64,
        sent: Moment,
    ) {
        let mut lease = self.lease.lock();
        lease.arrive(pending);
        if pending.ours {
            lease.amount = 0;
        }
        if terms.exact || self.store.is_local() || lease.returns != pending.returns {
            return;
        }
        let runs = self.window.slice_end(slice).micros().saturating_sub(sent.wall.micros());
        let until = sent.steady.saturating_add(runs.min(REMEMBER_REFUSAL));
        lease.refused = Some(Refused { need, limit: terms.limit, charged, slice, until });
    }

    /// The authority has too little left: asks once more, with what the slot holds. `false` if it holds nothing.
    pub(crate) fn ask_again(&self, request: &mut LeaseRequest, pending: &mut PendingLease) -> bool {
        let mut lease = self.lease.lock();
        request.unspent = self.close();
        if request.unspent.is_some() {
            // This one takes it along; a refusal of others does not know of it.
            lease.more();
            pending.returns = lease.returns;
        }
        request.unspent.is_some()
    }

    /// Ends the lease in force, and gives what was left of it with the slice that it is charged to.
    fn close(&self) -> Option<(i64, u64)> {
        let slice = self.slot.slice();
        let left = self.slot.close();
        (left > 0).then_some((slice, left))
    }

    /// Puts a grant's spare part into the slot. `sent` is when it was asked for: the earliest instant at which the
    /// authority's time for it can have begun.
    pub(crate) fn land(
        &self,
        terms: &Terms,
        grant: &Grant,
        request: &LeaseRequest,
        pending: PendingLease,
        sent: Moment,
    ) -> (Taken, Measure) {
        let spare = grant.amount.saturating_sub(request.need);
        let mut taken = Taken { lease: None, slice: grant.slice, amount: request.need };
        let mut lease = self.lease.lock();
        lease.learn(pending, grant);
        lease.arrive(pending);
        lease.refused = None;
        // What the slot holds was charged before, and is not used either.
        let charged = if grant.slice == lease.slice { lease.charged } else { grant.charged };
        let unused = spare.saturating_add(self.held_of(grant.slice));
        let measure = terms.measure(self.window, charged.saturating_sub(unused), grant.slice);
        if pending.ours {
            lease.amount = grant.amount;
        }
        if spare == 0 {
            self.slot.set_charged(lease.charged);
            return (taken, measure);
        }
        let runs =
            i64::try_from(grant.valid_for.as_micros()).unwrap_or(i64::MAX).min(terms.hold(grant.charged));
        // Coarse readings may be a tick behind, and clocks are slewed by less than a thousandth.
        let runs = runs - TICK - runs / 1000;
        let before = self.close();
        taken.lease = Some(self.slot.open(&Held {
            amount: spare,
            steady_end: sent.steady.saturating_add(runs),
            wall_end:
                sent.wall.micros().saturating_add(runs).min(self.window.slice_end(grant.slice).micros()),
            slice: grant.slice,
            charged: lease.charged,
        }));
        drop(lease);
        if let Some((slice, left)) = before {
            self.give_back(slice, left);
        }
        (taken, measure)
    }

    /// No grant is coming.
    pub(crate) fn give_up(&self, pending: PendingLease) {
        let mut lease = self.lease.lock();
        lease.arrive(pending);
        if pending.ours {
            lease.amount = 0;
        }
    }

    /// Takes back what was not used: into the slot if it is from the lease in force, otherwise to the authority.
    pub(crate) fn refund(&self, taken: &Taken, amount: u64) {
        let amount = amount.min(taken.amount);
        if amount == 0 {
            return;
        }
        if let Some(from) = taken.lease {
            let mut lease = self.lease.lock();
            if self.slot.undo(from, amount) {
                lease.more();
                return;
            }
        }
        self.give_back(taken.slice, amount);
    }

    /// Gives back what is held.
    pub(crate) fn drain(&self) {
        let left = {
            let _lease = self.lease.lock();
            self.close()
        };
        if let Some((slice, left)) = left {
            self.give_back(slice, left);
        }
    }

    fn give_back(&self, slice: i64, amount: u64) {
        {
            let mut lease = self.lease.lock();
            lease.more();
            if self.window.counts(slice, lease.slice) {
                lease.charged = lease.charged.saturating_sub(amount);
                self.slot.set_charged(lease.charged);
            }
        }
        let (key, window) = self.counter();
        self.store.give_back(Unspent { key, window, slice, amount });
    }

    /// What is held and not spent.
    pub(super) fn held(&self) -> u64 {
        self.slot.left()
    }

    /// The same, as far as it counts while `running` is the running slice.
    pub(super) fn held_of(&self, running: i64) -> u64 {
        if self.window.counts(self.slot.slice(), running) { self.slot.left() } else { 0 }
    }

    /// Counts the leases: if it has not changed, what is held has only become less or what was undone.
    pub(super) fn lease_count(&self) -> u64 {
        self.slot.leases()
    }

    /// Whether what is held cannot be spent any more.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.slot.has_ended(now.steady, now.wall.micros())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.drain();
        self.registry.forget(&self.key);
    }
}
