//! The state's tables: agents, policies, statistics.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row;

use super::codes::{hash_of, int, uint};
use super::error::{damaged, from_driver};
use crate::agent::Agent;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::storage::{StatCounts, StateChange, StatsDelta, StoredPolicy};

/// Applies changes one after the other and gives the places of those made from an outdated version.
///
/// Each is one conditional statement; a change of the same row by another log's writer makes it wait and then miss.
pub(super) async fn apply(client: &impl GenericClient, changes: &[StateChange]) -> Result<Vec<usize>> {
    let mut conflicts = Vec::new();
    for (place, change) in changes.iter().enumerate() {
        let rows = match change {
            StateChange::Agent { expected, agent } => set_agent(client, *expected, agent).await?,
            StateChange::Policy { expected, policy } => set_policy(client, *expected, policy).await?,
        };
        if rows == 0 {
            conflicts.push(place);
        }
    }
    Ok(conflicts)
}

async fn set_agent(client: &impl GenericClient, expected: Option<u64>, agent: &Agent) -> Result<u64> {
    let json = serde_json::to_string(agent).map_err(|error| damaged("agent").caused_by(error))?;
    let (organization, id, version) = (agent.organization.as_str(), agent.id.as_str(), int(agent.version));
    match expected {
        None => {
            let insert = "insert into agents (organization, id, version, agent) values ($1, $2, $3, $4)
                on conflict do nothing";
            let statement = client.prepare_cached(insert).await.map_err(from_driver)?;
            client.execute(&statement, &[&organization, &id, &version, &json]).await.map_err(from_driver)
        }
        Some(expected) => {
            let update = "update agents set version = $3, agent = $4
                where organization = $1 and id = $2 and version = $5";
            let statement = client.prepare_cached(update).await.map_err(from_driver)?;
            let expected = int(expected);
            client
                .execute(&statement, &[&organization, &id, &version, &json, &expected])
                .await
                .map_err(from_driver)
        }
    }
}

async fn set_policy(client: &impl GenericClient, expected: u64, policy: &StoredPolicy) -> Result<u64> {
    // The primary key settles which of two writers comes first.
    let insert = "insert into policies (version, hash, document, since) select $1, $2, $3, $4
        where (select coalesce(max(version), 0) from policies) = $5
        on conflict do nothing";
    let statement = client.prepare_cached(insert).await.map_err(from_driver)?;
    let hash = policy.hash.as_bytes().as_slice();
    client
        .execute(
            &statement,
            &[&int(policy.version), &hash, &policy.document, &policy.since.micros(), &int(expected)],
        )
        .await
        .map_err(from_driver)
}

/// Rows of statistics, each key once.
pub(super) struct StatsColumns<'a> {
    pub(super) organizations: Vec<&'a str>,
    pub(super) buckets: Vec<i64>,
    pub(super) names: Vec<&'a str>,
    pub(super) counts: Vec<i64>,
}

pub(super) fn stats_columns(deltas: &[StatsDelta]) -> StatsColumns<'_> {
    let mut sums: BTreeMap<(&str, i64, &str), u64> = BTreeMap::new();
    for delta in deltas {
        for (name, count) in &delta.counts {
            let sum = sums.entry((delta.organization.as_str(), delta.bucket, name)).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    StatsColumns {
        organizations: sums.keys().map(|key| key.0).collect(),
        buckets: sums.keys().map(|key| key.1).collect(),
        names: sums.keys().map(|key| key.2).collect(),
        counts: sums.values().map(|count| int(*count)).collect(),
    }
}

fn agent_of(row: &Row) -> Result<Agent> {
    serde_json::from_str(row.get(0)).map_err(|error| damaged("agent").caused_by(error))
}

pub(super) async fn agent(
    connection: Object,
    organization: OrganizationId,
    id: AgentId,
) -> Result<Option<Agent>> {
    let select = "select agent from agents where organization = $1 and id = $2";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&organization.as_str(), &id.as_str()])
        .await
        .map_err(from_driver)?;
    row.as_ref().map(agent_of).transpose()
}

pub(super) async fn agents(
    connection: Object,
    organization: OrganizationId,
    after: Option<AgentId>,
    limit: usize,
) -> Result<Vec<Agent>> {
    let select = "select agent from agents where organization = $1 and id > $2 order by id limit $3";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    // No id is empty.
    let after = after.as_ref().map_or("", AgentId::as_str);
    let limit = int(limit as u64);
    let rows =
        connection.query(&statement, &[&organization.as_str(), &after, &limit]).await.map_err(from_driver)?;
    rows.iter().map(agent_of).collect()
}

pub(super) async fn policy_version(connection: Object) -> Result<u64> {
    let select = "select coalesce(max(version), 0) from policies";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    uint(connection.query_one(&statement, &[]).await.map_err(from_driver)?.get(0))
}

pub(super) async fn policies(connection: Object, below: u64, limit: usize) -> Result<Vec<StoredPolicy>> {
    let select = "select version, hash, document, since from policies where version < $1
        order by version desc limit $2";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let rows = connection.query(&statement, &[&int(below), &int(limit as u64)]).await.map_err(from_driver)?;
    let of = |row: &Row| {
        Ok(StoredPolicy {
            version: uint(row.get(0))?,
            hash: hash_of(row.get(1))?,
            document: row.get(2),
            since: Timestamp::from_micros(row.get(3)),
        })
    };
    rows.iter().map(of).collect()
}

pub(super) async fn stats(
    connection: Object,
    organization: Option<OrganizationId>,
    from: i64,
    to: i64,
) -> Result<StatCounts> {
    let of = if organization.is_some() { "organization = $3" } else { "$3::text is null" };
    let select = format!(
        "select name, sum(count)::bigint from stats where {of} and bucket >= $1 and bucket < $2 group by name"
    );
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let organization = organization.as_ref().map(OrganizationId::as_str);
    let rows = connection.query(&statement, &[&from, &to, &organization]).await.map_err(from_driver)?;
    rows.iter().map(|row| Ok((row.get(0), uint(row.get(1))?))).collect()
}
