//! Counting what a commit adds to the statistics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::entry::RecordType;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::policy::Decision;
use crate::storage::{Counters, STATS_BUCKET_SECONDS, StatsDelta};

/// A gate verdict, as the statistics count it.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) decision: Decision,
    /// The tier that it was evaluated at.
    pub(crate) tier: Arc<str>,
}

/// Counts by organization and bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    rows: HashMap<OrganizationId, BTreeMap<i64, Row>, RandomState>,
    unrecorded: u64,
}

/// Organizations whose unrecorded verdicts are told apart between two commits; the rest counts under `default`.
const MAX_ORGANIZATIONS: usize = 256;

/// One bucket. Types, decisions and tiers are few, so they are places in arrays and not looked up.
#[derive(Clone, Debug, Default)]
struct Row {
    records: [u64; RecordType::ALL.len()],
    /// Recorded and unrecorded verdicts by decision.
    gates: [[u64; 2]; DECISIONS.len()],
    tiers: Vec<(Arc<str>, u64)>,
}

const DECISIONS: [Decision; 3] = [Decision::Allow, Decision::Deny, Decision::Escalate];

impl Tally {
    pub(crate) fn record(&mut self, organization: &OrganizationId, time: Timestamp, kind: RecordType) {
        add(&mut self.row(organization, time).records, kind as usize, 1);
    }

    pub(crate) fn gate(
        &mut self,
        organization: &OrganizationId,
        time: Timestamp,
        gate: &Counted,
        recorded: bool,
    ) {
        if !recorded {
            self.unrecorded += 1;
        }
        // Recorded verdicts are as many as a batch has entries; of the others a caller may invent organizations.
        let crowded =
            !recorded && self.rows.len() >= MAX_ORGANIZATIONS && !self.rows.contains_key(organization);
        let row = match crowded {
            true => self.row(&OrganizationId::default(), time),
            false => self.row(organization, time),
        };
        let place = DECISIONS.iter().position(|decision| *decision == gate.decision).unwrap_or_default();
        if let Some(counts) = row.gates.get_mut(place) {
            add(counts, usize::from(!recorded), 1);
        }
        row.tier(&gate.tier, 1);
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

    /// Verdicts in it that were not recorded.
    pub(crate) fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As rows to add to the store's. The names of the counters are read back by [`Stats`](crate::Stats).
    pub(crate) fn deltas(&self) -> Vec<StatsDelta> {
        let rows = self.rows.iter().flat_map(|(organization, buckets)| {
            buckets.iter().map(move |(bucket, row)| (organization, bucket, row))
        });
        let delta = |(organization, bucket, row): (&OrganizationId, &i64, &Row)| StatsDelta {
            organization: organization.clone(),
            bucket: *bucket,
            counters: row.counters(),
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
        for (counts, others) in self.gates.iter_mut().zip(&other.gates) {
            others.iter().enumerate().for_each(|(place, count)| add(counts, place, *count));
        }
        other.tiers.iter().for_each(|(tier, count)| self.tier(tier, *count));
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters::new();
        for (kind, count) in RecordType::ALL.iter().zip(self.records).filter(|(_, count)| *count > 0) {
            counters.insert(format!("records.{kind}"), count);
        }
        for (decision, [recorded, unrecorded]) in DECISIONS.iter().zip(self.gates) {
            if recorded + unrecorded > 0 {
                counters.insert(format!("gates.{decision}"), recorded + unrecorded);
            }
            if unrecorded > 0 {
                *counters.entry("gates.unrecorded".to_owned()).or_default() += unrecorded;
            }
        }
        counters.extend(self.tiers.iter().map(|(tier, count)| (format!("tiers.{tier}"), *count)));
        counters
    }
}

fn add(counts: &mut [u64], place: usize, count: u64) {
    if let Some(sum) = counts.get_mut(place) {
        *sum += count;
    }
}
