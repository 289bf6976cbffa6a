//! Capability ceilings: a check finds the quota, takes from it and hands its record to the log.

mod cache;
mod check;
mod expiry;
mod find;
mod handle;
mod keyed;
mod payload;
mod quotas;
mod recent;
mod record;
mod reservation;
mod reset;
mod state;
mod sweeper;
mod verdict;

pub use find::CeilingUsage;
pub use handle::Quota;
pub use payload::recompute_ceiling;
pub use quotas::Quotas;
pub use reservation::Reservation;
pub(super) use state::State;
pub use verdict::CeilingVerdict;
