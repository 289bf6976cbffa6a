//! Numbers, words and hashes as columns hold them.

use super::error::damaged;
use crate::error::Result;
use crate::provenance::{Hash, RecordType};

/// Numbers in the database are signed; none of ours comes near their end.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn uint(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| damaged("number"))
}

pub(super) fn kind_code(kind: RecordType) -> i16 {
    kind as i16
}

pub(super) fn hash_of(bytes: &[u8]) -> Result<Hash> {
    bytes.try_into().map(Hash::from_bytes).map_err(|_| damaged("hash"))
}
