//! The role gate: may this agent, at its tier, take this role here?

mod decide;
mod evaluation;
mod reason;
mod request;
mod trace;

pub use crate::bounds::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH, MAX_NAME_BYTES};
pub use crate::subject::{Standing, Subject, TierSource};
pub use decide::decide;
pub use evaluation::{Evaluation, evaluate};
pub use reason::ReasonCode;
pub use request::{GateRequest, MAX_ACTION_BYTES, MAX_RESOURCE_BYTES};
pub use trace::{ConditionStep, KernelStep, RuleStep, RuntimeStep, Trace, Wanted};
