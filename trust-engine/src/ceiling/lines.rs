//! What a policy says of one agent and one resource: the meters and rates that a check has to pass.

use std::sync::Arc;

use smallvec::SmallVec;

use super::bank::Bank;
use super::key::{CounterKey, Level};
use super::measure::{Row, Terms};
use super::meter::Meter;
use super::rate::Rate;
use super::window::Window;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::{Policy, Precision, RateLimit};
use crate::subject::EffectiveTier;

/// The meters of a resource, the agent's own first and then in the order of [`Level`]; `None` if nothing is allowed.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) meters: SmallVec<[(Arc<Meter>, Terms); 1]>,
    pub(crate) rates: SmallVec<[Arc<Rate>; 1]>,
}

/// Whom a line is for.
#[derive(Clone, Copy)]
pub(crate) struct Whom<'a> {
    pub(crate) organization: &'a OrganizationId,
    pub(crate) agent: &'a AgentId,
    /// The agent at the root of the family.
    pub(crate) root: &'a AgentId,
    pub(crate) tier: EffectiveTier,
}

/// Where rates outlive a change of the agent.
pub(crate) trait Rates {
    fn rate(&self, key: CounterKey, limit: &RateLimit) -> Arc<Rate>;
}

impl Line {
    /// The meter, if it is all that a check has to pass.
    #[inline]
    pub(crate) fn only_meter(&self) -> Option<(&Meter, &Terms)> {
        match (&*self.meters, self.rates.is_empty()) {
            ([(meter, terms)], true) => Some((meter, terms)),
            _ => None,
        }
    }

    pub(crate) fn resolve(
        policy: &Policy,
        resource: usize,
        whom: Whom<'_>,
        bank: &Arc<Bank>,
        rates: &impl Rates,
    ) -> Option<Self> {
        let ceilings = &policy.document().ceilings;
        let name = policy.resource_name(resource);
        let Whom { organization, agent, root, tier } = whom;
        let mut line = Self::default();
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
            let meter = bank.meter(&key, Window::new(row.window, row.seconds));
            line.meters.push((meter, Terms::new(level, &row, ceilings)));
        }
        let limits = tiers(tier).filter_map(|tier| policy.rate(tier, resource));
        let rate = |limit| rates.rate(CounterKey::agent(organization, agent, name), limit);
        line.rates = limits.map(rate).collect();
        Some(line)
    }
}

/// The tiers that are judged by: a claim below the held tier gets the stricter of both.
fn tiers(tier: EffectiveTier) -> impl Iterator<Item = usize> {
    tier.rank.into_iter().chain(tier.given_up)
}

/// What the policy says of a level and a resource.
pub(crate) fn row_of(
    policy: &Policy,
    level: Level,
    resource: usize,
    organization: &OrganizationId,
    tier: EffectiveTier,
) -> Option<Row> {
    macro_rules! row {
        ($row:expr) => {{
            let row = $row?;
            let (limit, window) = (row.limit, row.window);
            Some(Row { limit, window, seconds: row.window_seconds, precision: row.precision })
        }};
    }
    match level {
        Level::Agent => {
            let mut strictest = None;
            for tier in tiers(tier) {
                let row = row!(policy.agent_ceiling(tier, resource))?;
                strictest = Some(strictest.map_or(row, |other| stricter(other, row)));
            }
            strictest
        }
        Level::Family => row!(policy.family_ceiling(resource)),
        Level::Organization => row!(policy.organization_ceiling(organization.as_str(), resource)),
        Level::Fleet => row!(policy.fleet_ceiling(resource)),
    }
}

/// Rows of one resource share their window.
fn stricter(a: Row, b: Row) -> Row {
    let exact = [a.precision, b.precision].contains(&Precision::Exact);
    let precision = if exact { Precision::Exact } else { Precision::Leased };
    Row { limit: a.limit.min(b.limit), precision, ..a }
}
