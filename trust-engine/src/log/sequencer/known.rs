//! Submissions whose record is in the log already: a caller that chose an id may be repeating itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::submission::{Draft, IdOrigin, ParentOf, Submission};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, Payload, Receipt, SignedCheckpoint};
use crate::storage::{DecodedRecord, Store};

/// Answers the submissions whose record is in the log already or whose id is taken, joins those that repeat one
/// another, and gives the rest. The store is asked about those that `asks` says. A look-up that fails is the answer to that submission, and no obstacle to the others.
pub(super) async fn without_known(
    store: &dyn Store,
    mut batch: Vec<Submission>,
    asks: fn(&Submission) -> bool,
) -> Vec<Submission> {
    // A submission without a draft and a change only asks for a commit.
    batch.retain(|submission| !submission.drafts.is_empty() || submission.change.is_some());
    if !batch.iter().any(Submission::is_looked_up) {
        return batch;
    }
    let mut first: HashMap<(OrganizationId, Uuid), usize> = HashMap::new();
    // A caller may know the id of a verdict that is not committed yet, and must not take it.
    let drafts = batch.iter().flat_map(|submission| &submission.drafts);
    let made: HashSet<_> = drafts.filter(|draft| draft.id_origin == IdOrigin::New).map(key).collect();
    let mut rest: Vec<Submission> = Vec::with_capacity(batch.len());
    for submission in batch {
        let Some(draft) = submission.drafts.first().filter(|draft| draft.id_origin != IdOrigin::New) else {
            rest.push(submission);
            continue;
        };
        let (id, key) = (draft.id, key(draft));
        if made.contains(&key) {
            submission.answer(&Err(taken(id)));
            continue;
        }
        let twin = first.get(&key).and_then(|at| rest.get_mut(*at));
        if let Some(twin) = twin {
            match twin.drafts.first() {
                Some(other) if is_same(other, draft) => twin.join(submission),
                _ => submission.answer(&Err(taken(id))),
            }
            continue;
        }
        if !asks(&submission) {
            first.insert(key, rest.len());
            rest.push(submission);
            continue;
        }
        match known(store, draft).await {
            Ok(None) => {
                first.insert(key, rest.len());
                rest.push(submission);
            }
            Ok(Some(receipt)) => submission.answer(&Ok(Some(receipt))),
            Err(error) => submission.answer(&Err(error)),
        }
    }
    rest
}

/// An id is unique within its organization.
fn key(draft: &Draft) -> (OrganizationId, Uuid) {
    (draft.organization.clone(), draft.id)
}

/// The receipt of a record that is in the log under the draft's id with the same content; `None` if the id is free.
async fn known(store: &dyn Store, draft: &Draft) -> Result<Option<Receipt>> {
    let Some(stored) = store.record_by_id(&draft.organization, draft.id).await? else { return Ok(None) };
    if !is_stored_as(draft, &stored) {
        return Err(taken(draft.id));
    }
    let covering = store.checkpoints(stored.shard, stored.index + 1, 1).await?;
    let signed = covering.first().and_then(|(_, note)| SignedCheckpoint::parse(note).ok());
    let signed =
        signed.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the record's checkpoint is missing"))?;
    Ok(Some(Receipt {
        id: draft.id,
        index: stored.index,
        leaf: Hash::leaf(&stored.bytes),
        time: stored.entry.time,
        signed: Arc::new(signed),
    }))
}

/// The error of a submission of which an id is in the log already.
pub(super) async fn taken_id(store: &dyn Store, submission: &Submission) -> Result<Option<Error>> {
    for draft in &submission.drafts {
        if store.record_by_id(&draft.organization, draft.id).await?.is_some() {
            return Ok(Some(taken(draft.id)));
        }
    }
    Ok(None)
}

fn taken(id: Uuid) -> Error {
    Error::new(ErrorKind::Conflict, format!("the id {id} is taken by a record with other content"))
        .with("id", id)
}

/// Whether two drafts with one id are one record.
fn is_same(a: &Draft, b: &Draft) -> bool {
    match (a.id_origin, b.id_origin) {
        (IdOrigin::Derived, IdOrigin::Derived) => a.kind == b.kind,
        _ => same_content(a, b),
    }
}

fn same_content(a: &Draft, b: &Draft) -> bool {
    (a.source, a.kind, &a.agent, &a.decision, &a.reason_code, a.parent)
        == (b.source, b.kind, &b.agent, &b.decision, &b.reason_code, b.parent)
        && same_payload(&a.payload, &b.payload)
}

fn is_stored_as(draft: &Draft, stored: &DecodedRecord) -> bool {
    let entry = &stored.entry;
    if draft.id_origin == IdOrigin::Derived {
        return (entry.source, entry.kind) == (draft.source, draft.kind);
    }
    let parent = entry.parent.map_or(ParentOf::Nothing, ParentOf::Record);
    (draft.source, draft.kind, &draft.agent, &draft.decision, &draft.reason_code, draft.parent)
        == (entry.source, entry.kind, &entry.agent, &entry.decision, &entry.reason_code, parent)
        && stored.payload.as_ref().is_some_and(|payload| same_payload(&draft.payload, payload))
}

/// Whether payloads have the same content: only the trace may differ, as each try of a call has its own.
fn same_payload(a: &Payload, b: &Payload) -> bool {
    let content = |payload: &Payload| {
        let mut content = payload.json().ok()?;
        content.as_object_mut()?.remove("traceparent");
        Some(content)
    };
    a.bytes == b.bytes || content(a).is_some_and(|content_of_a| Some(content_of_a) == content(b))
}
