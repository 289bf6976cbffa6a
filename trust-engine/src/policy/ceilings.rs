//! Which row of the document limits a use: looked up by place, never searched for.
//!
//! Tiers and resources are places in the document's lists; what is found is the place of a row, so that the rows
//! stay in the document and are there once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::compile::Policy;
use super::document::{
    AgentCeiling, FamilyCeiling, FleetCeiling, OrganizationCeiling, PolicyDocument, RateLimit,
};

/// The places of the rows, by what they are looked up with.
#[derive(Debug)]
pub(super) struct CeilingIndex {
    resources: HashMap<Box<str>, usize, RandomState>,
    agent: ByTier,
    family: Vec<Option<usize>>,
    organization: Vec<ByOrganization>,
    fleet: Vec<Option<usize>>,
    rate: ByTier,
}

/// Rows by tier, then by resource.
type ByTier = Vec<Vec<Option<usize>>>;

/// The rows of one resource.
#[derive(Clone, Debug, Default)]
struct ByOrganization {
    named: HashMap<Box<str>, usize, RandomState>,
    every: Option<usize>,
}

impl CeilingIndex {
    /// Names are resolved by `tier` and by the document's own resources; a checked document has no others.
    pub(super) fn build(document: &PolicyDocument, tier: impl Fn(&str) -> Option<usize>) -> Self {
        let names = document.resources.iter().enumerate();
        let resources: HashMap<Box<str>, usize, RandomState> =
            names.map(|(at, name)| (name.as_str().into(), at)).collect();
        let rows = &document.ceilings;
        let width = document.resources.len();
        let by_resource = |names: &mut dyn Iterator<Item = &String>| {
            let mut places = vec![None; width];
            for (row, name) in names.enumerate() {
                let place = resources.get(name.as_str()).and_then(|at| places.get_mut(*at));
                if let Some(place) = place {
                    *place = Some(row);
                }
            }
            places
        };
        let by_tier = |names: &mut dyn Iterator<Item = (&String, &String)>| {
            let mut places: ByTier = vec![vec![None; width]; document.tiers.len()];
            for (row, (tier_name, name)) in names.enumerate() {
                let tier = tier(tier_name).and_then(|rank| places.get_mut(rank));
                let place = resources.get(name.as_str()).and_then(|at| tier?.get_mut(*at));
                if let Some(place) = place {
                    *place = Some(row);
                }
            }
            places
        };
        let mut organization = vec![ByOrganization::default(); width];
        for (row, ceiling) in rows.organization.iter().enumerate() {
            let at = resources.get(ceiling.resource.as_str());
            let Some(places) = at.and_then(|at| organization.get_mut(*at)) else { continue };
            match &ceiling.organization {
                Some(name) => drop(places.named.insert(name.as_str().into(), row)),
                None => places.every = Some(row),
            }
        }
        Self {
            agent: by_tier(&mut rows.agent.iter().map(|row| (&row.tier, &row.resource))),
            family: by_resource(&mut rows.family.iter().map(|row| &row.resource)),
            organization,
            fleet: by_resource(&mut rows.fleet.iter().map(|row| &row.resource)),
            rate: by_tier(&mut rows.rate.iter().map(|row| (&row.tier, &row.resource))),
            resources,
        }
    }
}

impl Policy {
    /// The place of a resource in the document.
    pub(crate) fn resource(&self, name: &str) -> Option<usize> {
        self.ceilings.resources.get(name).copied()
    }

    pub(crate) fn resource_name(&self, resource: usize) -> &str {
        self.document().resources.get(resource).map_or("", String::as_str)
    }

    /// No row means that nothing is allowed.
    pub(crate) fn agent_ceiling(&self, tier: usize, resource: usize) -> Option<&AgentCeiling> {
        let row = (*self.ceilings.agent.get(tier)?.get(resource)?)?;
        self.document().ceilings.agent.get(row)
    }

    pub(crate) fn family_ceiling(&self, resource: usize) -> Option<&FamilyCeiling> {
        let row = (*self.ceilings.family.get(resource)?)?;
        self.document().ceilings.family.get(row)
    }

