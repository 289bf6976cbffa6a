//! Statistics.

use crate::engine::TimeRange;
use crate::error::Result;
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;

pub(in crate::json) async fn get(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let range = TimeRange::parse(values.text("timeRange").unwrap_or("24h"))?;
    let organization = match values.text("organizationId") {
        None if calls.caller.fleet_wide => None,
        named => Some(calls.caller.organization_for(named)?),
    };
    let stats = calls.engine.stats(range, organization.as_ref()).await?;
    let mut body = serde_json::to_value(&stats).unwrap_or_default();
    let provenance = body.get_mut("provenance").and_then(serde_json::Value::as_object_mut);
    if let (Some(provenance), Some(_)) = (provenance, &organization) {
        // The rest of it is what the engine does for all organizations together.
        provenance.retain(|name, _| matches!(name.as_str(), "totalRecords" | "byType" | "aheadSeconds"));
    }
    Ok(Answer::new(200, &body))
}
