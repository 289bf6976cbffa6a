//! The bookkeeping of an authority, in memory: accounts by key, all-or-nothing.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::counters::{Ask, Charged, Grant, Leased, Refusal, Unspent};
use crate::ceiling::{Account, CounterKey, SetBack, Window};
use crate::clock::Timestamp;
use crate::error::Result;

/// At most this part of what is left is granted ahead of need.
const SPARE_PART: u64 = 8;

/// Accounts that are known without asking anyone.
#[derive(Default)]
pub(super) struct Ledger {
    rows: HashMap<CounterKey, Account, RandomState>,
}

/// What a ledger turns to for accounts that it does not hold.
pub(super) trait Older {
    /// The account, if there is one.
    fn load(&self, key: &CounterKey) -> Result<Option<Account>>;
    /// The time up to which accounts may have been forgotten.
    fn horizon(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl Ledger {
    /// Answers a check.
    pub(super) fn lease(&mut self, asks: &[Ask], now: Timestamp, older: &impl Older) -> Result<Leased> {
        let mut accounts: SmallVec<[(Account, bool); 1]> = SmallVec::with_capacity(asks.len());
        let mut refused = None;
        for (place, ask) in asks.iter().enumerate() {
            let mut refuse = |refusal, account: &Account| {
                let (charged, slice) = (account.used(), account.slice());
                refused.get_or_insert(Leased::Refused { place, refusal, charged, slice });
            };
            let (mut account, forgotten) = self.account(&ask.key, ask.window, now, older)?;
            let carried = !account.is_in(ask.window);
            let set_back = forgotten || account.advance(ask.window, now) == Err(SetBack);
            let returned =
                ask.unspent.is_some_and(|(slice, amount)| account.take_back(ask.window, slice, amount));
            // What is carried over counts from now on in the new window, also if nothing is granted.
            let returned = returned || (carried && !set_back);
            if set_back {
                refuse(Refusal::ClockSetBack, &account);
            } else if ask.limit.saturating_sub(account.used()) < ask.need {
                refuse(Refusal::Exhausted, &account);
            }
            accounts.push((account, returned));
        }
        let granted = refused.is_none();
        let mut grants = SmallVec::with_capacity(asks.len());
        for (ask, (mut account, returned)) in asks.iter().zip(accounts) {
            if granted {
                grants.push(grant(&mut account, ask, now));
            }
            if granted || returned {
                self.rows.insert(ask.key.clone(), account);
            }
        }
        Ok(refused.unwrap_or(Leased::Granted(grants)))
    }

    /// Takes back what was not spent. Says whether an account has changed.
    pub(super) fn give_back(&mut self, unspent: &Unspent, older: &impl Older) -> Result<bool> {
        let known = self.rows.contains_key(&unspent.key);
        let loaded = if known { None } else { older.load(&unspent.key)? };
        if let Some(account) = loaded {
            self.rows.insert(unspent.key.clone(), account);
        }
        let Some(account) = self.rows.get_mut(&unspent.key) else { return Ok(false) };
        Ok(account.take_back(unspent.window, unspent.slice, unspent.amount))
    }

    pub(super) fn charged(
        &self,
        key: &CounterKey,
        window: Window,
        now: Timestamp,
        older: &impl Older,
    ) -> Result<Charged> {
        let (mut account, _) = self.account(key, window, now, older)?;
        // With a clock that was set back, what is known last.
        let _ = account.advance(window, now);
        Ok(Charged { amount: account.used(), slice: account.slice() })
    }

    /// The account, and whether one may have been forgotten that was charged at a later time.
    fn account(
        &self,
        key: &CounterKey,
        window: Window,
        now: Timestamp,
        older: &impl Older,
    ) -> Result<(Account, bool)> {
        let known = match self.rows.get(key) {
            Some(account) => Some(account.clone()),
            None => older.load(key)?,
        };
        Ok(match known {
            Some(account) => (account, false),
            None => (Account::new(window, now), now < older.horizon()),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    #[cfg(any(feature = "embedded", feature = "postgres", feature = "redis"))]
    pub(super) fn rows(&self) -> impl Iterator<Item = (&CounterKey, &Account)> {
        self.rows.iter()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&CounterKey, &Account) -> bool) {
        self.rows.retain(|key, account| keep(key, account));
    }
}

fn grant(account: &mut Account, ask: &Ask, now: Timestamp) -> Grant {
    let left = ask.limit.saturating_sub(account.used()).saturating_sub(ask.need);
    let amount = ask.need + ask.spare.min(left / SPARE_PART);
    account.charge(amount);
    let slice = account.slice();
    let runs = ask.window.slice_end(slice).micros() - now.micros();
    let valid_for = Duration::from_micros(u64::try_from(runs).unwrap_or(0));
    Grant { amount, charged: account.used(), slice, valid_for }
}
