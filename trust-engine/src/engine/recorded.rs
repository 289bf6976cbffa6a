//! Whether a verdict is in the log.

/// Whether a verdict is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is committed; the verdict has its receipt.
    Committed,
    /// It waits for its commit.
    Pending,
    /// The policy does not record it.
    Not,
}

impl Recorded {
    /// The word for it: `committed`, `pending` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Pending => "pending",
            Self::Not => "none",
        }
    }
}
