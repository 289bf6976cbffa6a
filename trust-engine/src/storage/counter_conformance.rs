//! The contract of [`CounterStore`], as a suite that runs on every adapter with a clock that can be set.
//!
//! Every line of the *Behavior* lists is checked here. Run it on an adapter of your own with a function that gives
//! fresh counters on a clock each time. It panics at the first breach, as a test does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite: a breach is a panic"
)]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use pollster::block_on;
use smallvec::smallvec;

use super::CounterStore;
use crate::ceiling::{CounterKey, Grant, LeaseAnswer, LeaseRequest, LeaseRequests, Refusal, Unspent, Window};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::WindowKind;

/// Runs the whole suite.
pub fn run(fresh: impl Fn(Arc<dyn Clock>) -> Arc<dyn CounterStore>) {
    let suite: [fn(&Bench); 9] = [
        what_is_needed_is_granted_and_an_eighth_of_the_rest_at_most,
        all_asks_are_granted_or_none,
        unspent_amounts_come_back_also_when_nothing_is_granted,
        what_is_given_back_twice_or_late_changes_nothing,
        a_clock_set_back_is_refused,
        a_counter_that_is_ahead_of_the_clock_is_brought_back_with_what_it_has_charged,
        charges_count_until_their_slice_has_left_the_window,
        another_window_carries_over_what_counts,
        a_ceiling_below_what_is_charged_leaves_nothing,
    ];
    for test in suite {
        let clock = Arc::new(ManualClock::new(start()));
        test(&Bench { store: fresh(clock.clone()), clock });
    }
}

struct Bench {
    store: Arc<dyn CounterStore>,
    clock: Arc<ManualClock>,
}

/// The beginning of an hour.
fn start() -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000)
}

fn hour() -> Window {
    Window::new(WindowKind::Fixed, 3600)
}

fn key(resource: &str) -> CounterKey {
    let agent = AgentId::parse("a").unwrap();
    CounterKey::agent(&OrganizationId::default(), &agent, resource)
}

fn request(limit: u64, need: u64) -> LeaseRequest {
    LeaseRequest { key: key("API"), window: hour(), limit, need, spare: 0, ahead: true, unspent: None }
}

impl Bench {
    fn lease(&self, requests: LeaseRequests) -> LeaseAnswer {
        let (answer, answered) = channel();
        self.store.lease(requests, Box::new(move |leased| answer.send(leased).unwrap()));
        answered.recv_timeout(Duration::from_secs(10)).unwrap().unwrap()
    }

    fn grant(&self, request: LeaseRequest) -> Grant {
        match self.lease(smallvec![request]) {
            LeaseAnswer::Granted(grants) if grants.len() == 1 => grants[0],
            other => panic!("not granted: {other:?}"),
        }
    }

