//! One agent's quota: the facts about it, the policy they are judged by, and a line for each resource that it asked for.
//!
//! A quota never changes. When the agent or the policy does, another one takes its place: what it held goes back, the
//! counters go on.

use std::sync::{Arc, OnceLock};

use super::lease_pool::LeasePool;
use super::limits::{LimitSubject, Rates, ResourceLimits};
use crate::agent::Agent;
use crate::ceiling::{CeilingCode, refusal};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Policy;
use crate::subject::{EffectiveTier, Subject};

pub(crate) struct AgentQuota {
    pub(crate) policy: Arc<Policy>,
    pub(crate) organization: OrganizationId,
    pub(crate) id: AgentId,
    pub(crate) agent: Option<Arc<Agent>>,
    pub(crate) tier: EffectiveTier,
    /// Why nothing is allowed, whatever the resource.
    refusal: Option<CeilingCode>,
    /// One for each resource of the policy, found when it is first asked for; `None`: nothing is allowed.
    limits: Box<[OnceLock<Option<ResourceLimits>>]>,
}

impl AgentQuota {
    pub(crate) fn new(
        policy: Arc<Policy>,
        organization: OrganizationId,
        id: AgentId,
        agent: Option<Arc<Agent>>,
        claim: Option<&str>,
        asserted: bool,
    ) -> Self {
        let subject = Subject::of(agent.as_deref()).asserted_by(asserted.then_some("a tier authority"));
        let tier = EffectiveTier::resolve(&policy, &subject, claim);
        let refusal = refusal(&policy, &subject, tier);
        let limits = policy.document().resources.iter().map(|_| OnceLock::new()).collect();
        Self { policy, organization, id, agent, tier, refusal, limits }
    }

    /// The line of a resource, or why there is none for this agent.
    #[inline]
    pub(crate) fn limits(
        &self,
        resource: &str,
        pool: &LeasePool,
        rates: &impl Rates,
    ) -> Result<&ResourceLimits, CeilingCode> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let place = self.policy.resource(resource).ok_or(CeilingCode::UnknownResource)?;
        self.limits_at(place, pool, rates).ok_or(CeilingCode::NoCeiling)
    }

    /// The line of a resource, whatever the agent's standing.
    pub(crate) fn limits_of(
        &self,
        resource: &str,
        pool: &LeasePool,
        rates: &impl Rates,
    ) -> Option<&ResourceLimits> {
        self.limits_at(self.policy.resource(resource)?, pool, rates)
    }

    #[inline]
    fn limits_at(&self, place: usize, pool: &LeasePool, rates: &impl Rates) -> Option<&ResourceLimits> {
        let resolve = || {
            let family = self.agent.as_ref().and_then(|agent| agent.family.as_ref());
            let root = family.unwrap_or(&self.id);
            let subject =
                LimitSubject { organization: &self.organization, agent: &self.id, root, tier: self.tier };
            ResourceLimits::resolve(&self.policy, place, subject, pool, rates)
        };
        self.limits.get(place)?.get_or_init(resolve).as_ref()
    }

    /// Name of the tier that is judged by.
    pub(crate) fn tier_name(&self) -> Option<&str> {
        self.tier.rank.map(|rank| self.policy.tier_name(rank))
    }

    /// Gives back what its own meters hold.
    pub(crate) fn drain(&self) {
        let limits = self.limits.iter().filter_map(|limits| limits.get()?.as_ref());
        limits.filter_map(|limits| limits.meters.first()).for_each(|(meter, _)| meter.drain());
    }
}
