//! Searches: statements over a part of a log in the order of an index, as long as the budget lasts.

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;

use super::codes::{int, kind_code, uint};
use super::error::from_driver;
use super::log::{RECORD, payloads_where, record_of};
use crate::error::Result;
use crate::provenance::RecordType;
use crate::storage::{Scan, ShardRange, StoredRecord};

/// Index rows that one scan looks at before it gives back a short page.
const BUDGET: usize = 50_000;
/// Index rows read at a time where some of them may not pass.
const CHUNK: usize = 5_000;

/// Index rows read first where most of them are expected to pass; twice as many each time after that.
const FEW: usize = 100;

/// The records that are found, and where to go on.
pub(super) type Found = (Vec<StoredRecord>, Option<ShardRange>);

pub(super) async fn scan(connection: Object, scan: Scan) -> Result<Found> {
    let mut records = Vec::new();
    // A statement without a type would ask for all of them.
    if scan.filter.kinds().next().is_none() {
        return Ok((records, None));
    }
    let remaining = scan_range(&connection, &scan, scan.range, &mut records).await?;
    Ok((records, (remaining.start < remaining.end).then_some(remaining)))
}

/// Scans one range into `records` and gives the range that remains.
async fn scan_range(
    connection: &Object,
    scan: &Scan,
    mut range: ShardRange,
    records: &mut Vec<StoredRecord>,
) -> Result<ShardRange> {
    let (mut budget, mut few) = (BUDGET, FEW);
    while range.start < range.end && records.len() < scan.limit && budget > 0 {
        let wanted = scan.limit - records.len();
        let search = Search::new(scan, range, wanted, few);
        few = (few * 2).min(CHUNK);
        let statement = connection.prepare_cached(&search.sql).await.map_err(from_driver)?;
        let rows = connection.query(&statement, &search.parameters()).await.map_err(from_driver)?;
        budget = budget.saturating_sub(search.chunk);
        let (mut found, mut last) = (0, None);
        for row in &rows {
            last = Some(uint(row.get(1))?);
            if row.get::<_, bool>("passes") {
                records.push(record_of(row)?);
                found += 1;
                if found == wanted {
                    break;
                }
            }
        }
        match last {
            Some(index) if found == wanted || rows.len() == search.chunk => {
                if scan.newest_first {
                    range.end = index
                } else {
                    range.start = index + 1
                }
            }
            _ => range.start = range.end,
        }
    }
    Ok(range)
}

/// A statement and its values. Rows come in the order of an index; the conditions that the index does not decide are
/// the column `passes`, so that a scan can end between two rows and say where.
struct Search<'a> {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
    chunk: usize,
}

impl<'a> Search<'a> {
    /// `few`: rows to read where most are expected to pass.
    fn new(scan: &'a Scan, range: ShardRange, wanted: usize, few: usize) -> Self {
        let filter = &scan.filter;
        let mut search = Self { sql: String::new(), values: Vec::new(), chunk: 0 };
        let shard = search.value(i64::from(range.shard));
        let (start, end) = (search.value(int(range.start)), search.value(int(range.end)));
        let from = filter.from.map(|from| search.value(from.micros()));
        let to = filter.to.map(|to| search.value(to.micros()));
        // The bounds are those of the commits that hold the filter's times: entry times never go back. Within a commit
        // the times themselves decide.
        let first = from.as_ref().map_or(start.clone(), |from| {
            format!(
                "greatest({start}, (select size from checkpoints where shard = {shard} and time < {from} \
                 order by time desc, size desc limit 1))"
            )
        });
        let last = to.as_ref().map_or(end.clone(), |to| {
            format!(
                "least({end}, (select size from checkpoints where shard = {shard} and time >= {to} \
                 order by time, size limit 1))"
            )
        });
        let mut keys = format!(
            "shard = {shard} and index >= (select first from bounds) and index < (select last from bounds)"
        );
        let mut passes = String::from("true");
        let also = |sql: &mut String, column: &str, sign: &str, value: String| {
            sql.push_str(&format!(" and {column} {sign} {value}"));
        };
        // An index is chosen in this order; the conditions that are left decide over each row.
        let organization = filter.organization.as_ref().map(|organization| organization.as_str());
        let agent = filter.agent.as_ref().map(|agent| agent.as_str());
        let mut kinds: Vec<RecordType> = Vec::new();
        if let Some(parent) = filter.parent {
            also(&mut keys, "parent", "=", search.value(parent));
        }
        let by_agent = filter.parent.is_none() && organization.is_some() && agent.is_some();
        let by_kind = filter.parent.is_none() && organization.is_some() && agent.is_none();
        // Changes of documents have indexes of their own, over all organizations.
        let of_documents = filter.parent.is_none()
            && organization.is_none()
            && matches!(filter.kind, Some(RecordType::Agent | RecordType::State));
        if let Some(organization) = organization {
            also(
                if by_agent || by_kind || filter.parent.is_some() { &mut keys } else { &mut passes },
                "organization",
                "=",
                search.value(organization),
            );
        }
        if let Some(agent) = agent {
            also(if by_agent { &mut keys } else { &mut passes }, "agent", "=", search.value(agent));
        }
        let mut public_only = false;
        match filter.kind {
            _ if by_kind => kinds.extend(filter.kinds()),
            Some(kind) if of_documents => kinds.push(kind),
            Some(kind) => also(&mut passes, "kind", "=", search.value(kind_code(kind))),
            None => public_only = filter.public_only,
        }
        if let Some(decision) = &filter.decision {
            also(&mut passes, "decision", "=", search.value(decision.as_str()));
        }
        let residual = passes != "true";
        if public_only {
            let codes: Vec<i16> = filter.kinds().map(kind_code).collect();
            also(&mut passes, "kind", "=", format!("any({})", search.value(codes)));
        }
        // These conditions decide only within the first and the last commit, and do not change which rows are read.
        if let Some(from) = from {
            also(&mut passes, "time", ">=", from);
        }
        if let Some(to) = to {
            also(&mut passes, "time", "<", to);
        }
        search.chunk = match residual {
            true => CHUNK,
            // Most records are of types that hosts may write.
            false if public_only => few.max(2 * wanted).min(CHUNK),
            false => wanted,
        };
        let limit = search.value(int(search.chunk as u64));
        let order = if scan.newest_first { "order by index desc" } else { "order by index" };
        let branch = |also: String| {
            format!(
                "(select shard, index, ({passes}) is true as passes, case when {passes} then entry else '' end as entry \
                 from entries where {keys}{also} {order} limit {limit})"
            )
        };
        let branches: Vec<String> = match kinds.as_slice() {
            [] => vec![branch(String::new())],
            // One index range per type, merged: so a rare type is found as fast as a frequent one.
            kinds => kinds.iter().map(|kind| branch(format!(" and kind = {}", kind_code(*kind)))).collect(),
        };
        let branches = branches.join(" union all ");
        search.sql = format!(
            "with bounds as (select {first}::bigint as first, {last}::bigint as last) \
             select {RECORD}, e.passes from (select * from ({branches}) as found {order} limit {limit}) as e \
             {} {order}",
            payloads_where("e.passes")
        );
        search
    }

    /// Adds a value and gives the name that stands for it.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'a) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}
