//! The functions behind the rows of the table. Each takes the caller's calls, the values of its parameters and the body.

pub(super) mod agents;
pub(super) mod ceilings;
pub(super) mod engine;
pub(super) mod gates;
pub(super) mod log;
pub(super) mod policy;
pub(super) mod provenance;
pub(super) mod stats;
