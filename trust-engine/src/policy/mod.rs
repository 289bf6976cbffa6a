//! Policies: from what people write to what decides.

mod check;
mod compile;
mod decode;
mod document;
mod error;
mod glob;
mod index;
mod parse;
mod presets;
mod source;
mod window;

pub use compile::{Policy, PolicyHash};
pub(crate) use compile::RoleGate;
pub use document::*;
pub use error::{PolicyError, PolicyErrors};
pub(crate) use index::{Hits, Lookup, Residual};
