//! Records: writing, searching, reading, proving.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::json::answer::Answer;
use crate::json::calls::{JsonCalls, use_of_the_fleet};
use crate::json::parameters::Values;
use crate::json::record::text;
use crate::json::{Caller, TEXT};
use crate::log::Query;
use crate::provenance::RecordType;

/// The words of the parameter `type`.
pub(in crate::json) const TYPES: &[&str] =
    &["ROLE_GATE", "CEILING", "ESCALATION", "ALERT", "AGENT", "POLICY", "SIGNAL", "ERASURE", "GAP", "STATE"];
/// The words of the parameter `decisionType`: types of records, and decisions.
pub(in crate::json) const KINDS: &[&str] = &[
    "ROLE_GATE",
    "CEILING",
    "ESCALATION",
    "ALERT",
    "AGENT",
    "POLICY",
    "SIGNAL",
    "ERASURE",
    "GAP",
    "STATE",
    "ALLOW",
    "DENY",
    "ESCALATE",
];
/// Ancestors of a chain where no depth is given.
const DEPTH: u64 = 10;

pub(in crate::json) async fn record(calls: JsonCalls<'_>, _: Values, body: &[u8]) -> Result<Answer> {
    calls.try_record(body).await
}

pub(in crate::json) async fn query(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let caller = caller_of(&calls, &values)?;
    calls.of(&caller).try_query(&query_of(&values)?).await
}

/// The search that the parameters ask for.
pub(in crate::json) fn query_of(values: &Values) -> Result<Query> {
    let mut query = Query::new();
    if let Some(agent) = values.text("agentId") {
        query = query.agent(agent);
    }
    if let Some(word) = values.text("decisionType") {
        // The contract's word is a record's type; a decision is told apart by its own words.
        query = match word.parse::<RecordType>() {
            Ok(kind) => query.kind(kind),
            Err(_) => query.decision(word),
        };
    }
    if let Some(kind) = values.text("type") {
        query = query.kind(kind.parse()?);
    }
    if let Some(decision) = values.text("decision") {
        query = query.decision(decision);
    }
    if let Some(parent) = values.uuid("parentId") {
        query = query.parent(parent);
    }
    if let Some(from) = values.instant("startTime") {
        query = query.from(from);
    }
    if let Some(to) = values.instant("endTime") {
        query = query.to(to);
    }
    if values.text("order") == Some("oldest") {
        query = query.oldest_first();
    }
    if values.flag("readYourWrites") {
        query = query.read_your_writes();
    }
    if let Some(size) = values.whole("pageSize") {
        query = query.limit(usize::try_from(size).unwrap_or(usize::MAX));
    }
    if let Some(token) = values.text("pageToken") {
        query = query.after(token);
    }
    Ok(query)
}

pub(in crate::json) async fn get(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let caller = caller_of(&calls, &values)?;
    let (id, evidence) = (values.required("id")?, values.flag("includeEvidence").then_some(calls.caller));
    Ok(immutable(calls.of(&caller).try_get(id, evidence).await?))
}

pub(in crate::json) async fn chain(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let caller = caller_of(&calls, &values)?;
    let depth = usize::try_from(values.whole("depth").unwrap_or(DEPTH)).unwrap_or(usize::MAX);
    Ok(immutable(calls.of(&caller).try_chain(values.required("id")?, depth).await?))
}

/// A C2SP tlog-proof against the newest checkpoint.
pub(in crate::json) async fn proof(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let caller = caller_of(&calls, &values)?;
    let calls = calls.of(&caller);
    let id = calls.visible(values.required("id")?).await?;
    let proof = calls.log().prove(id).await?;
    Ok(Answer { content_type: TEXT, body: proof.to_string(), ..Answer::new(200, &()) })
}

/// What a record is verified by, for whoever has nothing of ours.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Evidence")]
#[serde(rename_all = "camelCase")]
pub(in crate::json) struct EvidenceAnswer<'a> {
    /// The exact text that is hashed into the tree.
    entry: &'a str,
    /// The exact text of the payload; `null` if it is gone.
    payload: Option<&'a str>,
    /// The payload's salt, in hexadecimal.
    salt: Option<String>,
    /// A C2SP tlog-proof against the newest checkpoint.
    proof: String,
    /// A C2SP verifier key.
    verifier_key: String,
}

pub(in crate::json) async fn evidence(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let caller = caller_of(&calls, &values)?;
    // The host itself sees everything, as it does in `ceilings.usage`.
    let all = calls.caller.fleet_wide || calls.caller.permissions.is_none();
    let calls = calls.of(&caller);
    let id = calls.visible(values.required("id")?).await?;
    let record = calls.log().get(id).await?;
    if record.entry().kind == RecordType::Ceiling && !all {
        return Err(use_of_the_fleet());
    }
    let proof = calls.log().prove(id).await?.to_string();
    let shard = record.receipt().origin().rsplit('/').next().and_then(|shard| shard.parse().ok());
    let answer = EvidenceAnswer {
        entry: text(record.entry_bytes())?,
        payload: record.payload().map(|payload| text(&payload.bytes)).transpose()?,
        salt: record.payload().map(|payload| hex::encode(payload.salt)),
        proof,
        verifier_key: calls.engine.verifier_key_of(shard.unwrap_or_default()).to_string(),
    };
    Ok(Answer::new(200, &answer))
}

/// The caller as the parameters narrow or widen it: within one organization, if it names one, and with records of internal
/// types, if it asks for them.
pub(in crate::json) fn caller_of(calls: &JsonCalls<'_>, values: &Values) -> Result<Caller> {
    let mut caller = calls.caller.clone();
    if values.flag("includeInternal") && !caller.internal {
        if !caller.fleet_wide {
            return Err(Error::new(ErrorKind::Forbidden, "the caller lacks the permission fleet")
                .with("permission", "fleet"));
        }
        caller = caller.internal();
    }
    if let named @ Some(_) = values.text("organizationId") {
        // An id is unique within its organization, and several may have the same.
        caller.organization = caller.organization_for(named)?;
        caller.fleet_wide = false;
    }
    Ok(caller)
}

/// A committed record never changes, and neither do its ancestors.
fn immutable(answer: Answer) -> Answer {
    Answer { immutable: true, ..answer }
}
