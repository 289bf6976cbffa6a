//! The messages that the engines of a deployment send each other beside the store. Nothing relies on them: an engine
//! that was not told of a change finds it by looking, and reads again a value that was not kept.

use async_trait::async_trait;

use super::StateChange;
use crate::ids::{AgentId, OrganizationId};

/// A change that another engine made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An agent.
    Agent(OrganizationId, AgentId),
    /// The policy in force.
    Policy,
    /// Perhaps anything: messages may have been missed.
    Anything,
}

/// A function that is told of changes, on any thread; it must not wait.
pub type Listener = Box<dyn Fn(Change) + Send + Sync>;

/// A quick way between the engines of a deployment. None of its methods waits for long, and none fails.
#[async_trait]
pub trait Relay: Send + Sync + 'static {
    /// Tells the other engines of a change that was committed.
    fn tell(&self, change: &Change);

    /// Tells a listener of the changes that engines have told.
    fn listen(&self, on_change: Listener);

    /// The value that was kept under a name, if it is young enough.
    async fn cached(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps a value under a name for a while, for all engines.
    fn cache(&self, name: &str, value: Vec<u8>);

    /// Whether the relay can be reached.
    async fn is_up(&self) -> bool;
}

/// The character between organization and agent; ids have no control characters.
#[cfg(any(feature = "postgres", feature = "redis"))]
const SEPARATOR: char = '\n';
/// The message of a change of the policy; a message about an agent has a separator.
#[cfg(any(feature = "postgres", feature = "redis"))]
const POLICY: &str = "policy";

impl Change {
    /// The change that other engines are told of after a state change was committed.
    pub(crate) fn of(change: &StateChange) -> Self {
        match change {
            StateChange::Agent { agent, .. } => Self::Agent(agent.organization.clone(), agent.id.clone()),
            StateChange::Policy { .. } => Self::Policy,
        }
    }

    /// The text of a message.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn to_message(&self) -> String {
        match self {
            Self::Agent(organization, agent) => format!("{organization}{SEPARATOR}{agent}"),
            Self::Policy => POLICY.to_owned(),
            Self::Anything => String::new(),
        }
    }

    /// Reads a message; one that cannot be read may mean anything.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn parse(message: &str) -> Self {
        let agent = message.split_once(SEPARATOR).and_then(|(organization, agent)| {
            Some(Self::Agent(OrganizationId::parse(organization).ok()?, AgentId::parse(agent).ok()?))
        });
        match agent {
            Some(agent) => agent,
            None if message == POLICY => Self::Policy,
            None => Self::Anything,
        }
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "redis")))]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_strange_ones_may_mean_anything() {
        let agent = Change::Agent(OrganizationId::default(), AgentId::parse("a b:c").unwrap());
        for change in [agent, Change::Policy, Change::Anything] {
            assert_eq!(Change::parse(&change.to_message()), change);
        }
        assert_eq!(Change::parse("\n"), Change::Anything);
        assert_eq!(Change::parse("x"), Change::Anything);
    }
}
