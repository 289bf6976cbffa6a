//! The agents that decisions asked for lately.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use quick_cache::sync::Cache as QuickCache;

use crate::agent::Agent;
use crate::ids::{AgentId, OrganizationId};

/// Longest time that a decision may rest on an agent's cached state where others may change it, if the follower has not
/// looked for changes meanwhile. Changes made through the same engine are seen at once.
const MAX_AGE_SHARED: Duration = Duration::from_secs(1);
/// The same for a store that no other engine can write to.
const MAX_AGE_OWN: Duration = Duration::from_secs(3600);

type Key = (OrganizationId, AgentId);

/// Agents that decisions asked for lately, also those that are not registered. Decisions read the cache and the atomics
/// without the lock `writing`; it is held for every change of the cache or of a generation.
pub(super) struct AgentCache {
    known: QuickCache<Key, CachedAgent>,
    pub(super) max_age: Duration,
    /// The time until which cached agents need not be read again, because the follower has looked for changes. It never
    /// goes back.
    verified_until: AtomicI64,
    /// Held while the cache is written, so that a state that was read before a change cannot come in after it. The
    /// generations are raised while it is held too, after the agent is gone from the cache.
    writing: Mutex<()>,
    /// The agents' generations: each counts the changes of a part of the agents, for the quotas that follow from an
    /// agent's state. They are read without a lock.
    generations: [AtomicU64; GENERATIONS],
    hasher: RandomState,
}

/// Parts that the agents are divided into, each with a generation.
const GENERATIONS: usize = 256;

/// The state of an agent as it was read; `None` for one that is not registered.
#[derive(Clone)]
pub(super) struct CachedAgent {
    pub(super) agent: Option<Arc<Agent>>,
    /// The time until which decisions may rest on it, in microseconds of the steady clock, as all times here.
    pub(super) good_until: i64,
}

impl AgentCache {
    /// `shared`: whether others may change agents too.
    pub(super) fn new(capacity: usize, shared: bool) -> Self {
        let max_age = if shared { MAX_AGE_SHARED } else { MAX_AGE_OWN };
        let generations = [const { AtomicU64::new(0) }; GENERATIONS];
        Self {
            known: QuickCache::new(capacity),
            max_age,
            verified_until: AtomicI64::new(i64::MIN),
            writing: Mutex::new(()),
            generations,
            hasher: RandomState::default(),
        }
    }

    /// The part that an agent belongs to: the agent's changes raise the generation of that part.
    pub(super) fn part_of(&self, organization: &OrganizationId, id: &AgentId) -> usize {
        self.hasher.hash_one((organization, id)) as usize % GENERATIONS
    }

    /// The generation of a part. It differs from an earlier reading if an agent of this part may have changed since. A
    /// thread that sees it raised does not find the older state in the cache any more.
    pub(super) fn generation(&self, part: usize) -> u64 {
        self.generations.get(part).map_or(0, |generation| generation.load(Ordering::Acquire))
    }

    /// A cached agent that a decision may rest on now.
    pub(super) fn fresh(&self, organization: &OrganizationId, id: &AgentId, now: i64) -> Option<CachedAgent> {
        let known = self.known.get(&(organization.clone(), id.clone()))?;
        (now < known.good_until || self.is_verified(now)).then_some(known)
    }

    /// Notes that every agent that others changed before `looked` has been forgotten.
    pub(super) fn verified(&self, looked: i64) {
        let until = looked.saturating_add(self.max_age.as_micros() as i64);
        self.verified_until.fetch_max(until, Ordering::Release);
    }

    /// Whether a cached agent need not be read again, however old its state is.
    #[inline]
    pub(super) fn is_verified(&self, now: i64) -> bool {
        now < self.verified_until.load(Ordering::Acquire)
    }

    /// Caches an agent that was read from the store, unless an agent of its part was changed since the part had the
    /// generation `seen`, before the reading. An agent that is not cached is simply read again.
    pub(super) fn loaded(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        agent: Option<Arc<Agent>>,
        now: i64,
        seen: u64,
    ) {
        let good_until = now.saturating_add(self.max_age.as_micros() as i64);
        let _writing = self.writing.lock();
        if self.generation(self.part_of(organization, id)) == seen {
            self.known.insert((organization.clone(), id.clone()), CachedAgent { agent, good_until });
        }
    }

    /// Lets every agent be read again.
    pub(super) fn forget_all(&self) {
        let _writing = self.writing.lock();
        self.known.clear();
        for generation in &self.generations {
            generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Lets an agent be read again.
    pub(super) fn forget(&self, organization: &OrganizationId, id: &AgentId) {
        let _writing = self.writing.lock();
        self.known.remove(&(organization.clone(), id.clone()));
        if let Some(generation) = self.generations.get(self.part_of(organization, id)) {
            generation.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_loads_of_its_own_part_out_and_no_others() {
        let (cache, organization) = (AgentCache::new(1000, true), OrganizationId::default());
        let id = |n: u32| AgentId::parse(&format!("agent_{n}")).unwrap();
        let changed = id(0);
        let part = |id: &AgentId| cache.part_of(&organization, id);
        let other = (1..).map(id).find(|id| part(id) != part(&changed)).unwrap();
        let twin = (1..).map(id).find(|id| part(id) == part(&changed)).unwrap();
        let ids = [&changed, &twin, &other];
        let seen = ids.map(|id| cache.generation(part(id)));
        cache.forget(&organization, &changed);
        for (id, seen) in ids.into_iter().zip(seen) {
            cache.loaded(&organization, id, None, 0, seen);
        }
        assert_eq!(ids.map(|id| cache.fresh(&organization, id, 0).is_some()), [false, false, true]);
    }
}
