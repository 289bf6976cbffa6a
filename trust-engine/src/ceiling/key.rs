//! What a counter counts for whom.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, OrganizationId};

/// Who shares a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// One agent.
    Agent,
    /// An agent and all that descend from it.
    Family,
    /// All agents of an organization.
    Organization,
    /// Everyone.
    Fleet,
}

impl Level {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Family, Self::Organization, Self::Fleet];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "AGENT",
            Self::Family => "FAMILY",
            Self::Organization => "ORGANIZATION",
            Self::Fleet => "FLEET",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names a counter: level, organization, agent and resource, closed by zero bytes that no name contains.
///
/// It says nothing of tier, policy or window, so that usage outlives a change of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey(Arc<[u8]>);

impl CounterKey {
    /// The counter of one agent.
    pub fn agent(organization: &OrganizationId, agent: &AgentId, resource: &str) -> Self {
        Self::new(b'A', organization.as_str(), agent.as_str(), resource)
    }

    /// The counter of an agent and all that descend from it.
    pub fn family(organization: &OrganizationId, root: &AgentId, resource: &str) -> Self {
        Self::new(b'F', organization.as_str(), root.as_str(), resource)
    }

    /// The counter of an organization.
    pub fn organization(organization: &OrganizationId, resource: &str) -> Self {
        Self::new(b'O', organization.as_str(), "", resource)
    }

    /// The counter of everyone.
    pub fn fleet(resource: &str) -> Self {
        Self::new(b'*', "", "", resource)
    }

    fn new(level: u8, organization: &str, agent: &str, resource: &str) -> Self {
        let parts: [&[u8]; 7] =
            [&[level, 0], organization.as_bytes(), &[0], agent.as_bytes(), &[0], resource.as_bytes(), &[0]];
        Self(parts.concat().into())
    }

    /// The bytes to store it under.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0).replace('\0', "/"))
    }
}
