//! Reads of documents.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::codes::{int, uint};
use super::super::error::{damaged, from_driver};
use super::rows::{DOCUMENT, EVERY, document_of};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::storage::{Document, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace};

/// Most steps of several tags that are taken for a page, and for a count.
const PAGE_STEPS: u32 = 50_000;
const COUNT_STEPS: u32 = 200_000;

pub(in crate::storage::postgres) async fn document(
    connection: Object,
    key: DocumentKey,
) -> Result<Option<Document>> {
    let select =
        format!("select {DOCUMENT} from documents d where kind = $1 and organization = $2 and id = $3");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&(key.kind as i16), &key.organization.as_str(), &key.id])
        .await
        .map_err(from_driver)?;
    row.as_ref().map(document_of).transpose()
}

pub(in crate::storage::postgres) async fn version(connection: Object, key: DocumentKey) -> Result<u64> {
    let select = "select version from documents where kind = $1 and organization = $2 and id = $3";
    let statement = connection.prepare_cached(select).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&(key.kind as i16), &key.organization.as_str(), &key.id])
        .await
        .map_err(from_driver)?;
    row.map_or(Ok(0), |row| uint(row.get(0)))
}

/// The statement that gives places of the documents of a filter in order. Its parameters are those of [`places`].
///
/// Of several tags, each leaps to where another one has come, so the rarest sets the pace. A planner that knows nothing of
/// the table would join instead, and read all of the most frequent tag for a page that holds nothing. The tags agree on a
/// place or pass it: where the steps run out, the row is not `found`, and its place is the last one that was decided.
fn scan(filter: &DocumentFilter, steps: u32) -> String {
    match filter.tags.len() {
        0 | 1 => "select created, id, true as found, false as cut from document_tags
            where kind = $1 and organization = $2 and (created, id) >= ($3, $4)
                and name = ($6::text[])[1] and value = ($7::text[])[1]
            order by created, id limit $5"
            .to_owned(),
        tags => format!(
            "with recursive leap (created, id, next, tag, agreed, step, passed_created, passed_id) as (
                select $3::bigint, null::text collate \"C\", $4::text collate \"C\", 1, 0, 0,
                    $3::bigint, null::text collate \"C\"
                union all
                select t.created, t.id, case agreed.tags when {tags} then t.id || chr(1) else t.id end,
                    leap.tag % {tags} + 1, agreed.tags, leap.step + 1,
                    case agreed.tags when 1 then leap.created else leap.passed_created end,
                    case agreed.tags when 1 then leap.id else leap.passed_id end
                from leap,
                lateral (select created, id from document_tags
                    where kind = $1 and organization = $2 and name = ($6::text[])[leap.tag]
                        and value = ($7::text[])[leap.tag] and (created, id) >= (leap.created, leap.next)
                    order by created, id limit 1) as t,
                lateral (select case when (t.created, t.id) = (leap.created, leap.id) then leap.agreed + 1 else 1 end
                    ) as agreed (tags)
                where leap.step < {steps}
            )
            select case agreed when {tags} then created else passed_created end as created,
                case agreed when {tags} then id else passed_id end as id,
                agreed = {tags} as found, step = {steps} as cut
            from leap where agreed = {tags} or step = {steps} limit $5"
        ),
    }
}

/// The parameters of [`scan`]: documents of a filter after a place, at most `limit`.
fn places(
    filter: &DocumentFilter,
    after: Option<&DocumentPlace>,
    limit: u64,
) -> Vec<Box<dyn ToSql + Sync + Send>> {
    // No text is between one and the same with the least character behind it.
    let (created, id) = after
        .map_or((i64::MIN, String::new()), |place| (place.created.micros(), format!("{}\u{1}", place.id)));
    let tags = if filter.tags.is_empty() { std::slice::from_ref(&EVERY) } else { filter.tags.as_slice() };
    vec![
        Box::new(filter.kind as i16),
        Box::new(filter.organization.as_str().to_owned()),
        Box::new(created),
        Box::new(id),
        Box::new(int(limit)),
        Box::new(tags.iter().map(|tag| tag.name.clone()).collect::<Vec<String>>()),
        Box::new(tags.iter().map(|tag| tag.value.clone()).collect::<Vec<String>>()),
    ]
}

