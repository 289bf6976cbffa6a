//! The tables of documents: one row for each, and rows of an index by age, by tag and by due time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::store::{KvStore, decode, encode};
use super::{Kv, Table, WriteBatch, keys};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{
    Document, DocumentChange, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace, Tag,
};

/// Index rows read at a time.
const CHUNK: usize = 256;
/// Fewest index rows read at a time where streams leap over most of them.
const LEAP: usize = 8;
/// Most index rows of several tags that are read for a page, and for a count.
const ROWS: usize = 50_000;
const COUNT_ROWS: usize = 2_000_000;

/// Ages that were found in the index, and the one to go on behind; `None` when everything was seen.
#[derive(Default)]
struct Ages {
    found: Vec<Vec<u8>>,
    rest: Option<Vec<u8>>,
}

/// A document's row.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    version: u64,
    created: Timestamp,
    changed: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    record: Uuid,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Ages {
    fn ended(self) -> Self {
        Self { rest: None, ..self }
    }
}

impl<K: Kv> KvStore<K> {
    /// Adds the rows that the changes write, or gives the places of the changes made from an outdated version.
    pub(super) fn add_documents(
        &self,
        changes: &[DocumentChange],
        rows: &mut WriteBatch,
    ) -> Result<std::result::Result<(), Vec<usize>>> {
        let mut conflicts = Vec::new();
        // Each document as it is stored, and as the changes so far leave it.
        let mut documents: BTreeMap<&DocumentKey, (Option<Document>, Option<Document>)> = BTreeMap::new();
        for (place, change) in changes.iter().enumerate() {
            let key = change.key();
            if !documents.contains_key(key) {
                let stored = self.read_document(key)?;
                documents.insert(key, (stored.clone(), stored));
            }
            let Some((_, current)) = documents.get_mut(key) else { continue };
            if current.as_ref().map(|document| document.version) == change.expected {
                *current = change.document().cloned();
            } else {
                conflicts.push(place);
            }
        }
        if !conflicts.is_empty() {
            return Ok(Err(conflicts));
        }
        // Only the difference is written, each row once: the order of two writes of one key would not be certain.
        for (key, (before, after)) in documents {
            let indexed = |document: &Option<Document>| document.as_ref().map(index_rows).unwrap_or_default();
            let (old, new) = (indexed(&before), indexed(&after));
            old.difference(&new).for_each(|row| rows.remove(Table::DocumentIndex, row));
            match &after {
                Some(document) => {
                    rows.put(Table::Documents, &[&keys::document(key)], &[&encode_row(document)?])
                }
                None if before.is_some() => rows.remove(Table::Documents, &keys::document(key)),
                None => {}
            }
            new.difference(&old).for_each(|row| rows.put(Table::DocumentIndex, &[row], &[]));
        }
        Ok(Ok(()))
    }

    pub(in crate::storage) fn read_document(&self, key: &DocumentKey) -> Result<Option<Document>> {
        let bytes = self.kv.get(Table::Documents, &keys::document(key))?;
        bytes.map(|bytes| decode_row(key.clone(), &bytes)).transpose()
    }

