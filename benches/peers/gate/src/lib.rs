//! Role gates in the subset that other policy engines can express too, and their translations.
//!
//! [`model`] says what the subset is; [`ours`], [`cedar`] and [`rego`] each turn it into one engine's own form and
//! answer requests that were brought into that form beforehand.

pub mod cedar;
pub mod generate;
pub mod model;
pub mod ours;
pub mod overlap;
pub mod random;
pub mod rego;
pub mod workload;

/// A result of a translation, with any error.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
