//! The tables of documents: one row for each, and one row for each of its tags.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::codes::{int, uint};
use super::error::{damaged, from_driver};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::storage::{
    Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace, Tag,
};

/// Columns of a document `d`, in the order that [`document_of`] reads them.
const DOCUMENT: &str = "d.kind, d.organization, d.id, d.version, d.body, d.created, d.changed, d.tag_names, d.tag_values, d.due, d.record";

/// The order of the primary key, for look-ups by it. Without statistics of the table, the index by age would look as good:
/// it begins with the same columns, and would be read from end to end.
const ONE: &str = "order by kind, organization, id limit 1";

/// Applies changes one after the other, in a few statements, and gives the places of those made from an outdated
/// version; then nothing may be committed.
pub(super) async fn apply(client: &impl GenericClient, changes: &[DocumentChange]) -> Result<Vec<usize>> {
    let mut versions = lock(client, changes).await?;
    let mut conflicts = Vec::new();
    // The last change of each document; the earlier ones of the same batch never show.
    let mut last: BTreeMap<&DocumentKey, (usize, &DocumentChange)> = BTreeMap::new();
    for (place, change) in changes.iter().enumerate() {
        let key = change.key();
        if versions.get(key).copied() == change.expected {
            match change.document() {
                Some(document) => versions.insert(key.clone(), document.version),
                None => versions.remove(key),
            };
            last.insert(key, (place, change));
        } else {
            conflicts.push(place);
        }
    }
    if !conflicts.is_empty() {
        return Ok(conflicts);
    }
    let expected = first_expected(changes);
    // A document that is made and removed within the batch was never there.
    let was_there = |key: &DocumentKey| expected.get(key).is_some_and(Option::is_some);
    let removed = last.values().map(|(_, change)| *change).filter(|change| change.document().is_none());
    let removed = removed.map(DocumentChange::key).filter(|key| was_there(key));
    remove(client, Keys::of(removed)).await?;
    let documents: Vec<&Document> = last.values().filter_map(|(_, change)| change.document()).collect();
    let written = write(client, &documents, &expected).await?;
    // A row that another transaction has just made is no row that was locked above.
    let beaten =
        last.iter().filter(|(key, (_, change))| change.document().is_some() && !written.contains(*key));
    Ok(beaten.map(|(_, (place, _))| *place).collect())
}

/// The version that each document must have in the store: that of its first change.
fn first_expected(changes: &[DocumentChange]) -> BTreeMap<&DocumentKey, Option<u64>> {
    let mut expected = BTreeMap::new();
    for change in changes {
        expected.entry(change.key()).or_insert(change.expected);
    }
    expected
}

/// Columns of keys.
struct Keys<'a> {
    kinds: Vec<i16>,
    organizations: Vec<&'a str>,
    ids: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(keys: impl Iterator<Item = &'a DocumentKey> + Clone) -> Self {
        Self {
            kinds: keys.clone().map(|key| key.kind as i16).collect(),
            organizations: keys.clone().map(|key| key.organization.as_str()).collect(),
            ids: keys.map(|key| key.id.as_str()).collect(),
        }
    }
}

/// Columns of documents; their tags name the document by its place, from 1.
struct Columns<'a> {
    keys: Keys<'a>,
    versions: Vec<i64>,
    bodies: Vec<&'a str>,
    created: Vec<i64>,
    changed: Vec<i64>,
    due: Vec<Option<i64>>,
    records: Vec<Uuid>,
    places: Vec<i64>,
    names: Vec<&'a str>,
    values: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(documents: &[&'a Document]) -> Self {
        let tags = (1i64..)
            .zip(documents)
            .flat_map(|(place, document)| document.tags.iter().map(move |tag| (place, tag)));
        Self {
            keys: Keys::of(documents.iter().map(|document| &document.key)),
            versions: documents.iter().map(|document| int(document.version)).collect(),
            bodies: documents.iter().map(|document| document.body.as_str()).collect(),
            created: documents.iter().map(|document| document.created.micros()).collect(),
            changed: documents.iter().map(|document| document.changed.micros()).collect(),
            due: documents.iter().map(|document| document.due.map(Timestamp::micros)).collect(),
            records: documents.iter().map(|document| document.record).collect(),
            places: tags.clone().map(|(place, _)| place).collect(),
            names: tags.clone().map(|(_, tag)| tag.name.as_str()).collect(),
            values: tags.map(|(_, tag)| tag.value.as_str()).collect(),
        }
    }
}

