//! The bookkeeping of an authority, in memory: accounts by key, and checks that are granted whole or not at all.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::account::{Account, SetBack};
use super::key::CounterKey;
use super::lease::{Charged, Grant, LeaseAnswer, LeaseRequest, Refusal, Unspent};
use super::window::Window;
use crate::clock::Timestamp;
use crate::error::Result;

/// The part of a counter's rest that is granted ahead of need at most: an eighth.
const SPARE_PART: u64 = 8;

/// The accounts that an authority holds in memory.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: HashMap<CounterKey, Account, RandomState>,
}

/// A source of the accounts that a ledger does not hold.
pub(crate) trait AccountSource {
    /// Loads the account, if there is one.
    fn load(&self, key: &CounterKey) -> Result<Option<Account>>;
    /// The time up to which accounts may have been forgotten.
    fn horizon(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl Ledger {
    /// Answers the lease requests of a check: grants all of them or none.
    pub(crate) fn lease(
        &mut self,
        requests: &[LeaseRequest],
        now: Timestamp,
        source: &impl AccountSource,
    ) -> Result<LeaseAnswer> {
        let mut accounts: SmallVec<[(Account, bool); 1]> = SmallVec::with_capacity(requests.len());
        let mut refused = None;
        for (place, request) in requests.iter().enumerate() {
            let mut refuse = |refusal, account: &Account| {
                let (charged, slice) = (account.total(), account.slice());
                refused.get_or_insert(LeaseAnswer::Refused { place, refusal, charged, slice });
            };
            let (mut account, forgotten) = self.account(&request.key, request.window, now, source)?;
            let carried = !account.is_in(request.window);
            let set_back = forgotten || account.advance(request.window, now) == Err(SetBack);
            let returned = request
                .unspent
                .is_some_and(|(slice, amount)| account.take_back(request.window, slice, amount));
            // The sum that is carried over counts in the new window from now on, also if nothing is granted.
            let returned = returned || (carried && !set_back);
            if set_back {
                refuse(Refusal::ClockSetBack, &account);
            } else if request.limit.saturating_sub(account.total()) < request.need {
                refuse(Refusal::Exhausted, &account);
            }
            accounts.push((account, returned));
        }
        let granted = refused.is_none();
        let mut grants = SmallVec::with_capacity(requests.len());
        for (request, (mut account, returned)) in requests.iter().zip(accounts) {
            if granted {
                grants.push(grant(&mut account, request, now));
            }
            if granted || returned {
                self.rows.insert(request.key.clone(), account);
            }
        }
        Ok(refused.unwrap_or(LeaseAnswer::Granted(grants)))
    }

    /// Takes back an amount that was not spent, and says whether it still counted.
    pub(crate) fn give_back(&mut self, unspent: &Unspent, source: &impl AccountSource) -> Result<bool> {
        let known = self.rows.contains_key(&unspent.key);
        let loaded = if known { None } else { source.load(&unspent.key)? };
        if let Some(account) = loaded {
            self.rows.insert(unspent.key.clone(), account);
        }
        let Some(account) = self.rows.get_mut(&unspent.key) else { return Ok(false) };
        Ok(account.take_back(unspent.window, unspent.slice, unspent.amount))
    }

    /// Gives the charge of a counter.
    pub(crate) fn charged(
        &self,
        key: &CounterKey,
        window: Window,
        now: Timestamp,
        source: &impl AccountSource,
    ) -> Result<Charged> {
        let (mut account, _) = self.account(key, window, now, source)?;
        // If the clock was set back, the account stays as it was last known.
        let _ = account.advance(window, now);
        Ok(Charged { amount: account.total(), slice: account.slice() })
    }

    /// Gives the account, and says whether one that was charged at a later time may have been forgotten.
    fn account(
        &self,
        key: &CounterKey,
        window: Window,
        now: Timestamp,
        source: &impl AccountSource,
    ) -> Result<(Account, bool)> {
        let known = match self.rows.get(key) {
            Some(account) => Some(account.clone()),
            None => source.load(key)?,
        };
        Ok(match known {
            Some(account) => (account, false),
            None => (Account::new(window, now), now < source.horizon()),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    #[cfg(any(feature = "embedded", feature = "postgres", feature = "redis"))]
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&CounterKey, &Account)> {
        self.rows.iter()
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&CounterKey, &Account) -> bool) {
        self.rows.retain(|key, account| keep(key, account));
    }
}

/// Charges a request to its account: the need, and as much of the spare as may be granted ahead.
fn grant(account: &mut Account, request: &LeaseRequest, now: Timestamp) -> Grant {
    let left = request.limit.saturating_sub(account.total()).saturating_sub(request.need);
    let amount = request.need + request.spare.min(left / SPARE_PART);
    account.charge(amount);
    let slice = account.slice();
    let runs = request.window.slice_end(slice).micros() - now.micros();
    let valid_for = Duration::from_micros(u64::try_from(runs).unwrap_or(0));
    Grant { amount, charged: account.total(), slice, valid_for }
}
