//! The account of one counter: its charges slice by slice, by the arithmetic that every authority shares.
//!
//! An authority charges an amount before it may be used, and takes it back only if it was certainly not used. So the
//! real use is never more than the charges here, even if a message is lost on the way.

use smallvec::{SmallVec, smallvec};

use super::window::Window;
use crate::clock::Timestamp;

/// The charges of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(super) window: Window,
    /// The latest slice that the account was brought to: a clock that shows an earlier one was set back.
    pub(super) newest: i64,
    /// The charges, by slice number modulo the number of slices.
    pub(super) charged: SmallVec<[u64; 1]>,
}

/// An error: the clock shows a slice before the latest one of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetBack;

impl Account {
    /// Makes an account without charges.
    pub(crate) fn new(window: Window, now: Timestamp) -> Self {
        Self { window, newest: window.slice(now), charged: smallvec![0; window.slices()] }
    }

    /// Brings the account to `now`, counted in `window`.
    ///
    /// If the account was counted in another window, the sum that still counts there is charged to the running slice:
    /// the new window then knows of every use that the old one knew of.
    pub(crate) fn advance(&mut self, window: Window, now: Timestamp) -> Result<(), SetBack> {
        let slice = self.window.slice(now);
        if slice < self.newest {
            return Err(SetBack);
        }
        // The places of the skipped slices hold charges that have left the window.
        for skipped in (self.newest.saturating_add(1)..=slice).rev().take(self.charged.len()) {
            if let Some(charge) = self.place(skipped) {
                *charge = 0;
            }
        }
        self.newest = slice;
        if window != self.window {
            let carried = self.total();
            *self = Self::new(window, now);
            self.charge(carried);
        }
        Ok(())
    }

    /// Brings an account that is ahead of the clock back to `now`, and says whether it was ahead. The sum that counts is
    /// charged to the running slice, so nothing that was granted is granted again.
    pub(crate) fn reset(&mut self, now: Timestamp) -> bool {
        let ahead = self.window.slice(now) < self.newest;
        if ahead {
            let carried = self.total();
            *self = Self::new(self.window, now);
            self.charge(carried);
        }
        ahead
    }

    /// The window that the account is counted in.
    #[cfg(feature = "redis")]
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Says whether the account is counted in `window`.
    pub(crate) fn is_in(&self, window: Window) -> bool {
        self.window == window
    }

    /// The sum of the charges that count now.
    pub(crate) fn total(&self) -> u64 {
        self.charged.iter().fold(0, |sum, charge| sum.saturating_add(*charge))
    }

    /// The running slice.
    pub(crate) fn slice(&self) -> i64 {
        self.newest
    }

    /// Charges the running slice.
    pub(crate) fn charge(&mut self, amount: u64) {
        if let Some(charge) = self.place(self.newest) {
            *charge = charge.saturating_add(amount);
        }
    }

    /// Takes back an amount that was charged to `slice` of `window` and not used, if it still counts, and says whether
    /// it did.
    pub(crate) fn take_back(&mut self, window: Window, slice: i64, amount: u64) -> bool {
        let counts = window == self.window && window.counts(slice, self.newest);
        if counts && let Some(charge) = self.place(slice) {
            *charge = charge.saturating_sub(amount);
        }
        counts
    }

    /// Says whether no charge counts any more at `now`.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.window.slice(now) > self.newest.saturating_add(self.window.span())
    }

    fn place(&mut self, slice: i64) -> Option<&mut u64> {
        let slices = i64::try_from(self.charged.len()).unwrap_or(1).max(1);
        self.charged.get_mut(usize::try_from(slice.rem_euclid(slices)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WindowKind;

    const HOUR: i64 = 3_600_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn fixed() -> Window {
        Window::new(WindowKind::Fixed, 3600)
    }

    fn sliding() -> Window {
        Window::new(WindowKind::Sliding, 3600)
    }

    #[test]
    fn a_fixed_account_is_empty_from_the_microsecond_at_which_its_window_ends() {
        let mut account = Account::new(fixed(), at(HOUR));
        account.charge(7);
        account.advance(fixed(), at(2 * HOUR - 1)).unwrap();
        assert_eq!(account.total(), 7);
        assert!(!account.is_over(at(2 * HOUR - 1)));
        assert!(account.is_over(at(2 * HOUR)));
        account.advance(fixed(), at(2 * HOUR)).unwrap();
        assert_eq!(account.total(), 0);
    }

    #[test]
    fn a_clock_set_back_into_an_earlier_slice_is_refused_and_changes_nothing() {
        for window in [fixed(), sliding()] {
            let mut account = Account::new(window, at(5 * HOUR));
            account.charge(7);
            let before = account.clone();
            assert_eq!(account.advance(window, at(5 * HOUR - 1)), Err(SetBack));
            assert_eq!(account, before);
        }
    }

    #[test]
    fn a_change_of_window_carries_over_what_still_counts() {
        let mut account = Account::new(sliding(), at(5 * HOUR));
        account.charge(7);
        account.advance(sliding(), at(5 * HOUR + HOUR / 2)).unwrap();
        account.charge(5);
        let day = Window::new(WindowKind::Fixed, 86_400);
        account.advance(day, at(5 * HOUR + HOUR / 2)).unwrap();
        assert_eq!(account.total(), 12);
        // A lease of the old window cannot be given back to the new one.
        assert!(!account.take_back(sliding(), sliding().slice(at(5 * HOUR)), 7));
        assert_eq!(account.total(), 12);
    }

    #[test]
    fn what_is_taken_back_leaves_the_slice_that_it_was_charged_to() {
        let mut account = Account::new(sliding(), at(5 * HOUR));
        let first = account.slice();
        account.charge(10);
        account.advance(sliding(), at(5 * HOUR + HOUR / 4)).unwrap();
        account.charge(10);
        assert!(account.take_back(sliding(), first, 4));
        assert_eq!(account.total(), 16);
        account.advance(sliding(), at(6 * HOUR + HOUR / 16 + 1)).unwrap();
        assert_eq!(account.total(), 10, "the first slice has left the window with what remained of it");
        assert!(!account.take_back(sliding(), first, 4));
    }
}
