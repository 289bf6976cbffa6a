//! What a policy says of one counter to one asker.

use super::key::Level;
use super::measure::Measure;
use super::window::Window;
use crate::clock::COARSE_TICK;
use crate::ids::OrganizationId;
use crate::policy::{Ceilings, Policy, Precision, WindowKind};
use crate::subject::EffectiveTier;

/// What the rows of a policy have in common, whatever their level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) limit: u64,
    pub(crate) window: WindowKind,
    pub(crate) seconds: u32,
    pub(crate) precision: Precision,
}

/// What a policy says of one counter to one asker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) level: Level,
    pub(crate) limit: u64,
    /// Whether nothing is leased ahead of need.
    pub(crate) exact: bool,
    /// Use at or above this is near the limit.
    pub(crate) near: u64,
    max_hold: i64,
}

/// Longest time that a lease is held near the limit, in microseconds: others may need there what is not spent.
const MAX_HOLD_NEAR: i64 = 1_000_000;

impl Terms {
    pub(crate) fn new(level: Level, row: &Row, ceilings: &Ceilings) -> Self {
        let max_hold = i64::from(ceilings.max_hold_millis) * 1000;
        // A lease that has ended as soon as it is there is of no use.
        let exact = row.precision == Precision::Exact || max_hold <= 2 * COARSE_TICK.as_micros() as i64;
        let near = u128::from(row.limit) * u128::from(ceilings.near_limit_percent);
        let near = u64::try_from(near.div_ceil(100)).unwrap_or(row.limit);
        Self { level, limit: row.limit, exact, near, max_hold }
    }

    /// Longest time that a lease is held, in microseconds.
    pub(crate) fn hold(&self, charged: u64) -> i64 {
        if charged >= self.near { self.max_hold.min(MAX_HOLD_NEAR) } else { self.max_hold }
    }

    /// The counter's state, given what is used of it.
    #[inline]
    pub(crate) fn measure(&self, window: Window, used: u64, slice: i64) -> Measure {
        Measure { level: self.level, limit: self.limit, used, near: used >= self.near, window, slice }
    }
}

/// The tiers that are judged by: a claim below the held tier gets the stricter of both.
pub(crate) fn tiers(tier: EffectiveTier) -> impl Iterator<Item = usize> {
    tier.rank.into_iter().chain(tier.held_if_higher)
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
