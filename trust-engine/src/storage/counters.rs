//! The counters of ceilings: who has been granted how much of what.
//!
//! An authority grants leases and engines spend them. A grant is durable before it is usable, and what a holder may
//! have spent stays charged until its window has gone by. So a crash, a lost answer or a failure between the two
//! wastes a part of a ceiling and never grants anything twice.

use async_trait::async_trait;

use crate::ceiling::{Charged, CounterKey, LeaseAnswer, LeaseRequests, Unspent, Window};
use crate::error::Result;

/// Receives an authority's answer.
pub type LeaseCallback = Box<dyn FnOnce(Result<LeaseAnswer>) + Send>;

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
    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback);

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
