//! One agent's quota: the facts about it, the policy they are judged by, and a line for each resource that it asked for.
//!
//! A quota never changes. When the agent or the policy does, another one takes its place: what it held goes back, the
//! counters go on.

use std::sync::{Arc, OnceLock};

use super::bank::Bank;
use super::code::CeilingCode;
use super::lines::{Line, Rates, Whom};
use crate::agent::{Agent, AgentStatus};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{ExcessClaim, Policy};
use crate::subject::{EffectiveTier, Subject, refused_as_unregistered};

pub(crate) struct AgentQuota {
    pub(crate) policy: Arc<Policy>,
    pub(crate) organization: OrganizationId,
    pub(crate) id: AgentId,
    pub(crate) agent: Option<Arc<Agent>>,
    pub(crate) tier: EffectiveTier,
    /// Why nothing is allowed, whatever the resource.
    refusal: Option<CeilingCode>,
    /// One for each resource of the policy, found when it is first asked for; `None`: nothing is allowed.
    lines: Box<[OnceLock<Option<Line>>]>,
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
        let lines = policy.document().resources.iter().map(|_| OnceLock::new()).collect();
        Self { policy, organization, id, agent, tier, refusal, lines }
    }

    /// The line of a resource, or why there is none for this agent.
    #[inline]
    pub(crate) fn line(
        &self,
        resource: &str,
        bank: &Arc<Bank>,
        rates: &impl Rates,
    ) -> Result<&Line, CeilingCode> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let place = self.policy.resource(resource).ok_or(CeilingCode::UnknownResource)?;
        self.line_at(place, bank, rates).ok_or(CeilingCode::NoCeiling)
    }

    /// The line of a resource, whatever the agent's standing.
    pub(crate) fn line_of(&self, resource: &str, bank: &Arc<Bank>, rates: &impl Rates) -> Option<&Line> {
        self.line_at(self.policy.resource(resource)?, bank, rates)
    }

    #[inline]
    fn line_at(&self, place: usize, bank: &Arc<Bank>, rates: &impl Rates) -> Option<&Line> {
        let resolve = || {
            let family = self.agent.as_ref().and_then(|agent| agent.family.as_ref());
            let root = family.unwrap_or(&self.id);
            let whom = Whom { organization: &self.organization, agent: &self.id, root, tier: self.tier };
            Line::resolve(&self.policy, place, whom, bank, rates)
        };
        self.lines.get(place)?.get_or_init(resolve).as_ref()
    }

    /// Name of the tier that is judged by.
    pub(crate) fn tier_name(&self) -> Option<&str> {
        self.tier.rank.map(|rank| self.policy.tier_name(rank))
    }

    /// Gives back what its own meters hold.
    pub(crate) fn drain(&self) {
        let lines = self.lines.iter().filter_map(|line| line.get()?.as_ref());
        lines.filter_map(|line| line.meters.first()).for_each(|(meter, _)| meter.drain());
    }
}

/// Why a subject may use nothing at all.
pub(crate) fn refusal(policy: &Policy, subject: &Subject<'_>, tier: EffectiveTier) -> Option<CeilingCode> {
    match subject.standing.map(|standing| standing.status) {
        Some(AgentStatus::Revoked) => Some(CeilingCode::AgentRevoked),
        Some(AgentStatus::Suspended) => Some(CeilingCode::AgentSuspended),
        None if refused_as_unregistered(policy, subject) => Some(CeilingCode::AgentUnregistered),
        _ if tier.excess && policy.document().agents.excess_claim == ExcessClaim::Deny => {
            Some(CeilingCode::ExcessClaim)
        }
        _ if tier.rank.is_none() => Some(CeilingCode::UnknownTier),
        _ => None,
    }
}
