//! The counters of ceilings: who has been granted how much of what.
//!
//! An authority grants leases and engines spend them. A grant is durable before it is usable, and what a holder may
//! have spent stays charged until its window has gone by. So a crash, a lost answer or a failure between the two
//! wastes a part of a ceiling and never grants anything twice.

use std::time::Duration;

use async_trait::async_trait;
use smallvec::SmallVec;

use crate::ceiling::{CounterKey, Window};
use crate::error::Result;

/// What is asked of one counter.
#[derive(Clone, Debug)]
pub struct Ask {
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
pub type Asks = SmallVec<[Ask; 1]>;

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
pub enum Leased {
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

/// Receives an authority's answer.
pub type Answer = Box<dyn FnOnce(Result<Leased>) + Send>;

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

/// An authority over counters. Its own clock decides which slice is running.
#[async_trait]
pub trait CounterStore: Send + Sync + 'static {
    /// A short name for messages: `memory`, `embedded`…
    fn name(&self) -> &'static str;

    /// What its operator should know: promises that it cannot keep as it is set up.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether an answer comes without waiting for another machine.
    fn is_local(&self) -> bool;

    /// What tells these accounts from others that may have the same keys, for what hands out parts of their grants
    /// elsewhere; `None` if nothing else can reach them.
    async fn lineage(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Grants all asks or none. The answer is given exactly once, on any thread, perhaps before this returns: a grant
    /// must reach its holder even if whoever needed it has stopped waiting. An authority that cannot answer any more drops
    /// the answer, which counts as an error.
    ///
    /// # Behavior
    /// - What is unspent is taken back first, also if nothing is granted then, if it is still charged in that window.
    /// - Grants at least what is needed of every ask, and of the spare at most an eighth of what is left after it.
    /// - Grants nothing if any counter has less left than is needed, or if its clock was set back.
    /// - A grant is durable before it is answered.
    /// - Charges of a slice stop counting when the slice leaves the window, and not before.
    /// - A counter that was counted in another window carries over what still counts.
    /// - A ceiling below what is charged already leaves nothing.
    fn lease(&self, asks: Asks, answer: Answer);

    /// Takes back what was not spent. To be called once for each amount; if it is lost, the amount stays charged. It must
    /// not wait: it is called while values are dropped.
    ///
    /// # Behavior
    /// - An amount whose slice or window does not count any more changes nothing.
    fn give_back(&self, unspent: Unspent);

    /// What counters have charged, in the order asked for.
    ///
    /// # Behavior
    /// - A counter that was never used has charged nothing.
    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>>;

    /// Makes durable what was given back.
    async fn flush(&self) -> Result<()>;
}
