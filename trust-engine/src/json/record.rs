//! Records as the contract writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{NewRecord, Receipt, Record, RecordType, Source};

/// A record, with the parts that make its checkpoint a signed note again: origin, tree size, root and signature.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProvenanceRecord")]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordAnswer<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: RecordType,
    source: Source,
    organization: &'a str,
    agent_id: Option<&'a str>,
    decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'a str>,
    #[schemars(with = "Option<String>")]
    reason: Option<Part<'a>>,
    #[schemars(with = "Option<Map<String, Value>>")]
    context: Option<Part<'a>>,
    parent_id: Option<Uuid>,
    /// The request that the engine was asked: role, resources, amounts and the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    inputs: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    caller: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    on_behalf_of: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    traceparent: Option<Part<'a>>,
    timestamp: Timestamp,
    merkle_root: String,
    signature: String,
    origin: &'a str,
    leaf_index: u64,
    tree_size: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payload_erased: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
}

/// The exact texts that a record is checked by, as an export has them: the entry is hashed into the tree, and holds the HMAC
/// of the payload under the salt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecordEvidence")]
struct Evidence<'a> {
    entry: &'a str,
    payload: Option<&'a str>,
    salt: Option<String>,
}

/// Entries and payloads are texts.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    let damaged = |error| Error::new(ErrorKind::Corrupt, "the record is not text").caused_by(error);
    std::str::from_utf8(bytes).map_err(damaged)
}

/// A part of a payload, as it is stored or as it was given.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Stored(&'a RawValue),
    Text(&'a str),
    Object(&'a Map<String, Value>),
}

/// The parts of a payload that are shown. A host's record has them all at the top; a verdict has those of the request in
/// `inputs`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    caller: Option<&'a RawValue>,
    #[serde(borrow)]
    on_behalf_of: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
}

impl<'a> RecordAnswer<'a> {
    pub(super) fn of(record: &'a Record) -> Result<Self> {
        let (entry, receipt) = (record.entry(), record.receipt());
        fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
            Error::new(ErrorKind::Corrupt, "the payload is not JSON").caused_by(error)
        }
        let top: Shown<'_> = match record.payload() {
            Some(payload) => serde_json::from_slice(&payload.bytes).map_err(damaged)?,
            None => Shown::default(),
        };
        let inputs: Shown<'_> = match top.inputs {
            Some(inputs) => serde_json::from_str(inputs.get()).map_err(damaged)?,
            None => Shown::default(),
        };
        Ok(Self {
            id: entry.id,
            kind: entry.kind,
            source: entry.source,
            organization: entry.organization.as_str(),
            agent_id: entry.agent.as_ref().map(|agent| agent.as_str()),
            decision: entry.decision.as_ref().map(|word| word.as_str()),
            reason_code: entry.reason_code.as_deref(),
            reason: top.reason.map(Part::Stored),
            context: top.context.or(inputs.context).map(Part::Stored),
            parent_id: entry.parent.map(|parent| parent.id),
            inputs: top.inputs,
            caller: top.caller.or(inputs.caller).map(Part::Stored),
            on_behalf_of: top.on_behalf_of.or(inputs.on_behalf_of).map(Part::Stored),
            traceparent: top.traceparent.or(inputs.traceparent).map(Part::Stored),
            timestamp: entry.time,
            merkle_root: receipt.root().to_base64(),
            signature: receipt.signature(),
            origin: receipt.origin(),
            leaf_index: receipt.leaf_index(),
            tree_size: receipt.tree_size(),
            payload_erased: record.payload().is_none(),
            evidence: None,
        })
    }

    /// Adds what the record is checked by.
    pub(super) fn with_evidence(self, record: &'a Record) -> Result<Self> {
        let evidence = Evidence {
            entry: text(record.entry_bytes())?,
            payload: record.payload().map(|payload| text(&payload.bytes)).transpose()?,
            salt: record.payload().map(|payload| hex::encode(payload.salt)),
        };
        Ok(Self { evidence: Some(evidence), ..self })
    }

    /// A record that was committed just now.
    pub(super) fn of_new(
        record: &'a NewRecord,
        organization: &'a OrganizationId,
        receipt: &'a Receipt,
    ) -> Self {
        let attribution = record.attribution();
        Self {
            id: receipt.id(),
            kind: record.kind(),
            source: Source::Host,
            organization: organization.as_str(),
            agent_id: Some(record.agent_name()),
            decision: Some(record.decision_text()),
            reason_code: record.code(),
            reason: record.reason_text().map(Part::Text),
            context: record.context_object().map(Part::Object),
            parent_id: record.parent_id(),
            inputs: None,
            caller: attribution.caller.map(Part::Text),
            on_behalf_of: attribution.on_behalf_of.map(Part::Text),
            traceparent: attribution.traceparent.map(Part::Text),
            timestamp: receipt.time(),
            merkle_root: receipt.root().to_base64(),
            signature: receipt.signature(),
            origin: receipt.origin(),
            leaf_index: receipt.leaf_index(),
            tree_size: receipt.tree_size(),
            payload_erased: false,
            evidence: None,
        }
    }
}
