//! Capability ceilings: is this agent within what it may use?
//!
//! An authority ([`CounterStore`](crate::storage::CounterStore)) charges amounts to accounts and grants them as leases;
//! an engine spends its leases by one compare-and-swap and asks again when they run short. What is granted is charged
//! first, so nothing that gets lost can overspend a ceiling.

mod account;
mod bank;
mod check;
mod code;
mod key;
mod lines;
mod measure;
mod meter;
mod quota;
mod rate;
mod request;
mod slot;
#[cfg(any(test, feature = "embedded", feature = "postgres", feature = "redis"))]
mod stored;
mod sync;
mod window;

pub(crate) use account::{Account, SetBack};
pub(crate) use bank::Bank;
pub(crate) use check::{Attempt, Charge, Fetch, Outcome, attempt};
pub use code::CeilingCode;
pub use key::{CounterKey, Level};
pub(crate) use lines::{Line, Rates, row_of};
pub use measure::Measure;
pub(crate) use measure::Terms;
pub(crate) use meter::Meter;
pub(crate) use quota::{AgentQuota, refusal};
pub(crate) use rate::Rate;
pub use request::{CeilingRequest, MAX_RESOURCES};
pub(crate) use request::{check_amount, check_resource};
#[cfg(feature = "redis")]
pub(crate) use slot::MAX_AMOUNT;
pub use window::Window;
