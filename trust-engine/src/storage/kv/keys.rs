//! Keys, in an order that makes every query a range.
//!
//! Numbers are big-endian. Ids are closed by a zero byte, which no id contains, so that one id is never a prefix of
//! another's range. Every row of a log has the log's shard in its key.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Decision;
use crate::provenance::{DecisionWord, RecordType};
use crate::storage::{DocumentFilter, DocumentKey, DocumentKind, DocumentPlace, FollowerKey, Shard, Tag};

/// Number of the codes that [`decision_code`] gives, from 0.
pub(super) const DECISION_CODES: u8 = 5;

/// The key of the row that holds a shard's head.
pub(super) fn head(shard: Shard) -> Vec<u8> {
    [&b"head"[..], &shard.to_be_bytes()].concat()
}

/// The key of the row that names a shard's owner: the engine that claimed it last.
pub(super) fn owner(shard: Shard) -> Vec<u8> {
    [&b"owner"[..], &shard.to_be_bytes()].concat()
}

/// The keys of all shards' heads lie between these.
pub(super) fn heads() -> [Vec<u8>; 2] {
    [head(0), [&b"head"[..], &[0xFF; 5]].concat()]
}

/// The key of a follower's claim: its name alone, so that it stands before its rows.
pub(super) fn follower(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// The key of a follower's row.
pub(super) fn follower_row(name: &str, key: &FollowerKey) -> Vec<u8> {
    [name.as_bytes(), &[0], key.organization.as_str().as_bytes(), &[0], key.key.as_bytes()].concat()
}

/// Reads the key of a follower's row.
pub(super) fn follower_key(name: &str, row: &[u8]) -> Option<FollowerKey> {
    let (organization, key) = std::str::from_utf8(row.get(name.len() + 1..)?).ok()?.split_once('\0')?;
    Some(FollowerKey { organization: OrganizationId::recorded(organization).ok()?, key: key.to_owned() })
}

/// The place of an entry: its shard and its index there.
pub(super) fn place(shard: Shard, index: u64) -> [u8; 12] {
    let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (shard.to_be_bytes(), index.to_be_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The place at the end of a key or a value.
pub(super) fn trailing_place(bytes: &[u8]) -> Option<(Shard, u64)> {
    let shard = bytes.last_chunk::<12>()?.first_chunk::<4>()?;
    Some((Shard::from_be_bytes(*shard), trailing_index(bytes)?))
}

pub(super) fn hash(shard: Shard, level: u8, start: u64) -> Vec<u8> {
    [&shard.to_be_bytes()[..], &[level], &start.to_be_bytes()].concat()
}

/// The key of an id: the organizations that have it stand side by side.
pub(super) fn id(id: &Uuid, organization: &OrganizationId) -> Vec<u8> {
    [id.as_bytes(), organization.as_str().as_bytes()].concat()
}

/// The parts in front of the place in the key of a record that has a parent.
pub(super) fn parent<'a>(parent: &'a Uuid, organization: &'a OrganizationId) -> [&'a [u8]; 3] {
    [parent.as_bytes(), organization.as_str().as_bytes(), &[0]]
}

/// The parts of an agent's key.
pub(super) fn agent<'a>(organization: &'a OrganizationId, agent: &'a AgentId) -> [&'a [u8]; 4] {
    [organization.as_str().as_bytes(), &[0], agent.as_str().as_bytes(), &[0]]
}

/// The bytes that follow the organization in the key of a class.
pub(super) fn class(kind: RecordType, decision_code: u8) -> [u8; 3] {
    [0, kind_code(kind), decision_code]
}

pub(super) fn time(shard: Shard, time: Timestamp, index: u64) -> Vec<u8> {
    [&shard.to_be_bytes()[..], &time.micros().to_be_bytes(), &index.to_be_bytes()].concat()
}

pub(super) fn stats(organization: &OrganizationId, bucket: i64, shard: Shard) -> Vec<u8> {
    [organization.as_str().as_bytes(), &[0], &bucket.to_be_bytes(), &shard.to_be_bytes()].concat()
}

/// The organization and the bucket in the key of a row of statistics.
pub(super) fn stats_row(key: &[u8]) -> Option<(OrganizationId, i64)> {
    let organization = std::str::from_utf8(key.get(..key.len().checked_sub(13)?)?).ok()?;
    Some((OrganizationId::recorded(organization).ok()?, bucket(key)?))
}

/// The bucket in the key of a row of statistics.
pub(super) fn bucket(key: &[u8]) -> Option<i64> {
    key.last_chunk::<12>()?.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes))
}

