//! Eight threads ask for ten times the limit of one key, all within one window; many rounds, each with a new key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ceiling_peers::{Ceiling, Contender, Make, Result};

use super::{LIMIT, share};

const THREADS: u64 = 8;

/// A window so long that a round is nothing beside it: no token bucket gets a unit back meanwhile.
const SECONDS: u32 = 360_000;

/// The results of the rounds.
pub(crate) struct Rounds {
    worst: u64,
    exceeded: u32,
    all: u32,
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, over in {} of {}", share(self.worst), self.exceeded, self.all)
    }
}

/// So many rounds, in which each check asks for `amount`.
pub(crate) fn run(make: Make, amount: u64, all: u32) -> Result<Rounds> {
    let contender = make(Ceiling { limit: LIMIT, seconds: SECONDS, keys: all })?;
    let mut rounds = Rounds { worst: 0, exceeded: 0, all };
    for round in 0..all {
        let admitted = admitted(contender.as_ref(), &format!("agent_{round}"), amount)?;
        rounds.worst = rounds.worst.max(admitted);
        rounds.exceeded += u32::from(admitted > LIMIT.into());
    }
    Ok(rounds)
}

/// One round.
fn admitted(contender: &dyn Contender, key: &str, amount: u64) -> Result<u64> {
    let checks = 10 * u64::from(LIMIT) / amount / THREADS;
    let ready = AtomicU64::new(0);
    let ask = || {
        // Not a barrier: that wakes one thread after the other, and the first would be done before the second runs.
        ready.fetch_add(1, Ordering::SeqCst);
        while ready.load(Ordering::SeqCst) < THREADS {
            std::thread::yield_now();
        }
        (0..checks).filter(|_| contender.check(key, amount)).count()
    };
    let counts: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        started.into_iter().map(|thread| thread.join()).collect()
    });
    let mut admitted = 0;
    for count in counts {
        admitted += u64::try_from(count.map_err(|_| "a thread panicked")?)? * amount;
    }
    Ok(admitted)
}
