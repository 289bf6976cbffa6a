//! Ceilings: checks, usage, and counters that are ahead of the clock.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ceiling::Level;
use crate::clock::Timestamp;
use crate::engine::CeilingUsage;
use crate::error::{Error, Result};
use crate::json::answer::{Answer, CeilingAnswer};
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;
use crate::json::receipt::ReceiptAnswer;

pub(in crate::json) async fn check(calls: JsonCalls<'_>, _: Values, body: &[u8]) -> Result<Answer> {
    calls.try_check_ceiling(body).await
}

/// Whether a check would be admitted; nothing is charged.
pub(in crate::json) async fn peek(calls: JsonCalls<'_>, _: Values, body: &[u8]) -> Result<Answer> {
    let verdict = calls.engine.quotas().peek(&calls.ceiling_request(body)?).await?;
    Ok(Answer::new(200, &CeilingAnswer::of(&verdict)))
}

/// Brings counters back that are ahead of the clock, in the caller's name.
pub(in crate::json) async fn reset(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let (agent_id, resource) = (values.required("agentId")?, values.required("resourceType")?);
    let actor =
        calls.caller.name.as_deref().ok_or_else(|| Error::invalid("caller", "has no name to record"))?;
    let quotas = calls.engine.quotas().of(calls.caller.organization.clone());
    let (reset, receipt) = quotas.reset(agent_id, resource, actor).await?;
    let answer = ResetAnswer {
        agent_id,
        usage: reset.iter().map(Row::of).collect(),
        receipt: ReceiptAnswer::of(&receipt),
    };
    Ok(Answer::new(200, &answer))
}

/// The use of each resource.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::json) struct UsageAnswer<'a> {
    agent_id: &'a str,
    usage: Vec<Row<'a>>,
}

/// The counters of a reset.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::json) struct ResetAnswer<'a> {
    agent_id: &'a str,
    /// The counters that were brought back.
    usage: Vec<Row<'a>>,
    receipt: ReceiptAnswer<'a>,
}

/// The use of one resource by an agent, at one level.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CeilingUsage")]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    resource_type: &'a str,
    level: Level,
    current: u64,
    ceiling: u64,
    percentage: u64,
    reset_at: Timestamp,
}

impl<'a> Row<'a> {
    fn of(row: &'a CeilingUsage) -> Self {
        Self {
            resource_type: &row.resource,
            level: row.measure.level(),
            current: row.measure.current_usage(),
            ceiling: row.measure.ceiling(),
            percentage: row.measure.percentage(),
            reset_at: row.measure.reset_at(),
        }
    }
}

pub(in crate::json) async fn usage(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let agent_id = values.required("agentId")?;
    let usage = calls.engine.quotas().of(calls.caller.organization.clone()).usage(agent_id).await?;
    let wanted =
        |row: &&CeilingUsage| values.text("resourceType").is_none_or(|resource| resource == row.resource);
    // The use of all organizations together is shown to callers who see them all, and to the host itself.
    let all = calls.caller.fleet_wide || calls.caller.permissions.is_none();
    let visible = |row: &&CeilingUsage| all || row.measure.level() != Level::Fleet;
    let rows = usage.iter().filter(wanted).filter(visible).map(Row::of);
    Ok(Answer::new(200, &UsageAnswer { agent_id, usage: rows.collect() }))
}
