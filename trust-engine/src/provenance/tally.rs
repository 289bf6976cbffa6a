//! Counting what a commit adds to the statistics.

use std::collections::HashMap;
use std::sync::Arc;

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
    rows: HashMap<(OrganizationId, i64), Row>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    records: HashMap<RecordType, u64>,
    gates: HashMap<(Decision, bool), u64>,
    tiers: HashMap<Arc<str>, u64>,
}

impl Tally {
    pub(crate) fn record(&mut self, organization: &OrganizationId, time: Timestamp, kind: RecordType) {
        *self.row(organization, time).records.entry(kind).or_default() += 1;
    }

    pub(crate) fn gate(
        &mut self,
        organization: &OrganizationId,
        time: Timestamp,
        gate: &Counted,
        recorded: bool,
    ) {
        let row = self.row(organization, time);
        *row.gates.entry((gate.decision, recorded)).or_default() += 1;
        *row.tiers.entry(Arc::clone(&gate.tier)).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (key, row) in other.rows {
            let into = self.rows.entry(key).or_default();
            row.records.into_iter().for_each(|(kind, n)| *into.records.entry(kind).or_default() += n);
            row.gates.into_iter().for_each(|(gate, n)| *into.gates.entry(gate).or_default() += n);
            row.tiers.into_iter().for_each(|(tier, n)| *into.tiers.entry(tier).or_default() += n);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As rows to add to the store's. The names of the counters are read back by [`Stats`](crate::Stats).
    pub(crate) fn deltas(&self) -> Vec<StatsDelta> {
        let delta = |((organization, bucket), row): (&(OrganizationId, i64), &Row)| {
            let mut counters = Counters::new();
            for (kind, count) in &row.records {
                counters.insert(format!("records.{kind}"), *count);
            }
            for ((decision, recorded), count) in &row.gates {
                *counters.entry(format!("gates.{decision}")).or_default() += count;
                if !recorded {
                    *counters.entry("gates.unrecorded".to_owned()).or_default() += count;
                }
            }
            for (tier, count) in &row.tiers {
                counters.insert(format!("tiers.{tier}"), *count);
            }
            StatsDelta { organization: organization.clone(), bucket: *bucket, counters }
        };
        self.rows.iter().map(delta).collect()
    }

    fn row(&mut self, organization: &OrganizationId, time: Timestamp) -> &mut Row {
        let seconds = time.micros().div_euclid(1_000_000);
        let bucket = seconds - seconds.rem_euclid(STATS_BUCKET_SECONDS);
        self.rows.entry((organization.clone(), bucket)).or_default()
    }
}
