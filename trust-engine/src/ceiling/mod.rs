//! Capability ceilings, the arithmetic: windows and slices, accounts and the ledger over them, leases and the slot that
//! spends one. Nothing here waits, or knows where counters are kept.
//!
//! An authority ([`CounterStore`](crate::storage::CounterStore)) charges amounts to accounts and grants them as leases;
//! an engine spends each lease by one compare-and-swap and requests another when it runs short. A grant is charged
//! before it can be used, so a loss on the way cannot overspend a ceiling.

mod account;
mod code;
mod key;
mod lease;
mod ledger;
mod measure;
mod rate;
mod request;
mod slot;
#[cfg(test)]
mod slot_tests;
#[cfg(any(test, feature = "embedded", feature = "postgres", feature = "redis"))]
mod stored;
mod sync;
mod terms;
mod window;

pub(crate) use account::Account;
pub use code::CeilingCode;
pub(crate) use code::refusal;
pub use key::{CounterKey, Level};
pub use lease::{Charged, Grant, LeaseAnswer, LeaseRequest, LeaseRequests, Refusal, Unspent};
pub(crate) use ledger::{AccountSource, Ledger};
pub use measure::Measure;
pub(crate) use rate::{Consumed, Rate};
pub use request::{CeilingRequest, MAX_RESOURCES};
pub(crate) use request::{check_amount, check_resource};
pub(crate) use slot::{Held, MAX_AMOUNT, Slot};
pub(crate) use terms::{Terms, row_of, tiers};
pub use window::Window;