/// Locks the rows of the documents that change and reads their versions, in the order of their keys: two engines that
/// change the same documents wait for each other and never in a circle. Each row is looked up by itself: a join may be
/// planned over the whole table.
async fn lock(client: &impl GenericClient, changes: &[DocumentChange]) -> Result<BTreeMap<DocumentKey, u64>> {
    let select = "select d.kind, d.organization, d.id, d.version
        from (select * from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality as k (kind, organization, id, place)
            order by place) as k,
        lateral (select kind, organization, id, version from documents
            where kind = k.kind and organization = k.organization and id = k.id
            order by kind, organization, id limit 1 for update) as d";
    let statement = client.prepare_cached(select).await.map_err(from_driver)?;
    let keys: BTreeSet<&DocumentKey> = changes.iter().map(DocumentChange::key).collect();
    let keys = Keys::of(keys.iter().copied());
    let rows = client
        .query(&statement, &[&keys.kinds, &keys.organizations, &keys.ids])
        .await
        .map_err(from_driver)?;
    rows.iter().map(|row| Ok((key_of(row)?, uint(row.get(3))?))).collect()
}

async fn remove(client: &impl GenericClient, keys: Keys<'_>) -> Result<()> {
    if keys.ids.is_empty() {
        return Ok(());
    }
    let delete = "delete from documents where ctid = any(array(
            select d.ctid from unnest($1::smallint[], $2::text[], $3::text[]) as k (kind, organization, id),
            lateral (select ctid from documents
                where kind = k.kind and organization = k.organization and id = k.id
                order by kind, organization, id limit 1) as d))";
    let statement = client.prepare_cached(delete).await.map_err(from_driver)?;
    client.execute(&statement, &[&keys.kinds, &keys.organizations, &keys.ids]).await.map_err(from_driver)?;
    remove_tags(client, &keys, &[]).await
}

/// Removes the tags of documents, whose rows are locked, but for those that stay as they are.
async fn remove_tags(client: &impl GenericClient, keys: &Keys<'_>, stay: &[&Document]) -> Result<()> {
    let delete = "delete from document_tags where ctid = any(array(
            select t.ctid from unnest($1::smallint[], $2::text[], $3::text[]) as k (kind, organization, id),
            lateral (select ctid, * from document_tags
                where kind = k.kind and organization = k.organization and id = k.id
                order by kind, organization, id offset 0) as t
            where (t.kind, t.organization, t.name, t.value, t.created, t.id) not in (
                select * from unnest($4::smallint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[]))))";
    let tags = TagColumns::of(stay);
    let statement = client.prepare_cached(delete).await.map_err(from_driver)?;
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &keys.kinds,
        &keys.organizations,
        &keys.ids,
        &tags.kinds,
        &tags.organizations,
        &tags.names,
        &tags.values,
        &tags.created,
        &tags.ids,
    ];
    client.execute(&statement, &parameters).await.map_err(from_driver)?;
    Ok(())
}

/// Writes documents and their tags, and gives the keys of those that were written: not of new ones that another
/// transaction has just made. The rows of the others are locked, and their versions were compared.
async fn write(
    client: &impl GenericClient,
    documents: &[&Document],
    expected: &BTreeMap<&DocumentKey, Option<u64>>,
) -> Result<BTreeSet<DocumentKey>> {
    let is_new = |document: &&Document| expected.get(&document.key).is_none_or(|version| version.is_none());
    let (new, known): (Vec<&Document>, Vec<&Document>) = documents.iter().copied().partition(is_new);
    let insert = "insert into documents
            (kind, organization, id, version, body, created, changed, due, record, tag_names, tag_values)
        select * from given order by kind, organization, id
        on conflict (kind, organization, id) do nothing returning kind, organization, id";
    // The row is there and locked; a conflict is the way to it that is always by the index.
    let update = "insert into documents
            (kind, organization, id, version, body, created, changed, due, record, tag_names, tag_values)
        select * from given order by kind, organization, id
        on conflict (kind, organization, id) do update set version = excluded.version, body = excluded.body,
            created = excluded.created, changed = excluded.changed, due = excluded.due, record = excluded.record,
            tag_names = excluded.tag_names, tag_values = excluded.tag_values
        returning kind, organization, id";
    let mut written = BTreeSet::new();
    for (documents, statement) in [(&new, insert), (&known, update)] {
        if !documents.is_empty() {
            let rows = write_rows(client, documents, statement).await?;
            written.extend(rows.iter().map(key_of).collect::<Result<Vec<DocumentKey>>>()?);
        }
    }
    if !known.is_empty() {
        remove_tags(client, &Keys::of(known.iter().map(|document| &document.key)), &known).await?;
    }
    add_tags(client, documents).await?;
    Ok(written)
}

