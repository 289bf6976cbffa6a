//! The decision itself: kernel, then rules, then runtime.
//!
//! The decision is a pure function of policy, subject, request and time. A kernel denial is final, and the runtime can
//! only make the verdict of the rules stricter. A claim below the held tier is evaluated at both tiers, and the
//! stricter verdict counts: an agent cannot escape a rule for its tier by a lower claim. Tracing is an observer of the
//! same code, so an explained verdict cannot differ from a bare one.

use super::reason::ReasonCode;
use super::request::GateRequest;
use crate::agent::AgentStatus;
use crate::clock::Timestamp;
use crate::policy::{Decision, ExcessClaim, Hits, Lookup, Policy, Residual};
use crate::subject::{EffectiveTier, Subject, TierSource, refused_as_unregistered};

/// Decides, and keeps no explanation.
pub fn decide(policy: &Policy, subject: &Subject<'_>, request: &GateRequest, now: Timestamp) -> Decision {
    run::<()>(policy, subject, request, now).0.decision
}

/// An observer of the conditions that an evaluation tests.
pub(super) trait Observer: Default {
    fn tested(&mut self, test: Tested);
}

impl Observer for Vec<Tested> {
    fn tested(&mut self, test: Tested) {
        self.push(test);
    }
}

impl Observer for () {
    fn tested(&mut self, _: Tested) {}
}

/// The verdict and the outcome of each layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    pub(crate) code: ReasonCode,
    pub(crate) tier: EffectiveTier,
    /// The role's place in the policy.
    pub(crate) role: Option<usize>,
    pub(crate) kernel: Result<(), ReasonCode>,
    /// The place of the rule that matched.
    pub(crate) rule: Option<usize>,
    pub(crate) runtime: Result<(), ReasonCode>,
}

/// The results of the conditions of a candidate that no index can answer; `None`: the condition was not tested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tested {
    pub(crate) rule: usize,
    pub(crate) resource: Option<bool>,
    pub(crate) attestations: Option<bool>,
    pub(crate) time: Option<bool>,
}

pub(super) type Run<O> = (Outcome, Option<Hits>, O);

pub(super) fn run<O: Observer>(
    policy: &Policy,
    subject: &Subject<'_>,
    request: &GateRequest,
    now: Timestamp,
) -> Run<O> {
    let tier = EffectiveTier::resolve(policy, subject, request.claimed_tier());
    match tier.held_if_higher {
        None => run_at(policy, subject, request, now, tier),
        Some(held) => run_at_both(policy, subject, request, now, tier, held),
    }
}

/// Decides at the claimed and at the held tier, and gives the stricter verdict. The case is rare, so it is kept out of
/// the common path.
#[cold]
fn run_at_both<O: Observer>(
    policy: &Policy,
    subject: &Subject<'_>,
    request: &GateRequest,
    now: Timestamp,
    claimed: EffectiveTier,
    held: usize,
) -> Run<O> {
    let held =
        EffectiveTier { rank: Some(held), source: TierSource::Held, excess: false, held_if_higher: None };
    let [at_claimed, at_held] = [claimed, held].map(|tier| run_at(policy, subject, request, now, tier));
    if strictness(at_held.0.decision) > strictness(at_claimed.0.decision) { at_held } else { at_claimed }
}

fn strictness(decision: Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Escalate => 1,
        Decision::Deny => 2,
    }
}

// The function is inlined so that a bare decision builds no outcome, which would be a tenth of its instructions.
#[inline(always)]
fn run_at<O: Observer>(
    policy: &Policy,
    subject: &Subject<'_>,
    request: &GateRequest,
    now: Timestamp,
    tier: EffectiveTier,
) -> Run<O> {
    let mut observer = O::default();
    let role = policy.role(request.role_name());
    let kernel = match (role, tier.rank) {
        (None, _) => Err(ReasonCode::UnknownRole),
        (Some((_, gate)), _) if !gate.enabled => Err(ReasonCode::RoleDisabled),
        (_, None) => Err(ReasonCode::UnknownTier),
        (Some((_, gate)), Some(rank)) if gate.permitted >> rank & 1 == 1 => Ok(()),
        (Some(_), Some(_)) => Err(ReasonCode::TierBelowMinimum),
    };
    let runtime = runtime(policy, subject, tier);
    let role = role.map(|(at, _)| at);
    if let Err(code) = kernel {
        let outcome = Outcome { decision: Decision::Deny, code, tier, role, kernel, rule: None, runtime };
        return (outcome, None, observer);
    }
    let lookup = Lookup {
        role: role.unwrap_or(usize::MAX),
        tier: tier.rank.unwrap_or(usize::MAX),
        action: request.action_name(),
        resource: request.resource_name(),
        environment: request.environment_name(),
        organization: request.organization_id().as_str(),
    };
    let hits = policy.rules().hits(&lookup);
    let rule = hits.as_ref().and_then(|hits| {
        policy.rules().first(hits, |rule, residual| match residual {
            None => true,
            Some(residual) => {
                let indexed = policy.rules().contains(hits.resource, rule);
                let test = test(rule, residual, indexed, subject, &lookup, now);
                observer.tested(test);
                ![test.resource, test.attestations, test.time].contains(&Some(false))
            }
        })
    });
    let (mut decision, mut code) = match rule.and_then(|at| policy.document().rules.get(at)) {
        Some(rule) => (rule.effect, ReasonCode::of_rule(rule.effect)),
        None => (policy.document().default_effect, ReasonCode::of_default(policy.document().default_effect)),
    };
    if let (Err(refusal), false) = (runtime, decision == Decision::Deny) {
        (decision, code) = (Decision::Deny, refusal);
    }
    (Outcome { decision, code, tier, role, kernel, rule, runtime }, hits, observer)
}

/// Tests the conditions that the index cannot answer, the cheapest first, and stops at the first failure.
fn test(
    rule: usize,
    residual: &Residual,
    resource_matched: bool,
    subject: &Subject<'_>,
    lookup: &Lookup<'_>,
    now: Timestamp,
) -> Tested {
    let mut tested = Tested { rule, resource: None, attestations: None, time: None };
    if !resource_matched && !residual.globs.is_empty() {
        let matched =
            lookup.resource.is_some_and(|text| residual.globs.iter().any(|glob| glob.matches(text)));
        tested.resource = Some(matched);
        if !matched {
            return tested;
        }
    }
    if !residual.attestations.is_empty() {
        let held = subject.standing.map_or(&[][..], |standing| standing.attestations);
        let all = residual.attestations.iter().all(|wanted| held.binary_search(wanted).is_ok());
        tested.attestations = Some(all);
        if !all {
            return tested;
        }
    }
    tested.time = residual.time.as_ref().map(|window| window.contains(now));
    tested
}

fn runtime(policy: &Policy, subject: &Subject<'_>, tier: EffectiveTier) -> Result<(), ReasonCode> {
    match subject.standing.map(|standing| standing.status) {
        Some(AgentStatus::Revoked) => Err(ReasonCode::AgentRevoked),
        Some(AgentStatus::Suspended) => Err(ReasonCode::AgentSuspended),
        None if refused_as_unregistered(policy, subject) => Err(ReasonCode::AgentUnregistered),
        _ if tier.excess && policy.document().agents.excess_claim == ExcessClaim::Deny => {
            Err(ReasonCode::ExcessClaim)
        }
        _ => Ok(()),
    }
}
