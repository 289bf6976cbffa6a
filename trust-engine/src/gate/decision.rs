//! A decision with its reasons.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::evaluate::{Outcome, Tested};
use super::request::GateRequest;
use super::trace::Trace;
use crate::clock::Timestamp;
use crate::policy::Decision;
use crate::policy::{Hits, Policy, PolicyHash};
use crate::subject::{Subject, TierSource};

/// Why a gate decided as it did; stable words for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonCode {
    /// The tier meets the role's minimum and no rule says otherwise.
    TierSufficient,
    /// The tier is below the role's minimum. Final.
    TierBelowMinimum,
    /// The policy has no such role. Final.
    UnknownRole,
    /// The role is switched off. Final.
    RoleDisabled,
    /// The held or claimed tier is not one of the policy's. Final.
    UnknownTier,
    /// A rule allowed.
    RuleAllow,
    /// A rule denied.
    RuleDeny,
    /// A rule asks for approval.
    RuleEscalate,
    /// No rule matched, and the policy's default is to deny.
    DefaultDeny,
    /// No rule matched, and the policy's default is to ask for approval.
    DefaultEscalate,
    /// The agent is suspended.
    AgentSuspended,
    /// The agent is revoked.
    AgentRevoked,
    /// The agent is not registered, and the policy denies such agents.
    AgentUnregistered,
    /// A tier above the held one was claimed, and the policy denies that.
    ExcessClaim,
}

impl ReasonCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TierSufficient => "TIER_SUFFICIENT",
            Self::TierBelowMinimum => "TIER_BELOW_MINIMUM",
            Self::UnknownRole => "UNKNOWN_ROLE",
            Self::RoleDisabled => "ROLE_DISABLED",
            Self::UnknownTier => "UNKNOWN_TIER",
            Self::RuleAllow => "RULE_ALLOW",
            Self::RuleDeny => "RULE_DENY",
            Self::RuleEscalate => "RULE_ESCALATE",
            Self::DefaultDeny => "DEFAULT_DENY",
            Self::DefaultEscalate => "DEFAULT_ESCALATE",
            Self::AgentSuspended => "AGENT_SUSPENDED",
            Self::AgentRevoked => "AGENT_REVOKED",
            Self::AgentUnregistered => "AGENT_UNREGISTERED",
            Self::ExcessClaim => "EXCESS_CLAIM",
        }
    }

    pub(crate) fn of_rule(effect: Decision) -> Self {
        match effect {
            Decision::Allow => Self::RuleAllow,
            Decision::Deny => Self::RuleDeny,
            Decision::Escalate => Self::RuleEscalate,
        }
    }

    pub(crate) fn of_default(effect: Decision) -> Self {
        match effect {
            Decision::Allow => Self::TierSufficient,
            Decision::Deny => Self::DefaultDeny,
            Decision::Escalate => Self::DefaultEscalate,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The result of evaluating a role gate, with everything needed to explain it.
///
/// The explanation is kept as references into the policy and spelled out only when asked for.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub(super) policy: Arc<Policy>,
    pub(super) outcome: Outcome,
    pub(super) hits: Option<Hits>,
    pub(super) tested: Vec<Tested>,
    /// Names that the policy does not know, kept so that the reason can repeat them.
    pub(super) unknown: Option<Box<str>>,
    pub(super) registered: bool,
    pub(super) evaluated_at: Timestamp,
}

impl Evaluation {
    pub(super) fn new(
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

    /// ALLOW, DENY or ESCALATE.
    pub fn decision(&self) -> Decision {
        self.outcome.decision
    }

    /// Whether the decision is ALLOW.
    pub fn allowed(&self) -> bool {
        self.outcome.decision == Decision::Allow
    }

    /// Why, for programs.
    pub fn reason_code(&self) -> ReasonCode {
        self.outcome.code
    }

    /// Why, for people.
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

    /// The role's minimum tier, given when a higher tier is what is missing.
    pub fn required_tier(&self) -> Option<&str> {
        match self.outcome.code {
            ReasonCode::TierBelowMinimum => self.minimum_tier(),
            _ => None,
        }
    }

    /// Whom an ESCALATE asks, if the rule says.
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

    /// Where that tier comes from.
    pub fn tier_source(&self) -> TierSource {
        self.outcome.tier.source
    }

    /// Whether a tier above the held one was claimed by a caller that is no tier authority: a signal of gaming.
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

    /// Every step of the decision.
    pub fn trace(&self) -> Trace<'_> {
        Trace::new(self)
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
