//! The messages about leases: the request to an authority, its answer, and the amount that comes back unspent.

use std::time::Duration;

use smallvec::SmallVec;

use super::key::CounterKey;
use super::window::Window;

/// A request to lease an amount of one counter.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The counter.
    pub key: CounterKey,
    /// The window that the counter is counted in.
    pub window: Window,
    /// The ceiling of the counter, 1 to 2^40 − 1.
    pub limit: u64,
    /// The amount that must be granted, at least 1.
    pub need: u64,
    /// The amount that would be welcome besides, to be spent later.
    pub spare: u64,
    /// Whether an authority between the engine and the durable authority may lease more than this, for later requests.
    /// `false` where the ceiling is counted exactly.
    pub ahead: bool,
    /// The unspent rest of an earlier lease: the slice that it was charged to, and the amount.
    pub unspent: Option<(i64, u64)>,
}

/// The lease requests of one check.
pub type LeaseRequests = SmallVec<[LeaseRequest; 1]>;

/// A grant of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The granted amount: the need, and perhaps some more.
    pub amount: u64,
    /// The charge of the counter, with this grant.
    pub charged: u64,
    /// The slice of the window that the grant is charged to.
    pub slice: i64,
    /// The time that this slice still runs.
    pub valid_for: Duration,
}

/// The reason why nothing was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A counter has less left than is needed.
    Exhausted,
    /// The authority's clock shows a time before one that it has granted at.
    ClockSetBack,
}

/// An authority's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// One grant for each lease request, in the same order.
    Granted(SmallVec<[Grant; 1]>),
    /// Nothing is granted.
    Refused {
        /// The place of the lease request that could not be met.
        place: usize,
        /// The reason.
        refusal: Refusal,
        /// The charge of that counter.
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
    /// The window that the counter was counted in when the amount was leased.
    pub window: Window,
    /// The slice that the amount was charged to.
    pub slice: i64,
    /// The amount.
    pub amount: u64,
}

/// The charge of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The amount.
    pub amount: u64,
    /// The slice that is running, or the latest one known.
    pub slice: i64,
}
