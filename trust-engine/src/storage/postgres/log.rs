//! The log's tables: commits of batches, and reads of their content.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row;
use uuid::Uuid;

use super::codes::{hash_of, int, kind_code, uint};
use super::error::{damaged, from_driver, is_rolled_back};
use super::{documents, followers, listen, shards, stats};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, HashRange, Payload, TILE_WIDTH};
use crate::storage::{Batch, Committed, Shard, StoredRecord, uncovered};

/// The statement of a commit. It is one, so that a commit is one round trip and one flush: every row is written only if
/// the head's row is moved. If another writer commits first, the statement waits for that row, finds the head moved,
/// and writes nothing. Entries are inserted in the order of their ids: two writers whose callers chose the same ids wait for
/// each other in the index, and never in a circle.
const COMMIT: &str = "
with moved as (
    update heads set size = $4, root = $5, time = $6, note = $7, era = $27, seen = clock_timestamp()
    where shard = $1 and epoch = $2 and size = $3 and root = $8 and time <= $6 and not sealed
    returning shard
), entry as (
    insert into entries
        (shard, index, id, organization, agent, kind, decision, time, parent, entry)
    select moved.shard, e.* from moved, unnest($9::bigint[], $10::uuid[], $11::text[], $12::text[], $13::smallint[],
        $14::text[], $15::bigint[], $16::uuid[], $17::bytea[])
        as e (index, id, organization, agent, kind, decision, time, parent, entry)
    order by e.id, e.organization
), payload as (
    insert into payloads (shard, index, salt, payload)
    select moved.shard, p.* from moved, unnest($9::bigint[], $18::bytea[], $19::bytea[]) as p
), hash as (
    insert into hashes (shard, level, start, hashes)
    select moved.shard, h.* from moved, unnest($20::smallint[], $21::bigint[], $22::bytea[]) as h
), checkpoint as (
    insert into checkpoints (shard, size, time, note)
    select shard, $4, $6, $7 from moved where $4 > $3
), stat as (
    insert into stats as old (shard, organization, bucket, name, count)
    select moved.shard, s.* from moved, unnest($23::text[], $24::bigint[], $25::text[], $26::bigint[]) as s
    on conflict (shard, organization, bucket, name) do update set count = old.count + excluded.count
)
select count(*) from moved";

/// Most attempts to commit a batch that the server rolled back because of other transactions.
const ATTEMPTS: u32 = 8;

