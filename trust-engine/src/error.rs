//! One error for the whole crate: its kind, whether to try again, the operation, the values and the cause.
//!
//! `Display` is one line that a person can act on; `Debug` adds the context and the chain of causes. Kinds are
//! `#[non_exhaustive]`: match on those you handle and treat the rest as fatal.

use std::error::Error as StdError;
use std::fmt;

/// The class of an error; a caller handles each class differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value given by the caller is outside its bounds; `field` in the context names it.
    InvalidInput,
    /// The caller may not do this.
    Forbidden,
    /// The requested thing does not exist, or not in this organization.
    NotFound,
    /// The change was made against another version, or an id is taken by other content.
    Conflict,
    /// The policy document has mistakes; the source is a [`PolicyErrors`](crate::PolicyErrors).
    InvalidPolicy,
    /// A call that never waits would have had to wait.
    WouldBlock,
    /// The queue of records is full.
    Overloaded,
    /// The store cannot be reached or cannot write now.
    Unavailable,
    /// The store's file system is full.
    NoSpace,
    /// The store is open in another process, or in this one.
    Locked,
    /// The folder holds something that is not a store.
    Foreign,
    /// The store was written by a newer version.
    Unsupported,
    /// Stored data is damaged or contradicts its signed checkpoint.
    Corrupt,
    /// The operating system refuses access.
    PermissionDenied,
    /// The signing key is missing, malformed, readable by others, or not the log's.
    Key,
    /// Another engine has taken over this shard.
    Fenced,
    /// The engine was closed.
    Closed,
}

impl ErrorKind {
    /// The code of the class, the same in every language.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidInput => "TE_INVALID_INPUT",
            Self::Forbidden => "TE_FORBIDDEN",
            Self::NotFound => "TE_NOT_FOUND",
            Self::Conflict => "TE_CONFLICT",
            Self::InvalidPolicy => "TE_INVALID_POLICY",
            Self::WouldBlock => "TE_WOULD_BLOCK",
            Self::Overloaded => "TE_OVERLOADED",
            Self::Unavailable => "TE_UNAVAILABLE",
            Self::NoSpace => "TE_NO_SPACE",
            Self::Locked => "TE_LOCKED",
            Self::Foreign => "TE_FOREIGN",
            Self::Unsupported => "TE_UNSUPPORTED",
            Self::Corrupt => "TE_CORRUPT",
            Self::PermissionDenied => "TE_PERMISSION_DENIED",
            Self::Key => "TE_KEY",
            Self::Fenced => "TE_FENCED",
            Self::Closed => "TE_CLOSED",
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid input",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::InvalidPolicy => "invalid policy",
            Self::WouldBlock => "would block",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "store unavailable",
            Self::NoSpace => "no space left",
            Self::Locked => "store locked",
            Self::Foreign => "not a store",
            Self::Unsupported => "unsupported format",
            Self::Corrupt => "corrupt store",
            Self::PermissionDenied => "permission denied",
            Self::Key => "signing key",
            Self::Fenced => "fenced",
            Self::Closed => "closed",
        }
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The crate's error.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    operation: Option<&'static str>,
    context: Vec<(&'static str, String)>,
    // The source is shared, because one failed commit answers every caller that waited for it.
    source: Option<std::sync::Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error; `message` says what is wrong and what would be right.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            operation: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// A value outside its bounds: `field` as the caller wrote it, `issue` with the bound.
    pub fn invalid(field: &'static str, issue: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidInput, format!("{field} {issue}")).with("field", field)
    }

    /// Names the operation that failed; the outermost name wins.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Adds a value that helps to find the cause.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(std::sync::Arc::new(source));
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The description of the error, without kind and operation.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Says whether the same call may succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::WouldBlock
                | ErrorKind::Overloaded
                | ErrorKind::Unavailable
                | ErrorKind::NoSpace
                | ErrorKind::Locked
                | ErrorKind::Fenced
        )
    }

    /// The operation that failed, if named.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The values added to the error; for [`ErrorKind::InvalidInput`] the key `field` is present.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The offending field of an [`ErrorKind::InvalidInput`].
    pub fn field(&self) -> Option<&str> {
        self.context().find(|(key, _)| *key == "field").map(|(_, value)| value)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}: {}", self.0.kind.phrase(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        for (key, value) in &self.0.context {
            write!(f, "\n   {key}: {value}")?;
        }
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n   caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Sorts an operating system's error into the kinds that callers handle differently.
pub(crate) fn from_io(error: std::io::Error, what: impl fmt::Display) -> Error {
    use std::io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
        Io::NotFound => ErrorKind::NotFound,
        Io::InvalidInput | Io::InvalidFilename | Io::NotADirectory => ErrorKind::InvalidInput,
        Io::InvalidData => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{what}: {error}")).caused_by(error)
}
