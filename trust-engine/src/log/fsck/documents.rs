//! The comparison of the documents with the log, both ways, in a memory that does not grow with either: the record of
//! every change says what the document was then, and every document names the record that made it.

use super::checker::Checker;
use super::report::Damage;
use crate::error::{Error, ErrorKind, Result};
use crate::log::recorded::{RecordedVersion, changed_document};
use crate::provenance::{Entry, Payload};
use crate::storage::{Shard, Store};

/// Documents read at a time.
const PAGE: usize = 1000;

/// Compares a record with the document that it tells of.
pub(super) async fn check_recorded(
    store: &dyn Store,
    checker: &mut Checker<'_>,
    index: u64,
    entry: &Entry,
    payload: Option<&Payload>,
) -> Result<()> {
    let Some(key) = changed_document(entry) else { return Ok(()) };
    let document = match store.document(&key).await {
        Err(error) if is_damage(&error) => {
            checker.find(index, Damage::StateChanged, format!("the store's {key} cannot be read: {error}"));
            return Ok(());
        }
        read => read?,
    };
    let detail = match (document, RecordedVersion::of(entry, payload)) {
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

/// Looks up the record of every document. A document without one is found in the first log, or in that of the record that
/// it names.
pub(super) async fn check_documents(store: &dyn Store, checkers: &mut [(Shard, Checker<'_>)]) -> Result<()> {
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
        for document in &page {
            let key = &document.key;
            let record = match store.record_by_id(&key.organization, document.record).await {
                // A record that cannot be read is found where it stands in the log.
                Err(error) if is_damage(&error) => None,
                read => read?,
            };
            // The record was compared with the document when it was read.
            if record.as_ref().and_then(|record| changed_document(&record.entry)).as_ref() == Some(key) {
                continue;
            }
            let (shard, index) = record.map_or((None, 0), |record| (Some(record.shard), record.index));
            let at = checkers.iter().position(|(of, _)| Some(*of) == shard).unwrap_or(0);
            if let Some((_, checker)) = checkers.get_mut(at) {
                checker.find(index, Damage::StateChanged, format!("no record tells of the store's {key}"));
            }
        }
        match page.into_iter().nth(PAGE - 1) {
            Some(last) => after = Some(last.key),
            None => return Ok(()),
        }
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}
