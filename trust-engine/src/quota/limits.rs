//! The limits of one agent and one resource: the meters and rates of a policy that a check has to pass.

use std::sync::Arc;

use smallvec::SmallVec;

use super::lease_pool::LeasePool;
use super::meter::Meter;
use crate::ceiling::{CounterKey, Level, Rate, Terms, Window, row_of, tiers};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Policy;
use crate::subject::EffectiveTier;

/// The limits of a resource: its meters, the agent's own first and then in the order of [`Level`], and its rates.
#[derive(Default)]
pub(crate) struct ResourceLimits {
    pub(crate) meters: SmallVec<[(Arc<Meter>, Terms); 1]>,
    pub(crate) rates: SmallVec<[Arc<Rate>; 1]>,
}

/// The agent that limits are for.
#[derive(Clone, Copy)]
pub(crate) struct LimitSubject<'a> {
    pub(crate) organization: &'a OrganizationId,
    pub(crate) agent: &'a AgentId,
    /// The agent at the root of the family.
    pub(crate) root: &'a AgentId,
    pub(crate) tier: EffectiveTier,
}

impl ResourceLimits {
    /// Gives the meter, if a check has to pass one meter and no rate.
    #[inline]
    pub(crate) fn only_meter(&self) -> Option<(&Meter, &Terms)> {
        match (&*self.meters, self.rates.is_empty()) {
            ([(meter, terms)], true) => Some((meter, terms)),
            _ => None,
        }
    }

    /// Finds the limits of a resource; `None` if the policy has no ceiling for the tier, so that nothing is allowed.
    pub(crate) fn resolve(
        policy: &Policy,
        resource: usize,
        subject: LimitSubject<'_>,
        pool: &LeasePool,
    ) -> Option<Self> {
        let ceilings = &policy.document().ceilings;
        let name = policy.resource_name(resource);
        let LimitSubject { organization, agent, root, tier } = subject;
        let mut limits = Self::default();
        for level in Level::ALL {
            let row = row_of(policy, level, resource, organization, tier);
            let Some(row) = row else {
                match level {
                    Level::Agent => return None,
                    _ => continue,
                }
            };
            let key = match level {
                Level::Agent => CounterKey::agent(organization, agent, name),
                Level::Family => CounterKey::family(organization, root, name),
                Level::Organization => CounterKey::organization(organization, name),
                Level::Fleet => CounterKey::fleet(name),
            };
            let meter = pool.meter(&key, Window::new(row.window, row.seconds));
            limits.meters.push((meter, Terms::new(level, &row, ceilings)));
        }
        let rate_limits = tiers(tier).filter_map(|tier| policy.rate(tier, resource));
        let rate = |limit| pool.rate(CounterKey::agent(organization, agent, name), limit);
        limits.rates = rate_limits.map(rate).collect();
        Some(limits)
    }
}
