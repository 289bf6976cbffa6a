//! Agents: what the engine knows about whom it decides for.
//!
//! An agent is kept under (organization, id); organizations never see each other's. Every change names the version
//! it was made against and commits together with its record in the log. A registration is never deleted: an agent
//! that must not act any more is revoked.

use serde::{Deserialize, Serialize};

use crate::bounds::{MAX_ID_BYTES, check_line, check_optional_line, check_reason};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Policy;

/// Most attestations of one agent.
const MAX_ATTESTATIONS: usize = 64;
/// Longest attestation in bytes.
const MAX_ATTESTATION_BYTES: usize = 256;
/// Highest trust score.
const MAX_SCORE: u32 = 1_000_000;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The agent's id, unique within its organization.
    pub id: AgentId,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// The tier it holds: a name of the policy in force when it was set.
    pub tier: String,
    /// Its trust score, if one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u32>,
    /// Whether it may act.
    pub status: AgentStatus,
    /// What has been verified about it; sorted, without duplicates.
    pub attestations: Vec<String>,
    /// How it came to be.
    pub creation: Creation,
    /// Who registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// The agent it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<AgentId>,
    /// The agent at the root of its family: the first of its parents, or of its creators that are agents themselves.
    /// Set when it is registered; `None` for a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<AgentId>,
    /// Counts changes, from 1.
    pub version: u64,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Whether an agent may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentStatus {
    /// It may.
    #[default]
    Active,
    /// Not for now; it can become active again.
    Suspended,
    /// Never again: no later change can lift it.
    Revoked,
}

/// How an agent came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Creation {
    /// Made from nothing.
    #[default]
    Fresh,
    /// Copied from its parent.
    Cloned,
    /// Grown out of its parent by training or change.
    Evolved,
    /// Moved up from a lesser deployment.
    Promoted,
    /// Brought in from elsewhere.
    Imported,
}

/// An agent to register.
///
/// Without a tier it gets the one whose score band holds its score, or the lowest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAgent {
    id: String,
    #[serde(default)]
    tier: Option<String>,
    #[serde(default)]
    score: Option<u32>,
    #[serde(default)]
    status: AgentStatus,
    #[serde(default)]
    attestations: Vec<String>,
    #[serde(default)]
    creation: Creation,
    #[serde(default)]
    creator: Option<String>,
    #[serde(default)]
    registered_by: Option<String>,
    #[serde(default)]
    parent: Option<String>,
}

impl NewAgent {
    /// An active, freshly made agent.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
    /// The tier it holds.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }
    /// Its trust score, 0 to 1,000,000.
    #[must_use]
    pub fn score(mut self, score: u32) -> Self {
        self.score = Some(score);
        self
    }
    /// Its status from the start.
    #[must_use]
    pub fn status(mut self, status: AgentStatus) -> Self {
        self.status = status;
        self
    }
    /// Adds something that has been verified about it.
    #[must_use]
    pub fn attestation(mut self, attestation: impl Into<String>) -> Self {
        self.attestations.push(attestation.into());
        self
    }
    /// Who made it: if that is an agent of the same organization, the new one joins its family.
    #[must_use]
    pub fn created_by(mut self, creator: impl Into<String>) -> Self {
        self.creator = Some(creator.into());
        self
    }
    /// Who registers it, where that is not who made it: the actor in its record, and nobody's ancestor.
    #[must_use]
    pub fn registered_by(mut self, actor: impl Into<String>) -> Self {
        self.registered_by = Some(actor.into());
        self
    }
    pub(crate) fn actor(&self) -> Result<Option<String>> {
        check_optional_line("registeredBy", self.registered_by.as_deref(), MAX_ID_BYTES)?;
        Ok(self.registered_by.clone().or_else(|| self.creator.clone()))
    }
    /// How it came to be, and from which agent of the same organization.
    #[must_use]
    pub fn made_from(mut self, parent: impl Into<String>, creation: Creation) -> Self {
        self.parent = Some(parent.into());
        self.creation = creation;
        self
    }
    /// How it came to be, where there is no parent.
    #[must_use]
    pub fn creation(mut self, creation: Creation) -> Self {
        self.creation = creation;
        self
    }

