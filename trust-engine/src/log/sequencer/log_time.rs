//! The time of a shard's log: what its entries are stamped with, and what its signs of life promise.
//!
//! A sign of life says that no entry will come with an earlier time, so readers can take the records of all shards in
//! the order of their times without waiting for a shard that is idle. The writer's thread stamps commits and another
//! thread promises; the lock keeps one from promising a time that the other is about to commit below.
//!
//! A log's time never goes back, so a clock that is far ahead for a moment must not be believed. Where the store has a clock,
//! the log goes by that one: between two comparisons the steady clock says how far it can have come. Where it has none, a jump
//! is told of.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{Moment, Timestamp};
use crate::storage::Head;

/// A clock that differs from the store's by no more than this is left alone.
const DIFFERENCE: i64 = 1_000_000;
/// A commit that takes longer than this holds no promise back: if it comes after all, the store fences it by its time,
/// and it is stamped again.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

pub(crate) struct LogTime {
    state: Mutex<State>,
    by_the_store: ByTheStore,
    /// The latest time of the log that is known, in microseconds. It only tells operators, so no order matters.
    latest: AtomicI64,
}

/// The result of the last comparison with the store's clock. A reader may see half of another comparison, which is off by no
/// more than the two differ.
struct ByTheStore {
    /// The store's clock less this engine's, in microseconds, if they differ by more than [`DIFFERENCE`].
    offset: AtomicI64,
    /// The store's clock less the steady one; [`NEVER`] if they were not compared.
    base: AtomicI64,
}

/// Stands for no comparison.
const NEVER: i64 = i64::MIN;

impl ByTheStore {
    /// The time at `now`: this engine's, unless it was set since the comparison.
    fn correct(&self, now: Moment) -> Timestamp {
        let (offset, base) = (self.offset.load(Ordering::Relaxed), self.base.load(Ordering::Relaxed));
        let time = now.wall.micros().saturating_add(offset);
        let expected = base.saturating_add(now.steady);
        let was_set = base != NEVER && time.abs_diff(expected) > DIFFERENCE.unsigned_abs();
        Timestamp::from_micros(if was_set { expected } else { time })
    }
}

impl Default for LogTime {
    fn default() -> Self {
        let by_the_store = ByTheStore { offset: AtomicI64::new(0), base: AtomicI64::new(NEVER) };
        Self { state: Mutex::default(), by_the_store, latest: AtomicI64::new(0) }
    }
}

#[derive(Default)]
struct State {
    promised: Timestamp,
    /// The time of the commit that is under way, and when it began.
    committing: Option<(Timestamp, Instant)>,
    /// The store's clock when it was last compared.
    store: Option<Timestamp>,
    /// This engine's clocks when they were last read.
    own: Option<Moment>,
    /// The last jump of this engine's clock: the time that it showed afterwards, and how far it had jumped.
    jump: Option<(Timestamp, Duration)>,
    /// The time by which clocks may differ or jump without a warning.
    most: Duration,
}

impl State {
    fn notice_jump(&mut self, now: Moment) {
        if let Some(before) = self.own.replace(now)
            && let Some(jump) = ahead_of(now.wall, expected(before, now)).filter(|jump| *jump > self.most)
        {
            self.jump = Some((now.wall, jump));
        }
    }
}

/// The time by the wall clock at `now`, by the steady clock and an earlier reading of both.
fn expected(before: Moment, now: Moment) -> Timestamp {
    let elapsed = now.steady.saturating_sub(before.steady);
    Timestamp::from_micros(before.wall.micros().saturating_add(elapsed))
}

fn ahead_of(time: Timestamp, other: Timestamp) -> Option<Duration> {
    u64::try_from(time.micros() - other.micros()).ok().map(Duration::from_micros)
}

impl LogTime {
    /// Sets the time by which clocks may differ or jump without a warning.
    pub(super) fn warn_of(&self, most: Duration) {
        self.state.lock().most = most;
    }

    /// The time to stamp a commit with, which is under way from now on. `floor` is the time of the shard's head: entry
    /// times never go back, even if the clock does.
    pub(super) fn begin_commit(&self, now: Moment, floor: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        state.notice_jump(now);
        let time = self.by_the_store.correct(now).max(floor).max(state.promised);
        state.committing = Some((time, Instant::now()));
        self.latest.fetch_max(time.micros(), Ordering::Relaxed);
        time
    }

