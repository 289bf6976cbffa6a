//! Records as the contract writes them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::policy::Decision;
use crate::provenance::{NewRecord, Receipt, Record, RecordType};

/// A record, with the parts that make its checkpoint a signed note again: origin, tree size, root and signature.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordAnswer<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: RecordType,
    organization: &'a str,
    agent_id: Option<&'a str>,
    decision: Option<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'a str>,
    reason: Option<Part<'a>>,
    context: Option<Part<'a>>,
    parent_id: Option<Uuid>,
    timestamp: Timestamp,
    merkle_root: String,
    signature: String,
    origin: &'a str,
    leaf_index: u64,
    tree_size: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payload_erased: bool,
}

/// A part of a payload, as it is stored or as it was given.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Stored(&'a RawValue),
    Text(&'a str),
    Object(&'a Map<String, Value>),
}

/// The parts of a payload that are shown; the context of a gate's payload is that of the request.
#[derive(Default, Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<Inputs<'a>>,
}

#[derive(Deserialize)]
struct Inputs<'a> {
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

impl<'a> RecordAnswer<'a> {
    pub(super) fn of(record: &'a Record) -> Result<Self> {
        let (entry, receipt) = (record.entry(), record.receipt());
        let damaged = |error| Error::new(ErrorKind::Corrupt, "the payload is not JSON").caused_by(error);
        let shown: Shown<'_> = match record.payload() {
            Some(payload) => serde_json::from_slice(&payload.bytes).map_err(damaged)?,
            None => Shown::default(),
        };
        Ok(Self {
            id: entry.id,
            kind: entry.kind,
            organization: entry.organization.as_str(),
            agent_id: entry.agent.as_ref().map(|agent| agent.as_str()),
            decision: entry.decision,
            reason_code: entry.reason_code.as_deref(),
            reason: shown.reason.map(Part::Stored),
            context: shown.context.or(shown.inputs.and_then(|inputs| inputs.context)).map(Part::Stored),
            parent_id: entry.parent.map(|parent| parent.id),
            timestamp: entry.time,
            merkle_root: receipt.root().to_base64(),
            signature: receipt.signature(),
            origin: receipt.origin(),
            leaf_index: receipt.leaf_index(),
            tree_size: receipt.tree_size(),
            payload_erased: record.payload().is_none(),
        })
    }

    /// A record that was committed just now.
    pub(super) fn of_new(
        record: &'a NewRecord,
        organization: &'a OrganizationId,
        receipt: &'a Receipt,
    ) -> Self {
        Self {
            id: receipt.id(),
            kind: record.kind(),
            organization: organization.as_str(),
            agent_id: Some(record.agent_name()),
            decision: Some(record.decision()),
            reason_code: record.code(),
            reason: record.reason_text().map(Part::Text),
            context: record.context_object().map(Part::Object),
            parent_id: record.parent_id(),
            timestamp: receipt.time(),
            merkle_root: receipt.root().to_base64(),
            signature: receipt.signature(),
            origin: receipt.origin(),
            leaf_index: receipt.leaf_index(),
            tree_size: receipt.tree_size(),
            payload_erased: false,
        }
    }
}
