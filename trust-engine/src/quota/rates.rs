//! The token buckets of agents, by counter and tier, so that a bucket outlives a change of its agent.

use std::convert::Infallible;
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::ceiling::{CounterKey, Rate};
use crate::clock::Clock;
use crate::policy::RateLimit;

pub(super) struct Rates {
    known: Cache<(CounterKey, Box<str>), Arc<Rate>>,
    clock: Arc<dyn Clock>,
}

impl Rates {
    pub(super) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self { known: Cache::new(capacity), clock }
    }

    /// The bucket of a counter; a new one, which is full, where there is none with these limits.
    pub(super) fn get(&self, key: CounterKey, limit: &RateLimit) -> Arc<Rate> {
        let key = (key, Box::from(limit.tier.as_str()));
        let make = || Arc::new(Rate::new(limit.clone(), Arc::clone(&self.clock)));
        // Threads that ask for a new bucket at the same time get the same one: each begins full.
        match self.known.get_or_insert_with(&key, || Ok::<_, Infallible>(make())) {
            Ok(known) if known.limit() == limit => known,
            _ => {
                let rate = make();
                self.known.insert(key, Arc::clone(&rate));
                rate
            }
        }
    }
}
