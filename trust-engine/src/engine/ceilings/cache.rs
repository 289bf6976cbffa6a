//! The quotas of agents that asked lately, and what they share.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use super::counts::{Counts, Unrecorded};
use crate::ceiling::{AgentQuota, Bank, CounterKey, Rate, Rates};
use crate::clock::{Clock, Moment};
use crate::policy::RateLimit;
use crate::storage::CounterStore;

/// Whom a quota is for, and by what tier: organization, agent and claim one after the other. In place for ids of common
/// length, because another place in memory is what a look-up among many agents costs most.
#[derive(Clone)]
struct Key {
    bytes: SmallVec<[u8; 64]>,
    /// Where the organization ends, and where the agent does.
    ends: (u16, u16),
    kind: Claim,
}

/// Whose word the tier is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Claim {
    None,
    Claimed,
    Asserted,
}

impl Key {
    fn new(asker: &Asker<'_>) -> Self {
        let (organization, agent, claim, kind) = asker.parts();
        // Ids and tiers are far shorter than what 16 bits count.
        let ends = (organization.len() as u16, (organization.len() + agent.len()) as u16);
        let mut bytes = SmallVec::from_slice(organization);
        bytes.extend_from_slice(agent);
        bytes.extend_from_slice(claim);
        Self { bytes, ends, kind }
    }

    fn parts(&self) -> Parts<'_> {
        let (organization, rest) = self.bytes.split_at_checked(self.ends.0.into()).unwrap_or_default();
        let (agent, claim) =
            rest.split_at_checked(usize::from(self.ends.1) - organization.len()).unwrap_or_default();
        (organization, agent, claim, self.kind)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        same(self.parts(), other.parts())
    }
}

impl Eq for Key {}

/// The same, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) organization: &'a str,
    pub(super) agent: &'a str,
    pub(super) claim: Option<&'a str>,
    /// Whether the claim is a tier authority's.
    pub(super) asserted: bool,
}

impl<'a> Asker<'a> {
    /// An agent by the tier that it holds.
    pub(super) fn holder(organization: &'a str, agent: &'a str) -> Self {
        Self { organization, agent, claim: None, asserted: false }
    }
}

impl Asker<'_> {
    fn parts(&self) -> Parts<'_> {
        let kind = match (self.claim, self.asserted) {
            (None, _) => Claim::None,
            (Some(_), false) => Claim::Claimed,
            (Some(_), true) => Claim::Asserted,
        };
        let claim = self.claim.unwrap_or_default();
        (self.organization.as_bytes(), self.agent.as_bytes(), claim.as_bytes(), kind)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Hash for Asker<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Equivalent<Key> for Asker<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        same(self.parts(), key.parts())
    }
}

type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8], Claim);

/// Claims are compared only where there are some: memcmp on two empty slices, whose pointers lead nowhere, takes 80 ns
/// with AVX-512.
fn same(a: Parts<'_>, b: Parts<'_>) -> bool {
    a.3 == b.3 && a.1 == b.1 && a.0 == b.0 && (a.3 == Claim::None || a.2 == b.2)
}

/// An agent's quota, and up to when it may be relied on.
pub(super) struct Entry {
    pub(super) quota: AgentQuota,
    /// Which of the agents' marks it watches, and the mark when the agent was read.
    pub(super) mark_place: usize,
    pub(super) mark: AtomicU64,
    /// The engine's edition when the policy was read.
    pub(super) edition: AtomicU64,
    /// When the agent must be read again, on the steady clock.
    pub(super) fresh_until: AtomicI64,
    pub(super) counts: Arc<Counts>,
    /// Whether admissions are not recorded.
    pub(super) unrecorded: bool,
}

impl Entry {
    pub(super) fn is_fresh(
        &self,
        edition: u64,
        mark: u64,
        now: Moment,
        followed: impl FnOnce() -> bool,
    ) -> bool {
        self.edition.load(Ordering::Relaxed) == edition
            && self.mark.load(Ordering::Relaxed) == mark
            && (now.steady < self.fresh_until.load(Ordering::Relaxed) || followed())
    }
}

pub(super) struct QuotaCache {
    known: Cache<Key, Arc<Entry>>,
    rates: Cache<(CounterKey, Box<str>), Arc<Rate>>,
    clock: Arc<dyn Clock>,
    pub(super) bank: Arc<Bank>,
    pub(super) unrecorded: Arc<Unrecorded>,
}

impl QuotaCache {
    pub(super) fn new(store: Arc<dyn CounterStore>, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            known: Cache::new(capacity),
            rates: Cache::new(capacity),
            clock,
            bank: Arc::new(Bank::new(store)),
            unrecorded: Arc::default(),
        }
    }

    pub(super) fn get(&self, asker: &Asker<'_>) -> Option<Arc<Entry>> {
        self.known.get(asker)
    }

    pub(super) fn insert(&self, asker: &Asker<'_>, entry: Arc<Entry>) {
        self.known.insert(Key::new(asker), entry);
    }

    /// Gives back everything.
    pub(super) fn drain(&self) {
        self.bank.sweep(None);
    }
}

impl Rates for QuotaCache {
    fn rate(&self, key: CounterKey, limit: &RateLimit) -> Arc<Rate> {
        let key = (key, Box::from(limit.tier.as_str()));
        if let Some(known) = self.rates.get(&key).filter(|rate| rate.limit() == limit) {
            return known;
        }
        let rate = Arc::new(Rate::new(limit.clone(), Arc::clone(&self.clock)));
        self.rates.insert(key, Arc::clone(&rate));
        rate
    }
}
