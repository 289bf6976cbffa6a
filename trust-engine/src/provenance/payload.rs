//! The payload: the part of a record that can be erased.
//!
//! The entry holds HMAC-SHA-256(salt, payload). The salt is random and kept with the payload, so a reader who has
//! neither learns nothing from the entry, not even by guessing likely payloads.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::hash::Hash;

/// Largest payload in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 2 * 1024 * 1024;

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn keyed_hash(key: &[u8; 32], bytes: &[u8]) -> Hash {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => Hash::from_bytes(mac.chain_update(bytes).finalize().into_bytes().into()),
        // HMAC takes keys of any length.
        Err(_) => Hash::from_bytes([0; 32]),
    }
}

/// A payload and its salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// 32 random bytes, the key of the commitment.
    pub salt: [u8; 32],
    /// JSON.
    pub bytes: Vec<u8>,
}

impl Payload {
    /// The commitment that the entry holds.
    pub fn commitment(&self) -> Hash {
        keyed_hash(&self.salt, &self.bytes)
    }

    /// The payload as JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.bytes)
    }
}
