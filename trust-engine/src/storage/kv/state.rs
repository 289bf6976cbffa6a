//! The state's tables: agents, policies and statistics.

use std::collections::BTreeMap;

use super::store::{KvStore, decode, encode};
use super::{Kv, Table, WriteBatch, keys};
use crate::agent::Agent;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::storage::{Shard, StatCounts, StateChange, StatsDelta, StoredPolicy};

/// Statistics rows read at a time.
const CHUNK: usize = 1024;

impl<K: Kv> KvStore<K> {
    /// Adds the rows that the changes write, or gives the places of the changes made from an outdated version.
    pub(super) fn add_state(
        &self,
        changes: &[StateChange],
        rows: &mut WriteBatch,
    ) -> Result<std::result::Result<(), Vec<usize>>> {
        let mut conflicts = Vec::new();
        // Versions after the earlier changes of this batch.
        let mut agents: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut policy: Option<u64> = None;
        for (place, change) in changes.iter().enumerate() {
            let holds = match change {
                StateChange::Agent { expected, agent } => {
                    let key = keys::agent(&agent.organization, &agent.id).concat();
                    let current = match agents.get(&key) {
                        Some(version) => Some(*version),
                        None => self.read_agent(&agent.organization, &agent.id)?.map(|agent| agent.version),
                    };
                    let holds = current == *expected;
                    if holds {
                        rows.put(Table::Agents, &[&key], &[&encode(agent)?]);
                        agents.insert(key, agent.version);
                    }
                    holds
                }
                StateChange::Policy { expected, policy: new } => {
                    let current = match policy {
                        Some(version) => version,
                        None => self.read_policies(u64::MAX, 1)?.first().map_or(0, |policy| policy.version),
                    };
                    let holds = current == *expected;
                    if holds {
                        rows.put(Table::Policies, &[&keys::version(new.version)], &[&encode(new)?]);
                        policy = Some(new.version);
                    }
                    holds
                }
            };
            if !holds {
                conflicts.push(place);
            }
        }
        Ok(if conflicts.is_empty() { Ok(()) } else { Err(conflicts) })
    }

    pub(super) fn add_stats(
        &self,
        shard: Shard,
        deltas: &[StatsDelta],
        rows: &mut WriteBatch,
    ) -> Result<()> {
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

    pub(super) fn read_agent(&self, organization: &OrganizationId, id: &AgentId) -> Result<Option<Agent>> {
        let bytes = self.kv.get(Table::Agents, &keys::agent(organization, id).concat())?;
        bytes.map(|bytes| decode(&bytes, "an agent")).transpose()
    }

    pub(super) fn read_agents(
        &self,
        organization: &OrganizationId,
        after: Option<&AgentId>,
        limit: usize,
    ) -> Result<Vec<Agent>> {
        let prefix = keys::organization(organization);
        let from = match after {
            // The key after an agent's: its own with one more byte.
            Some(id) => [&keys::agent(organization, id).concat()[..], &[0]].concat(),
            None => prefix.clone(),
        };
        let to = [&prefix[..], &[0xFF]].concat();
        let pairs = self.kv.range(Table::Agents, &from, &to, false, limit)?;
        pairs.iter().map(|(_, bytes)| decode(bytes, "an agent")).collect()
    }

    pub(super) fn read_policies(&self, below: u64, limit: usize) -> Result<Vec<StoredPolicy>> {
        let pairs = self.kv.range(Table::Policies, &keys::version(0), &keys::version(below), true, limit)?;
        pairs.iter().map(|(_, bytes)| decode(bytes, "a policy")).collect()
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
