//! The documents that records tell of: their keys, and what a record says that a document is.

use serde_json::Value;

use crate::ids::{AgentId, OrganizationId};
use crate::policy::PolicyHash;
use crate::provenance::{Entry, Payload, RecordType};
use crate::storage::{Document, DocumentKey, DocumentKind};

/// The key of an agent's document.
pub(crate) fn agent_key(organization: &OrganizationId, id: &AgentId) -> DocumentKey {
    DocumentKey { kind: DocumentKind::Agent, organization: organization.clone(), id: id.as_str().to_owned() }
}

/// The key of the policy in force: there is one, and the log has its versions.
pub(crate) fn policy_key() -> DocumentKey {
    DocumentKey { kind: DocumentKind::Policy, organization: OrganizationId::default(), id: "policy".into() }
}

/// The key of the document that a record changed; `None` if it changed none.
pub(crate) fn changed_document(entry: &Entry) -> Option<DocumentKey> {
    match entry.kind {
        RecordType::Agent => Some(agent_key(&entry.organization, entry.agent.as_ref()?)),
        RecordType::Policy => Some(policy_key()),
        _ => None,
    }
}

/// A version of a document as its record left it.
pub(crate) struct RecordedVersion {
    pub(crate) version: u64,
    content: Content,
}

enum Content {
    Json(Value),
    Policy(Option<PolicyHash>),
}

impl RecordedVersion {
    /// The version that a record tells of; `None` if its payload is gone.
    pub(crate) fn of(entry: &Entry, payload: Option<&Payload>) -> Option<Self> {
        let mut body = payload?.json().ok()?;
        let version_of = |body: &Value| body.get("version").and_then(Value::as_u64);
        match entry.kind {
            RecordType::Agent => {
                let after = body.get_mut("after").map(Value::take)?;
                Some(Self { version: version_of(&after)?, content: Content::Json(after) })
            }
            _ => Some(Self { version: version_of(&body)?, content: Content::Policy(entry.policy) }),
        }
    }

    /// Whether a document has the recorded content.
    pub(crate) fn is_content_of(&self, document: &Document) -> bool {
        match &self.content {
            Content::Json(body) => {
                serde_json::from_str::<Value>(&document.body).is_ok_and(|stored| stored == *body)
            }
            Content::Policy(hash) => Some(PolicyHash::of_canonical(&document.body)) == *hash,
        }
    }
}
