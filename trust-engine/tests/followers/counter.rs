//! The follower that the tests run.

use std::time::{Duration, Instant};

use pollster::block_on;
use sha2::{Digest as _, Sha256};
use trust_engine::blocking::Engine;
use trust_engine::log::{Effect, Fold};
use trust_engine::provenance::Entry;
use trust_engine::storage::{DecodedRecord, FollowerKey, Store};
use trust_engine::{Decision, NewRecord, OrganizationId, Query, Record, RecordType};
use uuid::Uuid;

/// Keeps the ids of each agent's ESCALATION records, and raises an alert for every third.
pub struct Counter;

/// Its name in the store.
pub const FOLLOWER: &str = "host.counter";

impl Fold for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    fn wants(&self, entry: &Entry) -> bool {
        entry.kind == RecordType::Escalation
    }

    fn keys(&self, event: &DecodedRecord) -> Vec<FollowerKey> {
        let agent = event.entry.agent.as_ref().unwrap().to_string();
        [agent, ALL.into()]
            .map(|key| FollowerKey { organization: event.entry.organization.clone(), key })
            .to_vec()
    }

    fn fold(&self, key: &FollowerKey, state: &mut Vec<u8>, event: &DecodedRecord) -> Vec<Effect> {
        if key.key == ALL {
            let (count, chain) = split(state);
            *state = [&(count + 1).to_be_bytes()[..], &link(chain, event.entry.id)].concat();
            return Vec::new();
        }
        state.extend_from_slice(event.entry.id.as_bytes());
        let seen = state.len() / 16;
        if !seen.is_multiple_of(3) {
            return Vec::new();
        }
        let record = NewRecord::new(RecordType::Alert, &key.key, Decision::Escalate);
        vec![Effect { key: "third".into(), record: record.reason(format!("{seen} escalations")) }]
    }
}

/// The row of all events: their number, and a hash chain over their ids in the order of folding.
const ALL: &str = "all";

fn split(state: &[u8]) -> (u64, [u8; 32]) {
    match state.split_first_chunk::<8>() {
        Some((count, chain)) => (u64::from_be_bytes(*count), chain.try_into().unwrap()),
        None => (0, [0; 32]),
    }
}

fn link(chain: [u8; 32], id: Uuid) -> [u8; 32] {
    Sha256::new().chain_update(chain).chain_update(id.as_bytes()).finalize().into()
}

/// What the row of all events holds when these were folded in this order.
pub fn folded_in_order(ids: &[Uuid]) -> (u64, [u8; 32]) {
    (ids.len() as u64, ids.iter().fold([0; 32], |chain, id| link(chain, *id)))
}

fn row(store: &dyn Store, key: &str) -> Vec<u8> {
    let key = FollowerKey { organization: OrganizationId::default(), key: key.into() };
    let row = block_on(store.follower_rows(FOLLOWER, &[key])).unwrap().remove(0);
    // The place up to which it was folded stands in front of the state.
    row.map(|row| row[24..].to_vec()).unwrap_or_default()
}

/// The number of the events that were folded, and the hash chain over them.
pub fn folded(store: &dyn Store) -> (u64, [u8; 32]) {
    split(&row(store, ALL))
}

/// The events of an agent that were folded.
pub fn seen(store: &dyn Store, agent: &str) -> Vec<Uuid> {
    row(store, agent).chunks(16).map(|id| Uuid::from_slice(id).unwrap()).collect()
}

/// Tries until it is so.
pub fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: not in {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Records an event.
pub fn escalate(engine: &Engine, agent: &str) -> Uuid {
    let record = NewRecord::new(RecordType::Escalation, agent, Decision::Escalate);
    engine.log().record(record).unwrap().id()
}

/// The effects.
pub fn alerts(engine: &Engine) -> Vec<Record> {
    let query = Query::new().kind(RecordType::Alert).oldest_first().limit(100);
    engine.log().query(&query).unwrap().records
}
