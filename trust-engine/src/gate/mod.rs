//! The role gate: may this agent, at its tier, take this role here?

mod decision;
mod evaluate;
mod request;
mod subject;
mod trace;

pub use decision::{Evaluation, ReasonCode};
pub use evaluate::{decide, evaluate};
pub use request::*;
pub use subject::{Standing, Subject, TierSource};
pub use trace::{ConditionStep, KernelStep, RuleStep, RuntimeStep, Trace, Wanted};
