//! The control: the first idea. It reads the counter, compares, then adds; wrong on purpose.
//!
//! Two threads that read before either adds are both admitted. It is here to show that the overspending tests can
//! see such a thing, and what a map and a counter cost without being right.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::{Ceiling, Contender, Result};

const SHARDS: u64 = 64;

/// The amount that a key has used, and the end of its window in nanoseconds since the start.
#[derive(Default)]
struct Counter {
    ends: AtomicU64,
    used: AtomicU64,
}

struct Naive {
    start: Instant,
    limit: u64,
    window: u64,
    hasher: RandomState,
    shards: Vec<RwLock<HashMap<String, Counter>>>,
}

/// Windows begin with the first use.
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    Ok(Box::new(Naive {
        start: Instant::now(),
        limit: ceiling.limit.into(),
        window: u64::from(ceiling.seconds) * 1_000_000_000,
        hasher: RandomState::new(),
        shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
    }))
}

impl Naive {
    fn admit(&self, counter: &Counter, amount: u64) -> bool {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if now >= counter.ends.load(Ordering::SeqCst) {
            counter.ends.store(now.saturating_add(self.window), Ordering::SeqCst);
            counter.used.store(0, Ordering::SeqCst);
        }
        let used = counter.used.load(Ordering::SeqCst);
        if used.saturating_add(amount) > self.limit {
            return false;
        }
        // Here is the mistake: others may have added since.
        counter.used.fetch_add(amount, Ordering::SeqCst);
        true
    }
}

impl Contender for Naive {
    fn name(&self) -> &'static str {
        "naive (control)"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS).ok();
        let Some(shard) = shard.and_then(|at| self.shards.get(at)) else {
            return false;
        };
        if let Ok(counters) = shard.read()
            && let Some(counter) = counters.get(key)
        {
            return self.admit(counter, amount);
        }
        match shard.write() {
            Ok(mut counters) => self.admit(counters.entry(key.to_owned()).or_default(), amount),
            Err(_) => false,
        }
    }

    fn promises(&self) -> &'static str {
        "nothing to several callers, nor across the edge"
    }
}
