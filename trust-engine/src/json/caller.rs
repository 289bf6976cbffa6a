//! The caller of calls.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::permission::Permission;
use super::read;
use crate::bounds::check_id;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;

/// The caller, as the host has authenticated it: nothing of this is taken from a body.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub(super) name: Option<String>,
    pub(super) organization: OrganizationId,
    pub(super) fleet_wide: bool,
    pub(super) internal: bool,
    /// `None`: all of them.
    pub(super) permissions: Option<BTreeSet<Permission>>,
}

/// The caller of calls, as the host has authenticated it.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Caller")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CallerBody {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    organization: Option<String>,
    #[serde(default)]
    fleet_wide: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Vec<Permission>>")]
    permissions: Option<Vec<String>>,
}

/// A field that is there has a value: `null` would be taken for a field that is not, and give a caller every permission.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
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

    /// Reads a caller from JSON: `{name?, organization?, fleetWide?, internal?, permissions?}`, all of which mean what the methods
    /// of these names say.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the field.
    pub fn from_json(text: &str) -> Result<Self> {
        let body: CallerBody = read::read_as("caller", text.as_bytes())?;
        let mut caller = match body.organization.as_deref() {
            // Hosts write it for all of them.
            Some("*") => return Err(Error::invalid("organization", "is '*', which is no organization")),
            Some(name) => Self::new().organization(OrganizationId::parse(name)?),
            None => Self::new(),
        };
        if let Some(name) = body.name {
            caller = caller.named(name)?;
        }
        if body.fleet_wide {
            caller = caller.fleet_wide();
        }
        if body.internal {
            caller = caller.internal();
        }
        match body.permissions {
            Some(permissions) => caller.permitting(permissions.iter().map(String::as_str)),
            None => Ok(caller),
        }
    }

    /// The organization that the caller sees; `None` for all of them.
    pub(super) fn scope(&self) -> Option<OrganizationId> {
        Some(self.organization.clone()).filter(|_| !self.fleet_wide)
    }

    /// Checks that the caller has a permission.
    pub(super) fn check(&self, permission: Permission) -> Result<()> {
        if self.permissions.as_ref().is_none_or(|permissions| permissions.contains(&permission)) {
            return Ok(());
        }
        let word = permission.as_str();
        let issue = format!("the caller lacks the permission {word}");
        Err(Error::new(ErrorKind::Forbidden, issue).with("permission", word))
    }

    /// Checks that the caller sees every organization, for what cannot be done for one alone.
    pub(super) fn check_fleet_wide(&self, what: &str) -> Result<()> {
        if self.fleet_wide {
            return Ok(());
        }
        let issue =
            format!("{what} is that of every organization: only a caller of the whole fleet may do this");
        Err(Error::new(ErrorKind::Forbidden, issue).with("permission", "fleet"))
    }

    /// The organization that a caller means: its own, or one that it names and may see.
    pub(super) fn organization_for(&self, named: Option<&str>) -> Result<OrganizationId> {
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
