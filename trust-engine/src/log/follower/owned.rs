//! Owned followers: one owner per deployment folds the records of all shards, in their final order, into rows, and
//! records effects.
//!
//! A round reads a page, folds it into the rows that it concerns, commits the effects and then writes rows and position.
//! It may be cut off between any two steps and run again, by this engine or the next owner. Each effect happens once all
//! the same: its record's id is derived from what it is about, so a repetition finds it in the log. And each row holds the
//! place up to which it was folded, so an event is never folded into it twice, even if the position is lost. An owner that
//! was paused for too long finds its claim outdated: the commit of each effect and the writing of rows compare it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollster::block_on;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::order::{EventPlace, Position, ordered_page};
use crate::clock::Entropy;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::sequencer::{Draft, IdOrigin, ParentOf, Sequencer, Submission, Ticket};
use crate::log::worker::Worker;
use crate::provenance::{Entry, Hash, NewRecord, Parent, Payload, RecordType, Source};
use crate::storage::{DecodedRecord, Filter, FollowerClaim, FollowerKey, FollowerRow, Store};

/// Time between two rounds, and two signs of life.
const PAUSE: Duration = Duration::from_millis(500);
/// Effects that wait for their commit at once.
const AT_ONCE: usize = 256;
/// Most records of a round.
const PAGE: usize = 512;

/// The work of an owned follower: a fold over the log's records. It has no clock, no randomness and no store, so that a
/// repetition gives the same.
pub trait Fold: Send + 'static {
    /// The follower's name: a letter followed by at most 58 letters, digits or `_ . : -`.
    fn name(&self) -> &str;

    /// Whether a record is an event for it.
    fn wants(&self, entry: &Entry) -> bool;

    /// The keys of the rows that an event concerns.
    fn keys(&self, event: &DecodedRecord) -> Vec<FollowerKey>;

    /// Folds an event into the state of a row, which is empty at first, and gives its effects. A state that is empty
    /// afterwards is kept like any other. With the place in front it has at most 64 KiB; a follower whose state or effect
    /// is out of bounds, or that panics, stops at its event until it is mended.
    fn fold(&self, key: &FollowerKey, state: &mut Vec<u8>, event: &DecodedRecord) -> Vec<Effect>;
}

/// A record that follows from an event, in the organization of the row.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Tells the effects of one event apart: of two with the same key and type one is recorded.
    pub key: String,
    /// The record. An id or a parent that was set is replaced: the parent is the event.
    pub record: NewRecord,
}

/// An owned follower and the parts of an engine that it works with.
pub(crate) struct OwnedFollower<F> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The id of this engine as an owner.
    pub(crate) owner: Uuid,
    /// The time for which an owner may be silent before others take over.
    pub(crate) patience: Duration,
    /// The name that the store knows it by.
    pub(crate) name: String,
    /// The writer of its effects.
    pub(crate) source: Source,
    pub(crate) fold: F,
}

/// The claim that this engine holds, and its position.
struct Held {
    claim: FollowerClaim,
    position: Position,
}

/// A row while it is folded.
#[derive(Clone, Default)]
struct Row {
    folded: Option<EventPlace>,
    state: Vec<u8>,
    changed: bool,
}

