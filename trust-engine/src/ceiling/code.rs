//! The reason for the outcome of a ceiling check, as a stable word.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agent::AgentStatus;
use crate::policy::{ExcessClaim, Policy};
use crate::subject::{EffectiveTier, Subject, refused_as_unregistered};

/// The reason why a check was admitted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CeilingCode {
    /// Every counter had enough left.
    WithinCeiling,
    /// The authority could not be reached, and the policy says to admit then.
    FailOpen,
    /// A counter has less left than the check requests.
    CeilingExceeded,
    /// The policy has no ceiling for this tier and resource: nothing is allowed.
    NoCeiling,
    /// The policy does not know the resource.
    UnknownResource,
    /// The policy does not know the tier.
    UnknownTier,
    /// The agent's rate is used up for now.
    RateExceeded,
    /// The agent is suspended.
    AgentSuspended,
    /// The agent is revoked.
    AgentRevoked,
    /// The agent is not registered, and the policy refuses such agents.
    AgentUnregistered,
    /// A tier above the held one was claimed, and the policy refuses that.
    ExcessClaim,
    /// The authority could not be reached, and the engine's own leases were not enough. The check is retryable.
    StoreUnavailable,
    /// The authority's clock shows a time before one that it granted at. The check is retryable once the clock has
    /// caught up.
    ClockSetBack,
}

impl CeilingCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WithinCeiling => "WITHIN_CEILING",
            Self::FailOpen => "FAIL_OPEN",
            Self::CeilingExceeded => "CEILING_EXCEEDED",
            Self::NoCeiling => "NO_CEILING",
            Self::UnknownResource => "UNKNOWN_RESOURCE",
            Self::UnknownTier => "UNKNOWN_TIER",
            Self::RateExceeded => "RATE_EXCEEDED",
            Self::AgentSuspended => "AGENT_SUSPENDED",
            Self::AgentRevoked => "AGENT_REVOKED",
            Self::AgentUnregistered => "AGENT_UNREGISTERED",
            Self::ExcessClaim => "EXCESS_CLAIM",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::ClockSetBack => "CLOCK_SET_BACK",
        }
    }

    /// Says whether the check was admitted.
    pub fn admits(self) -> bool {
        matches!(self, Self::WithinCeiling | Self::FailOpen)
    }

    /// Says whether the outcome is one of the counters and rates, and not of the agent or the policy.
    pub(crate) fn is_of_counters(self) -> bool {
        matches!(
            self,
            Self::CeilingExceeded | Self::RateExceeded | Self::StoreUnavailable | Self::ClockSetBack
        )
    }

    /// Says whether a check with this outcome may be admitted soon, without a change by the caller.
    pub(crate) fn is_retryable(self) -> bool {
        matches!(self, Self::RateExceeded | Self::StoreUnavailable | Self::ClockSetBack)
    }
}

impl fmt::Display for CeilingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Gives the reason why a subject may use nothing at all, if there is one.
pub(crate) fn refusal(policy: &Policy, subject: &Subject<'_>, tier: EffectiveTier) -> Option<CeilingCode> {
    match subject.standing.map(|standing| standing.status) {
        Some(AgentStatus::Revoked) => Some(CeilingCode::AgentRevoked),
        Some(AgentStatus::Suspended) => Some(CeilingCode::AgentSuspended),
        None if refused_as_unregistered(policy, subject) => Some(CeilingCode::AgentUnregistered),
        _ if tier.excess && policy.document().agents.excess_claim == ExcessClaim::Deny => {
            Some(CeilingCode::ExcessClaim)
        }
        _ if tier.rank.is_none() => Some(CeilingCode::UnknownTier),
        _ => None,
    }
}
