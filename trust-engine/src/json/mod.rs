//! The calls of the REST contract as JSON: the body of a request goes in, the body of its answer comes out. Bodies are
//! parsed once and answers written once, so a host that holds bytes and wants bytes needs no objects in between.
//!
//! Bodies are read strictly: at most 64 KiB of UTF-8, no unknown and no repeated names, metadata at most 8 levels deep,
//! and no integer that would lose digits. A mistake gives an error of the contract, with the field and the issue.

mod answer;
mod body;
mod call;
mod calls;
mod error;
mod options;
mod parameters;
mod permission;
mod receipt;
mod record;
mod strict;
mod subscription;
mod table;
mod verbs;

use std::collections::BTreeSet;

use crate::bounds::check_id;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;

pub use answer::Answer;
pub use calls::JsonCalls;
pub use parameters::{Kind, Parameter};

pub use permission::Permission;
pub use subscription::Subscription;
pub use table::{CALLS, Call, Route};

/// Largest body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The content types of answers.
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Longest id of a request in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The caller, as the host has authenticated it: nothing of this is taken from a body.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    name: Option<String>,
    organization: OrganizationId,
    fleet_wide: bool,
    internal: bool,
    /// `None`: all of them.
    permissions: Option<BTreeSet<Permission>>,
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
        check_id("caller", &name)?;
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

    /// Allows these permissions and no others; a caller for which this is not called has them all.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a word that is no permission.
    pub fn permitting<'a>(mut self, permissions: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let parse = |word: &str| {
            let unknown = || Error::invalid("permissions", format!("have {word:?}, which is none"));
            Permission::parse(word).ok_or_else(unknown)
        };
        self.permissions = Some(permissions.into_iter().map(parse).collect::<Result<_>>()?);
        Ok(self)
    }

    /// The organization that the caller sees; `None` for all of them.
    fn scope(&self) -> Option<OrganizationId> {
        Some(self.organization.clone()).filter(|_| !self.fleet_wide)
    }

    /// Checks that the caller has a permission.
    fn check(&self, permission: Permission) -> Result<()> {
        if self.permissions.as_ref().is_none_or(|permissions| permissions.contains(&permission)) {
            return Ok(());
        }
        let word = permission.as_str();
        let issue = format!("the caller lacks the permission {word}");
        Err(Error::new(ErrorKind::Forbidden, issue).with("permission", word))
    }

    /// The organization that a caller means: its own, or one that it names and may see.
    fn organization_for(&self, named: Option<&str>) -> Result<OrganizationId> {
        let named = named.map(|name| match name {
            // Hosts write it for all of them.
            "*" => Err(Error::invalid("organizationId", "is '*', which is no organization")),
            name => OrganizationId::parse_field("organizationId", name),
        });
        match named.transpose()? {
            Some(named) if named != self.organization && !self.fleet_wide => {
                Err(Error::new(ErrorKind::Forbidden, "the caller is of another organization")
                    .with("field", "organizationId"))
            }
            Some(named) => Ok(named),
            None => Ok(self.organization.clone()),
        }
    }
}
