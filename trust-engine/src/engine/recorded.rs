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