    /// The place of the request that was refused, the reason, and the amount that is charged.
    fn refusal(&self, requests: LeaseRequests) -> (usize, Refusal, u64) {
        match self.lease(requests) {
            LeaseAnswer::Refused { place, refusal, charged, .. } => (place, refusal, charged),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn charged(&self, resource: &str, window: Window) -> u64 {
        block_on(self.store.charged(&[(key(resource), window)])).unwrap()[0].amount
    }
}

fn what_is_needed_is_granted_and_an_eighth_of_the_rest_at_most(bench: &Bench) {
    assert_eq!(bench.charged("API", hour()), 0);
    let grant = bench.grant(LeaseRequest { spare: 1_000_000, ..request(1000, 200) });
    assert_eq!((grant.amount, grant.charged), (300, 300));
    assert_eq!(grant.valid_for, Duration::from_secs(3600));
    assert_eq!(grant.slice, hour().slice(start()));
    assert_eq!(bench.grant(LeaseRequest { spare: 3, ..request(1000, 1) }).amount, 4);
    assert_eq!(
        bench.grant(LeaseRequest { spare: 9, ..request(1000, 696) }).amount,
        696,
        "nothing is left to spare"
    );
    assert_eq!(bench.refusal(smallvec![request(1000, 1)]), (0, Refusal::Exhausted, 1000));
    assert_eq!(bench.charged("API", hour()), 1000);
}

fn all_asks_are_granted_or_none(bench: &Bench) {
    let other = |limit, need| LeaseRequest { key: key("CPU"), ..request(limit, need) };
    assert!(
        matches!(bench.lease(smallvec![request(10, 6), other(10, 6)]), LeaseAnswer::Granted(grants) if grants.len() == 2)
    );
    assert_eq!(bench.refusal(smallvec![request(10, 4), other(10, 5)]), (1, Refusal::Exhausted, 6));
    assert_eq!((bench.charged("API", hour()), bench.charged("CPU", hour())), (6, 6));
}

fn unspent_amounts_come_back_also_when_nothing_is_granted(bench: &Bench) {
    let slice = bench.grant(request(100, 90)).slice;
    let back = LeaseRequest { unspent: Some((slice, 50)), ..request(100, 60) };
    assert_eq!(bench.grant(back).charged, 100);
    let back = LeaseRequest { unspent: Some((slice, 30)), ..request(100, 31) };
    assert_eq!(bench.refusal(smallvec![back]), (0, Refusal::Exhausted, 70));
    assert_eq!(bench.charged("API", hour()), 70);
    bench.store.give_back(Unspent { key: key("API"), window: hour(), slice, amount: 20 });
    assert_eq!(bench.charged("API", hour()), 50);
    block_on(bench.store.flush()).unwrap();
    assert_eq!(bench.charged("API", hour()), 50);
}

fn what_is_given_back_twice_or_late_changes_nothing(bench: &Bench) {
    let slice = bench.grant(request(100, 90)).slice;
    let unspent = |key, window, slice| Unspent { key, window, slice, amount: 90 };
    bench.store.give_back(unspent(key("CPU"), hour(), slice));
    bench.store.give_back(unspent(key("API"), hour(), slice - 1));
    bench.store.give_back(unspent(key("API"), hour(), slice + 1));
    bench.store.give_back(unspent(key("API"), Window::new(WindowKind::Fixed, 60), slice));
    assert_eq!((bench.charged("API", hour()), bench.charged("CPU", hour())), (90, 0));
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.grant(request(100, 10)).charged, 10);
    bench.store.give_back(unspent(key("API"), hour(), slice));
    let late = LeaseRequest { unspent: Some((slice, 10)), ..request(100, 10) };
    assert_eq!(bench.grant(late).charged, 20);
}

fn a_clock_set_back_is_refused(bench: &Bench) {
    bench.clock.advance(Duration::from_secs(3600));
    bench.grant(request(100, 10));
    bench.clock.set(start().plus(Duration::from_micros(3_599_999_999)));
    assert_eq!(bench.refusal(smallvec![request(100, 1)]), (0, Refusal::ClockSetBack, 10));
    bench.clock.set(start().plus(Duration::from_secs(3600)));
    assert_eq!(bench.grant(request(100, 1)).charged, 11);
}

fn a_counter_that_is_ahead_of_the_clock_is_brought_back_with_what_it_has_charged(bench: &Bench) {
    let reset = |resources: &[&str]| {
        let counters: Vec<_> = resources.iter().map(|resource| (key(resource), hour())).collect();
        block_on(bench.store.reset(&counters)).unwrap()
    };
    assert_eq!(reset(&["API"]), [false], "it was never used");
    bench.grant(request(100, 10));
    assert_eq!(reset(&["API"]), [false]);
    bench.clock.set(start().plus(Duration::from_secs(73 * 366 * 86_400)));
    let ahead = bench.grant(request(100, 30));
    assert_eq!(ahead.charged, 30);
    bench.clock.set(start().plus(Duration::from_secs(5)));
    assert_eq!(bench.refusal(smallvec![request(100, 1)]), (0, Refusal::ClockSetBack, 30));
    assert_eq!(reset(&["CPU", "API", "API"]), [false, true, false]);
    assert_eq!(bench.charged("API", hour()), 30);
    // An amount that was granted while it was ahead does not come back into the hour that it was brought to.
    bench.store.give_back(Unspent { key: key("API"), window: hour(), slice: ahead.slice, amount: 30 });
    assert_eq!(bench.grant(request(100, 70)).charged, 100);
    assert_eq!(bench.refusal(smallvec![request(100, 1)]), (0, Refusal::Exhausted, 100));
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.grant(request(100, 1)).charged, 1);
}

fn charges_count_until_their_slice_has_left_the_window(bench: &Bench) {
    let minute = Window::new(WindowKind::Sliding, 60);
    let in_minute = |need| LeaseRequest { window: minute, ..request(100, need) };
    bench.grant(in_minute(60));
    bench.clock.advance(Duration::from_secs(30));
    bench.grant(in_minute(40));
    // 60 seconds and a slice after its beginning the first charge is gone, and not a microsecond earlier.
    bench.clock.set(start().plus(Duration::from_micros(63_749_999)));
    assert_eq!(bench.refusal(smallvec![in_minute(1)]).2, 100);
    bench.clock.set(start().plus(Duration::from_micros(63_750_000)));
    assert_eq!(bench.grant(in_minute(60)).charged, 100);
    assert_eq!(bench.refusal(smallvec![in_minute(1)]).2, 100);
}

fn another_window_carries_over_what_counts(bench: &Bench) {
    bench.grant(request(100, 70));
    let day = Window::new(WindowKind::Fixed, 86_400);
    assert_eq!(bench.grant(LeaseRequest { window: day, ..request(100, 30) }).charged, 100);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.refusal(smallvec![LeaseRequest { window: day, ..request(100, 1) }]).2, 100);
}

fn a_ceiling_below_what_is_charged_leaves_nothing(bench: &Bench) {
    bench.grant(request(100, 70));
    assert_eq!(
        bench.refusal(smallvec![LeaseRequest { spare: 10, ..request(50, 1) }]),
        (0, Refusal::Exhausted, 70)
    );
    assert_eq!(bench.grant(request(80, 10)).charged, 80);
}
