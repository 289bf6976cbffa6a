//! Reminders: notes that somebody has to look at by a time. A throw-away kind.

use serde::{Deserialize, Serialize};

use super::instance::Engine;
use super::state::NewVersion;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::Receipt;
use crate::storage::{Document, DocumentFilter, DocumentKey, DocumentKind, DocumentPage, DocumentPlace, Tag};

/// A reminder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "throw-away")]
pub struct Reminder {
    pub text: String,
    pub owner: String,
}

/// The reminders of an organization.
#[derive(Clone, Debug)]
pub struct Reminders<'a> {
    engine: &'a Engine,
    organization: OrganizationId,
}

impl Engine {
    /// The reminders of an organization.
    pub fn reminders(&self, organization: OrganizationId) -> Reminders<'_> {
        Reminders { engine: self, organization }
    }
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "throw-away")]
impl Reminders<'_> {
    pub async fn put(&self, id: &str, reminder: &Reminder, due: Option<Timestamp>) -> Result<Receipt> {
        let before = self.engine.0.store.document(&self.key(id)).await?;
        let body = serde_json::to_string(reminder)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "cannot be stored").caused_by(error))?;
        let after = NewVersion { body, tags: vec![Tag::new("owner", &*reminder.owner)], due };
        self.engine.change_state(self.key(id), before.as_ref(), Some(after), None).await
    }

    pub async fn remove(&self, id: &str) -> Result<Receipt> {
        let before = self.engine.0.store.document(&self.key(id)).await?;
        self.engine.change_state(self.key(id), before.as_ref(), None, None).await
    }

    pub async fn page(&self, owner: &str, after: Option<&DocumentPlace>, limit: usize) -> Result<DocumentPage> {
        let filter = DocumentFilter {
            kind: DocumentKind::Reminder,
            organization: self.organization.clone(),
            tags: vec![Tag::new("owner", owner)],
        };
        self.engine.0.store.documents(&filter, after, limit).await
    }

    pub async fn due(&self, now: Timestamp) -> Result<Vec<Document>> {
        self.engine.0.store.due_documents(DocumentKind::Reminder, now, 100).await
    }

    fn key(&self, id: &str) -> DocumentKey {
        let organization = self.organization.clone();
        DocumentKey { kind: DocumentKind::Reminder, organization, id: id.to_owned() }
    }
}
