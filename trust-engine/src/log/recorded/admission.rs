//! Admissions: the checks with a request id that were admitted lately, so that a retry is free in every engine of a fleet.
//!
//! The CEILING record of such a check makes the document, which says where the answer is. It is removed without a record once
//! it is due, which the log can tell by itself: the record says when that is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::OrganizationId;
use crate::policy::Decision;
use crate::provenance::{Entry, Payload, RecordType, Source};
use crate::storage::{Document, DocumentKey, DocumentKind};

/// The time for which a retry is free.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Whether a retry of a request that was admitted at `at` is still free. One that lies as far ahead was made by a clock that
/// was wrong.
pub(crate) fn is_current(at: Timestamp, now: Timestamp) -> bool {
    at < now.plus(LIFE) && at.plus(LIFE) > now
}

/// The names that tell the requests of an organization apart.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestName<'a> {
    pub(crate) agent_id: &'a str,
    pub(crate) request_id: &'a str,
}

impl RequestName<'_> {
    /// The key of the document. Both names together may be longer than an id.
    pub(crate) fn key(&self, organization: &OrganizationId) -> DocumentKey {
        let mut hash = Sha256::new();
        for part in [self.agent_id, self.request_id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id = hex::encode(hash.finalize());
        DocumentKey { kind: DocumentKind::Admission, organization: organization.clone(), id }
    }

    /// The document of an admission. Its version is its time, so that a removal meant for an earlier one takes no later
    /// one away.
    pub(crate) fn admitted(
        &self,
        organization: &OrganizationId,
        at: Timestamp,
        record: Uuid,
    ) -> Result<Document> {
        let no_json = |error| Error::invalid("requestId", "is not valid JSON").caused_by(error);
        Ok(Document {
            key: self.key(organization),
            version: at.micros().unsigned_abs(),
            body: serde_json::to_string(self).map_err(no_json)?,
            created: at,
            changed: at,
            tags: Vec::new(),
            due: Some(at.plus(LIFE)),
            record,
        })
    }
}

/// The admission that a record tells of; `None` if it is no admitted check with a request id.
pub(crate) fn recorded_admission(entry: &Entry, payload: &Payload) -> Option<Document> {
    let admits = entry.decision.as_ref().is_some_and(|word| word.as_str() == Decision::Allow.as_str());
    if entry.kind != RecordType::Ceiling || entry.source != Source::Engine || !admits {
        return None;
    }
    /// The parts of the payload that count. A text may be escaped, so it is not borrowed.
    #[derive(Deserialize)]
    struct Check {
        verdict: Verdict,
        inputs: Inputs,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Verdict {
        evaluated_at: Timestamp,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Inputs {
        agent_id: String,
        request_id: String,
    }
    let Check { verdict, inputs } = serde_json::from_slice(&payload.bytes).ok()?;
    let name = RequestName { agent_id: &inputs.agent_id, request_id: &inputs.request_id };
    name.admitted(&entry.organization, verdict.evaluated_at, entry.id).ok()
}
