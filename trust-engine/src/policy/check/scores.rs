//! Score bands: every score from the lowest band to the highest belongs to exactly one tier.

use super::super::bounds;
use super::super::document::{ScoreBand, Tier};
use super::super::mistakes::Mistakes;
use super::super::path::{Path, Steps};
use super::super::wording::grouped;
use super::number;

pub(super) fn check(tiers: &[Tier], path: &Path<'_>, mistakes: &mut Mistakes) {
    let banded = tiers.iter().any(|tier| tier.scores.is_some());
    let mut below: Option<(usize, ScoreBand)> = None;
    for (position, tier) in tiers.iter().enumerate() {
        let item = path.item(position);
        let place = item.field("scores");
        let Some(band) = tier.scores else {
            if banded && !mistakes.distrusts(&place) {
                mistakes.report(&place, "other tiers have scores: all tiers have a band or none has");
            }
            below = None;
            continue;
        };
        number(band.min, bounds::SCORE, &place.field("min"), mistakes);
        number(band.max, bounds::SCORE, &place.field("max"), mistakes);
        // A band that is not sound itself says nothing about its neighbours.
        let mut sound = !mistakes.distrusts(&place);
        if sound && band.min > band.max {
            mistakes.report(
                &place,
                format!("min {} is above max {}", grouped(band.min.into()), grouped(band.max.into())),
            );
            sound = false;
        }
        if sound
            && let Some((tier, lower)) = below
            && let Some(fault) = seam(&path.item(tier).steps(), lower, band)
        {
            mistakes.report(&place.field("min"), fault);
        }
        below = sound.then_some((position, band));
    }
}

/// Gives the fault between a band and the one below it, which is the band of `tier`, if there is one.
fn seam(tier: &Steps, lower: ScoreBand, upper: ScoreBand) -> Option<String> {
    let next = lower.max.saturating_add(1);
    if upper.min == next {
        return None;
    }
    let (lowest, highest) = (grouped(lower.min.into()), grouped(lower.max.into()));
    if upper.max <= lower.max {
        return Some(format!("bands must rise with the tiers, and {tier} has {lowest} to {highest}"));
    }
    Some(if upper.min > next {
        let scores = scores(next, upper.min.saturating_sub(1));
        format!("{scores} to no tier: {tier} ends at {highest}")
    } else {
        let scores = scores(upper.min, lower.max);
        format!("{scores} to {tier} too, which ends at {highest}")
    })
}

fn scores(first: u32, last: u32) -> String {
    let (first, last) = (grouped(first.into()), grouped(last.into()));
    if first == last { format!("score {first} belongs") } else { format!("scores {first} to {last} belong") }
}
