//! The payload of a recorded gate verdict, and the recomputation of the verdict from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::{ENGINE, EngineVersion, Facts, Recomputable};
use crate::agent::Agent;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::{Evaluation, GateRequest, ReasonCode, Subject, Trace, evaluate};
use crate::policy::Policy;

/// Payload of a ROLE_GATE record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatePayload<'a> {
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_path: Option<&'a str>,
    verdict: Recomputable,
    inputs: &'a GateRequest,
    facts: Facts,
    trace: Trace<'a>,
    engine: EngineVersion,
}

impl<'a> GatePayload<'a> {
    pub(super) fn bytes(
        evaluation: &'a Evaluation,
        request: &'a GateRequest,
        agent: Option<&Agent>,
        authority: Option<&str>,
    ) -> Result<Vec<u8>> {
        let payload = Self {
            reason: evaluation.reason(),
            required_tier: evaluation.required_tier(),
            escalation_path: evaluation.escalation_path(),
            verdict: Recomputable {
                decision: evaluation.decision(),
                reason_code: evaluation.reason_code().as_str().into(),
                evaluated_at: evaluation.evaluated_at(),
            },
            inputs: request,
            facts: Facts::of(agent, authority),
            trace: evaluation.trace(),
            engine: ENGINE,
        };
        // A buffer that grows step by step would be copied four times.
        let mut bytes = Vec::with_capacity(1024);
        serde_json::to_writer(&mut bytes, &payload)
            .map(|()| bytes)
            .map_err(|error| Error::invalid("context", "is not valid JSON").caused_by(error))
    }
}

/// The parts of a payload that are read back.
#[derive(Deserialize)]
struct ReadBack {
    verdict: Recomputable,
    inputs: GateRequest,
    facts: Facts,
}

/// Derives the verdict of a ROLE_GATE record again, from its payload and a policy.
///
/// With the policy that the record names, decision and reason code are those that were recorded; the second value says
/// whether they are. With another policy the result is the decision that this policy would have made.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the payload is not that of a gate verdict.
pub fn recompute(payload: &[u8], policy: &Arc<Policy>) -> Result<(Evaluation, bool)> {
    let recorded: ReadBack = serde_json::from_slice(payload).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the payload is not that of a gate verdict").caused_by(error)
    })?;
    let facts = &recorded.facts;
    let subject = Subject { standing: facts.standing(), authority: facts.authority() };
    let evaluation = evaluate(policy, &subject, &recorded.inputs, recorded.verdict.evaluated_at);
    let same = evaluation.decision() == recorded.verdict.decision
        && ReasonCode::as_str(evaluation.reason_code()) == recorded.verdict.reason_code;
    Ok((evaluation, same))
}
