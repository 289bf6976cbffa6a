//! The engine itself, for the host and its operator.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Result;
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;
use crate::storage::Shard;

/// The engine as it runs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EngineInfo")]
#[serde(rename_all = "camelCase")]
pub(in crate::json) struct InfoAnswer {
    version: &'static str,
    /// The shard of the log that this engine writes.
    shard: Shard,
    /// The key that verifies it.
    verifier_key: String,
    /// Warnings for the operator.
    warnings: Vec<String>,
}

/// Whether the services that the engine depends on answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(in crate::json) struct HealthAnswer {
    database: Reached,
    /// Absent without Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Reached>,
}

/// Whether a service answers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reachable")]
#[serde(rename_all = "lowercase")]
enum Reached {
    Up,
    Down,
}

/// A backup has nothing to tell.
#[derive(Serialize, JsonSchema)]
pub(in crate::json) struct BackupAnswer {}

pub(in crate::json) async fn info(calls: JsonCalls<'_>, _: Values, _: &[u8]) -> Result<Answer> {
    let shard = calls.engine.shard();
    let info = InfoAnswer {
        version: env!("CARGO_PKG_VERSION"),
        shard,
        verifier_key: calls.engine.verifier_key_of(shard).to_string(),
        warnings: calls.engine.warnings(),
    };
    Ok(Answer::new(200, &info))
}

pub(in crate::json) async fn health(calls: JsonCalls<'_>, _: Values, _: &[u8]) -> Result<Answer> {
    let health = calls.engine.health().await;
    let word = |up| if up { Reached::Up } else { Reached::Down };
    Ok(Answer::new(200, &HealthAnswer { database: word(health.store), redis: health.relay.map(word) }))
}

pub(in crate::json) async fn backup(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    calls.caller.check_fleet_wide("the store")?;
    calls.engine.backup(Path::new(values.required("folder")?)).await?;
    Ok(Answer::new(200, &BackupAnswer {}))
}
