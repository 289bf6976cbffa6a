//! What is known about the agent at the moment of the decision, and the tier that follows from it.

use crate::agent::{Agent, AgentStatus};
use crate::policy::{Policy, Unregistered};

/// The facts that a decision rests on, apart from policy, request and time.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the registry says; `None` for an agent that was never registered.
    pub standing: Option<Standing<'a>>,
    /// The name of the tier authority that makes the request, if it is one.
    pub authority: Option<&'a str>,
}

/// A registered agent's standing.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The tier it holds.
    pub tier: &'a str,
    /// Whether it may act.
    pub status: AgentStatus,
    /// What has been verified about it; sorted.
    pub attestations: &'a [String],
}

impl<'a> Subject<'a> {
    /// The subject of a request that `agent` is known for.
    pub fn of(agent: Option<&'a Agent>) -> Self {
        let standing = agent.map(|agent| Standing {
            tier: &agent.tier,
            status: agent.status,
            attestations: &agent.attestations,
        });
        Self { standing, authority: None }
    }

    /// The same, asked for by a tier authority.
    #[must_use]
    pub fn asserted_by(mut self, authority: Option<&'a str>) -> Self {
        self.authority = authority;
        self
    }
}

/// Where the tier that counts comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierSource {
    /// The registry (the lowest tier for an unregistered agent).
    Held,
    /// A caller's claim at or below the held tier.
    Claimed,
    /// A tier authority's word.
    Asserted,
}

impl TierSource {
    /// The word that records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Claimed => "CLAIMED",
            Self::Asserted => "ASSERTED",
        }
    }
}

/// The tier at which a request is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EffectiveTier {
    /// `None`: a name that the policy does not know.
    pub(crate) rank: Option<usize>,
    pub(crate) source: TierSource,
    /// A claim above the held tier by a caller that is no tier authority.
    pub(crate) excess: bool,
    /// The held tier, where a lower one was claimed.
    pub(crate) held_if_higher: Option<usize>,
}

impl EffectiveTier {
    pub(crate) fn resolve(policy: &Policy, subject: &Subject<'_>, claim: Option<&str>) -> Self {
        let held = match &subject.standing {
            Some(standing) => policy.tier_rank(standing.tier),
            None => Some(0),
        };
        let Some(claim) = claim else {
            return Self { rank: held, source: TierSource::Held, excess: false, held_if_higher: None };
        };
        let claimed = policy.tier_rank(claim);
        if subject.authority.is_some() {
            return Self { rank: claimed, source: TierSource::Asserted, excess: false, held_if_higher: None };
        }
        match (held, claimed) {
            (Some(held), Some(claimed)) if claimed > held => {
                Self { rank: Some(held), source: TierSource::Held, excess: true, held_if_higher: None }
            }
            (Some(held), claimed) => Self {
                rank: claimed,
                source: TierSource::Claimed,
                excess: false,
                held_if_higher: claimed.filter(|claimed| *claimed < held).map(|_| held),
            },
            (None, _) => Self { rank: None, source: TierSource::Held, excess: false, held_if_higher: None },
        }
    }
}

/// Whether an unregistered agent is refused.
pub(crate) fn refused_as_unregistered(policy: &Policy, subject: &Subject<'_>) -> bool {
    subject.standing.is_none() && policy.document().agents.unregistered == Unregistered::Deny
}
