//! Windows as slices of time: a fixed window is one slice, a sliding one is sixteen and the one that is running.
//!
//! Slices are aligned to the epoch and numbered from it. The use in a slice counts until the whole slice has left the
//! window, so a sliding window never admits more than its ceiling in any stretch of its length, and frees the use up to
//! a sixteenth of that length late.

use std::fmt;

use crate::clock::Timestamp;
use crate::policy::WindowKind;

/// The number of slices that make the length of a sliding window. It divides the microseconds of a second.
const SLIDING_SLICES: i64 = 16;

/// The kind and the length of a ceiling's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    kind: WindowKind,
    seconds: u32,
}

impl Window {
    /// A window of `seconds`, at least 1.
    pub fn new(kind: WindowKind, seconds: u32) -> Self {
        Self { kind, seconds: seconds.max(1) }
    }

    /// The kind of the window.
    pub fn kind(self) -> WindowKind {
        self.kind
    }

    /// The length of the window.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// The number of slices before the running one that count.
    pub(crate) fn span(self) -> i64 {
        match self.kind {
            WindowKind::Fixed => 0,
            WindowKind::Sliding => SLIDING_SLICES,
        }
    }

    /// The number of slices that count, with the running one.
    pub(crate) fn slices(self) -> usize {
        match self.kind {
            WindowKind::Fixed => 1,
            WindowKind::Sliding => SLIDING_SLICES as usize + 1,
        }
    }

    fn slice_micros(self) -> i64 {
        let whole = i64::from(self.seconds) * 1_000_000;
        match self.kind {
            WindowKind::Fixed => whole,
            WindowKind::Sliding => whole / SLIDING_SLICES,
        }
    }

    /// The number of the slice that holds an instant.
    pub fn slice(self, at: Timestamp) -> i64 {
        at.micros().div_euclid(self.slice_micros())
    }

    /// The instant at which a slice ends and the next one begins.
    pub fn slice_end(self, slice: i64) -> Timestamp {
        Timestamp::from_micros(slice.saturating_add(1).saturating_mul(self.slice_micros()))
    }

    /// Says whether a charge to `slice` counts while `running` is the running slice.
    pub(crate) fn counts(self, slice: i64, running: i64) -> bool {
        (running.saturating_sub(self.span())..=running).contains(&slice)
    }

    /// The earliest instant that counts while `slice` is running.
    pub fn start(self, slice: i64) -> Timestamp {
        self.slice_end(slice.saturating_sub(self.span() + 1))
    }

    /// The instant at which a charge to `slice` has left the window.
    pub fn reset(self, slice: i64) -> Timestamp {
        self.slice_end(slice.saturating_add(self.span()))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WindowKind::Fixed => write!(f, "{} s", self.seconds),
            WindowKind::Sliding => write!(f, "{} s, sliding", self.seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_fixed_window_turns_at_its_edge_to_the_microsecond() {
        let hour = Window::new(WindowKind::Fixed, 3600);
        let edge = 1_700_002_800_000_000;
        let last = hour.slice(at(edge - 1));
        assert_eq!(hour.slice(at(edge)), last + 1);
        assert_eq!(hour.slice_end(last), at(edge));
        assert_eq!(hour.reset(last), at(edge));
        assert_eq!(hour.start(last), at(edge - 3_600_000_000));
    }

    #[test]
    fn what_is_charged_to_a_slice_stays_as_long_as_any_window_of_the_length_holds_it() {
        let minute = Window::new(WindowKind::Sliding, 60);
        let first = at(1_700_000_040_000_000);
        let slice = minute.slice(first);
        // A use at the slice's last instant must count until a minute after that.
        let last_instant = minute.slice_end(slice).micros() - 1;
        assert!(minute.reset(slice).micros() > last_instant + 60_000_000);
        // The use must not count a slice longer.
        assert!(minute.reset(slice).micros() <= first.micros() + 60_000_000 + 2 * 3_750_000);
        assert!(minute.slice(at(minute.reset(slice).micros() - 1)) - slice <= minute.span());
        assert!(minute.slice(minute.reset(slice)) - slice > minute.span());
    }

    #[test]
    fn every_slice_that_counts_has_a_place_of_its_own() {
        for window in [Window::new(WindowKind::Fixed, 3600), Window::new(WindowKind::Sliding, 60)] {
            let counting = (-40..=40).filter(|slice| window.counts(*slice, 7)).count();
            assert_eq!(window.slices(), counting);
        }
        assert_eq!(Window::new(WindowKind::Sliding, 60).slices(), 17);
    }

    #[test]
    fn a_window_names_its_length_and_whether_it_slides() {
        assert_eq!(Window::new(WindowKind::Fixed, 3600).to_string(), "3600 s");
        assert_eq!(Window::new(WindowKind::Sliding, 60).to_string(), "60 s, sliding");
    }
}
