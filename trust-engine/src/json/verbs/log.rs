//! The log as a whole: checkpoints, proofs of its growth, verification and export.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::json::TEXT;
use crate::json::answer::Answer;
use crate::json::calls::JsonCalls;
use crate::json::parameters::Values;
use crate::storage::Shard;

/// A proof that the newest checkpoint begins with the log of an older size.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Consistency")]
pub(in crate::json) struct ConsistencyAnswer {
    /// The newest checkpoint, a signed note.
    checkpoint: String,
    /// Hashes in base64 (RFC 6962, section 2.1.2).
    proof: Vec<String>,
}

/// The findings of a verification.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
pub(in crate::json) struct VerifyAnswer {
    /// A text for each shard in which something is wrong; none if the log is what was signed.
    findings: Vec<String>,
}

/// The size of an export.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Exported")]
pub(in crate::json) struct ExportAnswer {
    entries: u64,
    files: u64,
}

/// The newest checkpoint of a shard: it tells nothing of any organization.
pub(in crate::json) async fn checkpoint(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let (shard, log) = shard_of(&calls, &values).await?;
    let missing = || Error::new(ErrorKind::NotFound, format!("shard {shard} has no checkpoint"));
    let signed = log.checkpoint().await?.ok_or_else(missing)?;
    Ok(Answer { content_type: TEXT, body: signed.note.to_string(), ..Answer::new(200, &()) })
}

/// A proof that the newest checkpoint of a shard begins with what it was at an older size.
pub(in crate::json) async fn consistency(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let (_, log) = shard_of(&calls, &values).await?;
    let older = values.whole("older").unwrap_or_default();
    let (newest, hashes) = log.prove_consistency(older).await.map_err(|error| match error.field() {
        Some("old") => Error::invalid("older", error.message().trim_start_matches("old ")),
        _ => error,
    })?;
    let proof = hashes.into_iter().map(|hash| hash.to_base64()).collect();
    Ok(Answer::new(200, &ConsistencyAnswer { checkpoint: newest.note.to_string(), proof }))
}

/// Recomputes everything in every shard.
pub(in crate::json) async fn verify(calls: JsonCalls<'_>, _: Values, _: &[u8]) -> Result<Answer> {
    calls.caller.check_fleet_wide("the log")?;
    let reports = calls.engine.log().verify_all().await?;
    let findings = reports.iter().filter(|report| !report.is_clean()).map(ToString::to_string).collect();
    Ok(Answer::new(200, &VerifyAnswer { findings }))
}

/// Writes the log of a shard into a folder of the host's.
pub(in crate::json) async fn export(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    calls.caller.check_fleet_wide("the log")?;
    let (_, log) = shard_of(&calls, &values).await?;
    let exported = log.export(Path::new(values.required("folder")?)).await?;
    Ok(Answer::new(200, &ExportAnswer { entries: exported.entries, files: exported.files }))
}

/// The log of the shard that is asked for, or of the one that the engine writes.
async fn shard_of<'a>(calls: &JsonCalls<'a>, values: &Values) -> Result<(Shard, Log<'a>)> {
    let Some(shard) = values.text("shard") else {
        let shard = calls.engine.shard();
        return Ok((shard, calls.engine.log().shard(shard)));
    };
    let shard: Shard = shard.parse().map_err(|_| Error::invalid("shard", "is no shard"))?;
    if !calls.engine.log().shards().await?.contains(&shard) {
        return Err(Error::new(ErrorKind::NotFound, format!("shard {shard} has no checkpoint")));
    }
    Ok((shard, calls.engine.log().shard(shard)))
}
