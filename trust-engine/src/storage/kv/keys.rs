//! Keys, in an order that makes every query a range.
//!
//! Numbers are big-endian. Ids are closed by a zero byte, which no id contains, so that one id is never a prefix of
//! another's range.

use crate::clock::Timestamp;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Decision;
use crate::provenance::RecordType;

pub(super) const HEAD: &[u8] = b"head";
/// The key of the row that names the owner: the engine that claimed the log last.
pub(super) const OWNER: &[u8] = b"owner";

/// Decisions as index bytes; 0 is none.
pub(super) const DECISIONS: [Option<Decision>; 4] =
    [None, Some(Decision::Allow), Some(Decision::Deny), Some(Decision::Escalate)];

pub(super) fn index(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(super) fn hash(level: u8, start: u64) -> Vec<u8> {
    [&[level][..], &start.to_be_bytes()].concat()
}

/// The parts of an agent's key.
pub(super) fn agent<'a>(organization: &'a OrganizationId, agent: &'a AgentId) -> [&'a [u8]; 4] {
    [organization.as_str().as_bytes(), &[0], agent.as_str().as_bytes(), &[0]]
}

pub(super) fn organization(organization: &OrganizationId) -> Vec<u8> {
    [organization.as_str().as_bytes(), &[0]].concat()
}

/// The bytes that follow the organization in the key of a class.
pub(super) fn class(kind: RecordType, decision: Option<Decision>) -> [u8; 3] {
    [0, kind_code(kind), decision_code(decision)]
}

pub(super) fn time(time: Timestamp, index: u64) -> Vec<u8> {
    [time.micros().to_be_bytes(), index.to_be_bytes()].concat()
}

pub(super) fn stats(organization: &OrganizationId, bucket: i64) -> Vec<u8> {
    [organization.as_str().as_bytes(), &[0], &bucket.to_be_bytes()].concat()
}

/// `prefix` followed by an index.
pub(super) fn indexed(prefix: &[u8], index: u64) -> Vec<u8> {
    [prefix, &index.to_be_bytes()].concat()
}

/// The index at the end of a key.
pub(super) fn trailing_index(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn kind_code(kind: RecordType) -> u8 {
    kind as u8
}

pub(super) fn decision_code(decision: Option<Decision>) -> u8 {
    match decision {
        None => 0,
        Some(Decision::Allow) => 1,
        Some(Decision::Deny) => 2,
        Some(Decision::Escalate) => 3,
    }
}
