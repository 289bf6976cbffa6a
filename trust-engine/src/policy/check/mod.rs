//! The check of a document beyond its shape: bounds, names that exist, bands that meet, windows that agree.
//!
//! The check walks the document and knows nothing of text; the places that it reports are located afterwards. It goes
//! on after every mistake, and says nothing about values that are only placeholders for something broken.

mod ceilings;
mod rates;
mod rules;
mod scores;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::bounds::{self, Range, Text, name_fault};
use super::document::{PolicyDocument, Recording, RecordingMode, Role, Tier};
use super::mistakes::Mistakes;
use super::path::Path;
use super::wording::{grouped, quoted};

/// Checks the whole document; every mistake goes to `mistakes`.
pub(crate) fn check(document: &PolicyDocument, mistakes: &mut Mistakes) {
    let root = &Path::Root;
    number(document.policy_format, bounds::FORMAT, &root.field("policyFormat"), mistakes);
    text(&document.name, bounds::POLICY_NAME, &root.field("name"), mistakes);
    description(document.description.as_ref(), root, mistakes);

    let tier_names = || document.tiers.iter().map(|tier| tier.name.as_str());
    let tiers = Names::collect("tier", tier_names(), &root.field("tiers"), Some("name"), mistakes);
    check_tiers(&document.tiers, &root.field("tiers"), mistakes);

    let role_names = || document.roles.iter().map(|role| role.name.as_str());
    let roles = Names::collect("role", role_names(), &root.field("roles"), Some("name"), mistakes);
    check_roles(&document.roles, &tiers, &root.field("roles"), mistakes);

    rules::check(&document.rules, &roles, &tiers, &root.field("rules"), mistakes);

    count(document.resources.len(), bounds::RESOURCES, &root.field("resources"), mistakes);
    let resource_names = document.resources.iter().map(String::as_str);
    let resources = Names::collect("resource", resource_names, &root.field("resources"), None, mistakes);
    ceilings::check(&document.ceilings, &tiers, &resources, &root.field("ceilings"), mistakes);
    check_recording(&document.recording, &root.field("recording"), mistakes);
}

fn check_tiers(tiers: &[Tier], path: &Path<'_>, mistakes: &mut Mistakes) {
    count(tiers.len(), bounds::TIERS, path, mistakes);
    for (position, tier) in tiers.iter().enumerate() {
        description(tier.description.as_ref(), &path.item(position), mistakes);
    }
    scores::check(tiers, path, mistakes);
}

fn check_roles(roles: &[Role], tiers: &Names<'_>, path: &Path<'_>, mistakes: &mut Mistakes) {
    count(roles.len(), bounds::ROLES, path, mistakes);
    for (position, role) in roles.iter().enumerate() {
        let path = path.item(position);
        description(role.description.as_ref(), &path, mistakes);
        tiers.resolve(&role.minimum_tier, &path.field("minimumTier"), mistakes);
    }
}

fn check_recording(recording: &Recording, path: &Path<'_>, mistakes: &mut Mistakes) {
    let Recording { gates, ceilings } = recording;
    sampling(gates.mode, gates.sample_per_thousand, &path.field("gates"), mistakes);
    sampling(ceilings.mode, ceilings.sample_per_thousand, &path.field("ceilings"), mistakes);
}

fn sampling(mode: RecordingMode, sample: Option<u32>, path: &Path<'_>, mistakes: &mut Mistakes) {
    let place = path.field("samplePerThousand");
    if let Some(sample) = sample {
        number(sample, bounds::SAMPLE_PER_THOUSAND, &place, mistakes);
    }
    if mistakes.distrusts(&path.field("mode")) {
        return;
    }
    match (mode, sample) {
        (RecordingMode::Sampled, None) => {
            mistakes.report(&place, format!("mode SAMPLED needs it: {}", bounds::SAMPLE_PER_THOUSAND));
        }
        (RecordingMode::All | RecordingMode::None, Some(_)) => {
            mistakes.report(&place, "only mode SAMPLED has it; leave it out or set `mode: SAMPLED`");
        }
        _ => {}
    }
}

fn number(found: impl Into<u64>, bounds: Range, path: &Path<'_>, mistakes: &mut Mistakes) {
    let found = found.into();
    if !bounds.holds(found) {
        mistakes.report(path, bounds.refusal(&grouped(found)));
    }
}

fn count(found: usize, bounds: Range, path: &Path<'_>, mistakes: &mut Mistakes) {
    if let Some(fault) = bounds.count_fault(found) {
        mistakes.report(path, fault);
    }
}

fn text(found: &str, bounds: Text, path: &Path<'_>, mistakes: &mut Mistakes) {
    if let Some(fault) = bounds.fault(found) {
        mistakes.report(path, fault);
    }
}

fn description(found: Option<&String>, parent: &Path<'_>, mistakes: &mut Mistakes) {
    if let Some(found) = found {
        text(found, bounds::DESCRIPTION, &parent.field("description"), mistakes);
    }
}

/// The names of one kind, to resolve references.
struct Names<'a> {
    what: &'static str,
    positions: HashMap<&'a str, usize>,
    /// The names in the order of the document, for messages.
    order: Vec<&'a str>,
    /// `false` when a name could not be read: then a reference that is not found may be right.
    complete: bool,
}

impl<'a> Names<'a> {
    /// Checks and collects names; `field` is the field in which each item of the list at `list` has its name (`None`:
    /// the item itself is the name).
    fn collect(
        what: &'static str,
        names: impl Iterator<Item = &'a str>,
        list: &Path<'_>,
        field: Option<&'static str>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut collected = Self { what, positions: HashMap::new(), order: Vec::new(), complete: true };
        for (position, name) in names.enumerate() {
            let item = list.item(position);
            let place = field.map_or(item, |field| item.field(field));
            if mistakes.distrusts(&place) {
                collected.complete = false;
                continue;
            }
            if let Some(fault) = name_fault(name) {
                mistakes.report(&place, fault);
            }
            match collected.positions.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(position);
                    collected.order.push(name);
                }
                Entry::Occupied(first) => {
                    let first = list.item(*first.get()).steps();
                    mistakes.report(&place, format!("the name {} is taken by {first}", quoted(name)));
                }
            }
        }
        if collected.order.is_empty() && mistakes.distrusts(list) {
            collected.complete = false;
        }
        collected
    }

    /// Reports a reference to something that does not exist.
    fn resolve(&self, name: &str, path: &Path<'_>, mistakes: &mut Mistakes) {
        if self.complete && !self.positions.contains_key(name) && !mistakes.distrusts(path) {
            let message = mistakes.unknown(self.what, name, &self.order);
            mistakes.report(path, message);
        }
    }
}
