//! The quota of one agent: the facts about the agent, the policy that judges them, and the limits of each resource that
//! was requested.
//!
//! A quota keeps its agent and its policy. When one of them changes, another quota takes its place: the leases of the
//! agent's own meters go back, and the counters continue.

use std::sync::{Arc, OnceLock};

use super::lease_pool::LeasePool;
use super::limits::{LimitSubject, ResourceLimits};
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
    /// The reason why this agent may use no resource at all.
    refusal: Option<CeilingCode>,
    /// The limits of each resource of the policy. The first request for a resource sets its cell, once for all threads;
    /// `None` in the cell: the policy allows nothing.
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

    /// Gives the limits of a resource, or the code that says why this agent has none.
    #[inline]
    pub(crate) fn limits(&self, resource: &str, pool: &LeasePool) -> Result<&ResourceLimits, CeilingCode> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let place = self.policy.resource(resource).ok_or(CeilingCode::UnknownResource)?;
        self.limits_at(place, pool).ok_or(CeilingCode::NoCeiling)
    }

    /// Gives the limits of a resource, also of an agent that may use no resource at all.
    pub(crate) fn limits_even_if_refused(&self, resource: &str, pool: &LeasePool) -> Option<&ResourceLimits> {
        self.limits_at(self.policy.resource(resource)?, pool)
    }

    #[inline]
    fn limits_at(&self, place: usize, pool: &LeasePool) -> Option<&ResourceLimits> {
        let resolve = || {
            let family = self.agent.as_ref().and_then(|agent| agent.family.as_ref());
            let root = family.unwrap_or(&self.id);
            let subject =
                LimitSubject { organization: &self.organization, agent: &self.id, root, tier: self.tier };
            ResourceLimits::resolve(&self.policy, place, subject, pool)
        };
        self.limits.get(place)?.get_or_init(resolve).as_ref()
    }

    /// Gives the name of the effective tier, if the policy knows it.
    pub(crate) fn tier_name(&self) -> Option<&str> {
        self.tier.rank.map(|rank| self.policy.tier_name(rank))
    }

    /// Gives back the leases of the agent's own meters; the meters of wider levels are shared with other agents.
    pub(crate) fn drain(&self) {
        let limits = self.limits.iter().filter_map(|limits| limits.get()?.as_ref());
        limits.filter_map(|limits| limits.meters.first()).for_each(|(meter, _)| meter.drain());
    }
}
