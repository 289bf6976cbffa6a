//! The counters of ceilings, which record how much of a resource has been granted.
//!
//! An authority grants leases and engines spend them. A grant is durable before it is usable, and an amount that a
//! holder may have spent stays charged until its window has gone by. So a crash, a lost answer or a failure between the
//! two wastes a part of a ceiling and never grants anything twice.

use async_trait::async_trait;

use crate::ceiling::{Charged, CounterKey, LeaseAnswer, LeaseRequests, Unspent, Window};
use crate::error::{Error, ErrorKind, Result};

/// Receives an authority's answer.
pub type LeaseCallback = Box<dyn FnOnce(Result<LeaseAnswer>) + Send>;

/// An account's key and its stored form.
pub type StoredAccount = (Vec<u8>, Vec<u8>);

/// An authority over counters. Its own clock decides which slice is running.
#[async_trait]
pub trait CounterStore: Send + Sync + 'static {
    /// A short name for messages: `memory`, `embedded`…
    fn name(&self) -> &'static str;

    /// Warnings for the operator: promises that this authority cannot keep as it is set up.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether an answer comes without waiting for another machine.
    fn is_local(&self) -> bool;

    /// The identity that tells these accounts from others that may have the same keys. An adapter that hands out parts
    /// of their grants elsewhere needs it; `None` if no other engine can reach the accounts.
    async fn lineage(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Grants all requests or none. The authority calls `answer` exactly once, on any thread, perhaps before this
    /// returns: a grant must reach its holder even if the caller has stopped waiting. An authority that cannot answer
    /// any more drops `answer`, which counts as an error.
    ///
    /// # Behavior
    /// - The unspent amount of a request is taken back first, if it is still charged in that window, also if nothing is
    ///   granted then.
    /// - Grants at least `need` of every request, and of `spare` at most an eighth of the amount that is left after it.
    /// - Grants nothing if any counter has less left than is needed, or if the authority's clock was set back.
    /// - A grant is durable before it is answered.
    /// - Charges of a slice stop counting when the slice leaves the window, and not before.
    /// - A counter that was counted in another window carries over the charges that still count.
    /// - A ceiling below the amount that is charged already leaves nothing.
    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback);

    /// Takes back an amount that was not spent. The caller makes this call once for each amount; if the call is lost,
    /// the amount stays charged. An authority must not wait here: the call is made while values are dropped.
    ///
    /// # Behavior
    /// - An amount whose slice or window does not count any more changes nothing.
    fn give_back(&self, unspent: Unspent);

    /// The amounts that counters have charged, in the order asked for.
    ///
    /// # Behavior
    /// - A counter that was never used has charged nothing.
    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>>;

    /// Brings counters that are ahead of the authority's clock, because it was once set ahead, back to it, durably. Says which
    /// of them were ahead.
    ///
    /// # Behavior
    /// - The amount that is charged then counts in the slice that is running.
    /// - A counter that is not ahead stays as it is.
    /// - An amount that was charged before and comes back later changes nothing.
    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>>;

    /// The accounts in the order of their keys, after one, at most `limit`: key and stored form, which
    /// [`put_accounts`](Self::put_accounts) takes.
    ///
    /// # Behavior
    /// - Counters that are kept nowhere give an error of kind [`Unsupported`](crate::ErrorKind::Unsupported).
    async fn accounts(&self, _after: Option<&[u8]>, _limit: usize) -> Result<Vec<StoredAccount>> {
        Err(Error::new(ErrorKind::Unsupported, format!("the {} counters cannot be copied", self.name())))
    }

    /// Puts accounts in the place of those with the same keys, durably.
    async fn put_accounts(&self, _accounts: Vec<StoredAccount>) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("the {} counters cannot be copied", self.name())))
    }

    /// Makes the amounts that were given back durable.
    async fn flush(&self) -> Result<()>;
}
