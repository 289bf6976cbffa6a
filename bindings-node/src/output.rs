//! What goes back to JavaScript.

use napi::bindgen_prelude::{Buffer, Either6};
use napi_derive::napi;
use trust_engine::json::Answer;
use trust_engine::{Error, Recorded, Result};

use crate::error::{Failure, failed};

/// JSON text or nothing, an error of the engine, an error of the contract, or one of the objects of the hot calls.
pub(crate) type Value = Either6<String, Failure, Refusal, GateVerdict, CeilingVerdict, Proof>;

/// An answer of the contract that is not the call's success.
#[napi(object, object_from_js = false)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

pub(crate) fn answer(answer: Answer) -> Value {
    match answer.status {
        200..=299 => Value::A(answer.body),
        status => Value::C(Refusal { status, body: answer.body }),
    }
}

pub(crate) fn text(result: Result<String>) -> Value {
    result.map_or_else(failed, Value::A)
}

pub(crate) fn json(result: Result<impl serde::Serialize>) -> Value {
    let written = |value| {
        serde_json::to_string(&value)
            .map_err(|error| Error::invalid("value", "cannot be written").caused_by(error))
    };
    text(result.and_then(written))
}

/// A gate's verdict.
#[napi(object, object_from_js = false)]
pub struct GateVerdict {
    /// Whether it is ALLOW.
    pub allowed: bool,
    /// ALLOW, DENY, ESCALATE.
    pub decision: &'static str,
    /// For people.
    pub reason: String,
    /// A stable word.
    pub reason_code: &'static str,
    /// RFC 3339.
    pub evaluated_at: String,
    /// UUID.
    pub provenance_id: String,
    /// What would have been enough.
    pub required_tier: Option<String>,
    /// Whom to ask.
    pub escalation_path: Option<String>,
    /// committed, pending, none.
    pub recorded: &'static str,
    /// JSON of the receipt.
    pub receipt: Option<String>,
    /// Names the commit.
    pub ticket: Option<u32>,
}

impl GateVerdict {
    pub(crate) fn of(verdict: &trust_engine::Verdict, ticket: Option<u32>) -> Self {
        Self {
            allowed: verdict.allowed(),
            decision: verdict.decision().as_str(),
            reason: verdict.reason(),
            reason_code: verdict.reason_code().as_str(),
            evaluated_at: verdict.evaluated_at().to_string(),
            provenance_id: verdict.id().to_string(),
            required_tier: verdict.required_tier().map(str::to_owned),
            escalation_path: verdict.escalation_path().map(str::to_owned),
            recorded: recorded(verdict.recorded()),
            receipt: verdict.receipt().map(receipt),
            ticket,
        }
    }
}

fn recorded(recorded: Recorded) -> &'static str {
    match recorded {
        Recorded::Committed => "committed",
        Recorded::Pending => "pending",
        Recorded::Not => "none",
    }
}

/// A ceiling's verdict.
#[napi(object, object_from_js = false)]
pub struct CeilingVerdict {
    /// Whether the amount may be used.
    pub allowed: bool,
    /// For people.
    pub reason: String,
    /// A stable word.
    pub reason_code: &'static str,
    /// What is used.
    pub current_usage: i64,
    /// The ceiling.
    pub ceiling: i64,
    /// What is left.
    pub remaining: i64,
    /// RFC 3339.
    pub reset_at: Option<String>,
    /// Whether use is near the ceiling.
    pub near_limit: bool,
    /// UUID.
    pub provenance_id: Option<String>,
    /// committed, pending, none.
    pub recorded: &'static str,
    /// Whether to try again.
    pub retryable: bool,
}

impl CeilingVerdict {
    pub(crate) fn of(verdict: &trust_engine::CeilingVerdict) -> Self {
        let measure = verdict.measure();
        let number = |of: fn(&trust_engine::Measure) -> u64| {
            measure.map_or(0, |measure| i64::try_from(of(measure)).unwrap_or(i64::MAX))
        };
        Self {
            allowed: verdict.allowed(),
            reason: verdict.reason(),
            reason_code: verdict.reason_code().as_str(),
            current_usage: number(trust_engine::Measure::current_usage),
            ceiling: number(trust_engine::Measure::ceiling),
            remaining: number(trust_engine::Measure::remaining),
            reset_at: measure.map(|measure| measure.reset_at().to_string()),
            near_limit: verdict.near_limit(),
            provenance_id: verdict.id().map(|id| id.to_string()),
            recorded: recorded(verdict.recorded()),
            retryable: verdict.is_retryable(),
        }
    }
}

/// A record's proof.
#[napi(object, object_from_js = false)]
pub struct Proof {
    /// The bytes that were hashed.
    pub entry: Buffer,
    /// A C2SP tlog-proof.
    pub proof: String,
    /// A C2SP verifier key.
    pub verifier_key: String,
}

/// A receipt as JSON.
pub(crate) fn receipt(receipt: &trust_engine::Receipt) -> String {
    serde_json::json!({
        "id": receipt.id(),
        "origin": receipt.origin(),
        "leafIndex": receipt.leaf_index(),
        "treeSize": receipt.tree_size(),
        "merkleRoot": receipt.root().to_base64(),
        "signature": receipt.signature(),
        "timestamp": receipt.time(),
    })
    .to_string()
}
