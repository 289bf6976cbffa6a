//! The claims of followers and their rows. The row of a claim is the lock of its follower.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deadpool_postgres::{GenericClient, Object};
use uuid::Uuid;

use super::codes::{int, uint};
use super::error::{damaged, from_driver};
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::storage::{FollowerClaim, FollowerKey, FollowerRow};

pub(super) async fn claim(
    connection: Object,
    follower: String,
    owner: Uuid,
    patience: Duration,
) -> Result<Option<(FollowerClaim, String)>> {
    let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    // An upsert would lock the row also where it changes nothing, and wait for the owner's commits.
    let taken = "select 1 from followers where name = $1 and owner <> $2
        and seen >= clock_timestamp() - $3::bigint * interval '1 microsecond'";
    let statement = connection.prepare_cached(taken).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&follower, &owner, &patience]).await.map_err(from_driver)?;
    if row.is_some() {
        return Ok(None);
    }
    let claim = "insert into followers as old (name, owner, epoch, position) values ($1, $2, 1, '')
        on conflict (name) do update set epoch = old.epoch + 1, owner = $2, seen = clock_timestamp()
        where old.owner is null or old.owner = $2
            or old.seen < clock_timestamp() - $3::bigint * interval '1 microsecond'
        returning epoch, position";
    let statement = connection.prepare_cached(claim).await.map_err(from_driver)?;
    let row = connection.query_opt(&statement, &[&follower, &owner, &patience]).await.map_err(from_driver)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((FollowerClaim { follower, epoch: uint(row.get(0))? }, row.get(1))))
}

pub(super) async fn renew(connection: Object, claim: FollowerClaim) -> Result<bool> {
    let renew = "update followers set seen = clock_timestamp() where name = $1 and epoch = $2";
    let statement = connection.prepare_cached(renew).await.map_err(from_driver)?;
    let rows =
        connection.execute(&statement, &[&claim.follower, &int(claim.epoch)]).await.map_err(from_driver)?;
    Ok(rows == 1)
}

pub(super) async fn release(connection: Object, claim: FollowerClaim) -> Result<()> {
    let release = "update followers set owner = null where name = $1 and epoch = $2";
    let statement = connection.prepare_cached(release).await.map_err(from_driver)?;
    connection.execute(&statement, &[&claim.follower, &int(claim.epoch)]).await.map_err(from_driver)?;
    Ok(())
}

/// The places of the claims that are not the last ones of their followers. The rows of the others are locked in the order
/// of their names, so that no claim comes between this and the commit.
pub(super) async fn outdated(client: &impl GenericClient, claims: &[FollowerClaim]) -> Result<Vec<usize>> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: BTreeSet<&FollowerClaim> = claims.iter().collect();
    let names: Vec<&str> = wanted.iter().map(|claim| claim.follower.as_str()).collect();
    let select = "select name, epoch from followers where name = any($1) order by name for share";
    let statement = client.prepare_cached(select).await.map_err(from_driver)?;
    let rows = client.query(&statement, &[&names]).await.map_err(from_driver)?;
    let current: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_outdated = |claim: &FollowerClaim| current.get(&claim.follower) != Some(&int(claim.epoch));
    Ok(claims.iter().enumerate().filter(|(_, claim)| is_outdated(claim)).map(|(place, _)| place).collect())
}

pub(super) async fn write(
    connection: Object,
    claim: FollowerClaim,
    rows: Vec<FollowerRow>,
    position: String,
) -> Result<bool> {
    // The last row of each key; PostgreSQL refuses to write one twice.
    let last: BTreeMap<&FollowerKey, Option<&[u8]>> =
        rows.iter().map(|row| (&row.key, row.state.as_deref())).collect();
    let organizations: Vec<&str> = last.keys().map(|key| key.organization.as_str()).collect();
    let keys: Vec<&str> = last.keys().map(|key| key.key.as_str()).collect();
    let states: Vec<Option<&[u8]>> = last.values().copied().collect();
    let write = "with claimed as (
            update followers set seen = clock_timestamp(), position = $3 where name = $1 and epoch = $2 returning name
        ), given as (
            select claimed.name, r.* from claimed, unnest($4::text[], $5::text[], $6::bytea[])
            as r (organization, key, state)
        ), gone as (
            delete from follower_rows r using given g
            where (r.follower, r.organization, r.key) = (g.name, g.organization, g.key) and g.state is null
        ), written as (
            insert into follower_rows (follower, organization, key, state)
            select * from given where state is not null
            on conflict (follower, organization, key) do update set state = excluded.state
        ) select count(*) from claimed";
    let statement = connection.prepare_cached(write).await.map_err(from_driver)?;
    let row = connection
        .query_one(
            &statement,
            &[&claim.follower, &int(claim.epoch), &position, &organizations, &keys, &states],
        )
        .await
        .map_err(from_driver)?;
    Ok(row.get::<_, i64>(0) == 1)
}

pub(super) async fn names(connection: Object) -> Result<Vec<String>> {
    let select = "select name from followers order by name";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let rows = connection.query(&statement, &[]).await.map_err(from_driver)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn rows(
    connection: Object,
    follower: String,
    wanted: Vec<FollowerKey>,
) -> Result<Vec<Option<Vec<u8>>>> {
    let organizations: Vec<&str> = wanted.iter().map(|key| key.organization.as_str()).collect();
    let keys: Vec<&str> = wanted.iter().map(|key| key.key.as_str()).collect();
    let select =
        "select r.state from unnest($2::text[], $3::text[]) with ordinality as k (organization, key, place)
        left join follower_rows r on r.follower = $1 and r.organization = k.organization and r.key = k.key
        order by k.place";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let rows =
        connection.query(&statement, &[&follower, &organizations, &keys]).await.map_err(from_driver)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn all(
    connection: Object,
    follower: String,
    after: Option<FollowerKey>,
    limit: usize,
) -> Result<Vec<(FollowerKey, Vec<u8>)>> {
    let select = "select organization, key, state from follower_rows
        where follower = $1 and (organization, key) > ($2, $3) order by organization, key limit $4";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let (organization, key) =
        after.as_ref().map_or(("", ""), |key| (key.organization.as_str(), key.key.as_str()));
    let rows = connection
        .query(&statement, &[&follower, &organization, &key, &int(limit as u64)])
        .await
        .map_err(from_driver)?;
    let of = |row: &tokio_postgres::Row| {
        let organization =
            OrganizationId::recorded(row.get(0)).map_err(|_| damaged("organization of a row"))?;
        Ok((FollowerKey { organization, key: row.get(1) }, row.get(2)))
    };
    rows.iter().map(of).collect()
}