async fn query(connection: &Object, sql: &str, values: &[Box<dyn ToSql + Sync + Send>]) -> Result<Vec<Row>> {
    let statement = connection.prepare_cached(sql).await.map_err(from_driver)?;
    let parameters: Vec<&(dyn ToSql + Sync)> =
        values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    connection.query(&statement, &parameters).await.map_err(from_driver)
}

pub(in crate::storage::postgres) async fn documents(
    connection: Object,
    filter: DocumentFilter,
    after: Option<DocumentPlace>,
    limit: usize,
) -> Result<DocumentPage> {
    let select = format!(
        "select {DOCUMENT}, a.created, a.id, a.found, a.cut from ({}) as a
        left join lateral (select * from documents where kind = $1 and organization = $2 and id = a.id limit 1) as d
            on a.found
        order by a.created, a.id",
        scan(&filter, PAGE_STEPS)
    );
    let rows = query(&connection, &select, &places(&filter, after.as_ref(), limit as u64)).await?;
    let found = rows.iter().filter(|row| row.get(13));
    let documents = found.map(|row| match row.get::<_, Option<i16>>(0) {
        Some(_) => document_of(row),
        None => Err(damaged("index of documents")),
    });
    let documents = documents.collect::<Result<Vec<Document>>>()?;
    let more = documents.len() == limit || rows.iter().any(|row| row.get(14));
    let rest = rows.last().filter(|_| more).and_then(|row| match row.get(12) {
        Some(id) => Some(DocumentPlace { created: Timestamp::from_micros(row.get(11)), id }),
        // No place was decided.
        None => after,
    });
    Ok(DocumentPage { documents, rest })
}

pub(in crate::storage::postgres) async fn count(
    connection: Object,
    filter: DocumentFilter,
    most: u64,
) -> Result<u64> {
    let select = format!(
        "select count(*) filter (where found), coalesce(bool_or(cut), false) from ({}) as a",
        scan(&filter, COUNT_STEPS)
    );
    let counted = query(&connection, &select, &places(&filter, None, most)).await;
    let rows = counted.map_err(|error| {
        // The server has ended the statement.
        let timed_out = error.context().any(|(key, state)| key == "sqlState" && state == "57014");
        if timed_out { DocumentFilter::too_many_to_count() } else { error }
    })?;
    let Some(row) = rows.first() else { return Ok(0) };
    let count = uint(row.get(0))?;
    if row.get::<_, bool>(1) && count < most { Err(DocumentFilter::too_many_to_count()) } else { Ok(count) }
}

pub(in crate::storage::postgres) async fn due(
    connection: Object,
    kind: DocumentKind,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Document>> {
    let select = format!(
        "select {DOCUMENT} from documents d where kind = $1 and due <= $2 order by due, organization, id limit $3"
    );
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let rows = connection
        .query(&statement, &[&(kind as i16), &now.micros(), &int(limit as u64)])
        .await
        .map_err(from_driver)?;
    rows.iter().map(document_of).collect()
}

pub(in crate::storage::postgres) async fn all(
    connection: Object,
    after: Option<DocumentKey>,
    limit: usize,
) -> Result<Vec<Document>> {
    let select = format!(
        "select {DOCUMENT} from documents d where (kind, organization, id) > ($1, $2, $3)
        order by kind, organization, id limit $4"
    );
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let (kind, organization, id) = match &after {
        Some(key) => (key.kind as i16, key.organization.as_str(), key.id.as_str()),
        None => (-1, "", ""),
    };
    let rows = connection
        .query(&statement, &[&kind, &organization, &id, &int(limit as u64)])
        .await
        .map_err(from_driver)?;
    rows.iter().map(document_of).collect()
}
