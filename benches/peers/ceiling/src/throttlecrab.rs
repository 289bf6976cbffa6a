//! throttlecrab: GCRA, a map that one caller at a time may touch.
//!
//! A rate and not a ceiling, as governor is, and more of it: a key that was used a little and then left alone may use
//! nearly two bursts at once, because the arrival time may fall behind by the whole tolerance and then run ahead by it.
//! With what comes back meanwhile that is nearly `3 × limit` in one window.

use std::sync::Mutex;
use std::time::SystemTime;

use throttlecrab::{AdaptiveStore, RateLimiter};

use crate::{Ceiling, Contender, Result};

struct Throttlecrab {
    /// Its documentation: "not thread-safe. For concurrent access, wrap it in a mutex". Several of them, chosen by
    /// key, would let threads with different keys pass each other; that is the host's work and not the library's.
    limiter: Mutex<RateLimiter<AdaptiveStore>>,
    limit: i64,
    seconds: i64,
}

/// A burst of `limit`, and `limit` per window.
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    // With more keys than three quarters of what the map has room for, the store looks through all of them at each
    // check. So it is told how many there will be; 100,000 then stay below.
    let store = AdaptiveStore::builder().capacity(usize::try_from(ceiling.keys)?).build();
    Ok(Box::new(Throttlecrab {
        limiter: Mutex::new(RateLimiter::new(store)),
        limit: ceiling.limit.into(),
        seconds: ceiling.seconds.into(),
    }))
}

impl Contender for Throttlecrab {
    fn name(&self) -> &'static str {
        "throttlecrab 0.4"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        let (Ok(amount), Ok(mut limiter)) = (i64::try_from(amount), self.limiter.lock()) else {
            return false;
        };
        // The clock is read under the lock, so that time never runs backwards for the limiter.
        let answer = limiter.rate_limit(key, self.limit, self.limit, self.seconds, amount, SystemTime::now());
        answer.is_ok_and(|(allowed, _)| allowed)
    }

    fn promises(&self) -> &'static str {
        "a rate with a burst, one caller at a time; not a most per window"
    }
}
