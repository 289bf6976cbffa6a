//! A decision with its reasons.

use std::fmt;
use std::sync::Arc;

use super::decide::{Outcome, Tested, run};
use super::reason::ReasonCode;
use super::request::GateRequest;
use crate::clock::Timestamp;
use crate::policy::{Decision, Hits, Policy, PolicyHash};
use crate::subject::{Subject, TierSource};

/// Decides, and keeps everything that is needed to explain the decision.
pub fn evaluate(
    policy: &Arc<Policy>,
    subject: &Subject<'_>,
    request: &GateRequest,
    now: Timestamp,
) -> Evaluation {
    let (outcome, hits, tested) = run::<Vec<Tested>>(policy, subject, request, now);
    Evaluation::new(Arc::clone(policy), outcome, hits, tested, subject, request, now)
}

/// The result of evaluating a role gate, with everything needed to explain it.
///
/// The explanation is kept as references into the policy and spelled out only on demand.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub(super) policy: Arc<Policy>,
    pub(super) outcome: Outcome,
    pub(super) hits: Option<Hits>,
    pub(super) tested: Vec<Tested>,
    /// The name that the policy does not know, kept so that the reason can repeat it.
    pub(super) unknown: Option<Box<str>>,
    pub(super) registered: bool,
    pub(super) evaluated_at: Timestamp,
}

impl Evaluation {
    fn new(
        policy: Arc<Policy>,
        outcome: Outcome,
        hits: Option<Hits>,
        tested: Vec<Tested>,
        subject: &Subject<'_>,
        request: &GateRequest,
        evaluated_at: Timestamp,
    ) -> Self {
        let unknown = match outcome.kernel {
            Err(ReasonCode::UnknownRole) => Some(request.role_name().into()),
            Err(ReasonCode::UnknownTier) => {
                let held =
                    subject.standing.map(|standing| standing.tier).filter(|t| policy.tier_rank(t).is_none());
                held.filter(|_| subject.authority.is_none()).or(request.claimed_tier()).map(Into::into)
            }
            _ => None,
        };
        Self { policy, outcome, hits, tested, unknown, registered: subject.standing.is_some(), evaluated_at }
    }

    /// The decision: ALLOW, DENY or ESCALATE.
    pub fn decision(&self) -> Decision {
        self.outcome.decision
    }

    /// Says whether the decision is ALLOW.
    pub fn allowed(&self) -> bool {
        self.outcome.decision == Decision::Allow
    }

    /// The reason, for programs.
    pub fn reason_code(&self) -> ReasonCode {
        self.outcome.code
    }

    /// The reason, for people.
    pub fn reason(&self) -> String {
        let role = self.role().unwrap_or_default();
        let tier = self.tier().unwrap_or_default();
        let agent = if self.registered { "the agent" } else { "the agent is not registered; it" };
        let unknown = self.unknown.as_deref().unwrap_or_default();
        match self.outcome.code {
            ReasonCode::TierSufficient => {
                format!("{tier} meets {role}'s minimum tier {}", self.minimum_tier().unwrap_or_default())
            }
            ReasonCode::TierBelowMinimum => {
                let minimum = self.minimum_tier().unwrap_or_default();
                match (self.outcome.tier.excess, self.outcome.tier.source) {
                    (true, _) => {
                        format!("{agent} holds {tier}, whatever was claimed; {role} needs {minimum}")
                    }
                    (_, TierSource::Held) => format!("{agent} holds {tier}; {role} needs {minimum}"),
                    _ => format!("{tier} is below {role}'s minimum tier {minimum}"),
                }
            }
            ReasonCode::UnknownRole => format!("the policy has no role {unknown:?}"),
            ReasonCode::RoleDisabled => format!("the role {role} is disabled"),
            ReasonCode::UnknownTier => format!("the policy has no tier {unknown:?}"),
            ReasonCode::RuleAllow | ReasonCode::RuleDeny | ReasonCode::RuleEscalate => self.rule_reason(),
            ReasonCode::DefaultDeny => "no rule allows it, and the policy denies by default".into(),
            ReasonCode::DefaultEscalate => {
                "no rule decides it, and the policy asks for approval by default".into()
            }
            ReasonCode::AgentSuspended => "the agent is suspended".into(),
            ReasonCode::AgentRevoked => "the agent is revoked".into(),
            ReasonCode::AgentUnregistered => "the agent is not registered".into(),
            ReasonCode::ExcessClaim => format!("a tier above {tier}, which {agent} holds, was claimed"),
        }
    }

    fn rule_reason(&self) -> String {
        let Some(rule) = self.outcome.rule.and_then(|at| self.policy.document().rules.get(at)) else {
            return String::new();
        };
        match (&rule.reason, rule.effect) {
            (Some(reason), _) => reason.clone(),
            (None, Decision::Allow) => format!("rule {} allows it", rule.id),
            (None, Decision::Deny) => format!("rule {} denies it", rule.id),
            (None, Decision::Escalate) => format!("rule {} asks for approval", rule.id),
        }
    }

    /// The role's minimum tier, given when the tier is below it.
    pub fn required_tier(&self) -> Option<&str> {
        match self.outcome.code {
            ReasonCode::TierBelowMinimum => self.minimum_tier(),
            _ => None,
        }
    }

    /// The approver that an ESCALATE goes to (a queue, team or address of the host), if the rule names one.
    pub fn escalation_path(&self) -> Option<&str> {
        match self.outcome.code {
            ReasonCode::RuleEscalate => {
                self.policy.document().rules.get(self.outcome.rule?)?.escalation_path.as_deref()
            }
            _ => None,
        }
    }

    /// The tier at which the request was evaluated; `None` if it is unknown to the policy.
    pub fn tier(&self) -> Option<&str> {
        self.outcome.tier.rank.map(|rank| self.policy.tier_name(rank))
    }

    /// The source of that tier.
    pub fn tier_source(&self) -> TierSource {
        self.outcome.tier.source
    }

    /// Says whether a caller that is no tier authority claimed a tier above the held one, which is a signal of gaming.
    pub fn excess_claim(&self) -> bool {
        self.outcome.tier.excess
    }

    /// The id of the rule that matched.
    pub fn rule(&self) -> Option<&str> {
        self.outcome.rule.and_then(|at| self.policy.document().rules.get(at)).map(|rule| rule.id.as_str())
    }

    /// The policy that decided.
    pub fn policy_hash(&self) -> PolicyHash {
        self.policy.hash()
    }

    /// The instant that time windows were compared with.
    pub fn evaluated_at(&self) -> Timestamp {
        self.evaluated_at
    }

    pub(super) fn role(&self) -> Option<&str> {
        self.policy.document().roles.get(self.outcome.role?).map(|role| role.name.as_str())
    }

    pub(super) fn minimum_tier(&self) -> Option<&str> {
        self.policy.document().roles.get(self.outcome.role?).map(|role| role.minimum_tier.as_str())
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.decision(), self.reason())
    }
}
