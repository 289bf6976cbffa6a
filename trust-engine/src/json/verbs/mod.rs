//! What the calls of the table do. Each takes the caller's calls, the values of its parameters and the body.

pub(super) mod agents;
pub(super) mod ceilings;
pub(super) mod gates;
pub(super) mod policy;
pub(super) mod provenance;
pub(super) mod stats;
