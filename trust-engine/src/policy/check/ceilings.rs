//! Ceilings: bounds, one row for each key, one window for each counter.

use std::collections::HashMap;

use super::super::bounds;
use super::super::document::{Ceilings, WindowKind};
use super::super::mistakes::Mistakes;
use super::super::path::Path;
use super::super::wording::{grouped, quoted};
use super::{Names, number, rates, text};

/// One row of any level.
struct Row<'a> {
    /// The tier or the organization that the row is for, if it names one.
    subject: Option<&'a str>,
    resource: &'a str,
    limit: u64,
    window: WindowShape,
}

#[derive(Clone, Copy, PartialEq)]
struct WindowShape {
    seconds: u32,
    kind: WindowKind,
}

pub(super) fn check(
    ceilings: &Ceilings,
    tiers: &Names<'_>,
    resources: &Names<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
) {
    number(
        ceilings.near_limit_percent,
        bounds::NEAR_LIMIT_PERCENT,
        &path.field("nearLimitPercent"),
        mistakes,
    );
    number(ceilings.max_hold_millis, bounds::MAX_HOLD_MILLIS, &path.field("maxHoldMillis"), mistakes);
    let Ceilings { agent, family, organization, fleet, rate, .. } = ceilings;
    let count = agent.len() + family.len() + organization.len() + fleet.len() + rate.len();
    if let Some(fault) = bounds::CEILINGS.count_fault(count) {
        mistakes.report(path, format!("agent, family, organization, fleet and rate together {fault}"));
    }

    let agent_path = path.field("agent");
    for (position, row) in ceilings.agent.iter().enumerate() {
        tiers.resolve(&row.tier, &agent_path.item(position).field("tier"), mistakes);
    }
    let agent = ceilings.agent.iter().map(|row| Row {
        subject: Some(&row.tier),
        resource: &row.resource,
        limit: row.limit,
        window: WindowShape { seconds: row.window_seconds, kind: row.window },
    });
    level(agent, "tier", resources, &agent_path, mistakes);

    let family = ceilings.family.iter().map(|row| Row {
        subject: None,
        resource: &row.resource,
        limit: row.limit,
        window: WindowShape { seconds: row.window_seconds, kind: row.window },
    });
    level(family, "", resources, &path.field("family"), mistakes);

    let organization_path = path.field("organization");
    for (position, row) in ceilings.organization.iter().enumerate() {
        if let Some(name) = &row.organization {
            let place = organization_path.item(position);
            text(name, bounds::VALUE, &place.field("organization"), mistakes);
        }
    }
    let organization = ceilings.organization.iter().map(|row| Row {
        subject: row.organization.as_deref(),
        resource: &row.resource,
        limit: row.limit,
        window: WindowShape { seconds: row.window_seconds, kind: row.window },
    });
    level(organization, "organization", resources, &organization_path, mistakes);

    let fleet = ceilings.fleet.iter().map(|row| Row {
        subject: None,
        resource: &row.resource,
        limit: row.limit,
        window: WindowShape { seconds: row.window_seconds, kind: row.window },
    });
    level(fleet, "", resources, &path.field("fleet"), mistakes);

    rates::check(&ceilings.rate, tiers, resources, &path.field("rate"), mistakes);
}

/// Checks the rows of one level; `subject` is the field that makes the key together with the resource, or empty.
fn level<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    subject: &'static str,
    resources: &Names<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
) {
    let mut keys: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    let mut windows: HashMap<&str, (usize, WindowShape)> = HashMap::new();
    for (position, row) in rows.enumerate() {
        let place = path.item(position);
        resources.resolve(row.resource, &place.field("resource"), mistakes);
        number(row.limit, bounds::LIMIT, &place.field("limit"), mistakes);
        number(row.window.seconds, bounds::WINDOW_SECONDS, &place.field("windowSeconds"), mistakes);
        let unread = |field, mistakes: &Mistakes| mistakes.distrusts(&place.field(field));
        if unread("resource", mistakes) {
            continue;
        }
        if subject.is_empty() || !unread(subject, mistakes) {
            let first = *keys.entry((row.subject, row.resource)).or_insert(position);
            if first != position {
                let message =
                    format!("{} has a row for {} already", path.item(first).steps(), key(&row, subject));
                mistakes.report(&place, message);
            }
        }
        // A counter goes on when an agent changes its tier, so the counter cannot change its window with the tier.
        if !unread("windowSeconds", mistakes) && !unread("window", mistakes) {
            let (first, window) = *windows.entry(row.resource).or_insert((position, row.window));
            if window != row.window {
                let first = path.item(first).steps();
                let message = format!(
                    "{} is counted in another window by {first} ({}): \
                     rows of one resource share windowSeconds and window",
                    quoted(row.resource),
                    window.description(),
                );
                mistakes.report(&place, message);
            }
        }
    }
}

fn key(row: &Row<'_>, subject: &str) -> String {
    let resource = quoted(row.resource);
    match row.subject {
        Some(name) => format!("{subject} {} and resource {resource}", quoted(name)),
        None if subject.is_empty() => format!("resource {resource}"),
        None => format!("every {subject} and resource {resource}"),
    }
}

impl WindowShape {
    fn description(self) -> String {
        let kind = match self.kind {
            WindowKind::Fixed => "FIXED",
            WindowKind::Sliding => "SLIDING",
        };
        format!("{kind}, {} s", grouped(self.seconds.into()))
    }
}
