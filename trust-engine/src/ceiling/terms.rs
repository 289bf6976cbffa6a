//! The terms of a policy for one counter and one agent.

use super::key::Level;
use super::measure::Measure;
use super::window::Window;
use crate::clock::COARSE_TICK;
use crate::ids::OrganizationId;
use crate::policy::{Ceilings, Policy, Precision, WindowKind};
use crate::subject::EffectiveTier;

/// The fields that the rows of a policy have in common at every level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) limit: u64,
    pub(crate) window: WindowKind,
    pub(crate) seconds: u32,
    pub(crate) precision: Precision,
}

/// The terms of a policy for one counter and one agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) level: Level,
    pub(crate) limit: u64,
    /// Whether nothing is leased ahead of need.
    pub(crate) exact: bool,
    /// The use from which on the counter is near its limit.
    pub(crate) near: u64,
    max_hold: i64,
}

/// The longest time that a lease is held near the limit, in microseconds: other engines may need its unspent rest
/// there.
const MAX_HOLD_NEAR: i64 = 1_000_000;

impl Terms {
    pub(crate) fn new(level: Level, row: &Row, ceilings: &Ceilings) -> Self {
        let max_hold = i64::from(ceilings.max_hold_millis) * 1000;
        // A lease that has ended as soon as it arrives is of no use.
        let exact = row.precision == Precision::Exact || max_hold <= 2 * COARSE_TICK.as_micros() as i64;
        let near = u128::from(row.limit) * u128::from(ceilings.near_limit_percent);
        let near = u64::try_from(near.div_ceil(100)).unwrap_or(row.limit);
        Self { level, limit: row.limit, exact, near, max_hold }
    }

    /// The longest time that a lease is held, in microseconds.
    pub(crate) fn hold(&self, charged: u64) -> i64 {
        if charged >= self.near { self.max_hold.min(MAX_HOLD_NEAR) } else { self.max_hold }
    }

    /// Gives the measure of a counter with this use.
    #[inline]
    pub(crate) fn measure(&self, window: Window, used: u64, slice: i64) -> Measure {
        Measure { level: self.level, limit: self.limit, used, near: used >= self.near, window, slice }
    }
}

/// The tiers whose rows limit a check: the effective tier, and the held tier if it is higher, so that the stricter
/// counts.
pub(crate) fn tiers(tier: EffectiveTier) -> impl Iterator<Item = usize> {
    tier.rank.into_iter().chain(tier.held_if_higher)
}

/// Finds the row of a level and a resource: of the agent's level the strictest of its tiers, and none if a tier has
/// none.
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

/// Combines two rows into the stricter limit and precision. Rows of one resource share their window.
fn stricter(a: Row, b: Row) -> Row {
    let exact = [a.precision, b.precision].contains(&Precision::Exact);
    let precision = if exact { Precision::Exact } else { Precision::Leased };
    Row { limit: a.limit.min(b.limit), precision, ..a }
}
