//! Agents: the facts that the engine keeps about the agents that it decides for.
//!
//! An agent is kept under (organization, id); no organization sees the agents of another. Every change names the
//! version it was made against and commits together with its record in the log. A registration is never deleted: an
//! agent that must not act any more is revoked.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::bounds::{check_line, check_optional_id, check_reason};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::policy::Policy;

/// The most attestations of one agent.
const MAX_ATTESTATIONS: usize = 64;
/// The longest attestation, in bytes.
const MAX_ATTESTATION_BYTES: usize = 256;
/// The highest trust score.
const MAX_SCORE: u32 = 1_000_000;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The agent's id, unique within its organization.
    pub id: AgentId,
    /// The organization that the agent belongs to.
    pub organization: OrganizationId,
    /// The tier that the agent holds: a name of the policy in force when it was set.
    pub tier: String,
    /// The agent's trust score, if one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u32>,
    /// Whether the agent may act.
    pub status: AgentStatus,
    /// The facts that have been verified about the agent; sorted, without duplicates.
    pub attestations: Vec<String>,
    /// The way in which the agent came to be.
    pub creation: Creation,
    /// The creator that was named when the agent was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// The agent that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<AgentId>,
    /// The agent at the root of its family: the first of its parents, or of its creators that are agents themselves.
    /// The root is set when the agent is registered; a root itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<AgentId>,
    /// The count of changes, from 1.
    pub version: u64,
    /// The time at which the agent was registered.
    pub registered_at: Timestamp,
    /// The time at which the agent was last changed.
    pub changed_at: Timestamp,
}

/// The status of an agent, which tells whether it may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", try_from = "String")]
pub enum AgentStatus {
    /// The agent may act.
    #[default]
    Active,
    /// The agent may not act for now; it can become active again.
    Suspended,
    /// The agent may never act again: no later change can lift this.
    Revoked,
}

impl AgentStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Revoked => "REVOKED",
        }
    }
}

impl std::str::FromStr for AgentStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known =
            [Self::Active, Self::Suspended, Self::Revoked].into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| Error::invalid("status", format!("{text:?} is not ACTIVE, SUSPENDED or REVOKED")))
    }
}

/// Serde would also read an object with the word as its only name.
impl TryFrom<String> for AgentStatus {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The way in which an agent came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", try_from = "String")]
pub enum Creation {
    /// The agent was made from nothing.
    #[default]
    Fresh,
    /// The agent was copied from its parent.
    Cloned,
    /// The agent has grown out of its parent by training or change.
    Evolved,
    /// The agent was moved up from a lesser deployment.
    Promoted,
    /// The agent was brought in from elsewhere.
    Imported,
}

impl Creation {
    const WORDS: [(&str, Self); 5] = [
        ("FRESH", Self::Fresh),
        ("CLONED", Self::Cloned),
        ("EVOLVED", Self::Evolved),
        ("PROMOTED", Self::Promoted),
        ("IMPORTED", Self::Imported),
    ];
}

impl TryFrom<String> for Creation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let known = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        known.map(|(_, creation)| creation).ok_or_else(|| {
            let words = Self::WORDS.map(|(word, _)| word).join(", ");
            Error::invalid("creation", format!("{text:?} is not one of {words}"))
        })
    }
}

/// A field that is there has a value: `null` would be taken for a field that is not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An agent to register.
///
/// Without a tier the agent gets the one whose score band holds its score, or the lowest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAgent {
    id: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    score: Option<u32>,
    #[serde(default)]
    status: AgentStatus,
    #[serde(default)]
    attestations: Vec<String>,
    #[serde(default)]
    creation: Creation,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    creator: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    registered_by: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

impl NewAgent {
    /// An active, freshly made agent.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
    /// The tier that the agent holds.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }
    /// The agent's trust score, 0 to 1,000,000.
    #[must_use]
    pub fn score(mut self, score: u32) -> Self {
        self.score = Some(score);
        self
    }
    /// The agent's status from the start.
    #[must_use]
    pub fn status(mut self, status: AgentStatus) -> Self {
        self.status = status;
        self
    }
    /// Adds a fact that has been verified about the agent.
    #[must_use]
    pub fn attestation(mut self, attestation: impl Into<String>) -> Self {
        self.attestations.push(attestation.into());
        self
    }
    /// The creator of the agent: if that is an agent of the same organization, the new agent joins its family.
    #[must_use]
    pub fn created_by(mut self, creator: impl Into<String>) -> Self {
        self.creator = Some(creator.into());
        self
    }
    /// The actor that registers the agent, if that is not its creator: the record names the actor, and the agent does
    /// not join the actor's family.
    #[must_use]
    pub fn registered_by(mut self, actor: impl Into<String>) -> Self {
        self.registered_by = Some(actor.into());
        self
    }
    /// The names of parent and creator.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &str> {
        [&self.parent, &self.creator].into_iter().flatten().map(String::as_str)
    }
    /// Refuses an agent that is signed with a name: the caller's own is recorded.
    pub(crate) fn check_unsigned(&self) -> Result<()> {
        for (field, name) in [("creator", &self.creator), ("registeredBy", &self.registered_by)] {
            if name.is_some() {
                return Err(Error::invalid(field, "is given; the caller itself is recorded"));
            }
        }
        Ok(())
    }

    pub(crate) fn actor(&self) -> Result<Option<String>> {
        check_optional_id("registeredBy", self.registered_by.as_deref())?;
        Ok(self.registered_by.clone().or_else(|| self.creator.clone()))
    }
    /// The agent of the same organization that this one was made from, and the way in which it was made.
    #[must_use]
    pub fn made_from(mut self, parent: impl Into<String>, creation: Creation) -> Self {
        self.parent = Some(parent.into());
        self.creation = creation;
        self
    }
    /// The way in which an agent without a parent came to be.
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
        check_optional_id("creator", self.creator.as_deref())?;
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

/// A change of a registered agent; a field that is not set stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentChange {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    score: Option<u32>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    status: Option<AgentStatus>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    attestations: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl AgentChange {
    /// A change that holds only if the agent is still at `version`; any other version is a conflict.
    pub fn of_version(version: u64) -> Self {
        Self { version: Some(version), ..Self::default() }
    }
    /// A change of the agent's current version, whichever that is. Two such changes at once can still conflict; a
    /// change that fails so does nothing.
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
    /// The actor that makes the change, which is recorded.
    #[must_use]
    pub fn changed_by(mut self, actor: impl Into<String>) -> Self {
        self.changed_by = Some(actor.into());
        self
    }
    /// The reason for the change, which is recorded; at most 4,096 bytes.
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
        check_optional_id("changedBy", self.changed_by.as_deref())?;
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
