//! The policy in force and its versions.

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;
use crate::json::receipt::ReceiptAnswer;
use crate::policy::PolicyDocument;

/// Versions of a page where no number is given.
const PAGE: u64 = 20;

/// The policy in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CurrentPolicy")]
pub(in crate::json) struct PolicyAnswer {
    hash: String,
    /// Canonical JSON.
    document: String,
}

/// A version of the policy.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyVersion")]
pub(in crate::json) struct Version<'a> {
    version: u64,
    hash: String,
    since: Timestamp,
    document: &'a str,
}

pub(in crate::json) async fn get(calls: JsonCalls<'_>, _: Values, _: &[u8]) -> Result<Answer> {
    let policy = calls.engine.policy().current();
    let answer =
        PolicyAnswer { hash: policy.hash().to_string(), document: policy.document().canonical_json() };
    Ok(Answer::new(200, &answer))
}

pub(in crate::json) async fn versions(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let limit = values.whole("pageSize").unwrap_or(PAGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let versions = calls.engine.policy().history(values.whole("below"), limit).await?;
    let rows = versions.iter().map(|of| Version {
        version: of.version,
        hash: of.hash.to_string(),
        since: of.since,
        document: &of.document,
    });
    Ok(Answer::new(200, &rows.collect::<Vec<_>>()))
}

/// The body is the document, in YAML or JSON. There is one policy for all organizations.
pub(in crate::json) async fn put(calls: JsonCalls<'_>, _: Values, text: &[u8]) -> Result<Answer> {
    calls.caller.check_fleet_wide("the policy")?;
    let text = std::str::from_utf8(text).map_err(|_| Error::invalid("body", "is not UTF-8"))?;
    let document = PolicyDocument::parse(text)?;
    let actor =
        calls.caller.name.as_deref().ok_or_else(|| Error::invalid("caller", "has no name to record"))?;
    let receipt = calls.engine.policy().swap(document, actor).await?;
    Ok(Answer::new(200, &ReceiptAnswer::of(&receipt)))
}
