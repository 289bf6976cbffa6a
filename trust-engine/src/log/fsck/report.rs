//! The report of a check of a log.

use std::fmt;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// An entry's bytes are not those that were hashed into the tree.
    EntryChanged,
    /// An entry is somewhere else than it was signed.
    EntryMoved,
    /// An entry is gone from the middle.
    EntryMissing,
    /// Entries are gone from the end.
    Truncated,
    /// There are entries that no checkpoint covers.
    Unsigned,
    /// The bytes are what was signed, but not a well-formed entry, or earlier than the entry before.
    EntryMalformed,
    /// A payload is not the one that its entry commits to.
    PayloadChanged,
    /// A payload is gone, and no record says that it was erased.
    PayloadMissing,
    /// A stored tree hash is wrong or missing.
    HashChanged,
    /// The tree has another root than a signed checkpoint says.
    RootMismatch,
    /// A checkpoint is malformed, or not of this log and size.
    CheckpointChanged,
    /// A checkpoint was not signed by the log's key.
    SignatureInvalid,
    /// The log is shorter than a checkpoint that was seen earlier.
    RolledBack,
    /// The log does not contain a checkpoint that was seen earlier: it was forked or rewritten.
    Forked,
    /// An index does not lead to the entry.
    IndexWrong,
    /// A document, such as an agent, is not what its last record says.
    StateChanged,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EntryChanged => "entry changed",
            Self::EntryMoved => "entry moved",
            Self::EntryMissing => "entry missing",
            Self::Truncated => "log truncated",
            Self::Unsigned => "unsigned entries",
            Self::EntryMalformed => "entry malformed",
            Self::PayloadChanged => "payload changed",
            Self::PayloadMissing => "payload missing",
            Self::HashChanged => "tree hash changed",
            Self::RootMismatch => "root mismatch",
            Self::CheckpointChanged => "checkpoint changed",
            Self::SignatureInvalid => "signature invalid",
            Self::RolledBack => "log rolled back",
            Self::Forked => "log forked",
            Self::IndexWrong => "index wrong",
            Self::StateChanged => "state changed",
        })
    }
}

/// One piece of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// First entry that is affected.
    pub index: u64,
    /// The kind of damage.
    pub damage: Damage,
    /// A description for people.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}: {}", self.index, self.damage, self.detail)
    }
}

/// Most findings that a report lists, apart from a root mismatch, which is always listed.
pub(crate) const MAX_FINDINGS: usize = 100;

/// The result of a check: the extent of the log that was seen, and the damage that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The log's name, if its checkpoint could be read.
    pub origin: String,
    /// Number of entries seen.
    pub entries: u64,
    /// Number of payloads that fit their entries.
    pub payloads: u64,
    /// Number of signed checkpoints that fit the tree.
    pub checkpoints: u64,
    /// The damage, in the order of the entries; at most 100 findings, and a root mismatch beside them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first entry that is affected by damage.
    pub fn first_bad_index(&self) -> Option<u64> {
        self.findings.iter().map(|finding| finding.index).min()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, payloads, checkpoints, .. } = self;
        if self.is_clean() {
            return write!(
                f,
                "{}: {entries} entries, {payloads} payloads and {checkpoints} signed checkpoints verified",
                self.origin
            );
        }
        writeln!(f, "{}: DAMAGED, first at entry {}", self.origin, self.first_bad_index().unwrap_or(0))?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        write!(f, "{entries} entries were read")
    }
}