/// `prefix` followed by a place.
pub(super) fn placed(prefix: &[u8], shard: Shard, index: u64) -> Vec<u8> {
    [prefix, &place(shard, index)].concat()
}

/// The index at the end of a key.
pub(super) fn trailing_index(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn kind_code(kind: RecordType) -> u8 {
    kind as u8
}

/// A decision as an index byte; a host's own words share one.
pub(super) fn decision_code(word: Option<&DecisionWord>) -> u8 {
    match word.map(DecisionWord::decision) {
        None => 0,
        Some(Some(Decision::Allow)) => 1,
        Some(Some(Decision::Deny)) => 2,
        Some(Some(Decision::Escalate)) => 3,
        Some(None) => 4,
    }
}

/// The key of a document. Nothing follows the id, so it needs no end.
pub(super) fn document(key: &DocumentKey) -> Vec<u8> {
    [&[key.kind as u8], key.organization.as_str().as_bytes(), &[0], key.id.as_bytes()].concat()
}

/// Reads the key of a document.
pub(super) fn document_key(key: &[u8]) -> Option<DocumentKey> {
    let (kind, rest) = key.split_first()?;
    let kind = DocumentKind::ALL.get(usize::from(*kind))?;
    key_in(*kind, rest)
}

/// The organization and the id at the end of a key.
fn key_in(kind: DocumentKind, rest: &[u8]) -> Option<DocumentKey> {
    let (organization, id) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some(DocumentKey { kind, organization: OrganizationId::recorded(organization).ok()?, id: id.to_owned() })
}

/// The first byte of a key of the documents' index: a part in the order of (organization, age), one in the order of
/// (organization, tag, age), and one in the order of due times.
const BY_AGE: u8 = 0;
const BY_TAG: u8 = 1;
const BY_DUE: u8 = 2;

/// The prefixes of the parts of the index that together say which documents pass a filter; an age follows each.
pub(super) fn index_streams(filter: &DocumentFilter) -> Vec<Vec<u8>> {
    let kind = filter.kind as u8;
    let organization = filter.organization.as_str().as_bytes();
    if filter.tags.is_empty() {
        return vec![[&[BY_AGE, kind], organization, &[0]].concat()];
    }
    let stream = |tag: &Tag| {
        [&[BY_TAG, kind], organization, &[0], tag.name.as_bytes(), &[0], tag.value.as_bytes(), &[0]].concat()
    };
    filter.tags.iter().map(stream).collect()
}

/// The age of a document, which orders lists: time of its first version, then id.
pub(super) fn age(created: Timestamp, id: &str) -> Vec<u8> {
    [&created.micros().to_be_bytes(), id.as_bytes()].concat()
}

/// The place in lists that an age stands for.
pub(super) fn place_of_age(age: &[u8]) -> Option<DocumentPlace> {
    let (created, id) = age.split_first_chunk::<8>()?;
    let created = Timestamp::from_micros(i64::from_be_bytes(*created));
    Some(DocumentPlace { created, id: std::str::from_utf8(id).ok()?.to_owned() })
}

pub(super) fn due(key: &DocumentKey, due: Timestamp) -> Vec<u8> {
    let organization = key.organization.as_str().as_bytes();
    [&[BY_DUE, key.kind as u8], &due.micros().to_be_bytes()[..], organization, &[0], key.id.as_bytes()]
        .concat()
}

/// The keys of a kind's documents that are due at or before `now`.
pub(super) fn due_range(kind: DocumentKind, now: Timestamp) -> [Vec<u8>; 2] {
    let at = |time: i64| [&[BY_DUE, kind as u8], &time.to_be_bytes()[..]].concat();
    [at(0), at(now.micros().saturating_add(1))]
}

/// The document's key in a key of due documents.
pub(super) fn key_of_due(kind: DocumentKind, row: &[u8]) -> Option<DocumentKey> {
    key_in(kind, row.get(10..)?)
}
