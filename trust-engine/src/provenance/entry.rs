//! The entry: the part of a record that is hashed into the tree and never erased.
//!
//! An entry is canonical JSON (RFC 8785): keys sorted, no white space, one way to write each value. Its exact bytes are
//! stored, hashed and shown to verifiers, who never have to produce them again. Everything that may have to be erased
//! one day (reasons, inputs, context) is in the payload, which the entry only commits to.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decision_word::DecisionWord;
use super::hash::Hash;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::PolicyHash;

/// Longest entry in bytes: tlog-tiles bundles write the length in 16 bits.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// The type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordType {
    /// A role gate was evaluated.
    RoleGate,
    /// A capability ceiling was checked.
    Ceiling,
    /// An escalation moved on.
    Escalation,
    /// An alert moved on.
    Alert,
    /// An agent was registered or changed.
    Agent,
    /// A policy came into force.
    Policy,
    /// A sign of gaming was seen.
    Signal,
    /// A payload was erased.
    Erasure,
    /// Verdicts were answered early and then could not be recorded.
    Gap,
    /// A document without a record type of its own was changed.
    State,
}

impl RecordType {
    /// Every type, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::RoleGate,
        Self::Ceiling,
        Self::Escalation,
        Self::Alert,
        Self::Agent,
        Self::Policy,
        Self::Signal,
        Self::Erasure,
        Self::Gap,
        Self::State,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoleGate => "ROLE_GATE",
            Self::Ceiling => "CEILING",
            Self::Escalation => "ESCALATION",
            Self::Alert => "ALERT",
            Self::Agent => "AGENT",
            Self::Policy => "POLICY",
            Self::Signal => "SIGNAL",
            Self::Erasure => "ERASURE",
            Self::Gap => "GAP",
            Self::State => "STATE",
        }
    }

    /// Whether hosts may write records of this type themselves.
    pub fn is_public(self) -> bool {
        matches!(self, Self::RoleGate | Self::Ceiling | Self::Escalation | Self::Alert)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RecordType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::invalid("type", format!("{text:?} is not a record type")))
    }
}

/// The writer of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// The engine recorded its own verdict or its own deed.
    Engine,
    /// The host told the engine what to record.
    Host,
}

impl Source {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "ENGINE",
            Self::Host => "HOST",
        }
    }
}

/// The record that another one follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: Uuid,
    /// Its leaf hash: a child names the exact bytes of its parent, so chains cannot run in circles.
    #[serde(with = "hex_hash")]
    pub leaf: Hash,
}

/// A decoded entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The agent that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The decision; the engine's records have only ALLOW, DENY and ESCALATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionWord>,
    /// The record's id, unique within its organization.
    pub id: Uuid,
    /// The organization that it belongs to.
    #[serde(rename = "org")]
    pub organization: OrganizationId,
    /// The record of the same organization that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Commitment to the payload: HMAC-SHA-256 with the payload's salt as key.
    #[serde(with = "hex_hash")]
    pub payload: Hash,
    /// The policy that decided.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_policy")]
    pub policy: Option<PolicyHash>,
    /// The reason as a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<Cow<'static, str>>,
    /// The writer of the record.
    pub source: Source,
    /// The time at which it entered the log; never before the time of the entry in front of it.
    pub time: Timestamp,
    /// The type of the record.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// Version of the entry format: 1.
    pub v: u8,
}

impl Entry {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_at(&self.time.to_string())
    }

    /// The canonical bytes, given the text of the time: the entries of a batch share one.
    pub(crate) fn to_bytes_at(&self, time: &str) -> Vec<u8> {
        let mut out = String::with_capacity(448);
        out.push('{');
        if let Some(agent) = &self.agent {
            out.push_str("\"agent\":");
            push_string(&mut out, agent.as_str());
            out.push(',');
        }
        if let Some(decision) = &self.decision {
            out.push_str("\"decision\":\"");
            out.push_str(decision.as_str());
            out.push_str("\",");
        }
        out.push_str("\"id\":\"");
        push_uuid(&mut out, &self.id);
        out.push_str("\",\"org\":");
        push_string(&mut out, self.organization.as_str());
        if let Some(parent) = &self.parent {
            out.push_str(",\"parent\":{\"id\":\"");
            push_uuid(&mut out, &parent.id);
            out.push_str("\",\"leaf\":\"");
            push_hex(&mut out, parent.leaf.as_bytes());
            out.push_str("\"}");
        }
        out.push_str(",\"payload\":\"");
        push_hex(&mut out, self.payload.as_bytes());
        out.push('"');
        if let Some(policy) = &self.policy {
            out.push_str(",\"policy\":\"");
            push_hex(&mut out, policy.as_bytes());
            out.push('"');
        }
        if let Some(code) = &self.reason_code {
            out.push_str(",\"reasonCode\":");
            push_string(&mut out, code);
        }
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            ",\"source\":\"{}\",\"time\":\"{time}\",\"type\":\"{}\",\"v\":{}}}",
            self.source.as_str(),
            self.kind,
            self.v
        );
        out.into_bytes()
    }

    /// The rule of its source that an entry breaks.
    fn fault(&self) -> Option<String> {
        match (self.source, &self.decision) {
            (Source::Host, _) if !self.kind.is_public() => Some(format!("a host writes no {}", self.kind)),
            (Source::Engine, Some(word)) if word.decision().is_none() => {
                Some(format!("{word} is no decision of the engine"))
            }
            _ => None,
        }
    }

    /// Reads an entry and accepts only the canonical bytes of it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed =
            |why: String| Error::new(ErrorKind::Corrupt, format!("the entry is malformed: {why}"));
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if entry.v != 1 {
            let issue = format!("the entry has format {}; this version reads format 1", entry.v);
            return Err(Error::new(ErrorKind::Unsupported, issue));
        }
        if let Some(fault) = entry.fault() {
            return Err(malformed(fault));
        }
        if entry.to_bytes() != bytes {
            return Err(malformed("it is not in canonical form".into()));
        }
        Ok(entry)
    }
}

/// A JSON string as RFC 8785 writes it (section 3.2.2.2).
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c < ' ' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
    }
    out.push('"');
}

fn push_uuid(out: &mut String, id: &Uuid) {
    out.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

fn push_hex(out: &mut String, bytes: &[u8; 32]) {
    let mut text = [0u8; 64];
    // The buffer has the right size, so encoding cannot fail.
    let _ = hex::encode_to_slice(bytes, &mut text);
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

fn parse_hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<[u8; 32], D::Error> {
    let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(serde::de::Error::custom)?;
    Ok(bytes)
}

pub(crate) mod hex_hash {
    use super::Hash;

    pub(crate) fn serialize<S: serde::Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        super::parse_hex(deserializer).map(Hash::from_bytes)
    }
}

mod hex_policy {
    use crate::policy::PolicyHash;

    pub(super) fn serialize<S: serde::Serializer>(
        hash: &Option<PolicyHash>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => serializer.collect_str(hash),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PolicyHash>, D::Error> {
        super::parse_hex(deserializer).map(|bytes| Some(PolicyHash::from_bytes(bytes)))
    }
}
