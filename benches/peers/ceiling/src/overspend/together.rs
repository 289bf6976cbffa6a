//! Eight threads ask for ten times the limit of one key, all within one window; many rounds, each with a new key.

use std::fmt;
use std::sync::Barrier;

use ceiling_peers::{Ceiling, Contender, Make, Result};

use super::{LIMIT, share};

const THREADS: u64 = 8;
const ROUNDS: u32 = 200;

/// A window so long that a round is nothing beside it: no token bucket gets a unit back meanwhile.
const CEILING: Ceiling = Ceiling { limit: LIMIT, seconds: 360_000, keys: ROUNDS };

/// What became of the rounds.
pub(crate) struct Rounds {
    worst: u64,
    exceeded: u32,
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, over in {} of {ROUNDS}", share(self.worst), self.exceeded)
    }
}

/// All rounds in which each check asks for `amount`.
pub(crate) fn run(make: Make, amount: u64) -> Result<Rounds> {
    let contender = make(CEILING)?;
    let mut rounds = Rounds { worst: 0, exceeded: 0 };
    for round in 0..ROUNDS {
        let admitted = admitted(contender.as_ref(), &format!("agent_{round}"), amount)?;
        rounds.worst = rounds.worst.max(admitted);
        rounds.exceeded += u32::from(admitted > LIMIT.into());
    }
    Ok(rounds)
}

/// One round.
fn admitted(contender: &dyn Contender, key: &str, amount: u64) -> Result<u64> {
    let checks = 10 * u64::from(LIMIT) / amount / THREADS;
    let barrier = Barrier::new(usize::try_from(THREADS)?);
    let ask = || {
        barrier.wait();
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
