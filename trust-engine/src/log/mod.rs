//! The log of a store at work: the sequencer that commits records in groups, and the parts that read the log.

mod checkpoint_cache;
pub(crate) mod cursor;
mod export;
mod follower;
mod fsck;
mod merge;
mod query;
pub(crate) mod recorded;
mod sequencer;
mod stats;
mod unrecorded;

pub(crate) use checkpoint_cache::CheckpointCache;
pub use export::{Exported, export};
pub(crate) use follower::{Followed, Follower, FollowerSettings};
pub use fsck::{Damage, Finding, Report, check_export, check_shards, check_store};
pub(crate) use merge::scan_all;
pub use query::{Page, Query};
pub use sequencer::Ticket;
pub(crate) use sequencer::{Draft, ParentOf, Sequencer, Settings, Submission};
pub(crate) use stats::{CeilingStat, VerdictStat};
pub(crate) use unrecorded::{UnrecordedChecks, UnrecordedCounts};
