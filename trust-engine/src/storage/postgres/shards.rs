//! The owners of logs: claims, signs of life, heads. The server's clock decides which owner was silent for too long.

use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::codes::{hash_of, int, uint};
use super::error::{damaged, from_driver};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Head, Shard, Succession};

/// Columns of a head, in the order that [`head_of`] reads them.
const HEAD: &str = "shard, epoch, size, root, time, note, sealed, era";

pub(super) async fn claim(connection: Object, shard: Shard, owner: Uuid) -> Result<Head> {
    let empty = Head::empty(shard);
    let claim = format!(
        "insert into heads as old (shard, owner, epoch, size, root, time, note, era)
        select $1, $2, 1, 0, $3, $4, '', coalesce(max(era), 0) from heads
        on conflict (shard) do update set epoch = old.epoch + 1, owner = $2, seen = clock_timestamp()
        where not old.sealed returning {HEAD}"
    );
    let statement = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let root = empty.root.as_bytes().as_slice();
    let row = connection
        .query_opt(&statement, &[&i64::from(shard), &owner, &root, &empty.time.micros()])
        .await
        .map_err(from_driver)?;
    let sealed = || Error::new(ErrorKind::Fenced, format!("shard {shard} is sealed"));
    let head = row.as_ref().map(head_of).transpose()?.ok_or_else(sealed)?;
    begin(&connection, head).await
}

/// Lets a shard without entries begin behind every time that readers who go by time can have passed: the earliest one of
/// the other open shards. They see the shard as soon as its row is there, and wait for it; as the times are read after
/// that, they cannot have gone beyond in between.
async fn begin(connection: &Object, head: Head) -> Result<Head> {
    if head.size > 0 {
        return Ok(head);
    }
    let raise = "update heads set time = greatest(time, 1 + coalesce(
            (select min(o.time) from heads o where not o.sealed and o.shard <> $1 and o.time > 0 and o.era = heads.era),
            (select max(o.time) from heads o where o.shard <> $1 and o.era = heads.era), -1))
        where shard = $1 and epoch = $2 and size = 0 returning time";
    let statement = connection.prepare_cached(raise).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&i64::from(head.shard), &int(head.epoch)])
        .await
        .map_err(from_driver)?;
    // If another engine has claimed it already, the head is outdated anyway.
    let time = row.map_or(head.time, |row| Timestamp::from_micros(row.get(0)));
    Ok(Head { time, ..head })
}

/// Attempts to add a shard while others add theirs.
const ATTEMPTS: u32 = 100;

pub(super) async fn claim_free(
    connection: Object,
    owner: Uuid,
    patience: Duration,
    except: Vec<i64>,
) -> Result<Head> {
    // A row that is locked is skipped: its owner commits, or another engine claims it, right now.
    let claim = format!(
        "update heads set epoch = epoch + 1, owner = $1, seen = clock_timestamp() where shard = (
            select shard from heads
            where not sealed and shard <> all($3)
                and (owner is null or owner = $1 or seen < clock_timestamp() - $2::bigint * interval '1 microsecond')
            order by coalesce(owner = $1, false) desc, owner is null desc, shard limit 1 for update skip locked
        ) returning {HEAD}"
    );
    let add = format!(
        "insert into heads (shard, owner, epoch, size, root, time, note, era)
        select coalesce(max(shard) + 1, 0), $1, 1, 0, $2, $3, '', coalesce(max(era), 0) from heads
        on conflict do nothing returning {HEAD}"
    );
    let claim = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let add = connection.prepare_cached(&add).await.map_err(from_driver)?;
    let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let empty = Head::empty(0);
    let root = empty.root.as_bytes().as_slice();
    for _ in 0..ATTEMPTS {
        if let Some(row) =
            connection.query_opt(&claim, &[&owner, &patience, &except]).await.map_err(from_driver)?
        {
            return begin(&connection, head_of(&row)?).await;
        }
        let added = connection.query_opt(&add, &[&owner, &root, &empty.time.micros()]).await;
        if let Some(row) = added.map_err(from_driver)? {
            return begin(&connection, head_of(&row)?).await;
        }
    }
    let issue = format!("no shard could be claimed in {ATTEMPTS} attempts");
    Err(Error::new(ErrorKind::Unavailable, issue))
}

