//! The engine: it composes policy, gates, ceilings, log and store. It has no rules of its own; each verb group is a
//! file.

mod agent_cache;
mod agent_loads;
mod agent_query;
mod agents;
pub mod blocking;
mod ceilings;
mod current_policy;
mod deployment;
mod facts;
mod follow;
mod followed;
mod gates;
mod instance;
mod log;
mod open;
mod options;
mod payload;
mod policies;
mod recorded;
mod recording;
mod state;
mod stats;

pub use agent_query::{AgentPage, AgentQuery};
pub use agents::{AgentReceipt, Agents};
pub use ceilings::{CeilingUsage, CeilingVerdict, Quota, Quotas, Reservation, recompute_ceiling};
pub use deployment::Deployment;
#[cfg(feature = "embedded")]
pub use deployment::rotate_embedded_key;
pub use follow::Following;
pub(crate) use followed::Followed;
pub use gates::Verdict;
pub use instance::{Engine, Health};
pub use log::Log;
pub use options::Options;
pub use payload::recompute;
pub use policies::{Policies, PolicyVersion};
pub use recorded::Recorded;
pub use stats::{Stats, TimeRange};
