//! The measure of a counter: its use against its ceiling.

use std::fmt;

use super::key::Level;
use super::window::Window;
use crate::clock::Timestamp;

/// The use of a counter against its ceiling, at the moment of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub(crate) level: Level,
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) near: bool,
    pub(crate) window: Window,
    pub(crate) slice: i64,
}

impl Measure {
    /// The level of the counter, which tells the agents that share it.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The ceiling.
    pub fn ceiling(&self) -> u64 {
        self.limit
    }

    /// The use in the window: exact with one engine, and with several never too low.
    pub fn current_usage(&self) -> u64 {
        self.used
    }

    /// The rest of the ceiling: 0 if the ceiling was lowered below the use.
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// The use as a percentage of the ceiling, 0 to 100, rounded down; more if the ceiling was lowered.
    pub fn percentage(&self) -> u64 {
        self.used.saturating_mul(100) / self.limit.max(1)
    }

    /// Says whether the use is at or above the share of the ceiling that the policy calls near the limit.
    pub fn near_limit(&self) -> bool {
        self.near
    }

    /// The window that the counter is counted in.
    pub fn window(&self) -> Window {
        self.window
    }

    /// The earliest instant that counts.
    pub fn window_start(&self) -> Timestamp {
        self.window.start(self.slice)
    }

    /// Whether the counter has come to a later slice than this one.
    pub(crate) fn is_ahead_of(&self, slice: i64) -> bool {
        self.slice > slice
    }

    /// The instant at which every charge that counts now has left the window: the end of a fixed window.
    pub fn reset_at(&self) -> Timestamp {
        self.window.reset(self.slice)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, limit, window) = (self.used, self.limit, self.window);
        write!(f, "{used} of {limit} used in {window}, until {}", self.reset_at())
    }
}
