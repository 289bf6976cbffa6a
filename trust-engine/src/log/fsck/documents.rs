//! The comparison of the documents with the log, both ways, in a memory that does not grow with either: the record of
//! every change says what the document was then, and every document names the record that made it.

use super::checker::Checker;
use super::report::Damage;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::log::merge::scan_all;
use crate::log::recorded::{RecordedVersion, changed_document, recorded_admission};
use crate::provenance::{Entry, Hash, Parent, Payload, RecordType};
use crate::storage::{Document, DocumentKind, Filter, Shard, ShardRange, Store};

/// Documents read at a time.
const PAGE: usize = 1000;

/// The last era of the log, and the latest time in it: what was due by then may have been removed.
pub(super) async fn latest_time(store: &dyn Store) -> (u32, Timestamp) {
    // Heads that cannot be read are found elsewhere; until then nothing counts as due.
    let heads = store.heads().await.unwrap_or_default();
    // Of an era that ended the times may be far ahead.
    let era = heads.iter().map(|head| head.era).max().unwrap_or_default();
    let times = heads.iter().filter(|head| head.era == era).map(|head| head.time);
    (era, times.max().unwrap_or_default())
}

/// Compares the record of a check with its admission, unless that is due: it may be gone then, or be there for a later
/// request with the same id. `latest` is the latest time of the log when the check began.
pub(super) async fn check_admission(
    store: &dyn Store,
    checker: &mut Checker<'_>,
    index: u64,
    entry: &Entry,
    payload: Option<&Payload>,
    latest: Timestamp,
) -> Result<()> {
    let admission = payload.and_then(|payload| recorded_admission(entry, payload));
    let Some(admission) = admission.filter(|admission| admission.due > Some(latest)) else { return Ok(()) };
    match store.document(&admission.key).await {
        Ok(Some(document)) if document == admission => return Ok(()),
        // A later check with the same id, by a clock that was set back.
        Ok(Some(document)) if is_later_admission(store, &document, entry).await? => return Ok(()),
        Err(error) if !is_damage(&error) => return Err(error),
        _ => {}
    }
    // The log may have been written on since.
    if admission.due > Some(latest_time(store).await.1) {
        let detail = format!("the store's {} is not what this record says", admission.key);
        checker.find(index, Damage::StateChanged, detail);
    }
    Ok(())
}

/// Whether a later record than `entry` made an admission as it is.
async fn is_later_admission(store: &dyn Store, document: &Document, entry: &Entry) -> Result<bool> {
    let record = match store.record_by_id(&entry.organization, document.record).await {
        Err(error) if is_damage(&error) => return Ok(false),
        read => read?,
    };
    Ok(record.is_some_and(|later| {
        let made = later.payload.as_ref().and_then(|payload| recorded_admission(&later.entry, payload));
        later.entry.time >= entry.time && made.as_ref() == Some(document)
    }))
}

