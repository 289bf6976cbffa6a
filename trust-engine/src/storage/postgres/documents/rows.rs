//! Rows of documents, as statements give them.

use tokio_postgres::Row;

use super::super::codes::uint;
use super::super::error::damaged;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::storage::{Document, DocumentKey, DocumentKind, Tag};

/// Columns of a document `d`, in the order that [`document_of`] reads them.
pub(super) const DOCUMENT: &str = "d.kind, d.organization, d.id, d.version, d.body, d.created, d.changed, d.tag_names, d.tag_values, d.due, d.record";

/// The tag that every document has, beside those of its own.
pub(super) static EVERY: Tag = Tag { name: String::new(), value: String::new() };

pub(super) fn key_of(row: &Row) -> Result<DocumentKey> {
    let kind = usize::try_from(row.get::<_, i16>(0)).ok().and_then(|code| DocumentKind::ALL.get(code));
    let kind = *kind.ok_or_else(|| damaged("kind of a document"))?;
    let organization =
        OrganizationId::recorded(row.get(1)).map_err(|_| damaged("organization of a document"))?;
    Ok(DocumentKey { kind, organization, id: row.get(2) })
}

pub(super) fn document_of(row: &Row) -> Result<Document> {
    Ok(Document {
        key: key_of(row)?,
        version: uint(row.get(3))?,
        body: row.get(4),
        created: Timestamp::from_micros(row.get(5)),
        changed: Timestamp::from_micros(row.get(6)),
        tags: tags_of(row.get(7), row.get(8)),
        due: row.get::<_, Option<i64>>(9).map(Timestamp::from_micros),
        record: row.get(10),
    })
}

pub(super) fn tags_of(names: Vec<String>, values: Vec<String>) -> Vec<Tag> {
    names.into_iter().zip(values).map(|(name, value)| Tag { name, value }).collect()
}
