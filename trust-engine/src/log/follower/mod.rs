//! Followers react to the log. A follower reads what it missed, so a slow one never slows a commit.
//!
//! A [local](local) follower is in every engine and keeps its caches; an [owned](owned) one runs once per deployment and
//! turns records into state and effects.

mod local;
mod order;
mod owned;

pub(crate) use local::{Followed, LocalFollower};
pub use order::EventPlace;
pub(crate) use order::{Position, ordered_page};
pub(crate) use owned::OwnedFollower;
pub use owned::{Effect, Fold};
