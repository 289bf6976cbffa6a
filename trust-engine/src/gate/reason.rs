//! The reason for a gate's decision, as a stable word.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::policy::Decision;

/// The reason for a gate's decision, as a stable word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonCode {
    /// The tier meets the role's minimum and no rule says otherwise.
    TierSufficient,
    /// The tier is below the role's minimum. The denial is final.
    TierBelowMinimum,
    /// The policy has no such role. The denial is final.
    UnknownRole,
    /// The role is switched off. The denial is final.
    RoleDisabled,
    /// The held or claimed tier is not one of the policy's. The denial is final.
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
