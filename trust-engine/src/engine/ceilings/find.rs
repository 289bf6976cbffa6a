//! The search for the quota of a request's agent, the check that a cached quota still holds, and its usage.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::cache::{CachedQuota, QuotaKeyRef};
use super::verdict::CeilingVerdict;
use crate::agent::Agent;
use crate::ceiling::{CeilingCode, CeilingRequest, Measure, Terms};
use crate::clock::Moment;
use crate::engine::instance::{Engine, at_once};
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::RecordingMode;
use crate::quota::{AgentQuota, Meter, Outcome};

/// The usage of one resource by an agent, at one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingUsage {
    /// The resource.
    pub resource: String,
    /// The counter's state.
    pub measure: Measure,
}

impl Engine {
    /// The quota key of a request.
    pub(super) fn key_of<'a>(&self, request: &'a CeilingRequest) -> QuotaKeyRef<'a> {
        let claim = request.claimed_tier();
        let authority = request.caller_name().is_some_and(|caller| self.0.authorities.contains(caller));
        QuotaKeyRef {
            organization: request.organization_id(),
            agent: request.agent_name(),
            claim,
            asserted: authority && claim.is_some(),
        }
    }

    /// The cached quota of a key, if it can still be relied on.
    #[inline]
    pub(super) fn fresh_quota(&self, key: &QuotaKeyRef<'_>, now: Moment) -> Result<Option<Arc<CachedQuota>>> {
        let cached = self.ceiling_state()?.quotas.get(key);
        Ok(cached.filter(|cached| self.is_fresh(cached, now)))
    }

    /// Whether a cached quota can still be relied on. The generations are read without a lock.
    #[inline]
    pub(super) fn is_fresh(&self, cached: &CachedQuota, now: Moment) -> bool {
        let agents = &self.0.agents;
        let (of_policy, of_agents) = (self.0.policy.generation(), agents.generation(cached.agents_part));
        cached.is_fresh(of_policy, of_agents, now, || agents.is_verified(now.steady))
    }

    /// The quota of a key, cached or found again, and the time at which it may be used.
    pub(super) async fn quota_for(&self, key: &QuotaKeyRef<'_>) -> Result<(Arc<CachedQuota>, Moment)> {
        let now = self.0.clock.coarse();
        if let Some(cached) = self.fresh_quota(key, now)? {
            return Ok((cached, now));
        }
        self.0.sequencer.check_state()?;
        let cached = self.find(key, now).await?;
        // Finding may have taken its time, and a lease must not be spent by an old clock.
        Ok((cached, self.0.clock.coarse()))
    }

    /// Gives the same as [`quota_for`](Self::quota_for) without waiting for another machine.
    #[inline]
    pub(super) fn quota_now(&self, key: &QuotaKeyRef<'_>) -> Result<(Arc<CachedQuota>, Moment)> {
        let now = self.0.clock.coarse();
        match self.fresh_quota(key, now)? {
            Some(cached) => Ok((cached, now)),
            None => {
                self.agent_now(key.organization, &AgentId::parse(key.agent)?)?;
                // The agent is cached now.
                at_once(self.quota_for(key), "the agent was changed this moment; try again")
            }
        }
    }

    /// Reads agent and policy again, and gives the quota that follows from them. Threads may do so for the same key at
    /// the same time, without a lock: the quota that is cached last stays, and one of an older state is not fresh,
    /// because its generations were read before the change.
    pub(super) async fn find(&self, key: &QuotaKeyRef<'_>, now: Moment) -> Result<Arc<CachedQuota>> {
        let state = self.ceiling_state()?;
        let organization = key.organization.clone();
        let id = AgentId::parse(key.agent)?;
        // The generations are read before the policy and the agent, so that a change in between is noticed.
        let policy_generation = self.0.policy.generation();
        let agents_part = self.0.agents.part_of(&organization, &id);
        let agents_generation = self.0.agents.generation(agents_part);
        let policy = self.current_policy();
        let (agent, good_for) = self.agent_for(&organization, &id).await?;
        let fresh_until = now.plus(good_for).steady;
        if let Some(old) = state.quotas.get(key) {
            let version = |agent: &Option<Arc<Agent>>| agent.as_ref().map(|agent| agent.version);
            if Arc::ptr_eq(&old.quota.policy, &policy) && version(&old.quota.agent) == version(&agent) {
                old.policy_generation.store(policy_generation, Ordering::Relaxed);
                old.agents_generation.store(agents_generation, Ordering::Relaxed);
                old.fresh_until.store(fresh_until, Ordering::Relaxed);
                return Ok(old);
            }
            old.quota.drain();
        }
        let counts = state.quotas.unrecorded.of(&organization);
        let quota = AgentQuota::new(policy, organization, id, agent, key.claim, key.asserted);
        let mode = quota.policy.document().recording.ceilings.mode;
        let unrecorded = mode == RecordingMode::None && !quota.tier.excess;
        let cached = Arc::new(CachedQuota {
            quota,
            agents_part,
            agents_generation: AtomicU64::new(agents_generation),
            policy_generation: AtomicU64::new(policy_generation),
            fresh_until: AtomicI64::new(fresh_until),
            counts,
            skips_record: unrecorded,
        });
        state.quotas.insert(key, Arc::clone(&cached));
        Ok(cached)
    }

    pub(super) async fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        request.check()?;
        let state = self.ceiling_state()?;
        let now = self.0.clock.coarse();
        let cached = self.find(&self.key_of(request), now).await?;
        let mut counters = Vec::new();
        for (place, (resource, amount)) in (0..).zip(request.amounts()) {
            match cached.quota.limits(resource, &state.quotas.pool) {
                Ok(limits) => counters.extend(limits.meters.iter().map(|counter| (place, amount, counter))),
                Err(code) => return Ok(CeilingVerdict::new(Outcome::new(code), now.wall)),
            }
        }
        let keys: Vec<_> = counters.iter().map(|(_, _, (meter, _))| meter.counter()).collect();
        let used = state.quotas.pool.used(&keys).await?;
        let mut outcome = Outcome::new(CeilingCode::WithinCeiling);
        for ((place, amount, (meter, terms)), used) in counters.into_iter().zip(used) {
            let measure = terms.measure(meter.window(), used.amount, used.slice);
            if measure.remaining() < amount {
                outcome = Outcome::new(CeilingCode::CeilingExceeded);
                outcome.measures.push((place, amount, measure));
                break;
            }
            outcome.measures.push((place, amount, measure));
        }
        Ok(CeilingVerdict::new(outcome, now.wall))
    }

    pub(super) async fn usage(
        &self,
        organization: &OrganizationId,
        agent: &str,
    ) -> Result<Vec<CeilingUsage>> {
        let state = self.ceiling_state()?;
        let now = self.0.clock.coarse();
        let key = QuotaKeyRef::holder(organization, agent);
        let cached = self.find(&key, now).await?;
        let mut counters: Vec<(&str, &(Arc<Meter>, Terms))> = Vec::new();
        for resource in &cached.quota.policy.document().resources {
            if let Some(limits) = cached.quota.limits_even_if_refused(resource, &state.quotas.pool) {
                counters.extend(limits.meters.iter().map(|counter| (resource.as_str(), counter)));
            }
        }
        let keys: Vec<_> = counters.iter().map(|(_, (meter, _))| meter.counter()).collect();
        let used = state.quotas.pool.used(&keys).await?;
        let usage = counters.into_iter().zip(used).map(|((resource, (meter, terms)), used)| CeilingUsage {
            resource: resource.to_owned(),
            measure: terms.measure(meter.window(), used.amount, used.slice),
        });
        Ok(usage.collect())
    }
}
