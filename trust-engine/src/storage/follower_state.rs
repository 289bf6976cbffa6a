//! The state of owned followers: their claims, and the rows that each keeps beside the log.
//!
//! A follower has one owner per deployment, which is claimed and fenced as a shard is. Its rows are no documents: they
//! have no versions, no tags and no records, and are written in bulk by whoever holds the claim.

use std::fmt;

use crate::bounds::{MAX_ID_BYTES, check_line};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::policy::name_fault;

/// Largest state of one row in bytes.
pub const MAX_ROW_BYTES: usize = 64 * 1024;

/// A claim of a follower: every later claim has a higher epoch and ends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FollowerClaim {
    /// The follower's name.
    pub follower: String,
    /// Counts claims.
    pub epoch: u64,
}

/// Names a row of a follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FollowerKey {
    /// The organization that the row is about.
    pub organization: OrganizationId,
    /// The key, unique within follower and organization: a line of 1 to 256 bytes.
    pub key: String,
}

impl fmt::Display for FollowerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.key, self.organization)
    }
}

/// A row to write; without a state it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerRow {
    /// Names the row.
    pub key: FollowerKey,
    /// Its state: at most [`MAX_ROW_BYTES`].
    pub state: Option<Vec<u8>>,
}

impl FollowerRow {
    /// Checks key and size.
    pub(crate) fn check(&self) -> Result<()> {
        check_line("key", &self.key.key, MAX_ID_BYTES)?;
        match self.state.as_ref().map_or(0, Vec::len) {
            0..=MAX_ROW_BYTES => Ok(()),
            size => {
                let issue = format!("of {} has {size} bytes; at most {MAX_ROW_BYTES} are allowed", self.key);
                Err(Error::invalid("state", issue))
            }
        }
    }
}

/// Checks the name of a follower.
pub(crate) fn check_follower(name: &str) -> Result<()> {
    match name_fault(name) {
        Some(fault) => Err(Error::new(ErrorKind::InvalidInput, format!("follower {name:?}: {fault}"))),
        None => Ok(()),
    }
}
