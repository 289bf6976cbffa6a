//! Changes of documents whose kind has no record type of its own: each commits with a STATE record.

use super::instance::{Content, Engine, acknowledged};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::ParentOf;
use crate::log::recorded::StateChange;
use crate::provenance::{Hash, Parent, Receipt, RecordType};
use crate::storage::{After, Document, DocumentChange, DocumentKey, Succession, Tag};

/// The content of a document's next version.
pub(super) struct NewVersion {
    /// JSON.
    pub(super) body: String,
    /// Sorted, each name and value once.
    pub(super) tags: Vec<Tag>,
    pub(super) due: Option<Timestamp>,
}

/// Where a change comes from, and what follows from it.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin<'a> {
    /// The one who changes it.
    pub(super) actor: Option<&'a str>,
    /// Why, in words.
    pub(super) reason: Option<&'a str>,
    /// The succession that its commit brings.
    pub(super) succession: Option<Succession>,
}

impl Engine {
    /// Changes a document from the version that was read: makes it, replaces it, or removes it (`None`). Committed, with its record, when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it was changed meanwhile; [`ErrorKind::InvalidInput`] for an id or tags out of bounds.
    pub(super) async fn change_state(
        &self,
        key: DocumentKey,
        before: Option<&Document>,
        after: Option<NewVersion>,
        origin: Origin<'_>,
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
        let change = StateChange::new(&key, version, document.as_ref(), &payload.salt)?
            .by(origin.actor, origin.reason);
        payload.bytes = serde_json::to_vec(&change).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a change cannot be recorded").caused_by(error)
        })?;
        draft.commitment = payload.commitment();
        draft.payload = payload.into();
        let after = document.map_or(After::Removed(key), |document| After::Document(Box::new(document)));
        let expected = before.map(|before| before.version);
        let change = DocumentChange { expected, after };
        acknowledged(self.begin(draft, change, origin.succession, || {}).await?).await
    }

    /// The record that made a version of a document.
    async fn record_of(&self, document: &Document) -> Result<Parent> {
        let (organization, id) = (&document.key.organization, document.record);
        let found = self.0.store.record_by_id(organization, id).await?;
        let lost = || Error::new(ErrorKind::Corrupt, format!("the record of {} is missing", document.key));
        Ok(Parent { id, leaf: Hash::leaf(&found.ok_or_else(lost)?.bytes) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::Options;
    use crate::ids::OrganizationId;
    use crate::storage::{DocumentKind, Tag};

    #[test]
    fn a_document_is_made_changed_removed_and_made_anew_and_the_log_verifies() {
        let engine = block_on(Engine::open(Options::memory())).unwrap();
        let organization = OrganizationId::parse("acme").unwrap();
        let key = |id: &str| DocumentKey {
            kind: DocumentKind::Deployment,
            organization: organization.clone(),
            id: id.to_owned(),
        };
        let read = |id: &str| block_on(engine.0.store.document(&key(id))).unwrap();
        let change = |id: &str, body: Option<&str>| {
            let after = body.map(|body| NewVersion {
                body: body.to_owned(),
                tags: vec![Tag::new("of", "test")],
                due: Some(Timestamp::from_micros(7)),
            });
            block_on(engine.change_state(
                key(id),
                read(id).as_ref(),
                after,
                Origin { actor: Some("ann"), ..Origin::default() },
            ))
            .unwrap()
        };
        let is_clean = || {
            let reports = block_on(engine.log().verify_all()).unwrap();
            reports.iter().all(crate::log::Report::is_clean)
        };
        for body in [Some("1"), Some("2"), None, Some("3"), None, Some("4"), Some("5")] {
            change("a", body);
            change("b", body);
            assert!(is_clean(), "after {body:?}");
        }
        let document = read("a").unwrap();
        assert_eq!((document.version, document.body.as_str()), (2, "5"));
        change("a", None);
        assert!(is_clean() && read("a").is_none());
        // Each record names the one before it, and the first of a line none.
        let line =
            block_on(engine.log().of(organization.clone()).chain(read("b").unwrap().record, 9)).unwrap();
        assert_eq!(line.len(), 2);
        // Two who change one version: one of them is refused.
        let before = read("b");
        change("b", Some("6"));
        let late =
            block_on(engine.change_state(key("b"), before.as_ref(), None, Origin::default())).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Conflict);
    }
}
