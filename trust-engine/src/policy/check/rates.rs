//! Rates: bounds, one row for each tier and resource, and no rate faster than the clock.

use std::collections::HashMap;

use super::super::bounds;
use super::super::document::RateLimit;
use super::super::mistakes::Mistakes;
use super::super::path::Path;
use super::super::wording::{grouped, quoted};
use super::{Names, number};

pub(super) fn check(
    rates: &[RateLimit],
    tiers: &Names<'_>,
    resources: &Names<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
) {
    let mut keys: HashMap<(&str, &str), usize> = HashMap::new();
    for (position, row) in rates.iter().enumerate() {
        let place = path.item(position);
        tiers.resolve(&row.tier, &place.field("tier"), mistakes);
        resources.resolve(&row.resource, &place.field("resource"), mistakes);
        number(row.amount, bounds::LIMIT, &place.field("amount"), mistakes);
        number(row.per_seconds, bounds::PER_SECONDS, &place.field("perSeconds"), mistakes);
        number(row.burst, bounds::LIMIT, &place.field("burst"), mistakes);
        speed(row, &place, mistakes);
        if mistakes.distrusts(&place.field("tier")) || mistakes.distrusts(&place.field("resource")) {
            continue;
        }
        let first = *keys.entry((&row.tier, &row.resource)).or_insert(position);
        if first != position {
            let (first, tier, resource) =
                (path.item(first).steps(), quoted(&row.tier), quoted(&row.resource));
            let message = format!("{first} has a row for tier {tier} and resource {resource} already");
            mistakes.report(&place, message);
        }
    }
}

/// Refuses a rate that would come back faster than one unit in a nanosecond; numbers out of bounds are reported
/// already.
fn speed(row: &RateLimit, place: &Path<'_>, mistakes: &mut Mistakes) {
    let bounded = bounds::LIMIT.holds(row.amount) && bounds::PER_SECONDS.holds(row.per_seconds.into());
    if !bounded || mistakes.distrusts(&place.field("perSeconds")) {
        return;
    }
    let most = u64::from(row.per_seconds) * bounds::AMOUNT_PER_SECOND;
    if row.amount > most {
        let message = format!(
            "more than {} a second, one in each nanosecond of the clock; \
             with perSeconds {} at most {}, found {}",
            grouped(bounds::AMOUNT_PER_SECOND),
            grouped(row.per_seconds.into()),
            grouped(most),
            grouped(row.amount),
        );
        mistakes.report(&place.field("amount"), message);
    }
}
