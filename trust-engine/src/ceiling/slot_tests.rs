//! The slot on one thread. The model in `trust-engine/loom` has the interleavings.

use super::slot::{Held, MAX_AMOUNT, Slot, Take};

const LEASE: Held = Held { amount: 10, steady_end: 100, wall_end: 200, slice: 7, charged: 50 };

fn holding(held: &Held) -> Slot {
    let slot: Slot = Slot::new();
    slot.close();
    slot.open(held);
    slot
}

#[test]
fn each_take_names_its_lease_and_only_the_last_is_undone() {
    let slot: Slot = Slot::new();
    for count in 1..=300 {
        let slice = i64::try_from(count).unwrap();
        assert_eq!(slot.close(), if count == 1 { 0 } else { 10 });
        assert_eq!((slot.take(1, MAX_AMOUNT, 0, 0), slot.left()), (None, 0), "between two leases");
        assert_eq!(slot.open(&Held { slice, ..LEASE }), count);
        assert_eq!((slot.leases(), slot.left(), slot.slice()), (count, 10, slice));
        let take = slot.take(3, MAX_AMOUNT, 0, 0);
        assert_eq!(take, Some(Take { lease: count, slice, used: 43 }));
        assert!(!slot.undo(count - 1, 3));
        assert_eq!(slot.left(), 7);
        assert!(slot.undo(count, 3));
        assert_eq!(slot.left(), 10);
    }
}

#[test]
fn a_take_gets_no_more_than_is_left_and_allowed() {
    let slot = holding(&LEASE);
    assert_eq!(slot.take(11, MAX_AMOUNT, 0, 0), None);
    assert_eq!(slot.take(4, 43, 0, 0), None, "44 would be used");
    assert_eq!(slot.take(4, 44, 0, 0).map(|take| take.used), Some(44));
    slot.set_charged(60);
    assert_eq!(slot.take(6, 59, 0, 0), None);
    assert_eq!(slot.take(6, 60, 0, 0).map(|take| take.used), Some(60));
    assert_eq!(slot.left(), 0);
    assert_eq!(slot.take(1, MAX_AMOUNT, 0, 0), None);
}

#[test]
fn a_lease_ends_by_either_clock() {
    let slot = holding(&LEASE);
    for (steady, wall, ended) in [(99, 199, false), (100, 199, true), (99, 200, true), (100, 200, true)] {
        assert_eq!(slot.has_ended(steady, wall), ended);
        assert_eq!(slot.take(1, MAX_AMOUNT, steady, wall).is_none(), ended, "{steady} {wall}");
    }
    assert!(Slot::<24>::new().has_ended(i64::MIN, i64::MIN), "there is no lease yet");
}

#[test]
fn no_lease_is_larger_than_a_word_holds() {
    let slot = holding(&Held { amount: u64::MAX, charged: MAX_AMOUNT, ..LEASE });
    assert_eq!(slot.left(), MAX_AMOUNT);
    assert_eq!(slot.take(MAX_AMOUNT, MAX_AMOUNT, 0, 0), Some(Take { lease: 1, slice: 7, used: MAX_AMOUNT }));
    assert_eq!(slot.left(), 0);
}
