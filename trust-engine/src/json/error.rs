//! Errors as the contract writes them.

use serde::Serialize;

use super::answer::Answer;
use crate::error::{Error, ErrorKind};

/// Seconds after which an answer of 503 says to try again.
const RETRY_AFTER: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Details<'a> {
    field: &'a str,
    issue: &'a str,
}

impl Answer {
    /// The answer for an error. A problem that concerns only the operator (a damaged store, a key, a permission) is not
    /// told to the caller: the error itself is for the host's log.
    pub fn of_error(error: &Error, request_id: Option<&str>) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidPolicy => (400, "P6_INVALID_REQUEST"),
            ErrorKind::NotFound => (404, "P6_NOT_FOUND"),
            ErrorKind::Conflict => (409, "P6_CONFLICT"),
            ErrorKind::Closed => (503, "P6_UNAVAILABLE"),
            _ if error.is_retryable() => (503, "P6_UNAVAILABLE"),
            _ => (500, "P6_INTERNAL_ERROR"),
        };
        let text = error.message();
        let message = match status {
            500 => "something is wrong on our side",
            503 => "the service cannot answer now; try again",
            _ => text,
        };
        // The contract has other names for some fields than the engine.
        let name = |field| match field {
            "cursor" => "pageToken",
            "limit" => "pageSize",
            "from" => "startTime",
            "requestId" => "Idempotency-Key",
            field => field,
        };
        let details = error.field().filter(|_| status < 500).map(|field| {
            let issue = text.strip_prefix(field).map_or(text, |issue| issue.trim_start_matches([':', ' ']));
            Details { field: name(field), issue }
        });
        let retry_after = (status == 503).then_some(RETRY_AFTER);
        let body = Body { code, message, details, request_id, retry_after };
        Self { cause: Some(error.clone()), ..Self::new(status, &body) }
    }
}
