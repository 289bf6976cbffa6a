//! Errors as the contract writes them.

use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::read;
use crate::error::{Error, ErrorKind};

/// Longest message in bytes.
const MAX_MESSAGE_BYTES: usize = 800;
/// Seconds after which an answer of 503 says to try again.
const RETRY_AFTER: u32 = 1;

/// The body of an answer that is an error of the contract.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ContractError")]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorBody {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ContractErrorDetails")]
#[serde(untagged)]
enum Details {
    Field(FieldDetails),
    Permission(PermissionDetails),
}

/// The field that an error is about, and what is wrong with it.
#[derive(Serialize, JsonSchema)]
struct FieldDetails {
    field: String,
    issue: String,
}

/// The permission that the caller lacks.
#[derive(Serialize, JsonSchema)]
struct PermissionDetails {
    permission: String,
}

impl Answer {
    /// The answer for an error. A problem that concerns only the operator (a damaged store, a key, a permission) is not
    /// told to the caller: the error itself is for the host's log.
    pub fn of_error(error: &Error, request_id: Option<&str>) -> Self {
        let (status, _) = status_of(error);
        let body = ErrorBody::of(error, request_id);
        let retry_after = (status == 503).then_some(RETRY_AFTER);
        Self { cause: Some(error.clone()), retry_after, ..Self::new(status, &body) }
    }
}

impl ErrorBody {
    /// The body of the answer for an error.
    pub(super) fn of(error: &Error, request_id: Option<&str>) -> Self {
        let (status, code) = status_of(error);
        // Messages quote what was sent. A policy's mistakes are told whole; their quotes are short.
        let text = match error.kind() {
            ErrorKind::InvalidPolicy => error.message().to_owned(),
            _ => read::shown(error.message(), MAX_MESSAGE_BYTES),
        };
        let message = match status {
            500 => "something is wrong on our side",
            503 => "the service cannot answer now; try again",
            _ => &text,
        };
        // The contract has other names for some fields than the engine.
        let name = |field| match field {
            "cursor" => "pageToken",
            "limit" => "pageSize",
            "from" => "startTime",
            "requestId" => "Idempotency-Key",
            field => field,
        };
        let field = error.field().filter(|_| status < 500).map(|field| {
            let issue = text.strip_prefix(field).map_or(&*text, |issue| issue.trim_start_matches([':', ' ']));
            Details::Field(FieldDetails { field: name(field).to_owned(), issue: issue.to_owned() })
        });
        let permission = error.context().find(|(key, _)| *key == "permission");
        let permission = permission.map(|(_, permission)| {
            Details::Permission(PermissionDetails { permission: permission.to_owned() })
        });
        let retry_after = (status == 503).then_some(RETRY_AFTER);
        let (message, request_id) = (message.to_owned(), request_id.map(str::to_owned));
        Self { code, message, details: field.or(permission), request_id, retry_after }
    }
}

/// Status and code of the contract.
fn status_of(error: &Error) -> (u16, &'static str) {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidPolicy => (400, "P6_INVALID_REQUEST"),
        ErrorKind::Forbidden => (403, "P6_FORBIDDEN"),
        ErrorKind::NotFound => (404, "P6_NOT_FOUND"),
        ErrorKind::Conflict => (409, "P6_CONFLICT"),
        ErrorKind::Closed => (503, "P6_UNAVAILABLE"),
        _ if error.is_retryable() => (503, "P6_UNAVAILABLE"),
        _ => (500, "P6_INTERNAL_ERROR"),
    }
}
