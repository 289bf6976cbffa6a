//! The names of counters, and the levels of sharing.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, OrganizationId};

/// The level of a counter: the agents that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// One agent.
    Agent,
    /// An agent and all agents that descend from it.
    Family,
    /// All agents of an organization.
    Organization,
    /// All agents of all organizations.
    Fleet,
}

impl Level {
    /// The levels, from the narrowest to the widest.
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

/// The name of a counter: level, organization, agent and resource, each closed by a zero byte, which no name contains.
///
/// A key says nothing of tier, policy or window, so that usage outlives a change of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey(Arc<[u8]>);

impl CounterKey {
    /// The key of one agent's counter.
    pub fn agent(organization: &OrganizationId, agent: &AgentId, resource: &str) -> Self {
        Self::new(b'A', organization.as_str(), agent.as_str(), resource)
    }

    /// The key of the counter of an agent and all agents that descend from it.
    pub fn family(organization: &OrganizationId, root: &AgentId, resource: &str) -> Self {
        Self::new(b'F', organization.as_str(), root.as_str(), resource)
    }

    /// The key of an organization's counter.
    pub fn organization(organization: &OrganizationId, resource: &str) -> Self {
        Self::new(b'O', organization.as_str(), "", resource)
    }

    /// The key of the counter that all agents share.
    pub fn fleet(resource: &str) -> Self {
        Self::new(b'*', "", "", resource)
    }

    fn new(level: u8, organization: &str, agent: &str, resource: &str) -> Self {
        let parts: [&[u8]; 7] =
            [&[level, 0], organization.as_bytes(), &[0], agent.as_bytes(), &[0], resource.as_bytes(), &[0]];
        Self(parts.concat().into())
    }

    /// The bytes that a store keeps the counter under.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0).replace('\0', "/"))
    }
}
