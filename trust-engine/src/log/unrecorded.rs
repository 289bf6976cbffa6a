//! The counts of checks that the policy does not record. Counting must not slow a check down: the checks of an agent
//! are counted in one of several cells, and the sweeper carries the counts to the statistics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::sequencer::Sequencer;
use super::stats::{CeilingStat, VerdictStat};
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// Cells per organization.
const CELLS: usize = 16;
/// Most organizations that are told apart; the checks of all others count under `default`.
const MAX_ORGANIZATIONS: usize = 256;

/// The counts of one organization. The cells are atomics without a lock. A count is taken by a swap with 0, so a check
/// that is counted meanwhile stays for the next time.
#[derive(Default)]
pub(crate) struct UnrecordedCounts([Cell; CELLS]);

/// One cell, alone in a line of the processor's cache, with a count for each stat.
#[derive(Default)]
#[repr(align(64))]
struct Cell([AtomicU64; CeilingStat::ALL.len()]);

impl UnrecordedCounts {
    /// Counts a check in the cell of `place`, and says whether its stat had the count 0 there.
    pub(crate) fn add(&self, place: usize, stat: CeilingStat) -> bool {
        let cell = self.0.get(place % CELLS).and_then(|cell| cell.0.get(stat as usize));
        cell.is_some_and(|cell| cell.fetch_add(1, Ordering::Relaxed) == 0)
    }

    /// Takes the counts of a stat from all cells, and leaves 0.
    fn take(&self, stat: CeilingStat) -> u64 {
        let cells = self.0.iter().filter_map(|cell| cell.0.get(stat as usize));
        cells.map(|cell| cell.swap(0, Ordering::Relaxed)).sum()
    }
}

/// The counts of all organizations. The lock guards the map alone: checks count in the [`UnrecordedCounts`] that their
/// cached quota holds, and take the lock only when such a quota is made.
#[derive(Default)]
pub(crate) struct UnrecordedChecks(Mutex<HashMap<OrganizationId, Arc<UnrecordedCounts>, RandomState>>);

impl UnrecordedChecks {
    /// The counts of an organization, made if there are none yet.
    pub(crate) fn of(&self, organization: &OrganizationId) -> Arc<UnrecordedCounts> {
        let mut all = self.0.lock();
        let known = all.contains_key(organization) || all.len() < MAX_ORGANIZATIONS;
        let organization = if known { organization.clone() } else { OrganizationId::default() };
        Arc::clone(all.entry(organization).or_default())
    }

    /// Carries all counts to the statistics. The lock of the map is held meanwhile, and the lock of the sequencer's
    /// counts is taken under it, never the other way round.
    pub(crate) fn flush(&self, sequencer: &Sequencer, now: Timestamp) {
        let mut all = self.0.lock();
        for (organization, counts) in &*all {
            for stat in CeilingStat::ALL {
                let times = counts.take(stat);
                if times > 0 {
                    sequencer.count_unrecorded(organization, now, &VerdictStat::Ceiling(stat), times);
                }
            }
        }
        // Counts that no cached quota holds any more make room for other organizations.
        all.retain(|_, counts| Arc::strong_count(counts) > 1);
    }
}
