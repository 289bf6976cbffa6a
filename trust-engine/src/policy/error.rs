//! The mistakes of a policy document: all of them at once, each with its line, column and path.
//!
//! A document read from text has locations; one built in Rust has only paths. A rendered error is one line that an
//! editor can jump to.

use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;

use super::location::Location;
use crate::error::{Error, ErrorKind};

/// One mistake in a policy document.
///
/// ```
/// let errors = trust_engine::PolicyDocument::parse("policyFormat: 1.5").unwrap_err();
/// let last = errors.iter().last().unwrap();
/// assert_eq!(last.to_string(), "1:15 policyFormat: expected an integer, found 1.5");
/// assert_eq!((last.line, last.column, last.path.as_str()), (Some(1), Some(15), "policyFormat"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyError {
    /// Line in the text, from 1; absent when the document did not come from text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in the line, from 1, in characters; absent when the document did not come from text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// Place in the document, like `rules[3].when.tiers[0]`; empty for the document as a whole.
    pub path: String,
    /// The description of the mistake, and of what would be right.
    pub message: String,
}

impl PolicyError {
    pub(crate) fn new(at: Option<Location>, path: String, message: String) -> Self {
        Self { line: at.map(|at| at.line), column: at.map(|at| at.column), path, message }
    }

    /// A mistake in the text itself, which has no place in a document yet.
    pub(crate) fn in_text(at: Location, message: impl Into<String>) -> Self {
        Self::new(Some(at), String::new(), message.into())
    }
}

impl fmt::Display for PolicyError {
    /// Writes `12:7 rules[3].when.tiers[0]: unknown tier "VERFIED"; did you mean "VERIFIED"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}")?;
            f.write_str(if self.path.is_empty() { ": " } else { " " })?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl StdError for PolicyError {}

/// All mistakes of one document, at least one, in the order of the text.
///
/// ```
/// let errors = trust_engine::PolicyDocument::parse("{}").unwrap_err();
/// assert_eq!(errors.len(), 5);
/// assert!(errors.to_string().starts_with("5 mistakes in the policy:\n1:1 policyFormat: required, but missing"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PolicyErrors(Vec<PolicyError>);

impl PolicyErrors {
    /// Fails with all of `errors`, if there are any.
    pub(crate) fn refuse(errors: Vec<PolicyError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::sorted(errors)) }
    }

    /// Puts all of `errors`, at least one, in order.
    pub(crate) fn sorted(mut errors: Vec<PolicyError>) -> Self {
        // Without locations the order of the check stays: that of the document's fields.
        errors.sort_by_key(|error| (error.line, error.column));
        Self(errors)
    }

    /// The errors, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, PolicyError> {
        self.0.iter()
    }

    /// The number of errors, at least one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives `false`: there is always an error.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PolicyErrors {
    /// Writes a line with the count, then one line for each error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 mistake in the policy:")?,
            count => write!(f, "{count} mistakes in the policy:")?,
        }
        for error in &self.0 {
            write!(f, "\n{error}")?;
        }
        Ok(())
    }
}

impl StdError for PolicyErrors {}

impl From<PolicyErrors> for Error {
    fn from(errors: PolicyErrors) -> Self {
        Self::new(ErrorKind::InvalidPolicy, errors.to_string()).caused_by(errors)
    }
}

impl IntoIterator for PolicyErrors {
    type Item = PolicyError;
    type IntoIter = std::vec::IntoIter<PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a PolicyErrors {
    type Item = &'a PolicyError;
    type IntoIter = std::slice::Iter<'a, PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