    /// The outcome of the commit is known, or will be learnt by claiming the shard again.
    pub(super) fn end_commit(&self) {
        self.state.lock().committing = None;
    }

    /// The time to promise at `now`: no later than that of a commit under way, and close to the store's last known time,
    /// because a promise cannot be taken back.
    pub(crate) fn promise(&self, now: Moment) -> Timestamp {
        let mut state = self.state.lock();
        let mut time = self.by_the_store.correct(now);
        if let Some((committing, _)) = state.committing.filter(|(_, begun)| begun.elapsed() < SLOW_COMMIT) {
            time = time.min(committing);
        }
        if let Some(store) = state.store {
            time = time.min(store.plus(SLOW_COMMIT));
        }
        state.promised = state.promised.max(time);
        state.promised
    }

    /// Notes the time by the store's clock at `now`. It was asked for at `asked`, by the steady clock: an answer that took long
    /// says little. A slow clock would hold up everybody who reads by time, and a fast one
    /// would be waited for, so entries are stamped with the store's time then.
    pub(crate) fn compare(&self, asked: i64, now: Moment, store: Timestamp) {
        if now.steady.saturating_sub(asked) > DIFFERENCE {
            return;
        }
        let difference = store.micros().saturating_sub(now.wall.micros());
        let offset = if difference.abs() > DIFFERENCE { difference } else { 0 };
        let base = store.micros().saturating_sub(now.steady);
        self.state.lock().store = Some(store);
        self.by_the_store.offset.store(offset, Ordering::Relaxed);
        self.by_the_store.base.store(base, Ordering::Relaxed);
    }

    /// The log goes on in an era of its own, in which an earlier time may come.
    pub(super) fn begin_era(&self) {
        let mut state = self.state.lock();
        (state.promised, state.jump) = (Timestamp::default(), None);
        self.latest.store(0, Ordering::Relaxed);
    }

    /// Whether the store has a clock, by which the log goes.
    #[inline]
    pub(crate) fn goes_by_the_store(&self) -> bool {
        self.by_the_store.base.load(Ordering::Relaxed) != NEVER
    }

    /// The time at `now` by this engine's clock, corrected by the store's.
    pub(crate) fn correct(&self, now: Moment) -> Timestamp {
        self.by_the_store.correct(now)
    }

    /// Notes the times that the log has come to.
    pub(crate) fn notice(&self, heads: &[Head]) {
        let open = heads.iter().filter(|head| !head.sealed).map(|head| head.time.micros()).max();
        self.latest.store(open.unwrap_or(0), Ordering::Relaxed);
    }

    /// The time by which the log is ahead at `now`, a corrected time; `None` unless it is more than clocks may differ.
    pub(crate) fn ahead(&self, now: Timestamp) -> Option<Duration> {
        let latest = Timestamp::from_micros(self.latest.load(Ordering::Relaxed));
        ahead_of(latest, now).filter(|ahead| *ahead > self.state.lock().most)
    }