    /// The row that names the organization, else the row for every organization by itself.
    pub(crate) fn organization_ceiling(
        &self,
        organization: &str,
        resource: usize,
    ) -> Option<&OrganizationCeiling> {
        let places = self.ceilings.organization.get(resource)?;
        let row = places.named.get(organization).copied().or(places.every)?;
        self.document().ceilings.organization.get(row)
    }

    pub(crate) fn fleet_ceiling(&self, resource: usize) -> Option<&FleetCeiling> {
        let row = (*self.ceilings.fleet.get(resource)?)?;
        self.document().ceilings.fleet.get(row)
    }

    /// No row means that use is not smoothed.
    pub(crate) fn rate(&self, tier: usize, resource: usize) -> Option<&RateLimit> {
        let row = (*self.ceilings.rate.get(tier)?.get(resource)?)?;
        self.document().ceilings.rate.get(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row has another limit, so that it can be told from all others.
    fn policy() -> Policy {
        Policy::parse(
            "
policyFormat: 1
name: index
tiers: [{name: LOW}, {name: MID}, {name: HIGH}]
roles: [{name: READER, minimumTier: LOW}]
defaultEffect: ALLOW
resources: [API, CPU, NET]
ceilings:
  agent:
    - {tier: HIGH, resource: CPU, limit: 1}
    - {tier: LOW, resource: NET, limit: 2}
    - {tier: HIGH, resource: API, limit: 3}
  family: [{resource: NET, limit: 4}, {resource: API, limit: 5}]
  organization:
    - {organization: acme, resource: CPU, limit: 6}
    - {resource: API, limit: 7}
    - {organization: acme, resource: API, limit: 8}
  fleet: [{resource: CPU, limit: 9}]
  rate:
    - {tier: MID, resource: CPU, amount: 10, burst: 1}
    - {tier: LOW, resource: CPU, amount: 11, burst: 1}
",
        )
        .unwrap()
    }

    #[test]
    fn resources_have_places_and_names() {
        let policy = policy();
        for (at, name) in ["API", "CPU", "NET"].into_iter().enumerate() {
            assert_eq!((policy.resource(name), policy.resource_name(at)), (Some(at), name));
        }
        assert_eq!((policy.resource("api"), policy.resource_name(3)), (None, ""));
    }

    #[test]
    fn every_row_is_found_by_its_key_and_no_other() {
        let policy = policy();
        // One place beyond each list: no row is there, and none is taken from the next tier.
        for tier in 0..4 {
            let agent: Vec<_> =
                (0..4).map(|at| policy.agent_ceiling(tier, at).map(|row| row.limit)).collect();
            let rate: Vec<_> = (0..4).map(|at| policy.rate(tier, at).map(|row| row.amount)).collect();
            let (agents, rates) = match tier {
                0 => ([None, None, Some(2), None], [None, Some(11), None, None]),
                1 => ([None; 4], [None, Some(10), None, None]),
                2 => ([Some(3), Some(1), None, None], [None; 4]),
                _ => ([None; 4], [None; 4]),
            };
            assert_eq!((agent, rate), (agents.to_vec(), rates.to_vec()), "tier {tier}");
        }
        let family: Vec<_> = (0..4).map(|at| policy.family_ceiling(at).map(|row| row.limit)).collect();
        assert_eq!(family, [Some(5), None, Some(4), None]);
        let fleet: Vec<_> = (0..4).map(|at| policy.fleet_ceiling(at).map(|row| row.limit)).collect();
        assert_eq!(fleet, [None, Some(9), None, None]);
    }

    #[test]
    fn the_row_that_names_an_organization_comes_before_the_row_for_all() {
        let policy = policy();
        let limits = |name| {
            (0..4).map(|at| policy.organization_ceiling(name, at).map(|row| row.limit)).collect::<Vec<_>>()
        };
        assert_eq!(limits("acme"), [Some(8), Some(6), None, None]);
        assert_eq!(limits("other"), [Some(7), None, None, None]);
    }

    #[test]
    fn a_policy_without_resources_has_no_rows() {
        let policy = Policy::compile(PolicyDocument {
            resources: Vec::new(),
            ceilings: Default::default(),
            ..policy().document().clone()
        })
        .unwrap();
        assert_eq!(policy.resource("API"), None);
        assert!(policy.agent_ceiling(0, 0).is_none() && policy.organization_ceiling("acme", 0).is_none());
    }
}
