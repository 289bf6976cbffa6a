//! The facts about the agent at the moment of the decision, and the tier that follows from them.

use std::cmp::Ordering;

use crate::agent::{Agent, AgentStatus};
use crate::policy::{Policy, Unregistered};

/// The facts that a decision rests on, apart from policy, request and time.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The agent's standing in the registry; `None` for an agent that was never registered.
    pub standing: Option<Standing<'a>>,
    /// The name of the tier authority, if one makes the request.
    pub authority: Option<&'a str>,
}

/// A registered agent's standing.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The tier that the agent holds.
    pub tier: &'a str,
    /// Whether the agent may act.
    pub status: AgentStatus,
    /// The facts that have been verified about the agent; sorted.
    pub attestations: &'a [String],
}

impl<'a> Subject<'a> {
    /// The subject of a request; `agent` is the registered agent that it is for, if there is one.
    pub fn of(agent: Option<&'a Agent>) -> Self {
        let standing = agent.map(|agent| Standing {
            tier: &agent.tier,
            status: agent.status,
            attestations: &agent.attestations,
        });
        Self { standing, authority: None }
    }

    /// The same subject, with the tier authority that makes the request.
    #[must_use]
    pub fn asserted_by(mut self, authority: Option<&'a str>) -> Self {
        self.authority = authority;
        self
    }
}

/// The source of the tier that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierSource {
    /// The registry (for an unregistered agent, the lowest tier).
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
    /// The rank of the tier; `None` if the policy does not know its name.
    pub(crate) rank: Option<usize>,
    pub(crate) source: TierSource,
    /// Whether a caller that is no tier authority claimed a tier above the held one.
    pub(crate) excess: bool,
    /// The rank of the held tier, if a lower tier was claimed.
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
        let held_only = Self { rank: held, source: TierSource::Held, excess: false, held_if_higher: None };
        let Some(held) = held else { return held_only };
        let at_claim = Self { rank: claimed, source: TierSource::Claimed, ..held_only };
        match claimed.map(|claimed| claimed.cmp(&held)) {
            Some(Ordering::Greater) => Self { excess: true, ..held_only },
            Some(Ordering::Less) => Self { held_if_higher: Some(held), ..at_claim },
            Some(Ordering::Equal) | None => at_claim,
        }
    }
}

/// Says whether the subject is refused because its agent is not registered.
pub(crate) fn refused_as_unregistered(policy: &Policy, subject: &Subject<'_>) -> bool {
    subject.standing.is_none() && policy.document().agents.unregistered == Unregistered::Deny
}
