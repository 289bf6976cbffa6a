//! The time of a shard's log: what its entries are stamped with, and what its signs of life promise.
//!
//! A sign of life says that no entry will come with an earlier time, so readers can take the records of all shards in
//! the order of their times without waiting for a shard that is idle. The writer's thread stamps commits and another
//! thread promises; the lock keeps one from promising a time that the other is about to commit below.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;

/// A clock that lags behind the store's by no more than this is left alone.
const LAG: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct LogTime(Mutex<State>);

#[derive(Default)]
struct State {
    promised: Timestamp,
    /// The time of the commit that is under way.
    committing: Option<Timestamp>,
    /// The time by which this engine's clock lags behind the store's, if it is more than [`LAG`].
    behind: Duration,
}

impl LogTime {
    /// The time to stamp a commit with, which is under way from now on. `floor` is the time of the shard's head: entry
    /// times never go back, even if the clock does.
    pub(super) fn begin_commit(&self, now: Timestamp, floor: Timestamp) -> Timestamp {
        let mut state = self.0.lock();
        let time = now.plus(state.behind).max(floor).max(state.promised);
        state.committing = Some(time);
        time
    }

    /// The outcome of the commit is known, or will be learnt by claiming the shard again.
    pub(super) fn end_commit(&self) {
        self.0.lock().committing = None;
    }

    /// The time to promise at `now`: no later than that of a commit under way.
    pub(super) fn promise(&self, now: Timestamp) -> Timestamp {
        let mut state = self.0.lock();
        let now = now.plus(state.behind);
        let time = state.committing.map_or(now, |committing| committing.min(now));
        state.promised = state.promised.max(time);
        state.promised
    }

    /// Notes the time by the store's clock at `now`. A slow clock would hold up everybody who reads by time, so entries
    /// are stamped with the store's time then.
    pub(super) fn compare(&self, now: Timestamp, store: Timestamp) {
        let lag = u64::try_from(store.micros() - now.micros()).map(Duration::from_micros).unwrap_or_default();
        self.0.lock().behind = if lag > LAG { lag } else { Duration::ZERO };
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
    fn an_engine_whose_clock_is_slow_goes_by_the_stores() {
        let time = LogTime::default();
        time.compare(at(100), at(101));
        assert_eq!(time.promise(at(100)), at(100), "a second is no lag");
        time.compare(at(100), at(160));
        assert_eq!(time.promise(at(101)), at(161));
        assert_eq!(time.begin_commit(at(102), at(0)), at(162));
        time.end_commit();
        time.compare(at(200), at(150));
        assert_eq!(time.promise(at(200)), at(200));
    }
}