    /// Documents of a filter after a place, at most `limit`.
    pub(super) fn list_documents(
        &self,
        filter: &DocumentFilter,
        after: Option<&DocumentPlace>,
        limit: usize,
    ) -> Result<DocumentPage> {
        let mut page = DocumentPage::default();
        // One byte more than the key of a place is behind that place.
        let mut from =
            after.map(|place| [&keys::age(place.created, &place.id)[..], &[0]].concat()).unwrap_or_default();
        let mut budget = ROWS;
        while page.documents.len() < limit {
            let ages = self.ages(filter, from, limit - page.documents.len(), &mut budget)?;
            for age in &ages.found {
                let DocumentPlace { id, .. } = keys::place_of_age(age).ok_or_else(damaged)?;
                let key = DocumentKey { kind: filter.kind, organization: filter.organization.clone(), id };
                // A change that came after the index was read may have taken the document away.
                page.documents.extend(self.read_document(&key)?.filter(|document| filter.accepts(document)));
            }
            let Some(rest) = ages.rest else {
                page.rest = None;
                return Ok(page);
            };
            page.rest = Some(keys::place_of_age(&rest).ok_or_else(damaged)?);
            from = [&rest[..], &[0]].concat();
            if budget == 0 {
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn count_documents_of(&self, filter: &DocumentFilter, most: u64) -> Result<u64> {
        let (mut count, mut from, mut budget) = (0u64, Vec::new(), COUNT_ROWS);
        while count < most {
            let wanted = CHUNK.min(usize::try_from(most - count).unwrap_or(CHUNK));
            let ages = self.ages(filter, from, wanted, &mut budget)?;
            count += ages.found.len() as u64;
            let Some(rest) = ages.rest else { break };
            if budget == 0 && count < most {
                return Err(DocumentFilter::too_many_to_count());
            }
            from = [&rest[..], &[0]].concat();
        }
        Ok(count)
    }

    /// The ages of the documents that have all tags of a filter, from `from`, at most `limit`.
    fn ages(&self, filter: &DocumentFilter, from: Vec<u8>, limit: usize, budget: &mut usize) -> Result<Ages> {
        let streams = keys::index_streams(filter);
        let [first, others @ ..] = streams.as_slice() else { return Ok(Ages::default()) };
        if others.is_empty() {
            let found = self.stream(first, &from, limit)?;
            let rest = found.last().filter(|_| found.len() == limit).cloned();
            return Ok(Ages { found, rest });
        }
        // Each stream leaps to where another one has come, so the rarest tag sets the pace.
        let mut first = Stream::new(self, first);
        let mut others: Vec<_> = others.iter().map(|prefix| Stream::new(self, prefix)).collect();
        let (mut ages, mut at) = (Ages::default(), from);
        while ages.found.len() < limit && *budget > 0 {
            let Some(candidate) = first.next_from(&at, budget)? else { return Ok(ages.ended()) };
            let mut beyond = None;
            for stream in &mut others {
                match stream.next_from(&candidate, budget)? {
                    None => return Ok(ages.ended()),
                    Some(there) if there == candidate => {}
                    Some(there) => {
                        beyond = Some(there);
                        break;
                    }
                }
            }
            at = match beyond {
                Some(there) => there,
                None => {
                    ages.found.push(candidate.clone());
                    [&candidate[..], &[0]].concat()
                }
            };
            // Nothing else up to the candidate has all tags, so a list can go on behind it.
            ages.rest = Some(candidate);
        }
        Ok(ages)
    }

    /// The ages in a stream of the index, from `from`.
    fn stream(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Vec<u8>>> {
        let (from, to) = ([prefix, from].concat(), [prefix, &[0xFF]].concat());
        let rows = self.kv.range(Table::DocumentIndex, &from, &to, false, limit)?;
        Ok(rows.into_iter().map(|(key, _)| key.get(prefix.len()..).unwrap_or_default().to_vec()).collect())
    }

    pub(super) fn list_due(&self, kind: DocumentKind, now: Timestamp, limit: usize) -> Result<Vec<Document>> {
        let [from, to] = keys::due_range(kind, now);
        let rows = self.kv.range(Table::DocumentIndex, &from, &to, false, limit)?;
        let mut due = Vec::with_capacity(rows.len());
        for (row, _) in rows {
            let key = keys::key_of_due(kind, &row).ok_or_else(damaged)?;
            // A change that came after the index was read may have moved it.
            let document = self.read_document(&key)?;
            due.extend(document.filter(|document| document.due.is_some_and(|due| due <= now)));
        }
        Ok(due)
    }

    pub(super) fn list_all(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Document>> {
        let from = after.map(|key| [&keys::document(key)[..], &[0]].concat()).unwrap_or_default();
        let rows = self.kv.range(Table::Documents, &from, &[0xFF], false, limit)?;
        let of = |(key, bytes): (Vec<u8>, Vec<u8>)| {
            decode_row(keys::document_key(&key).ok_or_else(damaged)?, &bytes)
        };
        rows.into_iter().map(of).collect()
    }
}

/// A stream of ages that is read some way ahead: further where most are used, less where most are leapt over.
struct Stream<'a, K> {
    store: &'a KvStore<K>,
    prefix: &'a [u8],
    ahead: VecDeque<Vec<u8>>,
    read: usize,
    used: usize,
    /// Whether nothing follows what was read ahead.
    ended: bool,
}

impl<'a, K: Kv> Stream<'a, K> {
    fn new(store: &'a KvStore<K>, prefix: &'a [u8]) -> Self {
        Self { store, prefix, ahead: VecDeque::new(), read: LEAP, used: LEAP, ended: false }
    }

    /// The first age from `from`, which must not go back.
    fn next_from(&mut self, from: &[u8], budget: &mut usize) -> Result<Option<Vec<u8>>> {
        while self.ahead.front().is_some_and(|age| age.as_slice() < from) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() && !self.ended {
            let most_used = self.used.saturating_mul(2) >= self.read;
            self.read = if most_used { self.read * 2 } else { self.read / 2 }.clamp(LEAP, CHUNK);
            self.used = 0;
            self.ahead = self.store.stream(self.prefix, from, self.read)?.into();
            self.ended = self.ahead.len() < self.read;
            *budget = budget.saturating_sub(self.ahead.len() + 1);
        }
        self.used += 1;
        Ok(self.ahead.front().cloned())
    }
}

/// The keys of a document's rows in the index.
fn index_rows(document: &Document) -> BTreeSet<Vec<u8>> {
    let DocumentKey { kind, organization, id } = &document.key;
    let filter = |tags| DocumentFilter { kind: *kind, organization: organization.clone(), tags };
    let tagged = document.tags.iter().map(|tag| filter(vec![tag.clone()]));
    let streams =
        std::iter::once(filter(Vec::new())).chain(tagged).flat_map(|filter| keys::index_streams(&filter));
    let age = keys::age(document.created, id);
    let mut rows: BTreeSet<Vec<u8>> = streams.map(|prefix| [prefix, age.clone()].concat()).collect();
    rows.extend(document.due.map(|due| keys::due(&document.key, due)));
    rows
}

fn encode_row(document: &Document) -> Result<Vec<u8>> {
    let no_json = |error| Error::new(ErrorKind::Corrupt, "a document is not JSON").caused_by(error);
    encode(&Row {
        version: document.version,
        created: document.created,
        changed: document.changed,
        tags: document.tags.clone(),
        due: document.due,
        record: document.record,
        body: serde_json::from_str(&document.body).map_err(no_json)?,
    })
}

fn decode_row(key: DocumentKey, bytes: &[u8]) -> Result<Document> {
    let Row { version, created, changed, tags, due, record, body } = decode(bytes, "a document")?;
    Ok(Document { key, version, body: body.get().to_owned(), created, changed, tags, due, record })
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the index of documents is damaged")
}