impl<F: Fold> OwnedFollower<F> {
    /// Starts the thread, which claims the follower whenever it is free.
    /// `failure` holds the error of the last round, if it had one.
    pub(crate) fn start(self, failure: Arc<Mutex<Option<Error>>>) -> Result<Worker> {
        let held = Arc::new(Mutex::new(None));
        let (store, last) = (Arc::clone(&self.store), Arc::clone(&held));
        let name = format!("trust-engine-{}", self.name);
        let round = move || {
            let mut held = held.lock();
            // No failing step is fatal: what was not written is done again by the next round, or the next owner.
            let round = std::panic::AssertUnwindSafe(|| block_on(self.round(&mut held)));
            let done = std::panic::catch_unwind(round).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::InvalidInput, format!("the follower {} panicked", self.name)))
            });
            match done {
                Ok(more) => {
                    *failure.lock() = None;
                    more
                }
                Err(error) => {
                    // An outdated claim, or a position that the log does not have.
                    if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Corrupt) {
                        *held = None;
                    }
                    *failure.lock() = Some(error);
                    false
                }
            }
        };
        let release = move || {
            if let Some(Held { claim, .. }) = last.lock().take() {
                // A release that fails costs only the next owner's wait.
                let _ = block_on(store.release_follower(&claim));
            }
        };
        let worker = Worker::start(&name, PAUSE, round, release)?;
        worker.wake().now();
        Ok(worker)
    }

    /// Folds a page. Gives whether another one may follow at once.
    async fn round(&self, held: &mut Option<Held>) -> Result<bool> {
        let Some(Held { claim, position }) = self.hold(held).await? else { return Ok(false) };
        let page = ordered_page(&*self.store, &Filter::default(), position, PAGE).await?;
        if page.waits {
            // A failure costs one round.
            let _ = self.store.raise_idle(self.patience).await;
        }
        if page.position == *position {
            // Nothing was read, so this is a sign of life and no more.
            return match self.store.renew_follower(claim).await? {
                true => Ok(page.more),
                false => Err(outdated()),
            };
        }
        let wanted: Vec<&DecodedRecord> =
            page.events.iter().filter(|event| self.fold.wants(&event.entry)).collect();
        let mut rows = self.rows(&wanted).await?;
        let mut effects = Vec::new();
        for event in wanted {
            self.fold_event(event, page.era, &mut rows, &mut effects)?;
        }
        let changed = rows.into_iter().filter(|(_, row)| row.changed);
        let changed: Vec<FollowerRow> = changed.map(to_stored).collect();
        // What cannot be written has no effects either.
        changed.iter().try_for_each(FollowerRow::check)?;
        self.commit(claim, effects).await?;
        if !self.store.write_follower(claim, changed, &to_text(&page.position)?).await? {
            return Err(outdated());
        }
        *position = page.position;
        Ok(page.more)
    }

    /// The claim, taken now if the follower is free.
    async fn hold<'a>(&self, held: &'a mut Option<Held>) -> Result<Option<&'a mut Held>> {
        if held.is_none() {
            // An engine that cannot record leaves the work to one that can.
            self.sequencer.check_state()?;
            let claimed = self.store.claim_follower(&self.name, self.owner, self.patience).await?;
            let Some((claim, position)) = claimed else { return Ok(None) };
            *held = Some(Held { claim, position: of_text(&position)? });
        }
        Ok(held.as_mut())
    }

    /// The rows that events concern.
    async fn rows(&self, events: &[&DecodedRecord]) -> Result<BTreeMap<FollowerKey, Row>> {
        let keys: BTreeSet<FollowerKey> = events.iter().flat_map(|event| self.fold.keys(event)).collect();
        let keys: Vec<FollowerKey> = keys.into_iter().collect();
        let stored = self.store.follower_rows(&self.name, &keys).await?;
        let of = |(key, stored): (FollowerKey, Option<Vec<u8>>)| {
            let Some(stored) = stored else { return Ok((key, Row::default())) };
            let damaged =
                || Error::new(ErrorKind::Corrupt, format!("the row {key} of {} is damaged", self.name));
            let (folded, state) = EventPlace::split(&stored).ok_or_else(damaged)?;
            let row = Row { folded: Some(folded), state: state.to_vec(), changed: false };
            Ok((key, row))
        };
        keys.into_iter().zip(stored).map(of).collect()
    }

    /// Folds an event into the rows that have not seen it.
    fn fold_event(
        &self,
        event: &DecodedRecord,
        era: u32,
        rows: &mut BTreeMap<FollowerKey, Row>,
        effects: &mut Vec<Draft>,
    ) -> Result<()> {
        let place = EventPlace::of(event, era);
        for key in self.fold.keys(event) {
            let Some(row) = rows.get_mut(&key) else { continue };
            if row.folded.is_some_and(|folded| folded >= place) {
                continue;
            }
            for effect in self.fold.fold(&key, &mut row.state, event) {
                effects.push(self.draft(effect, &key.organization, event)?);
            }
            row.folded = Some(place);
            row.changed = true;
        }
        Ok(())
    }

    fn draft(&self, effect: Effect, organization: &OrganizationId, event: &DecodedRecord) -> Result<Draft> {
        let Effect { key, record } = effect;
        let (agent, decision) = record.check()?;
        let mut payload = Payload { salt: [0; 32], bytes: record.payload_json() };
        self.entropy.fill(&mut payload.salt);
        let same = event.entry.organization == *organization;
        let parent = Parent { id: event.entry.id, leaf: Hash::leaf(&event.bytes) };
        Ok(Draft {
            id: derived_id(&self.name, organization, record.kind(), &key, event.entry.id),
            id_origin: IdOrigin::Derived,
            kind: record.kind(),
            organization: organization.clone(),
            agent: Some(agent),
            source: self.source,
            decision: Some(decision),
            reason_code: record.code().map(|code| code.to_owned().into()),
            policy: event.entry.policy,
            parent: if same { ParentOf::Record(parent) } else { ParentOf::Nothing },
            commitment: payload.commitment(),
            payload: Arc::new(payload),
            stat: None,
        })
    }

    /// Commits effects, all of them before any row says that its event was folded.
    async fn commit(&self, claim: &FollowerClaim, effects: Vec<Draft>) -> Result<()> {
        let mut effects = effects.into_iter().peekable();
        while effects.peek().is_some() {
            let mut tickets: Vec<Ticket> = Vec::with_capacity(AT_ONCE);
            for draft in effects.by_ref().take(AT_ONCE) {
                let (submission, ticket) = Submission::new(vec![draft], None, false);
                self.sequencer.submit(submission.under(claim.clone())).await?;
                tickets.push(ticket);
            }
            for ticket in tickets {
                ticket.committed().await?;
            }
            // Many effects take longer than an owner may be silent.
            if !self.store.renew_follower(claim).await? {
                return Err(outdated());
            }
        }
        Ok(())
    }
}

fn outdated() -> Error {
    Error::new(ErrorKind::Fenced, "another engine has claimed the follower")
}

fn to_stored((key, row): (FollowerKey, Row)) -> FollowerRow {
    let state = row.folded.unwrap_or_default().with_state(&row.state);
    FollowerRow { key, state: Some(state) }
}

fn to_text(position: &Position) -> Result<String> {
    serde_json::to_string(position)
        .map_err(|error| Error::new(ErrorKind::Corrupt, "a position cannot be stored").caused_by(error))
}

/// A follower without a position begins at the start of every shard.
fn of_text(text: &str) -> Result<Position> {
    if text.is_empty() {
        return Ok(Position::new());
    }
    serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::Corrupt, "a position cannot be read").caused_by(error))
}

/// The id of an effect: a UUID of version 8 (RFC 9562), which no caller can choose for a record of its own.
fn derived_id(
    follower: &str,
    organization: &OrganizationId,
    kind: RecordType,
    key: &str,
    event: Uuid,
) -> Uuid {
    let mut hash = Sha256::new();
    let parts = [follower, organization.as_str(), kind.as_str(), key].map(str::as_bytes);
    for part in parts.into_iter().chain([&event.as_bytes()[..]]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_at(16);
    uuid::Builder::from_custom_bytes(first.try_into().unwrap_or_default()).into_uuid()
}
