//! The table of statistics.

use std::collections::BTreeMap;

use deadpool_postgres::Object;

use super::codes::{int, uint};
use super::error::{damaged, from_driver};
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::storage::{StatCounts, StatsDelta};

/// Rows of statistics, each key once.
pub(super) struct Columns<'a> {
    pub(super) organizations: Vec<&'a str>,
    pub(super) buckets: Vec<i64>,
    pub(super) names: Vec<&'a str>,
    pub(super) counts: Vec<i64>,
}

pub(super) fn columns(deltas: &[StatsDelta]) -> Columns<'_> {
    let mut sums: BTreeMap<(&str, i64, &str), u64> = BTreeMap::new();
    for delta in deltas {
        for (name, count) in &delta.counts {
            let sum = sums.entry((delta.organization.as_str(), delta.bucket, name)).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    Columns {
        organizations: sums.keys().map(|key| key.0).collect(),
        buckets: sums.keys().map(|key| key.1).collect(),
        names: sums.keys().map(|key| key.2).collect(),
        counts: sums.values().map(|count| int(*count)).collect(),
    }
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

/// The statistics of each organization and bucket, after one.
pub(super) async fn all(
    connection: Object,
    after: Option<StatsDelta>,
    limit: usize,
) -> Result<Vec<StatsDelta>> {
    let select = "select s.organization, s.bucket, array_agg(s.name), array_agg(s.sum) from (
            select distinct organization, bucket from stats where (organization, bucket) > ($1, $2)
            order by organization, bucket limit $3
        ) as wanted, lateral (
            select organization, bucket, name, sum(count)::bigint as sum from stats
            where organization = wanted.organization and bucket = wanted.bucket group by organization, bucket, name
        ) as s group by s.organization, s.bucket order by s.organization, s.bucket";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let (organization, bucket) =
        after.as_ref().map_or(("", 0), |after| (after.organization.as_str(), after.bucket));
    let rows = connection
        .query(&statement, &[&organization, &bucket, &int(limit as u64)])
        .await
        .map_err(from_driver)?;
    let of = |row: &tokio_postgres::Row| {
        let organization =
            OrganizationId::recorded(row.get(0)).map_err(|_| damaged("organization of statistics"))?;
        let (names, counts): (Vec<String>, Vec<i64>) = (row.get(2), row.get(3));
        let counts = counts.into_iter().map(uint).collect::<Result<Vec<u64>>>()?;
        Ok(StatsDelta { organization, bucket: row.get(1), counts: names.into_iter().zip(counts).collect() })
    };
    rows.iter().map(of).collect()
}