pub(super) async fn commit(mut connection: Object, batch: Batch) -> Result<Committed> {
    for attempt in 1..ATTEMPTS {
        match try_commit(&mut connection, &batch).await {
            // Nothing was written, and nobody in the batch is at fault. Engines write different shards, so they do not
            // try again at the same moment.
            Err(error) if is_rolled_back(&error) => {
                let pause = (1 << attempt) + u64::from(batch.head.shard % 8);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            other => return other,
        }
    }
    try_commit(&mut connection, &batch).await
}

async fn try_commit(connection: &mut Object, batch: &Batch) -> Result<Committed> {
    if batch.changes.is_empty() && batch.claims.is_empty() && batch.succession.is_none() {
        return write_log(&*connection, batch).await;
    }
    // Claims of followers and changes of documents are checked before anything is written. The head's row keeps other writers of this log out;
    // the rows of the documents are locked against writers of other logs.
    let transaction = connection.transaction().await.map_err(from_driver)?;
    if batch.succession.is_some() {
        // Before any document, and in order: two successions, or one and a batch of another log, wait in no circle.
        let all = "select from heads where not sealed order by shard for update";
        transaction.execute(all, &[]).await.map_err(from_driver)?;
    }
    let lock = "select 1 from heads where shard = $1 and epoch = $2 for update";
    let key = (i64::from(batch.previous.shard), int(batch.previous.epoch));
    if transaction.query_opt(lock, &[&key.0, &key.1]).await.map_err(from_driver)?.is_none() {
        return Ok(Committed::Fenced);
    }
    let outdated = followers::outdated(&transaction, &batch.claims).await?;
    if !outdated.is_empty() {
        return Ok(Committed::Outdated(outdated));
    }
    let conflicts = documents::apply(&transaction, &batch.changes).await?;
    if !conflicts.is_empty() {
        return Ok(Committed::Conflict(conflicts));
    }
    let written = write_log(&transaction, batch).await?;
    if let (Committed::Yes, Some(succession)) = (&written, &batch.succession)
        && !shards::succeed(&transaction, succession).await?
    {
        return Ok(Committed::ShardTaken);
    }
    if written == Committed::Yes {
        // The server sends the messages to the other engines with the commit.
        listen::notify(&transaction, &batch.changes).await?;
        transaction.commit().await.map_err(from_driver)?;
    }
    Ok(written)
}

async fn write_log(client: &impl GenericClient, batch: &Batch) -> Result<Committed> {
    let (before, after) = (&batch.previous, &batch.head);
    let entries = || batch.appends.iter().map(|append| &append.entry);
    let index: Vec<i64> = (before.size..).zip(&batch.appends).map(|(index, _)| int(index)).collect();
    let id: Vec<Uuid> = entries().map(|entry| entry.id).collect();
    let organization: Vec<&str> = entries().map(|entry| entry.organization.as_str()).collect();
    let agent: Vec<Option<&str>> =
        entries().map(|entry| entry.agent.as_ref().map(|agent| agent.as_str())).collect();
    let kind: Vec<i16> = entries().map(|entry| kind_code(entry.kind)).collect();
    let decision: Vec<Option<&str>> =
        entries().map(|entry| entry.decision.as_ref().map(|word| word.as_str())).collect();
    let time: Vec<i64> = entries().map(|entry| entry.time.micros()).collect();
    let parent: Vec<Option<Uuid>> = entries().map(|entry| entry.parent.map(|parent| parent.id)).collect();
    let bytes: Vec<&[u8]> = batch.appends.iter().map(|append| append.bytes.as_slice()).collect();
    let salt: Vec<&[u8]> = batch.appends.iter().map(|append| append.payload.salt.as_slice()).collect();
    let payload: Vec<&[u8]> = batch.appends.iter().map(|append| append.payload.bytes.as_slice()).collect();
    let level: Vec<i16> = batch.hashes.iter().map(|run| i16::from(run.level)).collect();
    let start: Vec<i64> = batch.hashes.iter().map(|run| int(run.start)).collect();
    let hashes: Vec<Vec<u8>> = batch
        .hashes
        .iter()
        .map(|run| run.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
        .collect();
    let stats = stats::columns(&batch.stats);
    let statement = client.prepare_cached(COMMIT).await.map_err(from_driver)?;
    let written = client
        .query_one(
            &statement,
            &[
                &i64::from(before.shard),
                &int(before.epoch),
                &int(before.size),
                &int(after.size),
                &after.root.as_bytes().as_slice(),
                &after.time.micros(),
                &after.note,
                &before.root.as_bytes().as_slice(),
                &index,
                &id,
                &organization,
                &agent,
                &kind,
                &decision,
                &time,
                &parent,
                &bytes,
                &salt,
                &payload,
                &level,
                &start,
                &hashes,
                &stats.organizations,
                &stats.buckets,
                &stats.names,
                &stats.counts,
                &i64::from(after.era),
            ],
        )
        .await;
    match written {
        Ok(row) if row.get::<_, i64>(0) == 1 => Ok(Committed::Yes),
        Ok(_) => Ok(Committed::Fenced),
        // The insert has waited for the other shard's commit, so its record can be read now.
        Err(error) if is_taken_id(&error) => Ok(Committed::Duplicate),
        Err(error) => Err(from_driver(error)),
    }
}

fn is_taken_id(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|server| server.constraint() == Some("entries_by_id"))
}

/// Columns of a record, in the order that [`record_of`] reads them.
pub(super) const RECORD: &str = "e.shard, e.index, e.entry, p.salt, p.payload";
/// Joins entries `e` that meet a condition with their payloads `p`, where those are still there. `offset 0` keeps it a
/// look-up for each entry that is found: as a plain join it would be planned over the whole table.
pub(super) fn payloads_where(condition: &str) -> String {
    format!(
        "left join lateral (
            select salt, payload from payloads where shard = e.shard and index = e.index and {condition} offset 0
        ) as p on true"
    )
}

pub(super) fn record_of(row: &Row) -> Result<StoredRecord> {
    let payload = match (row.get::<_, Option<&[u8]>>(3), row.get::<_, Option<Vec<u8>>>(4)) {
        (Some(salt), Some(bytes)) => {
            Some(Payload { salt: salt.try_into().map_err(|_| damaged("salt"))?, bytes })
        }
        _ => None,
    };
    let shard = u32::try_from(row.get::<_, i64>(0)).map_err(|_| damaged("shard"))?;
    Ok(StoredRecord { shard, index: uint(row.get(1))?, bytes: row.get(2), payload })
}

pub(super) async fn records(
    connection: Object,
    shard: Shard,
    start: u64,
    limit: usize,
) -> Result<Vec<StoredRecord>> {
    let select = format!(
        "select {RECORD} from entries e {} where e.shard = $1 and e.index >= $2 order by e.index limit $3",
        payloads_where("true")
    );
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let limit = int(limit as u64);
    let rows =
        connection.query(&statement, &[&i64::from(shard), &int(start), &limit]).await.map_err(from_driver)?;
    rows.iter().map(record_of).collect()
}

pub(super) async fn record_by_id(
    connection: Object,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredRecord>> {
    let payloads = payloads_where("true");
    let select = format!("select {RECORD} from entries e {payloads} where e.id = $1 and e.organization = $2");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&id, &organization.as_str()]).await.map_err(from_driver)?;
    row.as_ref().map(record_of).transpose()
}

