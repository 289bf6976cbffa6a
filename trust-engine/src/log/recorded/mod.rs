//! The documents that records tell of: their keys, and what a record says that a document is.

mod admission;
mod state;

use serde_json::Value;
use uuid::Uuid;

use crate::agent::Agent;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::PolicyHash;
use crate::provenance::{Entry, Payload, RecordType};
use crate::storage::{Document, DocumentKey, DocumentKind, Tag};

pub(crate) use admission::{RequestName, is_current, recorded_admission};
pub(crate) use state::StateChange;

/// The key of an agent's document.
pub(crate) fn agent_key(organization: &OrganizationId, id: &AgentId) -> DocumentKey {
    DocumentKey { kind: DocumentKind::Agent, organization: organization.clone(), id: id.as_str().to_owned() }
}

/// The key of the policy in force: there is one, and the log has its versions.
pub(crate) fn policy_key() -> DocumentKey {
    DocumentKey { kind: DocumentKind::Policy, organization: OrganizationId::default(), id: "policy".into() }
}

/// The key of the document that a record changed; `None` if it changed none.
///
/// A STATE record whose payload was erased no longer says which.
pub(crate) fn changed_document(entry: &Entry, payload: Option<&Payload>) -> Option<DocumentKey> {
    match entry.kind {
        RecordType::State => StateChange::read(payload?).map(|change| change.key_in(&entry.organization)),
        RecordType::Agent => Some(agent_key(&entry.organization, entry.agent.as_ref()?)),
        RecordType::Policy => Some(policy_key()),
        RecordType::Ceiling => recorded_admission(entry, payload?).map(|document| document.key),
        _ => None,
    }
}

/// The names of the tags that agents are found by.
pub(crate) const FAMILY: &str = "family";
pub(crate) const STATUS: &str = "status";
pub(crate) const TIER: &str = "tier";

/// An agent's document, made by `record`.
pub(crate) fn agent_document(agent: &Agent, record: Uuid) -> Result<Document> {
    let no_json = |error| Error::new(ErrorKind::Corrupt, "an agent cannot be stored").caused_by(error);
    let family = agent.family.as_ref().unwrap_or(&agent.id);
    Ok(Document {
        key: agent_key(&agent.organization, &agent.id),
        version: agent.version,
        body: serde_json::to_string(agent).map_err(no_json)?,
        created: agent.registered_at,
        changed: agent.changed_at,
        // In the order of their names.
        tags: vec![
            Tag::new(FAMILY, family.as_str()),
            Tag::new(STATUS, agent.status.as_str()),
            Tag::new(TIER, agent.tier.as_str()),
        ],
        due: None,
        record,
    })
}

/// A version of a document as its record left it.
pub(crate) struct RecordedVersion {
    pub(crate) version: u64,
    content: Content,
}

enum Content {
    /// The agent as the record has it, also if this version cannot read it.
    Agent(Value),
    Policy(Option<PolicyHash>),
    /// The change, and the salt of its digest.
    State(StateChange, [u8; 32]),
}

impl RecordedVersion {
    /// The version that a record tells of; `None` if its payload is gone.
    pub(crate) fn of(entry: &Entry, payload: Option<&Payload>) -> Option<Self> {
        let payload = payload?;
        if entry.kind == RecordType::State {
            let change = StateChange::read(payload)?;
            return Some(Self { version: change.version, content: Content::State(change, payload.salt) });
        }
        let mut body = payload.json().ok()?;
        match entry.kind {
            RecordType::Agent => {
                let after = body.get_mut("after").map(Value::take).unwrap_or_default();
                let version = after.get("version").and_then(Value::as_u64).unwrap_or(0);
                Some(Self { version, content: Content::Agent(after) })
            }
            _ => {
                let version = body.get("version").and_then(Value::as_u64)?;
                Some(Self { version, content: Content::Policy(entry.policy) })
            }
        }
    }

    /// Whether the record removed the document.
    pub(crate) fn is_removal(&self) -> bool {
        matches!(&self.content, Content::State(change, _) if change.is_removal())
    }

    /// Whether a document is the recorded one: version, content and tags, and the times of an agent, which its content
    /// has.
    pub(crate) fn is(&self, document: &Document) -> bool {
        let expected = match &self.content {
            Content::Agent(after) => {
                let same = serde_json::from_str::<Value>(&document.body).is_ok_and(|stored| stored == *after);
                let agent = serde_json::from_value::<Agent>(after.clone()).ok().filter(|_| same);
                agent.and_then(|agent| agent_document(&agent, document.record).ok())
            }
            Content::State(change, salt) => return change.is(document, salt),
            Content::Policy(hash) => {
                let same = Some(PolicyHash::of_canonical(&document.body)) == *hash;
                same.then(|| Document { tags: Vec::new(), due: None, ..document.clone() })
            }
        };
        // The body was compared above: another version of this crate may write its fields in another order.
        let body = || document.body.clone();
        document.version == self.version
            && expected.is_some_and(|expected| *document == Document { body: body(), ..expected })
    }
}
