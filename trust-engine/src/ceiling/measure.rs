//! How far a counter has come.

use std::fmt;

use super::key::Level;
use super::window::Window;
use crate::clock::{COARSE_TICK, Timestamp};
use crate::policy::{Ceilings, Precision, WindowKind};

/// What the rows of a policy have in common, whatever their level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) limit: u64,
    pub(crate) window: WindowKind,
    pub(crate) seconds: u32,
    pub(crate) precision: Precision,
}

/// What a policy says of one counter to one asker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) level: Level,
    pub(crate) limit: u64,
    /// Whether nothing is leased ahead of need.
    pub(crate) exact: bool,
    /// Use at or above this is near the limit.
    pub(crate) near: u64,
    max_hold: i64,
}

/// Longest time that a lease is held near the limit, in microseconds: others may need there what is not spent.
const MAX_HOLD_NEAR: i64 = 1_000_000;

impl Terms {
    pub(crate) fn new(level: Level, row: &Row, ceilings: &Ceilings) -> Self {
        let max_hold = i64::from(ceilings.max_hold_millis) * 1000;
        // A lease that has ended as soon as it is there is of no use.
        let exact = row.precision == Precision::Exact || max_hold <= 2 * COARSE_TICK.as_micros() as i64;
        let near = u128::from(row.limit) * u128::from(ceilings.near_limit_percent);
        let near = u64::try_from(near.div_ceil(100)).unwrap_or(row.limit);
        Self { level, limit: row.limit, exact, near, max_hold }
    }

    /// Longest time that a lease is held, in microseconds.
    pub(crate) fn hold(&self, charged: u64) -> i64 {
        if charged >= self.near { self.max_hold.min(MAX_HOLD_NEAR) } else { self.max_hold }
    }

    /// The counter's state, given what is used of it.
    #[inline]
    pub(crate) fn measure(&self, window: Window, used: u64, slice: i64) -> Measure {
        Measure { level: self.level, limit: self.limit, used, near: used >= self.near, window, slice }
    }
}

/// How far a counter has come, at the moment of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub(super) level: Level,
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) near: bool,
    pub(super) window: Window,
    pub(super) slice: i64,
}

impl Measure {
    /// Who shares the counter.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The ceiling.
    pub fn ceiling(&self) -> u64 {
        self.limit
    }

    /// What is used in the window: exact with one engine, and with several never too low.
    pub fn current_usage(&self) -> u64 {
        self.used
    }

    /// What is left: 0 if the ceiling was lowered below what is used.
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Use as a share of the ceiling, 0 to 100, rounded down; more if the ceiling was lowered.
    pub fn percentage(&self) -> u64 {
        self.used.saturating_mul(100) / self.limit.max(1)
    }

    /// Whether use is at or above the policy's share of the ceiling.
    pub fn near_limit(&self) -> bool {
        self.near
    }

    /// The window that this is counted in.
    pub fn window(&self) -> Window {
        self.window
    }

    /// The earliest instant that counts.
    pub fn window_start(&self) -> Timestamp {
        self.window.start(self.slice)
    }

    /// When everything that counts now has left the window: the end of a fixed window.
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
