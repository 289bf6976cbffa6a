//! The rows of a compiled policy that limit a use.

use super::compile::Policy;
use super::document::{AgentCeiling, FamilyCeiling, FleetCeiling, OrganizationCeiling, RateLimit};

impl Policy {
    /// The place of a resource in the document.
    pub(crate) fn resource(&self, name: &str) -> Option<usize> {
        self.ceilings.resources.get(name).copied()
    }

    pub(crate) fn resource_name(&self, resource: usize) -> &str {
        self.document().resources.get(resource).map_or("", String::as_str)
    }

    /// The row of a tier and a resource; no row means that nothing is allowed.
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

    /// The rate of a tier and a resource; no row means that the use is not smoothed.
    pub(crate) fn rate(&self, tier: usize, resource: usize) -> Option<&RateLimit> {
        let row = (*self.ceilings.rate.get(tier)?.get(resource)?)?;
        self.document().ceilings.rate.get(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyDocument;

    /// A policy in which every row has another limit, so that it can be told from all others.
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