/// Compares a record with the document that it tells of.
pub(super) async fn check_recorded(
    store: &dyn Store,
    checker: &mut Checker<'_>,
    index: u64,
    entry: &Entry,
    payload: Option<&Payload>,
    missing: Option<DocumentKind>,
) -> Result<()> {
    let changed = changed_document(entry, payload);
    let Some(key) = changed.filter(|key| Some(key.kind) != missing) else { return Ok(()) };
    let document = match store.document(&key).await {
        Err(error) if is_damage(&error) => {
            checker.find(index, Damage::StateChanged, format!("the store's {key} cannot be read: {error}"));
            return Ok(());
        }
        read => read?,
    };
    let recorded = RecordedVersion::of(entry, payload);
    let is_last = document.as_ref().is_some_and(|document| document.record == entry.id);
    if entry.kind == RecordType::State && !is_last {
        // A document may be removed and made anew, so its version says nothing: the next record of it must be there.
        let is_removal = recorded.as_ref().is_some_and(RecordedVersion::is_removal);
        let removed = is_removal
            && match &document {
                None => true,
                // Made anew, by a record of its own. That it is the last one of its line is seen at that record.
                Some(document) => store.record_by_id(&entry.organization, document.record).await?.is_some(),
            };
        if !removed && !is_followed(store, entry).await? {
            checker.find(
                index,
                Damage::StateChanged,
                format!("the store has lost {key} as this record left it"),
            );
        }
        return Ok(());
    }
    let detail = match (document, recorded) {
        (None, _) => format!("the store has lost {key}"),
        (Some(document), Some(recorded)) if document.version < recorded.version => {
            format!(
                "the store's {key} has version {}, and this record made {}",
                document.version, recorded.version
            )
        }
        // The document names the record that made it, so this is that version or none.
        (Some(document), Some(recorded))
            if document.record == entry.id || document.version == recorded.version =>
        {
            if document.record == entry.id && recorded.is(&document) {
                return Ok(());
            }
            format!("the store's {key} is not what this record says")
        }
        // A later record tells of it, or the payload was erased and there is nothing to compare with.
        (Some(_), _) => return Ok(()),
    };
    checker.find(index, Damage::StateChanged, detail);
    Ok(())
}

/// Looks up the record of every document. A document without one is found at the end of the first log, or
/// at the record that it names.
pub(super) async fn check_documents(
    store: &dyn Store,
    checkers: &mut [(Shard, Checker<'_>)],
    missing: Option<DocumentKind>,
) -> Result<()> {
    let mut after = None;
    loop {
        let page = match store.all_documents(after.as_ref(), PAGE).await {
            Err(error) if is_damage(&error) => {
                if let Some((_, checker)) = checkers.first_mut() {
                    let detail = format!("the store's documents cannot be read to their end: {error}");
                    checker.find(0, Damage::StateChanged, detail);
                }
                return Ok(());
            }
            page => page?,
        };
        for document in page.iter().filter(|document| Some(document.key.kind) != missing) {
            let key = &document.key;
            let record = match store.record_by_id(&key.organization, document.record).await {
                // A record that cannot be read is found where it stands in the log.
                Err(error) if is_damage(&error) => None,
                read => read?,
            };
            // The record was compared with the document when it was read.
            let told =
                record.as_ref().and_then(|found| changed_document(&found.entry, found.payload.as_ref()));
            if told.as_ref() == Some(key) {
                continue;
            }
            let place = record.map(|record| (record.shard, record.index));
            let at = checkers.iter().position(|(shard, _)| Some(*shard) == place.map(|place| place.0));
            if let Some((_, checker)) = checkers.get_mut(at.unwrap_or(0)) {
                // Without a record it has no place; the end of the log hides no damage whose place is known.
                let index = place.map_or(checker.size(), |place| place.1);
                checker.find(index, Damage::StateChanged, format!("no record tells of the store's {key}"));
            }
        }
        match page.into_iter().nth(PAGE - 1) {
            Some(last) => after = Some(last.key),
            None => return Ok(()),
        }
    }
}

/// Whether another STATE record follows from this one.
async fn is_followed(store: &dyn Store, entry: &Entry) -> Result<bool> {
    let filter = Filter {
        organization: Some(entry.organization.clone()),
        parent: Some(entry.id),
        kind: Some(RecordType::State),
        ..Filter::default()
    };
    let heads = store.heads().await?;
    let mut ranges =
        heads.iter().map(|head| ShardRange { shard: head.shard, start: 0, end: head.size }).collect();
    let parent = Parent { id: entry.id, leaf: Hash::leaf(&entry.to_bytes()) };
    loop {
        let (found, rest) = scan_all(store, &filter, ranges, false, 16.into()).await?;
        // What the entry says, and not what an index says of it.
        if found
            .iter()
            .any(|found| found.entry.kind == RecordType::State && found.entry.parent == Some(parent))
        {
            return Ok(true);
        }
        if rest.is_empty() {
            return Ok(false);
        }
        ranges = rest;
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}
