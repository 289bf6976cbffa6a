//! The time of a shard's log: what its entries are stamped with, and what its signs of life promise.
//!
//! A sign of life says that no entry will come with an earlier time, so readers can take the records of all shards in
//! the order of their times without waiting for a shard that is idle. The writer's thread stamps commits and another
//! thread promises; the lock keeps one from promising a time that the other is about to commit below.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Timestamp;

/// A clock that differs from the store's by no more than this is left alone.
const DIFFERENCE: i64 = 1_000_000;
/// A commit that takes longer than this holds no promise back: if it comes after all, the store fences it by its time,
/// and it is stamped again.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct LogTime(Mutex<State>);

#[derive(Default)]
struct State {
    promised: Timestamp,
    /// The time of the commit that is under way, and when it began.
    committing: Option<(Timestamp, Instant)>,
    /// The store's clock less this engine's, in microseconds, if they differ by more than [`DIFFERENCE`].
    offset: i64,
    /// The store's clock when it was last compared.
    store: Option<Timestamp>,
}

impl State {
    fn corrected(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.micros().saturating_add(self.offset))
    }
}

impl LogTime {
    /// The time to stamp a commit with, which is under way from now on. `floor` is the time of the shard's head: entry
    /// times never go back, even if the clock does.
    pub(super) fn begin_commit(&self, now: Timestamp, floor: Timestamp) -> Timestamp {
        let mut state = self.0.lock();
        let time = state.corrected(now).max(floor).max(state.promised);
        state.committing = Some((time, Instant::now()));
        time
    }

    /// The outcome of the commit is known, or will be learnt by claiming the shard again.
    pub(super) fn end_commit(&self) {
        self.0.lock().committing = None;
    }

    /// The time to promise at `now`: no later than that of a commit under way, and close to the store's last known time,
    /// because a promise cannot be taken back.
    pub(super) fn promise(&self, now: Timestamp) -> Timestamp {
        let mut state = self.0.lock();
        let mut time = state.corrected(now);
        if let Some((committing, _)) = state.committing.filter(|(_, begun)| begun.elapsed() < SLOW_COMMIT) {
            time = time.min(committing);
        }
        if let Some(store) = state.store {
            time = time.min(store.plus(SLOW_COMMIT));
        }
        state.promised = state.promised.max(time);
        state.promised
    }

    /// Notes the time by the store's clock at `now`. A slow clock would hold up everybody who reads by time, and a fast one
    /// would be waited for, so entries are stamped with the store's time then.
    pub(super) fn compare(&self, now: Timestamp, store: Timestamp) {
        let difference = store.micros().saturating_sub(now.micros());
        let mut state = self.0.lock();
        state.offset = if difference.abs() > DIFFERENCE { difference } else { 0 };
        state.store = Some(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_promise_never_passes_a_commit_under_way_and_later_commits_keep_it() {
        let time = LogTime::default();
        assert_eq!(time.begin_commit(at(10), at(5)), at(10));
        assert_eq!(time.promise(at(12)), at(10));
        time.end_commit();
        assert_eq!(time.promise(at(13)), at(13));
        assert_eq!(time.promise(at(11)), at(13), "a clock that steps back takes no promise back");
        assert_eq!(time.begin_commit(at(11), at(5)), at(13));
        time.end_commit();
        assert_eq!(time.begin_commit(at(11), at(20)), at(20));
    }

    #[test]
    fn an_engine_whose_clock_is_wrong_goes_by_the_stores() {
        let time = LogTime::default();
        time.compare(at(100), at(101));
        assert_eq!(time.promise(at(100)), at(100), "a second is no difference");
        time.compare(at(100), at(160));
        assert_eq!(time.promise(at(101)), at(161));
        assert_eq!(time.begin_commit(at(102), at(0)), at(162));
        time.end_commit();
        time.compare(at(300), at(170));
        assert_eq!(time.promise(at(301)), at(171), "a fast one too");
        assert_eq!(time.begin_commit(at(302), at(0)), at(172));
    }

    #[test]
    fn a_clock_that_jumps_ahead_for_a_moment_promises_little() {
        let time = LogTime::default();
        time.compare(at(100), at(100));
        assert_eq!(time.promise(at(1_000_000)), at(102));
        time.compare(at(101), at(101));
        assert_eq!(time.promise(at(103)), at(103));
    }
}
