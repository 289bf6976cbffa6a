//! Cursors: a place in a list and a fingerprint of its query, in text that callers hand back.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// Longest cursor: one of a thousand shards.
const MAX_CURSOR: usize = 64 * 1024;

/// The content of a cursor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor<P> {
    /// The fingerprint of the query, so that a cursor is not used for another one.
    query: u64,
    rest: P,
}

/// Writes the place at which a query goes on.
pub(crate) fn write(place: &impl Serialize, query: &impl Debug) -> Result<String> {
    let json = serde_json::to_vec(&Cursor { query: fingerprint(query), rest: place });
    let json = json.map_err(|error| Error::invalid("cursor", "cannot be written").caused_by(error))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Reads the place from a cursor of this query.
pub(crate) fn read<P: DeserializeOwned>(text: &str, query: &impl Debug) -> Result<P> {
    if text.len() > MAX_CURSOR {
        return Err(malformed());
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
    let cursor: Cursor<P> = serde_json::from_slice(&json).map_err(|_| malformed())?;
    if cursor.query != fingerprint(query) {
        return Err(Error::invalid("cursor", "belongs to another query"));
    }
    Ok(cursor.rest)
}

pub(crate) fn malformed() -> Error {
    Error::invalid("cursor", "is not one that a query gave")
}

/// 53 bits of a hash of the query, so that any JSON reader keeps them.
fn fingerprint(query: &impl Debug) -> u64 {
    let digest: [u8; 32] = Sha256::digest(format!("{query:?}")).into();
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes) >> 11)
}