async fn write_rows(
    client: &impl GenericClient,
    documents: &[&Document],
    statement: &str,
) -> Result<Vec<Row>> {
    let given = "with given
            (kind, organization, id, version, body, created, changed, due, record, tag_names, tag_values) as (
            select d.kind, d.organization, d.id, d.version, d.body, d.created, d.changed, d.due, d.record,
                coalesce(t.names, '{}'), coalesce(t.values, '{}')
            from unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::uuid[]) with ordinality
                as d (kind, organization, id, version, body, created, changed, due, record, place)
            left join (
                select document, array_agg(name order by place) as names, array_agg(value order by place) as values
                from unnest($10::bigint[], $11::text[], $12::text[]) with ordinality as t (document, name, value, place)
                group by document
            ) t on t.document = d.place
        )";
    let statement = client.prepare_cached(&format!("{given} {statement}")).await.map_err(from_driver)?;
    let Columns { keys, versions, bodies, created, changed, due, records, places, names, values } =
        Columns::of(documents);
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &keys.kinds,
        &keys.organizations,
        &keys.ids,
        &versions,
        &bodies,
        &created,
        &changed,
        &due,
        &records,
        &places,
        &names,
        &values,
    ];
    client.query(&statement, &parameters).await.map_err(from_driver)
}

/// Adds the rows of documents' tags; those that are there stay.
async fn add_tags(client: &impl GenericClient, documents: &[&Document]) -> Result<()> {
    let insert = "insert into document_tags (kind, organization, name, value, created, id)
        select * from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
        on conflict do nothing";
    let tags = TagColumns::of(documents);
    let statement = client.prepare_cached(insert).await.map_err(from_driver)?;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&tags.kinds, &tags.organizations, &tags.names, &tags.values, &tags.created, &tags.ids];
    client.execute(&statement, &parameters).await.map_err(from_driver)?;
    Ok(())
}

/// Columns of tags.
struct TagColumns<'a> {
    kinds: Vec<i16>,
    organizations: Vec<&'a str>,
    names: Vec<&'a str>,
    values: Vec<&'a str>,
    created: Vec<i64>,
    ids: Vec<&'a str>,
}

impl<'a> TagColumns<'a> {
    fn of(documents: &[&'a Document]) -> Self {
        let tags: Vec<(&Document, &Tag)> = documents
            .iter()
            .flat_map(|document| document.tags.iter().map(move |tag| (*document, tag)))
            .collect();
        Self {
            kinds: tags.iter().map(|(document, _)| document.key.kind as i16).collect(),
            organizations: tags.iter().map(|(document, _)| document.key.organization.as_str()).collect(),
            names: tags.iter().map(|(_, tag)| tag.name.as_str()).collect(),
            values: tags.iter().map(|(_, tag)| tag.value.as_str()).collect(),
            created: tags.iter().map(|(document, _)| document.created.micros()).collect(),
            ids: tags.iter().map(|(document, _)| document.key.id.as_str()).collect(),
        }
    }
}

fn key_of(row: &Row) -> Result<DocumentKey> {
    let kind = usize::try_from(row.get::<_, i16>(0)).ok().and_then(|code| DocumentKind::ALL.get(code));
    let kind = *kind.ok_or_else(|| damaged("kind of a document"))?;
    let organization =
        OrganizationId::parse(row.get(1)).map_err(|_| damaged("organization of a document"))?;
    Ok(DocumentKey { kind, organization, id: row.get(2) })
}

fn document_of(row: &Row) -> Result<Document> {
    let (names, values): (Vec<String>, Vec<String>) = (row.get(7), row.get(8));
    Ok(Document {
        key: key_of(row)?,
        version: uint(row.get(3))?,
        body: row.get(4),
        created: Timestamp::from_micros(row.get(5)),
        changed: Timestamp::from_micros(row.get(6)),
        tags: names.into_iter().zip(values).map(|(name, value)| Tag { name, value }).collect(),
        due: row.get::<_, Option<i64>>(9).map(Timestamp::from_micros),
        record: row.get(10),
    })
}

pub(super) async fn document(connection: Object, key: DocumentKey) -> Result<Option<Document>> {
    let select =
        format!("select {DOCUMENT} from documents d where kind = $1 and organization = $2 and id = $3 {ONE}");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&(key.kind as i16), &key.organization.as_str(), &key.id])
        .await
        .map_err(from_driver)?;
    row.as_ref().map(document_of).transpose()
}

