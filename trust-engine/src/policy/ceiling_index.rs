//! The index of the rows that limit a use: a row is looked up by place, never searched for.
//!
//! Tiers and resources are places in the document's lists. A look-up gives the place of a row, so that the rows stay in
//! the document and are there once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::document::PolicyDocument;

/// The places of the rows, by the keys of a look-up.
#[derive(Debug)]
pub(super) struct CeilingIndex {
    pub(super) resources: HashMap<Box<str>, usize, RandomState>,
    pub(super) agent: ByTier,
    pub(super) family: Vec<Option<usize>>,
    pub(super) organization: Vec<ByOrganization>,
    pub(super) fleet: Vec<Option<usize>>,
    pub(super) rate: ByTier,
}

/// Rows by tier, then by resource.
pub(super) type ByTier = Vec<Vec<Option<usize>>>;

/// The rows of one resource, for named organizations and for every organization.
#[derive(Clone, Debug, Default)]
pub(super) struct ByOrganization {
    pub(super) named: HashMap<Box<str>, usize, RandomState>,
    pub(super) every: Option<usize>,
}

impl CeilingIndex {
    /// Builds the index. Names are resolved by `tier` and by the document's own resources; a checked document has no
    /// other names.
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
