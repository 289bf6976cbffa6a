//! The payload of a recorded ceiling verdict, and the recomputation of the verdict from it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::verdict::CeilingVerdict;
use crate::ceiling::{CeilingCode, CeilingRequest, Level, Measure, Window, refusal, row_of};
use crate::clock::Timestamp;
use crate::engine::facts::{ENGINE, EngineVersion, Facts, Recomputable};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::AgentId;
use crate::policy::{Policy, WindowKind};
use crate::provenance::Record;
use crate::quota::AgentQuota;
use crate::subject::{EffectiveTier, Subject};

/// Payload of a CEILING record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CeilingPayload<'a> {
    reason: String,
    verdict: Recomputable,
    inputs: &'a CeilingRequest,
    facts: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a AgentId>,
    counters: Vec<Snapshot<'a>>,
    engine: EngineVersion,
}

/// A counter as it stood before the check.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    resource_type: Cow<'a, str>,
    level: Level,
    amount: u64,
    used_before: u64,
    ceiling: u64,
    window: WindowKind,
    window_seconds: u32,
    window_start: Timestamp,
    reset_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    near_limit: bool,
}

impl<'a> CeilingPayload<'a> {
    pub(super) fn bytes(
        verdict: &CeilingVerdict,
        request: &'a CeilingRequest,
        quota: &'a AgentQuota,
        authority: Option<&str>,
    ) -> Result<Vec<u8>> {
        let snapshot = |(place, amount, measure): &(u32, u64, Measure)| {
            let charged = if verdict.allowed() { *amount } else { 0 };
            Some(Snapshot {
                resource_type: request.amounts().nth(*place as usize)?.0.into(),
                level: measure.level(),
                amount: *amount,
                used_before: measure.current_usage().saturating_sub(charged),
                ceiling: measure.ceiling(),
                window: measure.window().kind(),
                window_seconds: measure.window().seconds(),
                window_start: measure.window_start(),
                reset_at: measure.reset_at(),
                near_limit: measure.near_limit(),
            })
        };
        let agent = quota.agent.as_deref();
        let payload = Self {
            reason: verdict.reason(),
            verdict: Recomputable {
                decision: verdict.decision(),
                reason_code: verdict.reason_code().as_str().into(),
                evaluated_at: verdict.evaluated_at(),
            },
            inputs: request,
            facts: Facts::of(agent, authority),
            tier: quota.tier_name(),
            family: agent.and_then(|agent| agent.family.as_ref()),
            counters: verdict.measures.iter().filter_map(snapshot).collect(),
            engine: ENGINE,
        };
        let mut bytes = Vec::with_capacity(768);
        serde_json::to_writer(&mut bytes, &payload)
            .map(|()| bytes)
            .map_err(|error| Error::invalid("request", "is not valid JSON").caused_by(error))
    }
}

/// The parts of a payload that are read back.
#[derive(Deserialize)]
struct ReadBack<'a> {
    verdict: RecordedVerdict,
    inputs: CeilingRequest,
    facts: Facts,
    #[serde(borrow)]
    counters: Vec<Snapshot<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedVerdict {
    reason_code: CeilingCode,
    evaluated_at: Timestamp,
}

/// The request and the verdict of an admitted check, as its record has them.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the record is not that of a check, or its payload is gone.
pub(super) fn recorded_verdict(record: &Record) -> Result<(CeilingRequest, CeilingVerdict)> {
    let gone = || Error::new(ErrorKind::Corrupt, "the payload of an admitted check is gone");
    let payload = record.payload().ok_or_else(gone)?;
    let ReadBack { verdict, inputs, counters, .. } = read_back(&payload.bytes)?;
    let place = |resource: &str| inputs.amounts().position(|(name, _)| name == resource);
    let measure = |counter: &Snapshot<'_>| {
        let place = u32::try_from(place(&counter.resource_type)?).ok()?;
        Some((place, counter.amount, counter.measure(counter.amount)))
    };
    let measures = counters.iter().filter_map(measure).collect();
    let verdict =
        CeilingVerdict::of_record(verdict.reason_code, measures, verdict.evaluated_at, record.receipt());
    Ok((inputs, verdict))
}

impl Snapshot<'_> {
    /// The measure of the counter after an amount was charged.
    fn measure(&self, charged: u64) -> Measure {
        let window = Window::new(self.window, self.window_seconds);
        Measure {
            level: self.level,
            limit: self.ceiling,
            used: self.used_before.saturating_add(charged),
            near: self.near_limit,
            window,
            slice: window.slice(self.window_start) + window.span(),
        }
    }
}

fn read_back(payload: &[u8]) -> Result<ReadBack<'_>> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the payload is not that of a ceiling verdict").caused_by(error)
    })
}

/// Derives the verdict of a CEILING record again, from its payload and a policy.
///
/// The answers of the counters, the clock and the rates at the time are taken from the record; everything else follows
/// from the policy. With the policy that the record names the reason code is the recorded one; the second value says
/// whether it is. With another policy the result is the decision that this policy would have made about the same usage.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the payload is not that of a ceiling verdict, as in the records of a reservation's end.
pub fn recompute_ceiling(payload: &[u8], policy: &Policy) -> Result<(CeilingCode, bool)> {
    let recorded = read_back(payload)?;
    let code = decide(&recorded, policy);
    Ok((code, code == recorded.verdict.reason_code))
}

fn decide(recorded: &ReadBack<'_>, policy: &Policy) -> CeilingCode {
    let ReadBack { verdict, inputs, facts, counters } = recorded;
    let subject = Subject { standing: facts.standing(), authority: facts.authority() };
    let tier = EffectiveTier::resolve(policy, &subject, inputs.claimed_tier());
    if let Some(refusal) = refusal(policy, &subject, tier) {
        return refusal;
    }
    for (resource, _) in inputs.amounts() {
        let Some(resource) = policy.resource(resource) else { return CeilingCode::UnknownResource };
        if row_of(policy, Level::Agent, resource, inputs.organization_id(), tier).is_none() {
            return CeilingCode::NoCeiling;
        }
    }
    match verdict.reason_code {
        // These two followed from the rates and the clock of that time.
        code @ (CeilingCode::RateExceeded | CeilingCode::ClockSetBack) => return code,
        CeilingCode::StoreUnavailable | CeilingCode::FailOpen => {
            let open = policy.document().ceilings.fail_open;
            return if open { CeilingCode::FailOpen } else { CeilingCode::StoreUnavailable };
        }
        _ => {}
    }
    let fits = |counter: &Snapshot<'_>| {
        let row = policy
            .resource(&counter.resource_type)
            .and_then(|resource| row_of(policy, counter.level, resource, inputs.organization_id(), tier));
        // An amount fits at a level that the policy does not limit.
        row.is_none_or(|row| counter.used_before.saturating_add(counter.amount) <= row.limit)
    };
    if counters.iter().all(fits) { CeilingCode::WithinCeiling } else { CeilingCode::CeilingExceeded }
}
