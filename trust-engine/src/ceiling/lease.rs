//! The terms of a lease: what is asked of a counter, what an authority grants, and what comes back unspent.

use std::time::Duration;

use smallvec::SmallVec;

use super::key::CounterKey;
use super::window::Window;

/// What is asked of one counter.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The counter.
    pub key: CounterKey,
    /// How it is counted.
    pub window: Window,
    /// Its ceiling, 1 to 2^40 − 1.
    pub limit: u64,
    /// What must be granted, at least 1.
    pub need: u64,
    /// What would be welcome besides, to be spent later.
    pub spare: u64,
    /// Whether an authority between the asker and the durable one may ask for more than this, for others to come. Not where
    /// a ceiling is to be counted exactly.
    pub ahead: bool,
    /// What was not spent of an earlier lease: the slice it was charged to, and the amount.
    pub unspent: Option<(i64, u64)>,
}

/// Amounts of the counters that one check needs.
pub type LeaseRequests = SmallVec<[LeaseRequest; 1]>;

/// A grant of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What is granted: what was needed, and perhaps some more.
    pub amount: u64,
    /// What is charged to the counter now, with this grant.
    pub charged: u64,
    /// The slice of the window that it is charged to.
    pub slice: i64,
    /// How long that slice still runs.
    pub valid_for: Duration,
}

/// Why nothing was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Less is left than is needed.
    Exhausted,
    /// The authority's clock shows a time before one that it has granted at.
    ClockSetBack,
}

/// An authority's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// One grant for each ask.
    Granted(SmallVec<[Grant; 1]>),
    /// Nothing is granted.
    Refused {
        /// Place of the ask that could not be met.
        place: usize,
        /// Why.
        refusal: Refusal,
        /// What is charged to that counter.
        charged: u64,
        /// The slice that is running, or the latest one known.
        slice: i64,
    },
}

/// An amount that was leased and not spent.
#[derive(Clone, Debug)]
pub struct Unspent {
    /// The counter.
    pub key: CounterKey,
    /// How it was counted when it was leased.
    pub window: Window,
    /// The slice that it was charged to.
    pub slice: i64,
    /// The amount.
    pub amount: u64,
}

/// What a counter has charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The amount.
    pub amount: u64,
    /// The slice that is running, or the latest one known.
    pub slice: i64,
}
