//! The table of statistics.

use super::store::{KvStore, decode, encode};
use super::{Kv, Table, WriteBatch, keys};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::storage::{Shard, StatCounts, StatsDelta};

/// Statistics rows read at a time.
const CHUNK: usize = 1024;

impl<K: Kv> KvStore<K> {
    pub(super) fn add_stats(&self, shard: Shard, deltas: &[StatsDelta], rows: &mut WriteBatch) -> Result<()> {
        for delta in deltas {
            let key = keys::stats(&delta.organization, delta.bucket, shard);
            let mut counts: StatCounts = match self.kv.get(Table::Stats, &key)? {
                Some(bytes) => decode(&bytes, "a row of statistics")?,
                None => StatCounts::new(),
            };
            add(&mut counts, &delta.counts);
            rows.put(Table::Stats, &[&key], &[&encode(&counts)?]);
        }
        Ok(())
    }

    /// Rows summed over their shards, after one.
    pub(super) fn list_stats(&self, after: Option<&StatsDelta>, limit: usize) -> Result<Vec<StatsDelta>> {
        let mut from = after.map_or_else(Vec::new, |row| keys::stats(&row.organization, row.bucket + 1, 0));
        let mut found: Vec<StatsDelta> = Vec::new();
        loop {
            let pairs = self.kv.range(Table::Stats, &from, &[0xFF], false, CHUNK)?;
            for (key, value) in &pairs {
                let damaged = || Error::new(ErrorKind::Corrupt, "a key of the statistics is damaged");
                let (organization, bucket) = keys::stats_row(key).ok_or_else(damaged)?;
                let counts: StatCounts = decode(value, "a row of statistics")?;
                let same = |row: &&mut StatsDelta| row.organization == organization && row.bucket == bucket;
                if let Some(last) = found.last_mut().filter(same) {
                    add(&mut last.counts, &counts);
                } else if found.len() == limit {
                    return Ok(found);
                } else {
                    found.push(StatsDelta { organization, bucket, counts });
                }
            }
            match pairs.into_iter().nth(CHUNK - 1) {
                Some((last, _)) => from = [&last[..], &[0]].concat(),
                None => return Ok(found),
            }
        }
    }

    pub(super) fn read_stats(
        &self,
        organization: Option<&OrganizationId>,
        from: i64,
        to: i64,
    ) -> Result<StatCounts> {
        let (mut start, end) = match organization {
            Some(organization) => (keys::stats(organization, from, 0), keys::stats(organization, to, 0)),
            None => (Vec::new(), vec![0xFF]),
        };
        let wanted = |key: &[u8]| keys::bucket(key).is_some_and(|bucket| (from..to).contains(&bucket));
        let mut sum = StatCounts::new();
        loop {
            let pairs = self.kv.range(Table::Stats, &start, &end, false, CHUNK)?;
            for (key, value) in &pairs {
                if wanted(key) {
                    add(&mut sum, &decode(value, "a row of statistics")?);
                }
            }
            match pairs.into_iter().nth(CHUNK - 1) {
                Some((last, _)) => start = [&last[..], &[0]].concat(),
                None => return Ok(sum),
            }
        }
    }
}

fn add(sum: &mut StatCounts, counts: &StatCounts) {
    for (name, count) in counts {
        let total = sum.entry(name.clone()).or_default();
        *total = total.saturating_add(*count);
    }
}
