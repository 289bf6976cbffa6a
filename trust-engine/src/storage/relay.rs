//! The messages that the engines of a deployment send each other beside the store. Nothing relies on them: an engine
//! that was not told of a change finds it by looking, and reads again a value that was not kept.

use async_trait::async_trait;

use super::DocumentKey;
#[cfg(any(feature = "postgres", feature = "redis"))]
use super::DocumentKind;
#[cfg(any(feature = "postgres", feature = "redis"))]
use crate::bounds::{MAX_ID_BYTES, check_line};
#[cfg(any(feature = "postgres", feature = "redis"))]
use crate::ids::OrganizationId;

/// A change that another engine made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A document.
    Document(DocumentKey),
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

/// The character between kind, organization and id; ids have no control characters.
#[cfg(any(feature = "postgres", feature = "redis"))]
const SEPARATOR: char = '\n';

impl Change {
    /// The text of a message.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn to_message(&self) -> String {
        match self {
            Self::Document(DocumentKey { kind, organization, id }) => {
                format!("{}{SEPARATOR}{organization}{SEPARATOR}{id}", kind.as_str())
            }
            Self::Anything => String::new(),
        }
    }

    /// Reads a message; one that cannot be read may mean anything.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn parse(message: &str) -> Self {
        let mut parts = message.splitn(3, SEPARATOR);
        let mut document = || {
            let kind = DocumentKind::parse(parts.next()?)?;
            let organization = OrganizationId::recorded(parts.next()?).ok()?;
            let id = parts.next().filter(|id| check_line("id", id, MAX_ID_BYTES).is_ok())?;
            Some(Self::Document(DocumentKey { kind, organization, id: id.to_owned() }))
        };
        document().unwrap_or(Self::Anything)
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "redis")))]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_strange_ones_may_mean_anything() {
        for kind in DocumentKind::ALL {
            let key = DocumentKey { kind, organization: OrganizationId::default(), id: "a b:c".into() };
            let change = Change::Document(key);
            assert_eq!(Change::parse(&change.to_message()), change);
        }
        for strange in ["", "\n", "x", "AGENT\no", "AGENT\no\n", "AGENT\n\na", "X\no\na", "AGENT\no\na\nb"] {
            assert_eq!(Change::parse(strange), Change::Anything, "{strange:?}");
        }
    }
}
