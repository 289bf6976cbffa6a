//! Role gates.

use crate::error::Result;
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;

pub(in crate::json) async fn evaluate(calls: JsonCalls<'_>, _: Values, body: &[u8]) -> Result<Answer> {
    calls.try_evaluate_gate(body).await
}
