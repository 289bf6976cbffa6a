//! The log of a store at work: the sequencer that commits records in groups, and the parts that read the log.

mod checkpoint_cache;
mod copy;
pub(crate) mod cursor;
mod deployment;
mod export;
mod follower;
mod fsck;
mod merge;
mod news;
mod query;
pub(crate) mod recorded;
mod sequencer;
pub(crate) mod sign_of_life;
mod stats;
mod unrecorded;
mod worker;

pub(crate) use checkpoint_cache::CheckpointCache;
pub use copy::{Copied, copy};
pub(crate) use deployment::Deployment;
pub use deployment::deployment_keys;
pub use export::{Exported, export};
pub use follower::{Effect, EventPlace, Fold};
pub(crate) use follower::{Followed, LocalFollower, OwnedFollower, Position, ordered_page};
pub use fsck::{Damage, Finding, Report, check_copy, check_export, check_shards, check_store};
pub(crate) use merge::scan_all;
pub(crate) use news::News;
pub use query::{Page, Query};
pub use sequencer::Ticket;
pub(crate) use sequencer::{Draft, Fate, IdOrigin, ParentOf, Sequencer, Settings, Submission};
pub(crate) use stats::{CeilingStat, VerdictStat};
pub(crate) use unrecorded::{UnrecordedChecks, UnrecordedCounts};
pub(crate) use worker::Worker;
