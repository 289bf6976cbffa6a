//! A token bucket, as the generic cell rate algorithm (ITU-T I.371): it smooths one agent's use.
//!
//! A rate is not a ceiling: in a window it admits up to a burst more than its rate. Each engine keeps its own rates in
//! memory, and a rate begins full.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Clock;
use crate::policy::RateLimit;

/// A rate of one agent and one resource.
///
/// The whole state that changes is one atomic, `full_at`: a take swaps it and an undo subtracts from it, each in one
/// step. So threads need no lock, and the accesses are relaxed because `full_at` guards no other data.
pub(crate) struct Rate {
    limit: RateLimit,
    /// The theoretical arrival time: the instant at which the bucket will be full again, in nanoseconds of the steady
    /// clock.
    full_at: AtomicI64,
    clock: Arc<dyn Clock>,
}

/// An amount that was taken from a rate, as the time in which it flows in, and the instant at which the bucket would
/// have been full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumed {
    cost: i64,
    full_at: i64,
}

impl Rate {
    pub(crate) fn new(limit: RateLimit, clock: Arc<dyn Clock>) -> Self {
        Self { limit, full_at: AtomicI64::new(0), clock }
    }

    pub(crate) fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Takes `amount` at a time in microseconds, or says in how many microseconds it could be taken (`None`: never,
    /// because it is more than a burst). A swap that fails, because another thread was faster, is tried again.
    pub(crate) fn take(&self, amount: u64, steady: i64) -> Result<Consumed, Option<i64>> {
        let now = steady.saturating_mul(1000);
        let (cost, burst) = (self.nanos(amount), self.nanos(self.limit.burst));
        if amount > self.limit.burst {
            return Err(None);
        }
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(cost);
            let over = next.saturating_sub(now).saturating_sub(burst);
            if over > 0 {
                return Err(Some(over / 1000 + 1));
            }
            match self.full_at.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(Consumed { cost, full_at: next }),
                Err(other) => full_at = other,
            }
        }
    }

    /// Puts back the part of a taken amount that has not flowed in again since.
    pub(crate) fn undo(&self, consumed: Consumed) {
        let now = self.clock.coarse().steady.saturating_mul(1000);
        let missing = consumed.full_at.saturating_sub(now).clamp(0, consumed.cost);
        self.full_at.fetch_sub(missing, Ordering::Relaxed);
    }

    /// The nanoseconds in which `amount` flows in, rounded up.
    fn nanos(&self, amount: u64) -> i64 {
        let nanos = u128::from(amount) * u128::from(self.limit.per_seconds) * 1_000_000_000;
        i64::try_from(nanos.div_ceil(u128::from(self.limit.amount.max(1))))
            .unwrap_or(i64::MAX / 4)
            .min(i64::MAX / 4)
    }
}