pub(super) async fn version(connection: Object, key: DocumentKey) -> Result<u64> {
    let select =
        format!("select version from documents where kind = $1 and organization = $2 and id = $3 {ONE}");
    let statement = connection.prepare_cached(&select).await.map_err(from_driver)?;
    let row = connection
        .query_opt(&statement, &[&(key.kind as i16), &key.organization.as_str(), &key.id])
        .await
        .map_err(from_driver)?;
    row.map_or(Ok(0), |row| uint(row.get(0)))
}

/// The statement that gives created time and id of the documents of a filter in order: an index holds each tag's rows in
/// this order, so several are merged without sorting. The parameters begin with kind and organization.
fn ages(filter: &DocumentFilter, after: &str) -> String {
    let Some(others) = filter.tags.len().checked_sub(1) else {
        return format!(
            "select a.created, a.id from documents a where a.kind = $1 and a.organization = $2 and {after} \
             order by a.created, a.id"
        );
    };
    let tag = |name: &str, place: usize| {
        format!(
            "{name}.kind = $1 and {name}.organization = $2 and {name}.name = ${} and {name}.value = ${}",
            2 * place + 3,
            2 * place + 4
        )
    };
    let joins: String = (1..=others)
        .map(|place| {
            let name = format!("t{place}");
            format!(
                " join document_tags {name} on {} and ({name}.created, {name}.id) = (a.created, a.id)",
                tag(&name, place)
            )
        })
        .collect();
    format!(
        "select a.created, a.id from document_tags a{joins} where {} and {after} order by a.created, a.id",
        tag("a", 0)
    )
}

/// The first parameters of [`ages`].
fn filter_values(filter: &DocumentFilter) -> Vec<Box<dyn ToSql + Sync + Send>> {
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> =
        vec![Box::new(filter.kind as i16), Box::new(filter.organization.as_str().to_owned())];
    for tag in &filter.tags {
        values.push(Box::new(tag.name.clone()));
        values.push(Box::new(tag.value.clone()));
    }
    values
}

async fn query(connection: &Object, sql: &str, values: &[Box<dyn ToSql + Sync + Send>]) -> Result<Vec<Row>> {
    let statement = connection.prepare_cached(sql).await.map_err(from_driver)?;
    let parameters: Vec<&(dyn ToSql + Sync)> =
        values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    connection.query(&statement, &parameters).await.map_err(from_driver)
}

pub(super) async fn documents(
    connection: Object,
    filter: DocumentFilter,
    after: Option<DocumentPlace>,
    limit: usize,
) -> Result<DocumentPage> {
    let mut values = filter_values(&filter);
    let next = values.len() + 1;
    let behind = match after {
        Some(DocumentPlace { created, id }) => {
            values.push(Box::new(created.micros()));
            values.push(Box::new(id));
            format!("(a.created, a.id) > (${next}, ${})", next + 1)
        }
        None => "true".to_owned(),
    };
    values.push(Box::new(int(limit as u64)));
    let select = format!(
        "select {DOCUMENT} from ({} limit ${}) as a join documents d on d.kind = $1 and d.organization = $2 and d.id = a.id \
         order by a.created, a.id",
        ages(&filter, &behind),
        values.len()
    );
    let rows = query(&connection, &select, &values).await?;
    let documents = rows.iter().map(document_of).collect::<Result<Vec<Document>>>()?;
    let more = documents.len() == limit;
    let rest = documents.last().filter(|_| more).map(Document::place);
    Ok(DocumentPage { documents, rest })
}

pub(super) async fn count(connection: Object, filter: DocumentFilter, most: u64) -> Result<u64> {
    let mut values = filter_values(&filter);
    values.push(Box::new(int(most)));
    let select = format!("select count(*) from ({} limit ${}) as a", ages(&filter, "true"), values.len());
    let rows = query(&connection, &select, &values).await?;
    rows.first().map_or(Ok(0), |row| uint(row.get(0)))
}

pub(super) async fn due(
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

pub(super) async fn all(
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