    pub(crate) fn check(
        self,
        organization: &OrganizationId,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Agent> {
        let id = AgentId::parse(&self.id)?;
        check_score(self.score)?;
        check_optional_line("creator", self.creator.as_deref(), MAX_ID_BYTES)?;
        let parent = self.parent.map(|parent| AgentId::parse_field("parent", &parent)).transpose()?;
        if parent.as_ref() == Some(&id) {
            return Err(Error::invalid("parent", "is the agent itself"));
        }
        let tier = match (self.tier, self.score) {
            (Some(tier), _) => policy.known_tier(&tier)?.to_owned(),
            (None, Some(score)) => policy.tier_of_score(score).unwrap_or(policy.lowest_tier()).to_owned(),
            (None, None) => policy.lowest_tier().to_owned(),
        };
        Ok(Agent {
            id,
            organization: organization.clone(),
            tier,
            score: self.score,
            status: self.status,
            attestations: checked_attestations(self.attestations)?,
            creation: self.creation,
            creator: self.creator,
            parent,
            family: None,
            version: 1,
            registered_at: now,
            changed_at: now,
        })
    }
}

/// A change of a registered agent; what is not set stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentChange {
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    tier: Option<String>,
    #[serde(default)]
    score: Option<u32>,
    #[serde(default)]
    status: Option<AgentStatus>,
    #[serde(default)]
    attestations: Option<Vec<String>>,
    #[serde(default)]
    changed_by: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl AgentChange {
    /// A change that holds only if the agent is still at `version`; any other version is a conflict.
    pub fn of_version(version: u64) -> Self {
        Self { version: Some(version), ..Self::default() }
    }
    /// A change of whatever version is current. Two such changes at once can still conflict; then nothing happened.
    pub fn of_current() -> Self {
        Self::default()
    }
    /// Sets the tier.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }
    /// Sets the score. If the policy has score bands and no tier is set here, the tier follows.
    #[must_use]
    pub fn score(mut self, score: u32) -> Self {
        self.score = Some(score);
        self
    }
    /// Sets the status. A revoked agent stays revoked.
    #[must_use]
    pub fn status(mut self, status: AgentStatus) -> Self {
        self.status = Some(status);
        self
    }
    /// Replaces the attestations.
    #[must_use]
    pub fn attestations<T: Into<String>>(mut self, attestations: impl IntoIterator<Item = T>) -> Self {
        self.attestations = Some(attestations.into_iter().map(Into::into).collect());
        self
    }
    /// Who makes the change; recorded.
    #[must_use]
    pub fn changed_by(mut self, actor: impl Into<String>) -> Self {
        self.changed_by = Some(actor.into());
        self
    }
    /// Why; recorded. At most 4,096 bytes.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(crate) fn actor(&self) -> Option<&str> {
        self.changed_by.as_deref()
    }

    pub(crate) fn reason_text(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub(crate) fn apply(&self, before: &Agent, policy: &Policy, now: Timestamp) -> Result<Agent> {
        if let Some(expected) = self.version
            && expected != before.version
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "agent {} is at version {}, the change was made for {expected}",
                    before.id, before.version
                ),
            )
            .with("version", before.version));
        }
        check_score(self.score)?;
        check_optional_line("changedBy", self.changed_by.as_deref(), MAX_ID_BYTES)?;
        if let Some(reason) = &self.reason {
            check_reason(reason)?;
        }
        let mut after = before.clone();
        match (&self.tier, self.score) {
            (Some(tier), _) => after.tier = policy.known_tier(tier)?.to_owned(),
            (None, Some(score)) => {
                if let Some(tier) = policy.tier_of_score(score) {
                    after.tier = tier.to_owned();
                }
            }
            (None, None) => {}
        }
        if self.score.is_some() {
            after.score = self.score;
        }
        if let Some(status) = self.status {
            if before.status == AgentStatus::Revoked && status != AgentStatus::Revoked {
                return Err(Error::invalid("status", format!("of {} is REVOKED, which is final", before.id)));
            }
            after.status = status;
        }
        if let Some(attestations) = &self.attestations {
            after.attestations = checked_attestations(attestations.clone())?;
        }
        after.version = before.version.saturating_add(1);
        after.changed_at = now.max(before.changed_at);
        Ok(after)
    }
}

fn check_score(score: Option<u32>) -> Result<()> {
    match score {
        Some(score) if score > MAX_SCORE => {
            Err(Error::invalid("score", format!("is {score}; at most {MAX_SCORE} is allowed")))
        }
        _ => Ok(()),
    }
}

fn checked_attestations(mut attestations: Vec<String>) -> Result<Vec<String>> {
    if attestations.len() > MAX_ATTESTATIONS {
        let issue = format!("are {}; at most {MAX_ATTESTATIONS} are allowed", attestations.len());
        return Err(Error::invalid("attestations", issue));
    }
    for attestation in &attestations {
        check_line("attestations", attestation, MAX_ATTESTATION_BYTES)?;
    }
    attestations.sort_unstable();
    attestations.dedup();
    Ok(attestations)
}
