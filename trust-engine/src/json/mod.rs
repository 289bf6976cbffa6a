//! The calls of the REST contract as JSON: the body of a request goes in, the body of its answer comes out. Bodies are
//! parsed once and answers written once, so a host that holds bytes and wants bytes needs no objects in between.
//!
//! Bodies are read strictly: at most 64 KiB of UTF-8, no unknown and no repeated names, metadata at most 8 levels deep,
//! and no integer that would lose digits. A mistake gives an error of the contract, with the field and the issue.

mod answer;
mod body;
mod calls;
mod error;
mod record;
mod strict;

use crate::bounds::{MAX_ID_BYTES, check_line};
use crate::error::Result;
use crate::ids::OrganizationId;

pub use answer::Answer;
pub use calls::JsonCalls;

/// Largest body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest id of a request in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The caller, as the host has authenticated it: nothing of this is taken from a body.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    name: Option<String>,
    organization: OrganizationId,
    fleet_wide: bool,
    internal: bool,
}

impl Caller {
    /// A caller of the organization `default`, without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the caller's name: it is recorded, and makes the caller a tier authority if the engine was opened with that
    /// name as one.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is not one line of 1 to 256 bytes.
    pub fn named(mut self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        check_line("caller", &name, MAX_ID_BYTES)?;
        self.name = Some(name);
        Ok(self)
    }

    /// Sets the caller's organization.
    #[must_use]
    pub fn organization(mut self, organization: OrganizationId) -> Self {
        self.organization = organization;
        self
    }

    /// Lets the caller see records of every organization.
    #[must_use]
    pub fn fleet_wide(mut self) -> Self {
        self.fleet_wide = true;
        self
    }

    /// Lets the caller see records of internal types too: changes of agents and policies, signals, gaps.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }
}
