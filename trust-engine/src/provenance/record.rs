//! Records as callers meet them: the records that they write, those that they get back, and the receipts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::decision_word::DecisionWord;
use super::entry::{Entry, RecordType};
use super::hash::Hash;
use super::note::{NoteSignature, SignedNote};
use super::payload::Payload;
use super::{Checkpoint, VerifierKey};
use crate::attribution::attributed;
use crate::bounds::{check_line, check_object, check_reason};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::AgentId;

/// The version (RFC 9562) of the ids that followers derive: no caller may take one of them.
const DERIVED_VERSION: usize = 8;

/// Longest reason code of a caller's record in bytes.
const MAX_REASON_CODE_BYTES: usize = 64;

/// A record that a host writes itself: about a decision that it made on its own, or about the consequence of one.
///
/// ```
/// use trust_engine::{Decision, NewRecord, RecordType};
///
/// let record = NewRecord::new(RecordType::Escalation, "agent_001", Decision::Allow).reason("approved by two");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    #[serde(rename = "type")]
    kind: RecordType,
    agent_id: String,
    decision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl NewRecord {
    /// A record about `agent`. The decision is one of the engine's or a word of the host's own: see
    /// [`DecisionWord`].
    pub fn new(kind: RecordType, agent: impl Into<String>, decision: impl Into<String>) -> Self {
        Self {
            id: None,
            kind,
            agent_id: agent.into(),
            decision: decision.into(),
            reason_code: None,
            reason: None,
            context: None,
            parent_id: None,
            caller: None,
            on_behalf_of: None,
            traceparent: None,
        }
    }

    /// Gives the record its id, so that a retry with the same content returns the same receipt.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the reason as a stable word: 1 to 64 bytes. It is in the entry and can never be erased.
    #[must_use]
    pub fn reason_code(mut self, code: impl Into<String>) -> Self {
        self.reason_code = Some(code.into());
        self
    }

    /// Sets the reason for people.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets anything else that is to be kept; at most 16 KiB of JSON, 8 levels deep.
    #[must_use]
    pub fn context(mut self, context: Map<String, Value>) -> Self {
        self.context = Some(context);
        self
    }

    /// Sets the record that this one follows from; it must be committed and of the same organization.
    #[must_use]
    pub fn parent(mut self, parent: Uuid) -> Self {
        self.parent_id = Some(parent);
        self
    }

    /// Checks every bound, and gives the agent's id and the decision.
    pub(crate) fn check(&self) -> Result<(AgentId, DecisionWord)> {
        let agent = AgentId::parse(&self.agent_id)?;
        let decision = self.decision.parse()?;
        if !self.kind.is_public() {
            let issue = format!("{} is written by the engine only", self.kind);
            return Err(Error::invalid("type", issue));
        }
        if self.id.is_some_and(|id| id.is_nil()) {
            return Err(Error::invalid("id", "is the nil UUID"));
        }
        if self.id.is_some_and(|id| id.get_version_num() == DERIVED_VERSION) {
            return Err(Error::invalid(
                "id",
                "is a UUID of version 8, which is kept for records that follow from others",
            ));
        }
        if let Some(code) = &self.reason_code {
            check_line("reasonCode", code, MAX_REASON_CODE_BYTES)?;
        }
        if let Some(reason) = &self.reason {
            check_reason(reason)?;
        }
        if let Some(context) = &self.context {
            check_object("context", context)?;
        }
        self.attribution().check()?;
        Ok((agent, decision))
    }

    pub(crate) fn payload_json(&self) -> Vec<u8> {
        let text = |name: &str, text: &Option<String>| Some((name.to_owned(), Value::String(text.clone()?)));
        let context = self.context.clone().map(|context| ("context".to_owned(), Value::Object(context)));
        let parts = [
            text("reason", &self.reason),
            context,
            text("caller", &self.caller),
            text("onBehalfOf", &self.on_behalf_of),
            text("traceparent", &self.traceparent),
        ];
        Value::Object(parts.into_iter().flatten().collect()).to_string().into_bytes()
    }

    pub(crate) fn supplied_id(&self) -> Option<Uuid> {
        self.id
    }
    pub(crate) fn kind(&self) -> RecordType {
        self.kind
    }
    pub(crate) fn decision_text(&self) -> &str {
        &self.decision
    }
    pub(crate) fn code(&self) -> Option<&str> {
        self.reason_code.as_deref()
    }
    pub(crate) fn parent_id(&self) -> Option<Uuid> {
        self.parent_id
    }
    pub(crate) fn agent_name(&self) -> &str {
        &self.agent_id
    }
    pub(crate) fn reason_text(&self) -> Option<&str> {
        self.reason.as_deref()
    }
    pub(crate) fn context_object(&self) -> Option<&Map<String, Value>> {
        self.context.as_ref()
    }
}

attributed!(NewRecord);

/// A checkpoint and the signed note that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The checkpoint that is signed.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: SignedNote,
}

impl SignedCheckpoint {
    /// Reads a note without verifying it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let note: SignedNote = text.parse()?;
        Ok(Self { checkpoint: note.text.parse()?, note })
    }

    /// Whether `key` signed it, in the name of its origin.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.checkpoint.origin == key.name() && self.note.is_signed_by(key)
    }
}

/// Acknowledges a record: its place in the log, and the checkpoint that first covers it.
///
/// A receipt exists only for a record that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) id: Uuid,
    pub(crate) index: u64,
    pub(crate) leaf: Hash,
    pub(crate) time: Timestamp,
    pub(crate) signed: Arc<SignedCheckpoint>,
}

impl Receipt {
    /// The record's id.
    pub fn id(&self) -> Uuid {
        self.id
    }
    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.signed.checkpoint.origin
    }
    /// The record's index in the log.
    pub fn leaf_index(&self) -> u64 {
        self.index
    }
    /// Hash of the record's leaf.
    pub fn leaf_hash(&self) -> Hash {
        self.leaf
    }
    /// The time at which the record entered the log.
    pub fn time(&self) -> Timestamp {
        self.time
    }
    /// Size of the log at the checkpoint.
    pub fn tree_size(&self) -> u64 {
        self.signed.checkpoint.size
    }
    /// Root of the log at the checkpoint.
    pub fn root(&self) -> Hash {
        self.signed.checkpoint.root
    }
    /// The log's signature: base64 of key id and Ed25519 signature. With origin, size and root it is the whole note.
    pub fn signature(&self) -> String {
        self.signed.note.signatures.first().map(NoteSignature::to_base64).unwrap_or_default()
    }
    /// The checkpoint as a signed note.
    pub fn checkpoint(&self) -> String {
        self.signed.note.to_string()
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, size) = (self.index, self.tree_size());
        write!(f, "record {} is entry {index} of {}, signed at size {size}", self.id, self.origin())
    }
}

/// A committed record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub(crate) entry: Entry,
    pub(crate) bytes: Vec<u8>,
    pub(crate) payload: Option<Payload>,
    pub(crate) receipt: Receipt,
}

impl Record {
    /// The record's id.
    pub fn id(&self) -> Uuid {
        self.entry.id
    }
    /// The decoded entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
    /// The exact bytes that were hashed into the tree.
    pub fn entry_bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The payload with its salt, unless it is gone.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }
    /// The payload as JSON: reason, context, inputs, trace.
    pub fn details(&self) -> Result<Option<Value>> {
        let malformed = |error| Error::new(ErrorKind::Corrupt, "the payload is not JSON").caused_by(error);
        self.payload.as_ref().map(Payload::json).transpose().map_err(malformed)
    }
    /// The record's receipt: its place in the log, and the checkpoint that first covers it.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}
