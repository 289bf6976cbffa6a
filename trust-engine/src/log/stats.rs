//! The statistics of a batch: the numbers that a commit adds to the counts of each organization.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::policy::Decision;
use crate::provenance::RecordType;
use crate::storage::{STATS_BUCKET_SECONDS, StatCounts, StatsDelta};

/// A verdict, as the statistics count it.
#[derive(Clone, Debug)]
pub(crate) enum VerdictStat {
    /// A gate's, with the tier that it was evaluated at.
    Gate(Decision, Arc<str>),
    /// A ceiling's.
    Ceiling(CeilingStat),
}

/// The outcome of a ceiling check, as the statistics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CeilingStat {
    Admitted,
    /// Admitted, with a counter at or above the share of its ceiling that counts as near.
    Near,
    /// Refused, because more was asked for than was left.
    Exceeded,
    /// Refused for another reason.
    Refused,
}

impl CeilingStat {
    pub(crate) const ALL: [Self; 4] = [Self::Admitted, Self::Near, Self::Exceeded, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Admitted => "ceilings.admitted",
            Self::Near => "ceilings.near",
            Self::Exceeded => "ceilings.exceeded",
            Self::Refused => "ceilings.refused",
        }
    }
}

/// The statistics of a batch, by organization and bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatsBatch {
    rows: HashMap<OrganizationId, BTreeMap<i64, Row>, RandomState>,
    /// Number of verdicts in the batch that were not recorded.
    unrecorded: u64,
}

/// Most organizations whose unrecorded verdicts are told apart between two commits; the verdicts of all others count
/// under `default`.
const MAX_ORGANIZATIONS: usize = 256;

/// The counts of one bucket. Types, decisions and tiers are few, so they are places in arrays and not keys of a map.
#[derive(Clone, Debug, Default)]
struct Row {
    records: [u64; RecordType::ALL.len()],
    /// Recorded and unrecorded verdicts by decision.
    gates: [[u64; 2]; DECISIONS.len()],
    tiers: Vec<(Arc<str>, u64)>,
    /// Recorded and unrecorded checks by their outcome.
    ceilings: [[u64; 2]; CeilingStat::ALL.len()],
}

const DECISIONS: [Decision; 3] = [Decision::Allow, Decision::Deny, Decision::Escalate];

impl StatsBatch {
    pub(crate) fn record(&mut self, organization: &OrganizationId, time: Timestamp, kind: RecordType) {
        add(&mut self.row(organization, time).records, kind as usize, 1);
    }

    /// Counts `times` verdicts.
    pub(crate) fn verdict(
        &mut self,
        organization: &OrganizationId,
        time: Timestamp,
        verdict: &VerdictStat,
        recorded: bool,
        times: u64,
    ) {
        if !recorded {
            self.unrecorded += times;
        }
        // The entries of a batch bound its recorded verdicts; for unrecorded ones a caller may invent organizations.
        let crowded =
            !recorded && self.rows.len() >= MAX_ORGANIZATIONS && !self.rows.contains_key(organization);
        let row = match crowded {
            true => self.row(&OrganizationId::default(), time),
            false => self.row(organization, time),
        };
        let counts = match verdict {
            VerdictStat::Gate(decision, tier) => {
                row.tier(tier, times);
                let place = DECISIONS.iter().position(|known| known == decision);
                row.gates.get_mut(place.unwrap_or_default())
            }
            VerdictStat::Ceiling(count) => row.ceilings.get_mut(*count as usize),
        };
        if let Some(counts) = counts {
            add(counts, usize::from(!recorded), times);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.unrecorded += other.unrecorded;
        for (organization, buckets) in other.rows {
            let into = self.rows.entry(organization).or_default();
            for (bucket, row) in buckets {
                into.entry(bucket).or_default().merge(&row);
            }
        }
    }

    /// Number of verdicts in the batch that were not recorded.
    pub(crate) fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The counts as rows to add to those of the store. [`Stats`](crate::Stats) reads their names back.
    pub(crate) fn deltas(&self) -> Vec<StatsDelta> {
        let rows = self.rows.iter().flat_map(|(organization, buckets)| {
            buckets.iter().map(move |(bucket, row)| (organization, bucket, row))
        });
        let delta = |(organization, bucket, row): (&OrganizationId, &i64, &Row)| StatsDelta {
            organization: organization.clone(),
            bucket: *bucket,
            counts: row.counts(),
        };
        rows.map(delta).collect()
    }

    fn row(&mut self, organization: &OrganizationId, time: Timestamp) -> &mut Row {
        let seconds = time.micros().div_euclid(1_000_000);
        let bucket = seconds - seconds.rem_euclid(STATS_BUCKET_SECONDS);
        self.rows.entry(organization.clone()).or_default().entry(bucket).or_default()
    }
}

impl Row {
    fn tier(&mut self, name: &Arc<str>, count: u64) {
        match self.tiers.iter_mut().find(|(tier, _)| tier == name) {
            Some((_, sum)) => *sum += count,
            None => self.tiers.push((Arc::clone(name), count)),
        }
    }

    fn merge(&mut self, other: &Self) {
        other.records.iter().enumerate().for_each(|(place, count)| add(&mut self.records, place, *count));
        let ours = self.gates.iter_mut().chain(&mut self.ceilings);
        for (counts, others) in ours.zip(other.gates.iter().chain(&other.ceilings)) {
            others.iter().enumerate().for_each(|(place, count)| add(counts, place, *count));
        }
        other.tiers.iter().for_each(|(tier, count)| self.tier(tier, *count));
    }

    fn counts(&self) -> StatCounts {
        let mut counts = StatCounts::new();
        for (kind, count) in RecordType::ALL.iter().zip(self.records).filter(|(_, count)| *count > 0) {
            counts.insert(format!("records.{kind}"), count);
        }
        for (decision, [recorded, unrecorded]) in DECISIONS.iter().zip(self.gates) {
            if recorded + unrecorded > 0 {
                counts.insert(format!("gates.{decision}"), recorded + unrecorded);
            }
            if unrecorded > 0 {
                *counts.entry("gates.unrecorded".to_owned()).or_default() += unrecorded;
            }
        }
        for (count, [recorded, unrecorded]) in CeilingStat::ALL.iter().zip(self.ceilings) {
            if recorded + unrecorded > 0 {
                counts.insert(count.name().to_owned(), recorded + unrecorded);
            }
            if unrecorded > 0 {
                *counts.entry("ceilings.unrecorded".to_owned()).or_default() += unrecorded;
            }
        }
        counts.extend(self.tiers.iter().map(|(tier, count)| (format!("tiers.{tier}"), *count)));
        counts
    }
}

fn add(counts: &mut [u64], place: usize, count: u64) {
    if let Some(sum) = counts.get_mut(place) {
        *sum += count;
    }
}
