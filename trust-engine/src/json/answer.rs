//! The answers: a status and a body.

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::SerializeSeq as _;
use uuid::Uuid;

use crate::ceiling::{Level, Measure};
use crate::clock::Timestamp;
use crate::engine::{CeilingVerdict, Recorded, Verdict};
use crate::error::Error;
use crate::policy::Decision;

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, as in HTTP: 200 and 201, or that of an error. A denial is a 200.
    pub status: u16,
    /// The body: JSON, or another text by its content type.
    pub body: String,
    /// The content type of the body.
    pub content_type: &'static str,
    /// The version of what the answer shows, quoted, as the header ETag has it.
    pub etag: Option<String>,
    /// Whether the answer can never change.
    pub immutable: bool,
    /// The seconds after which to try again.
    pub retry_after: Option<u32>,
    /// The error that the answer is about, for the host's log: the body leaves out details that concern only the
    /// operator.
    pub cause: Option<Error>,
}

impl Answer {
    pub(super) fn new(status: u16, body: &impl Serialize) -> Self {
        // Only keys that are no strings could make this fail, and no answer has such keys.
        Self {
            status,
            body: serde_json::to_string(body).unwrap_or_default(),
            content_type: super::JSON,
            etag: None,
            immutable: false,
            retry_after: None,
            cause: None,
        }
    }
}

/// The answer to a gate's request.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GateAnswer<'a> {
    allowed: bool,
    decision: Decision,
    reason: String,
    reason_code: &'static str,
    evaluated_at: Timestamp,
    provenance_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_path: Option<&'a str>,
    #[schemars(with = "RecordedWord")]
    recorded: &'static str,
}

/// Whether a verdict is in the log: on its way into it, or not recorded by the policy's will.
#[derive(JsonSchema)]
#[schemars(rename = "Recorded", rename_all = "lowercase")]
#[allow(dead_code, reason = "gives the schema of the words")]
enum RecordedWord {
    Committed,
    Pending,
    None,
}

impl<'a> GateAnswer<'a> {
    pub(super) fn of(verdict: &'a Verdict) -> Self {
        Self {
            allowed: verdict.allowed(),
            decision: verdict.decision(),
            reason: verdict.reason(),
            reason_code: verdict.reason_code().as_str(),
            evaluated_at: verdict.evaluated_at(),
            provenance_id: Some(verdict.id()).filter(|_| verdict.recorded() != Recorded::Not),
            required_tier: verdict.required_tier(),
            escalation_path: verdict.escalation_path(),
            recorded: verdict.recorded().as_str(),
        }
    }
}

impl Verdict {
    /// The verdict as the contract's JSON: `{allowed, decision, reason, reasonCode, evaluatedAt, provenanceId, requiredTier?,
    /// escalationPath?, recorded}`.
    pub fn to_json(&self) -> String {
        Answer::new(200, &GateAnswer::of(self)).body
    }
}

impl CeilingVerdict {
    /// The verdict as the contract's JSON: `{allowed, currentUsage, ceiling, remaining, resetAt, provenanceId, reason, reasonCode,
    /// windowStart, asOf, nearLimit, repeated?, refusedBy?, retryAfter?, recorded, resources?}`.
    pub fn to_json(&self) -> String {
        Answer::new(200, &CeilingAnswer::of(self)).body
    }
}

/// The answer to a ceiling check: the counter of the first resource, or the one that refused. Where no counter was
/// asked nothing is allowed: the ceiling is 0.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CeilingAnswer<'a> {
    allowed: bool,
    current_usage: u64,
    ceiling: u64,
    remaining: u64,
    reset_at: Option<Timestamp>,
    provenance_id: Option<Uuid>,
    reason: String,
    reason_code: &'static str,
    window_start: Option<Timestamp>,
    as_of: Timestamp,
    near_limit: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[schemars(with = "RecordedWord")]
    recorded: &'static str,
    /// One for each resource, where there were several.
    #[serde(skip_serializing_if = "Several::is_one")]
    #[schemars(with = "Vec<Usage>")]
    resources: Several<'a>,
}

/// How far the counter of one resource has come.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ResourceUsage")]
#[serde(rename_all = "camelCase")]
struct Usage {
    current_usage: u64,
    ceiling: u64,
    remaining: u64,
    reset_at: Timestamp,
}

struct Several<'a>(&'a CeilingVerdict);

impl Several<'_> {
    fn is_one(&self) -> bool {
        !self.0.allowed() || self.0.measures().count() < 2
    }
}

impl Serialize for Several<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for measure in self.0.measures() {
            list.serialize_element(&Usage {
                current_usage: measure.current_usage(),
                ceiling: measure.ceiling(),
                remaining: measure.remaining(),
                reset_at: measure.reset_at(),
            })?;
        }
        list.end()
    }
}

impl<'a> CeilingAnswer<'a> {
    pub(super) fn of(verdict: &'a CeilingVerdict) -> Self {
        // Whole seconds, as the header Retry-After has them.
        let seconds = |time: std::time::Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let measure = verdict.measure();
        Self {
            allowed: verdict.allowed(),
            current_usage: measure.map_or(0, Measure::current_usage),
            ceiling: measure.map_or(0, Measure::ceiling),
            remaining: measure.map_or(0, Measure::remaining),
            reset_at: measure.map(Measure::reset_at),
            window_start: measure.map(Measure::window_start),
            reason: verdict.reason(),
            reason_code: verdict.reason_code().as_str(),
            provenance_id: verdict.id(),
            as_of: verdict.evaluated_at(),
            near_limit: verdict.near_limit(),
            repeated: verdict.is_repeated(),
            refused_by: verdict.refused_by(),
            retry_after: verdict.retry_after().map(seconds),
            recorded: verdict.recorded().as_str(),
            resources: Several(verdict),
        }
    }
}
