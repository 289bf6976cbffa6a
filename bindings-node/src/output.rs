//! Values that go back to JavaScript.

use std::fmt::{Display, Write as _};

use napi::bindgen_prelude::Either4;
use napi_derive::napi;
use trust_engine::json::Answer;
use trust_engine::{Error, Result};

use crate::error::{Failure, failed};

/// A text, an error of the engine, an error of the contract, or a whole answer.
pub(crate) type Value = Either4<String, Failure, Refusal, Answered>;

/// An answer of the contract that is not the call's success.
#[napi(object, object_from_js = false)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// For the host's log.
    pub detail: String,
    /// The engine's own error.
    pub cause: Option<Failure>,
}

/// An answer with what is beside its body.
#[napi(object, object_from_js = false)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// The body, of its content type.
    pub text: String,
    /// Of the body.
    pub content_type: String,
    /// The version of what it shows.
    pub etag: Option<String>,
    /// Whether it can never change.
    pub immutable: bool,
}

/// As [`answer`], and a success whole.
pub(crate) fn whole_answer(given: Answer) -> Value {
    match given.status {
        200..=299 => Value::D(Answered {
            status: given.status,
            text: given.body,
            content_type: given.content_type.to_owned(),
            etag: given.etag,
            immutable: given.immutable,
        }),
        _ => answer(given),
    }
}

pub(crate) fn answer(answer: Answer) -> Value {
    match answer.status {
        200..=299 => Value::A(answer.body),
        status => {
            let cause = answer.cause.as_ref().map(Failure::from);
            let detail = answer.cause.map(|error| format!("{error:?}")).unwrap_or_default();
            Value::C(Refusal { status, body: answer.body, detail, cause })
        }
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

/// Between the fields of a verdict. Only a reason may hold it, so the reason comes last.
const UNIT: char = '\u{1f}';

/// A gate's verdict in one text, for `verdicts.cjs` to take apart: making an object here costs more than the verdict.
/// Decision, recorded, ticket or nothing, reason code, time, id, required tier, escalation path, receipt, trace, reason.
/// The trace is a text of JSON, as it may hold anything.
pub(crate) fn gate(verdict: &trust_engine::Verdict, ticket: Option<u32>, traced: bool) -> Value {
    let mut text = String::with_capacity(320);
    let trace = traced.then(|| serde_json::Value::from(verdict.trace().to_string()));
    let fields: [&dyn Display; 11] = [
        &verdict.decision().as_str(),
        &verdict.recorded().as_str(),
        &OrEmpty(ticket),
        &verdict.reason_code().as_str(),
        &verdict.evaluated_at(),
        &verdict.id(),
        &OrEmpty(verdict.required_tier()),
        &OrEmpty(verdict.escalation_path()),
        &OrEmpty(verdict.receipt().map(trust_engine::Receipt::to_json)),
        &OrEmpty(trace),
        &verdict.reason(),
    ];
    join(&mut text, &fields);
    Value::A(text)
}

/// A ceiling's verdict in one text: 1 or 0, recorded, 1 or 0 for near the limit, 1 or 0 for retryable, 1 or 0 for
/// repeated, reason code, usage, ceiling, remaining, reset or nothing, id or nothing, reason.
pub(crate) fn ceiling(verdict: &trust_engine::CeilingVerdict) -> Value {
    let measure = verdict.measure();
    let number = |of: fn(&trust_engine::Measure) -> u64| measure.map_or(0, of);
    let mut text = String::with_capacity(320);
    let fields: [&dyn Display; 12] = [
        &u8::from(verdict.allowed()),
        &verdict.recorded().as_str(),
        &u8::from(verdict.near_limit()),
        &u8::from(verdict.is_retryable()),
        &u8::from(verdict.is_repeated()),
        &verdict.reason_code().as_str(),
        &number(trust_engine::Measure::current_usage),
        &number(trust_engine::Measure::ceiling),
        &number(trust_engine::Measure::remaining),
        &OrEmpty(measure.map(trust_engine::Measure::reset_at)),
        &OrEmpty(verdict.id()),
        &verdict.reason(),
    ];
    join(&mut text, &fields);
    Value::A(text)
}

struct OrEmpty<T>(Option<T>);

impl<T: Display> Display for OrEmpty<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

fn join(text: &mut String, fields: &[&dyn Display]) {
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            text.push(UNIT);
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{field}");
    }
}
