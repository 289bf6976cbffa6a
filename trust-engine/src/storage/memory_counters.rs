//! Counters in memory: exact within one process, forgotten with it.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::counters::{CounterStore, LeaseCallback};
use crate::ceiling::{Account, AccountSource, Charged, CounterKey, LeaseRequests, Ledger, Unspent, Window};
use crate::clock::{Clock, Timestamp};
use crate::error::Result;

/// Counters of which nothing survives the process.
pub fn memory_counters(clock: Arc<dyn Clock>) -> Arc<dyn CounterStore> {
    Arc::new(MemoryCounters { clock, accounts: Mutex::default() })
}

/// Number of accounts from which on a sweep drops those that are over.
const FIRST_SWEEP: usize = 4096;

struct MemoryCounters {
    clock: Arc<dyn Clock>,
    /// Held while a check reads the clock and is decided, and released before its answer is called.
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    ledger: Ledger,
    forgotten: Forgotten,
    next_sweep: usize,
}

/// A source without accounts: sweeps have dropped accounts up to this time, and the charges before it are not known.
#[derive(Clone, Copy, Default)]
struct Forgotten(Timestamp);

impl AccountSource for Forgotten {
    fn load(&self, _: &CounterKey) -> Result<Option<Account>> {
        Ok(None)
    }

    fn horizon(&self) -> Timestamp {
        self.0
    }
}

impl Accounts {
    /// Drops the accounts that do not count any more, each time the number of accounts has doubled.
    fn sweep(&mut self, now: Timestamp) {
        if self.ledger.len() < self.next_sweep.max(FIRST_SWEEP) {
            return;
        }
        self.ledger.retain(|_, account| !account.is_over(now));
        self.forgotten.0 = self.forgotten.0.max(now);
        self.next_sweep = self.ledger.len() * 2;
    }
}

#[async_trait]
impl CounterStore for MemoryCounters {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        let leased = {
            let mut accounts = self.accounts.lock();
            // The clock is read under the lock: if a check with a later time came first, this one would look like a
            // clock set back.
            let now = self.clock.now();
            let source = accounts.forgotten;
            let leased = accounts.ledger.lease(&requests, now, &source);
            accounts.sweep(now);
            leased
        };
        answer(leased);
    }

    fn give_back(&self, unspent: Unspent) {
        let mut accounts = self.accounts.lock();
        let source = accounts.forgotten;
        // The call cannot fail, because the source has no account to load.
        let _ = accounts.ledger.give_back(&unspent, &source);
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let accounts = self.accounts.lock();
        let now = self.clock.now();
        let of = |(key, window): &(CounterKey, Window)| {
            accounts.ledger.charged(key, *window, now, &accounts.forgotten)
        };
        counters.iter().map(of).collect()
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        let mut accounts = self.accounts.lock();
        let (now, source) = (self.clock.now(), accounts.forgotten);
        counters.iter().map(|(key, _)| accounts.ledger.reset(key, now, &source)).collect()
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
