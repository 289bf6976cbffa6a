//! Ceilings: checks and usage.

use serde::Serialize;

use crate::ceiling::Level;
use crate::clock::Timestamp;
use crate::engine::CeilingUsage;
use crate::error::Result;
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;

pub(in crate::json) async fn check(calls: JsonCalls<'_>, _: Values, body: &[u8]) -> Result<Answer> {
    calls.try_check_ceiling(body).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageAnswer<'a> {
    agent_id: &'a str,
    usage: Vec<Row<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    resource_type: &'a str,
    level: Level,
    current: u64,
    ceiling: u64,
    percentage: u64,
    reset_at: Timestamp,
}

pub(in crate::json) async fn usage(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let agent_id = values.required("agentId")?;
    let usage = calls.engine.quotas().of(calls.caller.organization.clone()).usage(agent_id).await?;
    let wanted =
        |row: &&CeilingUsage| values.text("resourceType").is_none_or(|resource| resource == row.resource);
    // The use of all organizations together is shown to callers who see them all, and to the host itself.
    let all = calls.caller.fleet_wide || calls.caller.permissions.is_none();
    let visible = |row: &&CeilingUsage| all || row.measure.level() != Level::Fleet;
    let rows = usage.iter().filter(wanted).filter(visible).map(|row| Row {
        resource_type: &row.resource,
        level: row.measure.level(),
        current: row.measure.current_usage(),
        ceiling: row.measure.ceiling(),
        percentage: row.measure.percentage(),
        reset_at: row.measure.reset_at(),
    });
    Ok(Answer::new(200, &UsageAnswer { agent_id, usage: rows.collect() }))
}
