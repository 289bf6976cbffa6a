//! Changes of documents.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::codes::{int, uint};
use super::super::error::from_driver;
use super::rows::{EVERY, key_of, tags_of};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::storage::{Document, DocumentChange, DocumentKey, Tag};

/// Applies changes one after the other, in a few statements, and gives the places of those made from an outdated
/// version; then nothing may be committed.
pub(in crate::storage::postgres) async fn apply(
    client: &impl GenericClient,
    changes: &[DocumentChange],
) -> Result<Vec<usize>> {
    let stored = lock(client, changes).await?;
    let rows = match last_changes(&stored, changes) {
        Ok(last) => Rows::of(&stored, &last),
        Err(conflicts) => return Ok(conflicts),
    };
    let written = write(client, &rows.made, "nothing").await?;
    if written.len() < rows.made.len() {
        // A row that another transaction has just made is no row that was locked above.
        let beaten = rows.made.iter().map(|document| &document.key).filter(|key| !written.contains(key));
        return Ok(beaten.filter_map(|key| changes.iter().rposition(|change| change.key() == key)).collect());
    }
    // The rows are there and locked; a conflict is the way to them that is always by the primary key.
    let update = "update set version = excluded.version, body = excluded.body, created = excluded.created,
        changed = excluded.changed, due = excluded.due, record = excluded.record, tag_names = excluded.tag_names,
        tag_values = excluded.tag_values";
    write(client, &rows.changed, update).await?;
    remove(client, rows.removed).await?;
    remove_tags(client, rows.old_tags).await?;
    add_tags(client, rows.new_tags).await?;
    Ok(Vec::new())
}

/// The rows that changes write and remove.
struct Rows<'a> {
    made: Vec<&'a Document>,
    changed: Vec<&'a Document>,
    removed: Keys<'a>,
    old_tags: TagColumns<'a>,
    new_tags: TagColumns<'a>,
}

impl<'a> Rows<'a> {
    fn of(stored: &'a BTreeMap<DocumentKey, Stored>, last: &LastChanges<'a>) -> Self {
        let left = last.values().copied().flatten();
        let (changed, made) = left.clone().partition(|document| stored.contains_key(&document.key));
        // A document that is made and removed within the batch was never there.
        let removed = last.iter().filter(|(key, document)| document.is_none() && stored.contains_key(key));
        let old: BTreeSet<TagRow<'a>> =
            stored.iter().flat_map(|(key, row)| tag_rows(key, row.created, &row.tags)).collect();
        let new: BTreeSet<TagRow<'a>> =
            left.flat_map(|document| tag_rows(&document.key, document.created, &document.tags)).collect();
        Self {
            made,
            changed,
            removed: Keys::of(removed.map(|(key, _)| *key)),
            old_tags: TagColumns::of(old.difference(&new)),
            new_tags: TagColumns::of(new.difference(&old)),
        }
    }
}

/// A document's row as it is before the changes.
struct Stored {
    version: u64,
    created: Timestamp,
    tags: Vec<Tag>,
}

/// Locks the rows of the documents that change and reads them, in the order of their keys: two engines that change the
/// same documents wait for each other and never in a circle. Each row is looked up by itself: a join may be planned over
/// the whole table.
async fn lock(
    client: &impl GenericClient,
    changes: &[DocumentChange],
) -> Result<BTreeMap<DocumentKey, Stored>> {
    let keys: BTreeSet<&DocumentKey> = changes.iter().map(DocumentChange::key).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let select = "select d.*
        from (select * from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality as k (kind, organization, id, place)
            order by place) as k,
        lateral (select kind, organization, id, version, created, tag_names, tag_values from documents
            where kind = k.kind and organization = k.organization and id = k.id limit 1 for update) as d";
    let statement = client.prepare_cached(select).await.map_err(from_driver)?;
    let Keys { kinds, organizations, ids } = Keys::of(keys.into_iter());
    let rows = client.query(&statement, &[&kinds, &organizations, &ids]).await.map_err(from_driver)?;
    let stored = rows.iter().map(|row| {
        let stored = Stored {
            version: uint(row.get(3))?,
            created: Timestamp::from_micros(row.get(4)),
            tags: tags_of(row.get(5), row.get(6)),
        };
        Ok((key_of(row)?, stored))
    });
    stored.collect()
}

/// Each document as its last change leaves it, `None` where it is removed. The earlier changes within a batch never show.
type LastChanges<'a> = BTreeMap<&'a DocumentKey, Option<&'a Document>>;

/// The last change of each document, or the places of the changes made from an outdated version.
fn last_changes<'a>(
    stored: &BTreeMap<DocumentKey, Stored>,
    changes: &'a [DocumentChange],
) -> std::result::Result<LastChanges<'a>, Vec<usize>> {
    let mut versions: BTreeMap<&DocumentKey, u64> =
        stored.iter().map(|(key, stored)| (key, stored.version)).collect();
    let (mut last, mut conflicts) = (BTreeMap::new(), Vec::new());
    for (place, change) in changes.iter().enumerate() {
        let key = change.key();
        if versions.get(key).copied() != change.expected {
            conflicts.push(place);
            continue;
        }
        match change.document() {
            Some(document) => versions.insert(key, document.version),
            None => versions.remove(key),
        };
        last.insert(key, change.document());
    }
    if conflicts.is_empty() { Ok(last) } else { Err(conflicts) }
}

