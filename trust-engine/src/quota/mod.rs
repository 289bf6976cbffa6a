//! The engine's side of a counter store: meters, the lease pool that keeps them, and the limits that a policy sets for
//! an agent.

mod agent_quota;
mod attempt;
mod lease_pool;
mod limits;
mod meter;
mod rates;
mod registry;

pub(crate) use agent_quota::AgentQuota;
pub(crate) use attempt::{Attempt, Charge, Fetch, Outcome, attempt};
pub(crate) use lease_pool::LeasePool;
pub(crate) use limits::ResourceLimits;
pub(crate) use meter::Meter;