pub(super) async fn reclaim(connection: Object, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
    let claim = format!(
        "update heads set epoch = epoch + 1, seen = clock_timestamp() where shard = $1 and owner = $2 and not sealed
        returning {HEAD}"
    );
    let statement = connection.prepare_cached(&claim).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&i64::from(shard), &owner]).await.map_err(from_driver)?;
    match row.as_ref().map(head_of).transpose()? {
        Some(head) => begin(&connection, head).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn renew(
    connection: Object,
    shard: Shard,
    owner: Uuid,
    time: Timestamp,
) -> Result<(bool, Timestamp)> {
    let renew = "with renewed as (
            update heads set seen = clock_timestamp(), time = greatest(time, $3)
            where shard = $1 and owner = $2 and not sealed returning 1
        )
        select exists (select from renewed), (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let statement = connection.prepare_cached(renew).await.map_err(from_driver)?;
    let row = connection
        .query_one(&statement, &[&i64::from(shard), &owner, &time.micros()])
        .await
        .map_err(from_driver)?;
    Ok((row.get(0), Timestamp::from_micros(row.get(1))))
}

pub(super) async fn raise_idle(connection: Object, patience: Duration) -> Result<()> {
    // A row that is locked is skipped: its owner commits right now, or another engine claims it.
    let silent = "owner is null or seen < clock_timestamp() - $1::bigint * interval '1 microsecond'";
    let raise = format!(
        "with live as (
            select coalesce(min(time) filter (where not ({silent})), max(time)) as time from heads where not sealed
        ), idle as (
            select shard from heads, live where not sealed and ({silent}) and heads.time < live.time
            for update of heads skip locked
        )
        update heads set time = live.time from live where shard in (select shard from idle)"
    );
    let raise = raise.as_str();
    let statement = connection.prepare_cached(raise).await.map_err(from_driver)?;
    let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    connection.execute(&statement, &[&patience]).await.map_err(from_driver)?;
    Ok(())
}

pub(super) async fn seal(connection: Object, shard: Shard, epoch: u64) -> Result<bool> {
    let seal = "update heads set sealed = true where shard = $1 and epoch = $2 and not sealed";
    let statement = connection.prepare_cached(seal).await.map_err(from_driver)?;
    let rows =
        connection.execute(&statement, &[&i64::from(shard), &int(epoch)]).await.map_err(from_driver)?;
    Ok(rows == 1)
}

/// Brings a succession in the transaction of its commit: makes the new shard, and seals those before it. The new row comes
/// first: whoever adds a shard at the same time has the same number in mind and waits for it, so no other can come between
/// that is not sealed.
pub(super) async fn succeed(
    transaction: &Transaction<'_>,
    &Succession { next, time, era }: &Succession,
) -> Result<bool> {
    let add = "insert into heads (shard, owner, epoch, size, root, time, note, era)
        select $1, null, 1, 0, $2, $3, '', $4 where not exists (select from heads where shard >= $1)
        on conflict do nothing";
    let empty = Head::empty(next);
    let root = empty.root.as_bytes().as_slice();
    let added = transaction
        .execute(add, &[&i64::from(next), &root, &time.micros(), &i64::from(era)])
        .await
        .map_err(from_driver)?;
    if added == 0 {
        return Ok(false);
    }
    let seal = "update heads set sealed = true where not sealed and shard < $1";
    transaction.execute(seal, &[&i64::from(next)]).await.map_err(from_driver)?;
    Ok(true)
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
        sealed: row.get(6),
        era: u32::try_from(row.get::<_, i64>(7)).map_err(|_| damaged("era"))?,
    })
}
