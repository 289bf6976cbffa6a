//! The table of statistics.

use std::collections::BTreeMap;

use deadpool_postgres::Object;

use super::codes::{int, uint};
use super::error::from_driver;
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
