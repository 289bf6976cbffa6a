//! The role gate: may this agent, at its tier, take this role here?

mod decision;
mod evaluate;
mod request;
mod trace;

pub use crate::subject::{Standing, Subject, TierSource};
pub use decision::{Evaluation, ReasonCode};
pub use evaluate::{decide, evaluate};
pub use request::*;
pub use trace::{ConditionStep, KernelStep, RuleStep, RuntimeStep, Trace, Wanted};
