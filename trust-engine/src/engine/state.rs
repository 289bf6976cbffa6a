//! Changes of documents whose kind has no record type of its own: each commits with a STATE record.

use super::instance::{Content, Engine};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::ParentOf;
use crate::log::recorded::StateChange;
use crate::provenance::{Hash, Parent, Receipt, RecordType};
use crate::storage::{After, Document, DocumentChange, DocumentKey, Tag};

/// The content of a document's next version.
pub(super) struct NewVersion {
    /// JSON.
    pub(super) body: String,
    /// Sorted, each name and value once.
    pub(super) tags: Vec<Tag>,
    pub(super) due: Option<Timestamp>,
}

impl Engine {
    /// Changes a document from the version that was read, in the name of `actor`: makes it, replaces it, or removes it
    /// (`None`). Committed, with its record, when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it was changed meanwhile; [`ErrorKind::InvalidInput`] for an id or tags out of bounds.
    pub(super) async fn change_state(
        &self,
        key: DocumentKey,
        before: Option<&Document>,
        after: Option<NewVersion>,
        actor: Option<&str>,
    ) -> Result<Receipt> {
        let now = self.now();
        let version = before.map_or(0, |before| before.version) + 1;
        let code = match (before, &after) {
            (None, _) => "CREATED",
            (Some(_), Some(_)) => "CHANGED",
            (Some(_), None) => "REMOVED",
        };
        let content = Content {
            kind: RecordType::State,
            organization: key.organization.clone(),
            agent: None,
            decision: None,
            reason_code: Some(code.into()),
            policy: None,
            payload: Vec::new(),
        };
        let mut draft = self.draft(content, now);
        if let Some(before) = before {
            draft.parent = ParentOf::Record(self.record_of(before).await?);
        }
        let document = after.map(|NewVersion { body, tags, due }| Document {
            key: key.clone(),
            version,
            body,
            created: before.map_or(now, |before| before.created),
            changed: now,
            tags,
            due,
            record: draft.id,
        });
        let mut payload = draft.payload.as_ref().clone();
        let change = StateChange::new(&key, version, document.as_ref(), &payload.salt, actor)?;
        payload.bytes = serde_json::to_vec(&change).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a change cannot be recorded").caused_by(error)
        })?;
        draft.commitment = payload.commitment();
        draft.payload = payload.into();
        let after = document.map_or(After::Removed(key), |document| After::Document(Box::new(document)));
        let expected = before.map(|before| before.version);
        self.commit(draft, DocumentChange { expected, after }, || {}).await
    }

    /// The record that made a version of a document.
    async fn record_of(&self, document: &Document) -> Result<Parent> {
        let (organization, id) = (&document.key.organization, document.record);
        let found = self.0.store.record_by_id(organization, id).await?;
        let lost = || Error::new(ErrorKind::Corrupt, format!("the record of {} is missing", document.key));
        Ok(Parent { id, leaf: Hash::leaf(&found.ok_or_else(lost)?.bytes) })
    }
}
