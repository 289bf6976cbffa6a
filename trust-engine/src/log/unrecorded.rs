//! Counting checks that the policy does not record, without slowing them down: each agent counts in one of several
//! cells, and the sweeper carries them to the statistics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::sequencer::Sequencer;
use super::stats::{CeilingStat, VerdictStat};
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

const CELLS: usize = 16;
/// Organizations that are told apart; the rest counts under `default`.
const MAX_ORGANIZATIONS: usize = 256;

/// The counts of one organization.
#[derive(Default)]
pub(crate) struct UnrecordedCounts([Cell; CELLS]);

/// A line of the processor's cache.
#[derive(Default)]
#[repr(align(64))]
struct Cell([AtomicU64; CeilingStat::ALL.len()]);

impl UnrecordedCounts {
    /// UnrecordedCounts a check in the cell of `place`, and says whether it is the first since the counts were taken.
    pub(crate) fn add(&self, place: usize, stat: CeilingStat) -> bool {
        let cell = self.0.get(place % CELLS).and_then(|cell| cell.0.get(stat as usize));
        cell.is_some_and(|cell| cell.fetch_add(1, Ordering::Relaxed) == 0)
    }

    fn take(&self, stat: CeilingStat) -> u64 {
        let cells = self.0.iter().filter_map(|cell| cell.0.get(stat as usize));
        cells.map(|cell| cell.swap(0, Ordering::Relaxed)).sum()
    }
}

/// The counts of all organizations.
#[derive(Default)]
pub(crate) struct UnrecordedChecks(Mutex<HashMap<OrganizationId, Arc<UnrecordedCounts>, RandomState>>);

impl UnrecordedChecks {
    pub(crate) fn of(&self, organization: &OrganizationId) -> Arc<UnrecordedCounts> {
        let mut all = self.0.lock();
        let known = all.contains_key(organization) || all.len() < MAX_ORGANIZATIONS;
        let organization = if known { organization.clone() } else { OrganizationId::default() };
        Arc::clone(all.entry(organization).or_default())
    }

    /// Carries all counts to the statistics.
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
        // Those that no quota counts in any more make room.
        all.retain(|_, counts| Arc::strong_count(counts) > 1);
    }
}
