//! The slot itself, its atomics replaced by loom's, which run the interleavings that the memory orderings allow.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../../src/ceiling/slot.rs"]
#[allow(dead_code, reason = "the model does not need every part")]
mod slot;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicI64, AtomicU64, Ordering};
}

use loom::sync::{Arc, Mutex};
use loom::thread;

use self::slot::{Held, Slot, Take};

/// Every interleaving with at most two preemptions, or three with `TRUST_ENGINE_HEAVY=1`.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 3 } else { 2 });
    builder.check(model);
}

/// Generations come round after two leases.
type Small = Slot<1>;

/// A slot and the lock that its meter holds to exchange a lease or to undo a take.
struct Meter {
    slot: Small,
    lock: Mutex<()>,
}

fn lease(slice: i64, amount: u64) -> Held {
    Held { amount, steady_end: 100, wall_end: 100, slice, charged: amount }
}

impl Meter {
    fn holding(slice: i64, amount: u64) -> Arc<Self> {
        let meter = Self { slot: Slot::new(), lock: Mutex::new(()) };
        meter.slot.close();
        meter.slot.open(&lease(slice, amount));
        Arc::new(meter)
    }

    /// Takes at a time before every lease's end.
    fn take(&self) -> Option<Take> {
        self.slot.take(1, u64::MAX, 0, 0)
    }

    /// Exchanges the lease, and gives what was left.
    fn exchange(&self, slice: i64, amount: u64) -> u64 {
        let _lock = self.lock.lock().unwrap();
        let left = self.slot.close();
        self.slot.open(&lease(slice, amount));
        left
    }

    fn undo(&self, take: &Take) -> bool {
        let _lock = self.lock.lock().unwrap();
        self.slot.undo(take.lease, 1)
    }
}

#[test]
fn a_take_is_charged_to_the_slice_of_the_lease_that_it_was_taken_from() {
    explore(|| {
        let meter = Meter::holding(1, 2);
        let taker = {
            let meter = Arc::clone(&meter);
            thread::spawn(move || [meter.take(), meter.take()])
        };
        let left = meter.exchange(2, 1);
        let takes = taker.join().unwrap();
        let of = |slice| takes.iter().flatten().filter(|take| take.slice == slice).count() as u64;
        assert_eq!(of(1) + left, 2, "of the first lease every unit was taken once or is left");
        assert_eq!(of(2) + meter.slot.left(), 1);
        for take in takes.iter().flatten() {
            // The first lease's count is 1.
            assert_eq!(take.lease as i64, take.slice);
        }
    });
}

#[test]
fn two_takers_and_an_exchange_share_out_every_unit_once() {
    explore(|| {
        let meter = Meter::holding(1, 1);
        let takers = [0, 1].map(|_| {
            let meter = Arc::clone(&meter);
            thread::spawn(move || meter.take())
        });
        let left = meter.exchange(2, 1);
        let takes = takers.map(|taker| taker.join().unwrap());
        let of = |slice| takes.iter().flatten().filter(|take| take.slice == slice).count() as u64;
        assert_eq!(of(1) + left, 1);
        assert_eq!(of(2) + meter.slot.left(), 1);
    });
}

#[test]
fn an_undo_returns_a_unit_to_its_own_lease_or_not_at_all() {
    explore(|| {
        let meter = Meter::holding(1, 1);
        let taker = {
            let meter = Arc::clone(&meter);
            thread::spawn(move || meter.take().map(|take| (take, meter.undo(&take))))
        };
        let left = meter.exchange(2, 1);
        let taken = taker.join().unwrap();
        let kept =
            |slice| taken.iter().filter(|(take, undone)| take.slice == slice && !undone).count() as u64;
        assert_eq!(kept(1) + left, 1);
        assert_eq!(kept(2) + meter.slot.left(), 1);
    });
}

#[test]
fn a_generation_that_has_come_round_mints_nothing() {
    explore(|| {
        let meter = Meter::holding(1, 1);
        let taker = {
            let meter = Arc::clone(&meter);
            thread::spawn(move || meter.take().map(|take| (take, meter.undo(&take))))
        };
        // With one bit the third lease looks like the first.
        let left = [meter.exchange(2, 1), meter.exchange(3, 1)];
        let taken = taker.join().unwrap();
        let kept =
            |slice| taken.iter().filter(|(take, undone)| take.slice == slice && !undone).count() as u64;
        // A unit may be wasted where the slot cannot tell which lease it was of.
        assert!(kept(1) + left.first().unwrap() <= 1);
        assert!(kept(2) + left.last().unwrap() <= 1);
        assert!(kept(3) + meter.slot.left() <= 1);
    });
}

#[test]
fn a_lease_that_has_ended_by_either_clock_is_not_spent() {
    explore(|| {
        let meter = Meter::holding(1, 1);
        assert!(meter.slot.take(1, 10, 100, 0).is_none());
        assert!(meter.slot.take(1, 10, 0, 100).is_none());
        assert!(meter.slot.take(1, 10, 99, 99).is_some());
    });
}

#[test]
fn a_take_counts_its_own_amount_against_the_limit_and_says_what_is_used() {
    explore(|| {
        let slot = Small::new();
        slot.close();
        // Of the 30 that the authority has charged, 10 are in this lease.
        slot.open(&Held { charged: 30, ..lease(1, 10) });
        assert_eq!(slot.take(4, 23, 0, 0), None, "24 would be used");
        assert_eq!(slot.left(), 10);
        assert_eq!(slot.take(4, 24, 0, 0), Some(Take { lease: 1, slice: 1, used: 24 }));
        assert_eq!(slot.take(7, u64::MAX, 0, 0), None, "6 are left");
        assert_eq!(slot.take(6, 30, 0, 0), Some(Take { lease: 1, slice: 1, used: 30 }));
        assert_eq!(slot.take(1, u64::MAX, 0, 0), None);
    });
}
