//! Documents: the state that changes together with a record.
//!
//! Every kind of state is kept in one form, so a store knows documents and not what they mean. A kind costs a variant of
//! [`DocumentKind`] and the module that gives it its meaning; no adapter changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::bounds::{MAX_ID_BYTES, check_line};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::OrganizationId;
use crate::policy::name_fault;

/// The most tags of one document.
pub const MAX_TAGS: usize = 8;
/// The highest count that [`Store::count_documents`](super::Store::count_documents) gives.
pub const MAX_COUNT: u64 = 10_000;

/// Makes the enum of kinds, their list and their words, so that a kind is one line.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal,)*) => {
        /// The kind of a document. Stores keep its number, so a kind keeps its place for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum DocumentKind {
            $($(#[$doc])* #[serde(rename = $word)] $kind,)*
        }

        impl DocumentKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$kind),*].len()] = [$(Self::$kind),*];

            /// The word for messages and records.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// A registered agent, under its id.
    Agent = "AGENT",
    /// The policy in force; its versions are in the log.
    Policy = "POLICY",
    /// The deployment itself: its name and public key.
    Deployment = "DEPLOYMENT",
    /// A check with a request id that was admitted lately.
    Admission = "ADMISSION",
}

impl DocumentKind {
    /// Whether engines keep such documents in memory, so that they are told of changes.
    #[cfg(feature = "postgres")]
    pub(super) fn is_told(self) -> bool {
        self != Self::Admission
    }
}

#[cfg(any(feature = "postgres", feature = "redis"))]
impl DocumentKind {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Names a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// The kind.
    pub kind: DocumentKind,
    /// The organization that the document belongs to.
    pub organization: OrganizationId,
    /// The id, unique within kind and organization: a line of 1 to 256 bytes.
    pub id: String,
}

impl DocumentKey {
    /// The deployment's own document.
    pub fn deployment() -> Self {
        let organization = OrganizationId::default();
        Self { kind: DocumentKind::Deployment, organization, id: "deployment".into() }
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind.as_str(), self.id, self.organization)
    }
}

/// A value that documents are found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// A name of the kind's own, as `tier`.
    pub name: String,
    /// A line of 1 to 256 bytes.
    pub value: String,
}

impl Tag {
    /// A tag.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name.
    pub key: DocumentKey,
    /// Counts its changes from 1, anew after a removal.
    pub version: u64,
    /// JSON.
    pub body: String,
    /// The time of its first version; every later one has the same.
    pub created: Timestamp,
    /// The time of this version.
    pub changed: Timestamp,
    /// Sorted, each name and value once.
    pub tags: Vec<Tag>,
    /// The time at which somebody has to look at it.
    pub due: Option<Timestamp>,
    /// The record that made this version.
    pub record: Uuid,
}

impl Document {
    /// The document's place in lists.
    pub fn place(&self) -> DocumentPlace {
        DocumentPlace { created: self.created, id: self.key.id.clone() }
    }
}

/// A change of a document, which commits with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// Version of the stored document that the change was made from; `None`: there is none.
    pub expected: Option<u64>,
    /// The state of the store afterwards.
    pub after: After,
}

/// The state that a change leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// This document.
    Document(Box<Document>),
    /// No document of this name.
    Removed(DocumentKey),
}

impl DocumentChange {
    /// The name of the document that changes.
    pub fn key(&self) -> &DocumentKey {
        match &self.after {
            After::Document(document) => &document.key,
            After::Removed(key) => key,
        }
    }

    /// The document that the change leaves.
    pub fn document(&self) -> Option<&Document> {
        match &self.after {
            After::Document(document) => Some(document),
            After::Removed(_) => None,
        }
    }

    /// Checks id and tags.
    pub(crate) fn check(&self) -> Result<()> {
        check_line("id", &self.key().id, MAX_ID_BYTES)?;
        let tags = self.document().map_or(&[][..], |document| &document.tags);
        if tags.len() > MAX_TAGS {
            return Err(Error::invalid(
                "tags",
                format!("are {}; at most {MAX_TAGS} are allowed", tags.len()),
            ));
        }
        for tag in tags {
            if let Some(fault) = name_fault(&tag.name) {
                return Err(Error::invalid("tags", format!("have the name {:?}: {fault}", tag.name)));
            }
            check_line("tags", &tag.value, MAX_ID_BYTES)?;
        }
        if !tags.is_sorted_by(|one, next| one < next) {
            return Err(Error::invalid("tags", "are not sorted, or one is there twice"));
        }
        Ok(())
    }
}

/// A place in a list of documents: those after it were created later, or at the same time with a higher id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPlace {
    /// The time of the first version.
    pub created: Timestamp,
    /// The id.
    pub id: String,
}

/// A part of a list of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentPage {
    /// The documents found, in order; there may be fewer than asked for although there are more.
    pub documents: Vec<Document>,
    /// The place after which to go on; `None` when everything was seen.
    pub rest: Option<DocumentPlace>,
}

/// Documents of one kind and organization that have all of some tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFilter {
    /// The kind.
    pub kind: DocumentKind,
    /// The organization.
    pub organization: OrganizationId,
    /// The tags that each of them has.
    pub tags: Vec<Tag>,
}

impl DocumentFilter {
    /// Whether a document is among them.
    pub fn accepts(&self, document: &Document) -> bool {
        document.key.kind == self.kind
            && document.key.organization == self.organization
            && self.tags.iter().all(|tag| document.tags.contains(tag))
    }

    /// The error of a store that cannot count within a bounded amount of work.
    pub(crate) fn too_many_to_count() -> Error {
        Error::invalid("tags", "are had by too many that do not have all of them, to count those that do")
    }
}