    /// Warnings for the operator, at `now`, a corrected time.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(ahead) = self.ahead(now) {
            let latest = Timestamp::from_micros(self.latest.load(Ordering::Relaxed));
            warnings.push(format!(
                "the log has come to {latest}, {ahead:?} ahead of the clock, which was wrong before or is now. The log's times never go \
                 back, so entries have the time that the log has come to, and searches by time do not find them. If the \
                 clock is right, `trust-engine log set-back` lets the log go on at its time, in a new shard"
            ));
        }
        let state = self.state.lock();
        let offset = self.by_the_store.offset.load(Ordering::Relaxed);
        let difference = Duration::from_micros(offset.unsigned_abs());
        if difference > state.most {
            let side = if offset > 0 { "behind" } else { "ahead of" };
            warnings.push(format!(
                "this machine's clock is {difference:?} {side} the database's: entries have the database's time"
            ));
        }
        // Where the store has a clock, the jump was not believed.
        if let (Some((to, by)), None) = (state.jump, state.store) {
            warnings.push(format!(
                "this machine's clock has jumped ahead by {by:?}, to {to}: entries that came then have its time"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// Both clocks show the same.
    fn now(seconds: i64) -> Moment {
        set(seconds, seconds)
    }

    fn set(wall: i64, steady: i64) -> Moment {
        Moment { wall: at(wall), steady: steady * 1_000_000 }
    }

    #[test]
    fn a_promise_never_passes_a_commit_under_way_and_later_commits_keep_it() {
        let time = LogTime::default();
        assert_eq!(time.begin_commit(now(10), at(5)), at(10));
        assert_eq!(time.promise(now(12)), at(10));
        time.end_commit();
        assert_eq!(time.promise(now(13)), at(13));
        assert_eq!(time.promise(now(11)), at(13), "a clock that steps back takes no promise back");
        assert_eq!(time.begin_commit(now(11), at(5)), at(13));
        time.end_commit();
        assert_eq!(time.begin_commit(now(11), at(20)), at(20));
    }

    #[test]
    fn an_engine_whose_clock_is_wrong_goes_by_the_stores() {
        let time = LogTime::default();
        time.compare(100 * 1_000_000, now(100), at(101));
        assert_eq!(time.promise(now(100)), at(100), "a second is no difference");
        time.compare(100 * 1_000_000, now(100), at(160));
        assert_eq!(time.promise(now(101)), at(161));
        assert_eq!(time.begin_commit(now(102), at(0)), at(162));
        time.end_commit();
        time.compare(300 * 1_000_000, now(300), at(170));
        assert_eq!(time.promise(now(301)), at(171), "a fast one too");
        assert_eq!(time.begin_commit(now(302), at(0)), at(172));
    }

    #[test]
    fn a_comparison_whose_answer_took_long_is_none() {
        let time = LogTime::default();
        time.compare(100 * 1_000_000, now(160), at(100));
        assert!(!time.goes_by_the_store());
        assert_eq!(time.correct(now(160)), at(160));
    }

    #[test]
    fn a_clock_that_jumps_between_two_comparisons_is_not_believed() {
        let time = LogTime::default();
        time.compare(100 * 1_000_000, now(100), at(100));
        for wall in [1_000_000, 0] {
            assert_eq!(time.promise(set(wall, 101)), at(101));
            assert_eq!(time.begin_commit(set(wall, 102), at(0)), at(102));
            time.end_commit();
        }
        // The jump lasts, so the store is asked how far apart the two are.
        time.compare(103 * 1_000_000, set(1_000_000, 103), at(103));
        assert_eq!(time.correct(set(1_000_001, 104)), at(104));
        assert_eq!(time.begin_commit(set(1_000_001, 104), at(0)), at(104));
        time.end_commit();
        // It is set right, and believed again as soon as it was compared.
        assert_eq!(time.begin_commit(now(105), at(0)), at(105));
        time.end_commit();
        time.compare(106 * 1_000_000, now(106), at(106));
        assert_eq!((time.correct(now(107)), time.promise(now(107))), (at(107), at(107)));
        // Between two comparisons no reader believes it either.
        assert_eq!((time.correct(set(86_507, 108)), time.correct(set(7, 109))), (at(108), at(109)));
    }

    #[test]
    fn jumps_and_differences_beyond_the_bound_are_told_of() {
        let time = LogTime::default();
        time.warn_of(Duration::from_secs(300));
        let floor = std::cell::Cell::new(at(0));
        let begin = |now| {
            floor.set(time.begin_commit(now, floor.get()));
            time.end_commit();
            floor.get()
        };
        assert_eq!(begin(now(100)), at(100));
        assert_eq!(begin(set(400, 101)), at(400));
        assert_eq!((time.warnings(at(400)), time.ahead(at(400))), (vec![], None), "within the bound");
        assert_eq!(begin(set(1000, 102)), at(1000));
        let [jumped] = &time.warnings(at(1000))[..] else { panic!("{:?}", time.warnings(at(1000))) };
        assert!(jumped.contains("jumped ahead by 599s"), "{jumped}");
        // Set right again, the log is ahead.
        assert_eq!(begin(set(110, 110)), at(1000));
        assert_eq!(time.ahead(at(110)), Some(Duration::from_secs(890)));
        assert_eq!(time.ahead(at(700)), None);
        assert!(time.warnings(at(110)).iter().any(|warning| warning.contains("set-back")));
        // A promise of the era before binds nobody in the next.
        assert_eq!(time.promise(now(2000)), at(2000));
        time.begin_era();
        floor.set(at(0));
        assert_eq!((begin(set(111, 111)), time.warnings(at(111))), (at(111), vec![]));
        // Beside a store's clock.
        time.compare(112 * 1_000_000, now(112), at(500));
        let [differs] = &time.warnings(at(112))[..] else { panic!("{:?}", time.warnings(at(112))) };
        assert!(differs.contains("388s behind the database's"), "{differs}");
    }
}
