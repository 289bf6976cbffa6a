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

    /// Brings the account of a counter that is ahead of the clock back to `now`, and says whether it was ahead.
    pub(crate) fn reset(
        &mut self,
        key: &CounterKey,
        now: Timestamp,
        source: &impl AccountSource,
    ) -> Result<bool> {
        let known = match self.rows.get(key) {
            Some(account) => Some(account.clone()),
            None => source.load(key)?,
        };
        let Some(mut account) = known else { return Ok(false) };
        let ahead = account.reset(now);
        if ahead {
            self.rows.insert(key.clone(), account);
        }
        Ok(ahead)
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

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::ids::OrganizationId;
    use crate::policy::WindowKind;

    const HOUR: i64 = 3_600_000_000;
    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn now() -> Timestamp {
        at(5 * HOUR + 1)
    }

    /// A source with at most one account.
    #[derive(Default)]
    struct Source {
        account: Option<Account>,
        horizon: Timestamp,
    }

    impl AccountSource for Source {
        fn load(&self, _: &CounterKey) -> Result<Option<Account>> {
            Ok(self.account.clone())
        }

        fn horizon(&self) -> Timestamp {
            self.horizon
        }
    }

    fn key() -> CounterKey {
        CounterKey::organization(&OrganizationId::default(), "api")
    }

    fn hour() -> Window {
        Window::new(WindowKind::Fixed, 3600)
    }

    fn day() -> Window {
        Window::new(WindowKind::Fixed, 86_400)
    }

    fn request(need: u64, spare: u64) -> LeaseRequest {
        LeaseRequest { key: key(), window: hour(), limit: 100, need, spare, ahead: true, unspent: None }
    }

    fn charged(amount: u64) -> Source {
        let mut account = Account::new(hour(), now());
        account.charge(amount);
        Source { account: Some(account), ..Source::default() }
    }

    fn refusal(answer: LeaseAnswer) -> (Refusal, u64) {
        match answer {
            LeaseAnswer::Refused { refusal, charged, .. } => (refusal, charged),
            LeaseAnswer::Granted(grants) => panic!("granted: {grants:?}"),
        }
    }

    #[test]
    fn an_eighth_of_the_rest_is_granted_ahead_at_most() {
        let mut ledger = Ledger::default();
        let valid_for = Duration::from_micros(HOUR as u64 - 1);
        let mut granted = |need, spare, amount, charged| {
            let grant = Grant { amount, charged, slice: 5, valid_for };
            let answer = ledger.lease(&[request(need, spare)], now(), &Source::default()).unwrap();
            assert_eq!(answer, LeaseAnswer::Granted(smallvec![grant]));
        };
        granted(20, 100, 30, 30);
        granted(2, 3, 5, 35);
        granted(65, 100, 65, 100);
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn a_refused_request_changes_the_account_only_where_a_sum_was_carried_over_or_an_amount_came_back() {
        let at_eighty = charged(80);
        let lease = |request: &LeaseRequest, now, source: &Source| {
            let mut ledger = Ledger::default();
            let answer = ledger.lease(std::slice::from_ref(request), now, source).unwrap();
            (refusal(answer), ledger)
        };
        let (refused, ledger) = lease(&request(21, 0), now(), &at_eighty);
        assert_eq!((refused, ledger.len()), ((Refusal::Exhausted, 80), 0));

        let (refused, ledger) = lease(&LeaseRequest { window: day(), ..request(21, 0) }, now(), &at_eighty);
        assert_eq!((refused, ledger.len()), ((Refusal::Exhausted, 80), 1));
        assert!(ledger.rows[&key()].is_in(day()) && !ledger.rows[&key()].is_in(hour()));

        let (refused, ledger) =
            lease(&LeaseRequest { unspent: Some((5, 10)), ..request(31, 0) }, now(), &at_eighty);
        assert_eq!((refused, ledger.len()), ((Refusal::Exhausted, 70), 1));
        let (refused, ledger) =
            lease(&LeaseRequest { unspent: Some((4, 10)), ..request(31, 0) }, now(), &at_eighty);
        assert_eq!((refused, ledger.len()), ((Refusal::Exhausted, 80), 0), "of a window that is over");

        // After a step back of the clock nothing of the account can be carried over.
        let before = at(5 * HOUR - 1);
        let (refused, ledger) = lease(&LeaseRequest { window: day(), ..request(1, 0) }, before, &at_eighty);
        assert_eq!((refused, ledger.len()), ((Refusal::ClockSetBack, 80), 0));
    }

    #[test]
    fn one_request_that_is_refused_refuses_all_of_the_check() {
        let mut ledger = Ledger::default();
        let requests = [request(1, 0), LeaseRequest { limit: 5, ..request(6, 0) }];
        let answer = ledger.lease(&requests, now(), &Source::default()).unwrap();
        assert!(matches!(answer, LeaseAnswer::Refused { place: 1, .. }), "{answer:?}");
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn before_the_horizon_an_account_may_have_been_forgotten() {
        let source = Source { horizon: now(), account: None };
        let lease = |now| Ledger::default().lease(&[request(1, 0)], now, &source).unwrap();
        assert!(matches!(lease(now()), LeaseAnswer::Granted(_)));
        let before = at(now().micros() - 1);
        assert_eq!(refusal(lease(before)), (Refusal::ClockSetBack, 0));
        let source = Source { horizon: now(), ..charged(7) };
        let answer = Ledger::default().lease(&[request(1, 0)], before, &source).unwrap();
        assert!(matches!(answer, LeaseAnswer::Granted(_)), "an account that is there was not forgotten");
    }

    #[test]
    fn an_amount_that_was_not_spent_is_taken_back_from_the_account_that_is_held_or_loaded() {
        let unspent = |slice| Unspent { key: key(), window: hour(), slice, amount: 30 };
        let mut ledger = Ledger::default();
        assert!(!ledger.give_back(&unspent(5), &Source::default()).unwrap());
        assert_eq!(ledger.len(), 0);
        let source = charged(80);
        assert!(ledger.give_back(&unspent(5), &source).unwrap());
        assert!(!ledger.give_back(&unspent(4), &source).unwrap());
        assert!(
            ledger.give_back(&unspent(5), &source).unwrap(),
            "the account that is held, not the loaded one"
        );
        let amount = |window, now| ledger.charged(&key(), window, now, &source).unwrap();
        assert_eq!(amount(hour(), now()), Charged { amount: 20, slice: 5 });
        assert_eq!(amount(hour(), at(6 * HOUR)), Charged { amount: 0, slice: 6 });
        assert_eq!(amount(hour(), at(4 * HOUR)), Charged { amount: 20, slice: 5 });
        ledger.retain(|_, account| !account.is_over(now()));
        assert_eq!(ledger.len(), 1);
        ledger.retain(|_, account| !account.is_over(at(6 * HOUR)));
        assert_eq!(ledger.len(), 0);
    }
}