/// Writes the rows of documents, doing what is given where there is one already, and gives the keys of those that were
/// written.
async fn write(
    client: &impl GenericClient,
    documents: &[&Document],
    where_there_is_one: &str,
) -> Result<BTreeSet<DocumentKey>> {
    if documents.is_empty() {
        return Ok(BTreeSet::new());
    }
    let insert = format!(
        "with given
            (kind, organization, id, version, body, created, changed, due, record, tag_names, tag_values) as (
            select d.kind, d.organization, d.id, d.version, d.body, d.created, d.changed, d.due, d.record,
                coalesce(t.names, '{{}}'), coalesce(t.values, '{{}}')
            from unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::uuid[]) with ordinality
                as d (kind, organization, id, version, body, created, changed, due, record, place)
            left join (
                select document, array_agg(name order by place) as names, array_agg(value order by place) as values
                from unnest($10::bigint[], $11::text[], $12::text[]) with ordinality as t (document, name, value, place)
                group by document
            ) t on t.document = d.place
        )
        insert into documents
            (kind, organization, id, version, body, created, changed, due, record, tag_names, tag_values)
        select * from given order by kind, organization, id
        on conflict (kind, organization, id) do {where_there_is_one} returning kind, organization, id"
    );
    let statement = client.prepare_cached(&insert).await.map_err(from_driver)?;
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
    let rows = client.query(&statement, &parameters).await.map_err(from_driver)?;
    rows.iter().map(key_of).collect()
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

/// Removes the rows of documents, which are locked.
async fn remove(client: &impl GenericClient, documents: Keys<'_>) -> Result<()> {
    let Keys { kinds, organizations, ids } = documents;
    if ids.is_empty() {
        return Ok(());
    }
    let delete = "delete from documents where ctid = any(array(
            select d.ctid from unnest($1::smallint[], $2::text[], $3::text[]) as k (kind, organization, id),
            lateral (select ctid from documents
                where kind = k.kind and organization = k.organization and id = k.id limit 1) as d))";
    let statement = client.prepare_cached(delete).await.map_err(from_driver)?;
    client.execute(&statement, &[&kinds, &organizations, &ids]).await.map_err(from_driver)?;
    Ok(())
}

/// Columns of keys.
#[derive(Default)]
struct Keys<'a> {
    kinds: Vec<i16>,
    organizations: Vec<&'a str>,
    ids: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(keys: impl Iterator<Item = &'a DocumentKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.kinds.push(key.kind as i16);
            columns.organizations.push(key.organization.as_str());
            columns.ids.push(&key.id);
        }
        columns
    }
}

/// A row of a tag, in the order of its columns.
type TagRow<'a> = (i16, &'a str, &'a str, &'a str, i64, &'a str);

fn tag_rows<'a>(
    key: &'a DocumentKey,
    created: Timestamp,
    tags: &'a [Tag],
) -> impl Iterator<Item = TagRow<'a>> {
    let DocumentKey { kind, organization, id } = key;
    tags.iter().chain([&EVERY]).map(move |Tag { name, value }| {
        (*kind as i16, organization.as_str(), name.as_str(), value.as_str(), created.micros(), id.as_str())
    })
}

/// Removes rows of tags, whose documents' rows are locked.
async fn remove_tags(client: &impl GenericClient, rows: TagColumns<'_>) -> Result<()> {
    let delete = "delete from document_tags where ctid = any(array(
            select t.ctid
            from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
                as k (kind, organization, name, value, created, id),
            lateral (select ctid from document_tags
                where kind = k.kind and organization = k.organization and name = k.name and value = k.value
                    and created = k.created and id = k.id limit 1) as t))";
    rows.execute(client, delete).await
}

async fn add_tags(client: &impl GenericClient, rows: TagColumns<'_>) -> Result<()> {
    let insert = "insert into document_tags (kind, organization, name, value, created, id)
        select * from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])";
    rows.execute(client, insert).await
}

/// Columns of rows of tags.
#[derive(Default)]
struct TagColumns<'a> {
    kinds: Vec<i16>,
    organizations: Vec<&'a str>,
    names: Vec<&'a str>,
    values: Vec<&'a str>,
    created: Vec<i64>,
    ids: Vec<&'a str>,
}

impl<'a> TagColumns<'a> {
    fn of<'b>(rows: impl Iterator<Item = &'b TagRow<'a>>) -> Self
    where
        'a: 'b,
    {
        let mut columns = Self::default();
        for (kind, organization, name, value, created, id) in rows {
            columns.kinds.push(*kind);
            columns.organizations.push(organization);
            columns.names.push(name);
            columns.values.push(value);
            columns.created.push(*created);
            columns.ids.push(id);
        }
        columns
    }

    /// Executes a statement whose parameters are these columns, unless there is no row.
    async fn execute(self, client: &impl GenericClient, statement: &str) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let statement = client.prepare_cached(statement).await.map_err(from_driver)?;
        let Self { kinds, organizations, names, values, created, ids } = &self;
        let parameters: [&(dyn ToSql + Sync); 6] = [kinds, organizations, names, values, created, ids];
        client.execute(&statement, &parameters).await.map_err(from_driver)?;
        Ok(())
    }
}