pub(super) async fn organizations_of(
    connection: Object,
    id: Uuid,
    limit: usize,
) -> Result<Vec<OrganizationId>> {
    let select = "select organization from entries where id = $1 order by organization limit $2";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let rows = connection.query(&statement, &[&id, &int(limit as u64)]).await.map_err(from_driver)?;
    rows.iter().map(|row| OrganizationId::recorded(row.get(0))).collect()
}

/// A record and its ancestors in one round trip.
pub(super) async fn ancestry(
    connection: Object,
    organization: OrganizationId,
    id: Uuid,
    limit: usize,
) -> Result<Vec<StoredRecord>> {
    let select = format!(
        "with recursive line as (
            select shard, index, entry, parent, 1 as place from entries where id = $1 and organization = $3
            union all
            select e.shard, e.index, e.entry, e.parent, place + 1
            from line join entries e on e.id = line.parent and e.organization = $3 where place < $2
        ) select {RECORD} from line e {} order by place limit $2",
        payloads_where("true")
    );
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let rows =
        connection.query(&statement, &[&id, &limit, &organization.as_str()]).await.map_err(from_driver)?;
    rows.iter().map(record_of).collect()
}

pub(super) async fn checkpoints(
    connection: Object,
    shard: Shard,
    size: u64,
    limit: usize,
) -> Result<Vec<(u64, String)>> {
    let select = "select size, note from checkpoints where shard = $1 and size >= $2 order by size limit $3";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let limit = int(limit as u64);
    let rows =
        connection.query(&statement, &[&i64::from(shard), &int(size), &limit]).await.map_err(from_driver)?;
    rows.iter().map(|row| Ok((uint(row.get(0))?, row.get(1)))).collect()
}

/// Reads the checkpoints of all entries in one round trip.
pub(super) async fn covering(
    connection: Object,
    shard: Shard,
    indexes: Vec<u64>,
) -> Result<Vec<(u64, String)>> {
    let select = "select c.size, c.note from unnest($2::bigint[]) with ordinality as wanted (index, place),
        lateral (select size, note from checkpoints
            where shard = $1 and size > wanted.index order by size limit 1) as c
        order by wanted.place";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let wanted: Vec<i64> = indexes.iter().map(|index| int(*index)).collect();
    let rows = connection.query(&statement, &[&i64::from(shard), &wanted]).await.map_err(from_driver)?;
    if rows.len() < indexes.len() {
        return Err(uncovered(indexes.iter().max().copied().unwrap_or_default()));
    }
    rows.iter().map(|row| Ok((uint(row.get(0))?, row.get(1)))).collect()
}

/// Reads all ranges in one round trip: the runs of every tile that one of them touches.
pub(super) async fn hashes(
    connection: Object,
    shard: Shard,
    ranges: Vec<HashRange>,
) -> Result<Vec<Vec<Hash>>> {
    let mut tiles: Vec<(i16, i64)> = ranges.iter().map(tile_of).collect();
    tiles.dedup();
    let (levels, starts): (Vec<i16>, Vec<i64>) = tiles.into_iter().unzip();
    let select = "select distinct h.level, h.start, h.hashes from unnest($2::smallint[], $3::bigint[]) as t (level, start)
        join hashes h on h.shard = $1 and h.level = t.level and h.start >= t.start and h.start < t.start + 256
        order by h.level, h.start";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let rows =
        connection.query(&statement, &[&i64::from(shard), &levels, &starts]).await.map_err(from_driver)?;
    let mut found: std::collections::HashMap<(i16, i64), Vec<Hash>> = std::collections::HashMap::new();
    for row in &rows {
        let (level, start): (i16, i64) = (row.get(0), row.get(1));
        let tile = start - start.rem_euclid(int(TILE_WIDTH));
        let hashes = found.entry((level, tile)).or_default();
        // Hashes beyond a gap do not count.
        if start == tile + int(hashes.len() as u64) {
            for chunk in row.get::<_, &[u8]>(2).chunks(32) {
                hashes.push(hash_of(chunk)?);
            }
        }
    }
    let of = |range: &HashRange| {
        let offset = (range.start % TILE_WIDTH) as usize;
        let end = offset.saturating_add(range.count as usize);
        let hashes = found.get(&tile_of(range)).and_then(|hashes| hashes.get(offset..end));
        hashes.map(<[Hash]>::to_vec).ok_or_else(|| {
            let issue = format!(
                "hashes of the tree are missing: level {}, {} from {}",
                range.level, range.count, range.start
            );
            Error::new(ErrorKind::Corrupt, issue)
        })
    };
    ranges.iter().map(of).collect()
}

fn tile_of(range: &HashRange) -> (i16, i64) {
    (i16::from(range.level), int(range.start / TILE_WIDTH * TILE_WIDTH))
}
