//! The owners of logs: claims, signs of life, heads. The server's clock decides which owner was silent for too long.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Row;
use uuid::Uuid;

use super::codes::{hash_of, uint};
use super::error::{damaged, from_driver};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::storage::{Head, Shard};

/// Columns of a head, in the order that [`head_of`] reads them.
const HEAD: &str = "shard, epoch, size, root, time, note";

pub(super) async fn claim(connection: Object, shard: Shard, owner: Uuid) -> Result<Head> {
    let empty = Head::empty(shard);
    let claim = format!(
        "insert into heads as old (shard, owner, epoch, size, root, time, note) values ($1, $2, 1, 0, $3, $4, '')
        on conflict (shard) do update set epoch = old.epoch + 1, owner = $2, seen = clock_timestamp()
        returning {HEAD}"
    );
    let statement = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let root = empty.root.as_bytes().as_slice();
    let row = connection
        .query_one(&statement, &[&i64::from(shard), &owner, &root, &empty.time.micros()])
        .await
        .map_err(from_driver)?;
    head_of(&row)
}

/// Attempts to add a shard while others add theirs.
const ATTEMPTS: u32 = 100;

pub(super) async fn claim_free(connection: Object, owner: Uuid, patience: Duration) -> Result<Head> {
    // A row that is locked is skipped: its owner commits, or another engine claims it, right now.
    let claim = format!(
        "update heads set epoch = epoch + 1, owner = $1, seen = clock_timestamp() where shard = (
            select shard from heads
            where owner is null or owner = $1 or seen < clock_timestamp() - $2::bigint * interval '1 microsecond'
            order by owner = $1 desc nulls last, shard limit 1 for update skip locked
        ) returning {HEAD}"
    );
    let add = format!(
        "insert into heads (shard, owner, epoch, size, root, time, note)
        select coalesce(max(shard) + 1, 0), $1, 1, 0, $2, $3, '' from heads
        on conflict do nothing returning {HEAD}"
    );
    let claim = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let add = connection.prepare_cached(&add).await.map_err(from_driver)?;
    let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let empty = Head::empty(0);
    let root = empty.root.as_bytes().as_slice();
    for _ in 0..ATTEMPTS {
        if let Some(row) = connection.query_opt(&claim, &[&owner, &patience]).await.map_err(from_driver)? {
            return head_of(&row);
        }
        let added = connection.query_opt(&add, &[&owner, &root, &empty.time.micros()]).await;
        if let Some(row) = added.map_err(from_driver)? {
            return head_of(&row);
        }
    }
    let issue = format!("no shard could be claimed in {ATTEMPTS} attempts");
    Err(crate::Error::new(crate::ErrorKind::Unavailable, issue))
}

pub(super) async fn reclaim(connection: Object, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
    let claim = format!(
        "update heads set epoch = epoch + 1, seen = clock_timestamp() where shard = $1 and owner = $2 returning {HEAD}"
    );
    let statement = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&i64::from(shard), &owner]).await.map_err(from_driver)?;
    row.as_ref().map(head_of).transpose()
}

pub(super) async fn renew(connection: Object, shard: Shard, owner: Uuid) -> Result<bool> {
    let renew = "update heads set seen = clock_timestamp() where shard = $1 and owner = $2";
    let statement = connection.prepare_cached(renew).await.map_err(from_driver)?;
    let rows = connection.execute(&statement, &[&i64::from(shard), &owner]).await.map_err(from_driver)?;
    Ok(rows == 1)
}

pub(super) async fn release(connection: Object, shard: Shard, owner: Uuid) -> Result<()> {
    let release = "update heads set owner = null where shard = $1 and owner = $2";
    let statement = connection.prepare_cached(release).await.map_err(from_driver)?;
    connection.execute(&statement, &[&i64::from(shard), &owner]).await.map_err(from_driver)?;
    Ok(())
}

pub(super) async fn head(connection: Object, shard: Shard) -> Result<Head> {
    let select = format!("select {HEAD} from heads where shard = $1");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&i64::from(shard)]).await.map_err(from_driver)?;
    row.map_or_else(|| Ok(Head::empty(shard)), |row| head_of(&row))
}

pub(super) async fn heads(connection: Object) -> Result<Vec<Head>> {
    let select = format!("select {HEAD} from heads order by shard");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let rows = connection.query(&statement, &[]).await.map_err(from_driver)?;
    rows.iter().map(head_of).collect()
}

fn head_of(row: &Row) -> Result<Head> {
    Ok(Head {
        shard: u32::try_from(row.get::<_, i64>(0)).map_err(|_| damaged("shard"))?,
        epoch: uint(row.get(1))?,
        size: uint(row.get(2))?,
        root: hash_of(row.get(3))?,
        time: Timestamp::from_micros(row.get(4)),
        note: row.get(5),
    })
}
