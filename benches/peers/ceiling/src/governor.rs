//! governor: GCRA, one atomic number per key in a `DashMap`.
//!
//! A quota of `limit` per window with a burst of `limit` is a rate and not a ceiling: used units come back bit by bit,
//! one every `window / limit`. A full bucket admits `limit` at once and, in the window after that, what
//! comes back meanwhile: nearly `2 × limit` in one window. With a burst of 1 no window would see much more than
//! `limit`, but no caller could use more than one unit at a time.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{Ceiling, Contender, Result};

struct Governor(DefaultKeyedRateLimiter<String>);

/// A bucket of `limit` that fills up in one window.
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let burst = NonZeroU32::new(ceiling.limit).ok_or("a limit of nothing")?;
    let one_per = Duration::from_secs(ceiling.seconds.into()) / ceiling.limit;
    let quota = Quota::with_period(one_per).ok_or("a window of nothing")?.allow_burst(burst);
    Ok(Box::new(Governor(RateLimiter::keyed(quota))))
}

thread_local! {
    /// `check_key_n` wants a `&String`. A host that keeps its ids as such has one; making one for each check would
    /// measure the allocator, so the id is copied into the same one again.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Contender for Governor {
    fn name(&self) -> &'static str {
        "governor 0.10"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        let Some(amount) = u32::try_from(amount).ok().and_then(NonZeroU32::new) else {
            return false;
        };
        KEY.with_borrow_mut(|owned| {
            owned.clear();
            owned.push_str(key);
            // The outer error: more than the bucket ever holds.
            matches!(self.0.check_key_n(owned, amount), Ok(Ok(())))
        })
    }

    fn promises(&self) -> &'static str {
        "a rate with a burst, atomically; not a most per window"
    }
}
