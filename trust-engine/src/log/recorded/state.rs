//! What a STATE record says: the change of a document whose kind has no record type of its own.
//!
//! The payload names the document and holds a digest of it, never the document itself, which may hold secrets. Each STATE
//! record names the one before it of the same document as its parent, so the history of a document can be followed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, Payload, keyed_hash};
use crate::storage::{Document, DocumentKey, DocumentKind, Tag};

/// The change that a STATE record tells of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateChange {
    pub(crate) kind: DocumentKind,
    pub(crate) id: String,
    /// The version that the change left; of a removal, the one that would have come next.
    pub(crate) version: u64,
    /// The digest of the document; `None` if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    /// Why it was changed, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl StateChange {
    /// The change that leaves `document`, or that removes `key` at a version.
    pub(crate) fn new(
        key: &DocumentKey,
        version: u64,
        document: Option<&Document>,
        salt: &[u8; 32],
    ) -> Result<Self> {
        let digest = document.map(|document| digest(document, salt)).transpose()?;
        let (kind, id) = (key.kind, key.id.clone());
        let digest = digest.map(Hash::to_base64);
        Ok(Self { kind, id, version, digest, actor: None, reason: None })
    }

    /// Says who made the change, and why.
    pub(crate) fn by(mut self, actor: Option<&str>, reason: Option<&str>) -> Self {
        (self.actor, self.reason) = (actor.map(str::to_owned), reason.map(str::to_owned));
        self
    }

    /// Reads the payload of a STATE record.
    pub(super) fn read(payload: &Payload) -> Option<Self> {
        serde_json::from_slice(&payload.bytes).ok()
    }

    pub(super) fn key_in(&self, organization: &OrganizationId) -> DocumentKey {
        DocumentKey { kind: self.kind, organization: organization.clone(), id: self.id.clone() }
    }

    /// Whether a document is the one that the change left.
    pub(super) fn is(&self, document: &Document, salt: &[u8; 32]) -> bool {
        let digest = digest(document, salt).ok().map(Hash::to_base64);
        self.version == document.version && digest.is_some() && digest == self.digest
    }

    pub(super) fn is_removal(&self) -> bool {
        self.digest.is_none()
    }
}

/// HMAC-SHA-256, under the salt of the record's payload, of the canonical JSON (RFC 8785) of a document: its fields in
/// the order of their names, the body as a string.
fn digest(document: &Document, salt: &[u8; 32]) -> Result<Hash> {
    /// The fields stand in the order of their names on the wire.
    #[derive(Serialize)]
    struct Canonical<'a> {
        body: &'a str,
        changed: String,
        created: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        due: Option<String>,
        id: &'a str,
        kind: DocumentKind,
        organization: &'a str,
        tags: &'a [Tag],
        version: String,
    }
    let canonical = Canonical {
        body: &document.body,
        changed: document.changed.to_string(),
        created: document.created.to_string(),
        due: document.due.map(|due| due.to_string()),
        id: &document.key.id,
        kind: document.key.kind,
        organization: document.key.organization.as_str(),
        tags: &document.tags,
        version: document.version.to_string(),
    };
    let no_json = |error| Error::new(ErrorKind::Corrupt, "a document is not JSON").caused_by(error);
    Ok(keyed_hash(salt, &serde_json::to_vec(&canonical).map_err(no_json)?))
}
