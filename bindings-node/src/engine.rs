//! The engine, as `index.cjs` calls it. Every call that may wait takes the number that it is parked under, and gives its
//! answer if it need not wait.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use napi::bindgen_prelude::{Buffer, Either, Function};
use napi_derive::napi;
use pollster::block_on;
use trust_engine::provenance::{Entry, Payload};
use trust_engine::{Engine, Error, Log, NewRecord, Options, Result, Ticket, verify};

use crate::calls::NativeCalls;
use crate::error::{Failure, closed, failed, panicked};
use crate::input::{Asked, Ceiling, Gate, organization, uuid};
use crate::output::{self, Proof, Value, json, text};
use crate::searches::Searches;
use crate::tasks::{Tasks, offload};

/// Tickets that can be waited for besides those of verdicts in the queue. Those of older ones are settled by then, and their
/// records are looked up in the log.
const SETTLED_TICKETS: usize = 8192;

/// The engine, from the time that it is open until it is released.
pub(crate) type SharedEngine = Rc<RefCell<Option<Engine>>>;

/// An engine, and the calls that wait for it.
#[napi]
pub struct NativeEngine {
    tasks: Rc<Tasks>,
    engine: SharedEngine,
    searches: Rc<Searches>,
    tickets: RefCell<Tickets>,
}

/// Tickets under running numbers.
#[derive(Default)]
struct Tickets {
    most: usize,
    first: u32,
    waiting: VecDeque<Option<Ticket>>,
}

impl Tickets {
    fn keep(&mut self, ticket: Ticket) -> u32 {
        if self.waiting.len() >= self.most {
            self.waiting.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.waiting.push_back(Some(ticket));
        self.first.wrapping_add(self.waiting.len() as u32 - 1)
    }

    fn take(&mut self, number: u32) -> Option<Ticket> {
        self.waiting.get_mut(number.wrapping_sub(self.first) as usize)?.take()
    }
}

#[napi]
impl NativeEngine {
    /// `on_ready` is called when answers wait to be fetched by [`drain`](Self::drain).
    #[napi(constructor, catch_unwind)]
    pub fn new(on_ready: Function<'_, (), ()>) -> napi::Result<Self> {
        Ok(Self {
            tasks: Rc::new(Tasks::new(&on_ready)?),
            engine: SharedEngine::default(),
            searches: Rc::default(),
            tickets: RefCell::default(),
        })
    }

    /// Numbers and answers in turn.
    #[napi(catch_unwind)]
    pub fn drain(&self) -> Vec<Either<u32, Value>> {
        let done = self.tasks.drain();
        let mut list = Vec::with_capacity(done.len() * 2);
        for (slot, value) in done {
            list.extend([Either::A(slot), Either::B(value)]);
        }
        list
    }

    /// How often Node's loop was woken.
    #[napi(getter, catch_unwind)]
    pub fn wakes(&self) -> u32 {
        self.tasks.wakes()
    }

    /// Opens it with options as JSON, on a thread of its own.
    #[napi(catch_unwind)]
    pub fn open(&self, slot: u32, options: String) -> Option<Value> {
        let options = match Options::from_json(&options) {
            Ok(options) => options,
            Err(error) => return Some(failed(error)),
        };
        if options.is_local() {
            self.searches.set_local();
        }
        self.tickets.borrow_mut().most = options.queue_size() + SETTLED_TICKETS;
        let place = Rc::clone(&self.engine);
        let open = offload(move || block_on(Engine::open(options)));
        self.tasks.start(slot, async move {
            text(open.await.unwrap_or_else(|| Err(closed())).map(|engine| {
                place.replace(Some(engine));
                String::new()
            }))
        })
    }

    /// Commits what waits and closes, on a thread of its own.
    #[napi(catch_unwind)]
    pub fn close(&self, slot: u32) -> Option<Value> {
        let engine = match self.get() {
            Ok(engine) => engine,
            Err(error) => return Some(failed(error)),
        };
        self.searches.end();
        let close = offload(move || block_on(engine.close()));
        self.tasks.start(slot, async move {
            // Without a thread to close on, or if closing failed, nothing says that waiting records are committed.
            close.await.map_or_else(|| failed(panicked()), |()| Value::A(String::new()))
        })
    }

    /// Lets go of the engine, on a thread of its own: when no call is under way its store is free then.
    #[napi(catch_unwind)]
    pub fn release(&self, slot: u32) -> Option<Value> {
        let engine = self.engine.take();
        self.tickets.take();
        let release = offload(move || drop(engine));
        self.tasks.start(slot, async move {
            release.await;
            Value::A(String::new())
        })
    }

    /// The calls of the contract for a caller.
    #[napi(catch_unwind)]
    pub fn calls(
        &self,
        name: Option<String>,
        organization: Option<String>,
        fleet_wide: bool,
        internal: bool,
        permissions: Option<Vec<String>>,
    ) -> Either<NativeCalls, Failure> {
        let (tasks, engine) = (Rc::clone(&self.tasks), Rc::clone(&self.engine));
        let searches = Rc::clone(&self.searches);
        let calls = self.get().and_then(|_| {
            let organization = organization.as_deref();
            NativeCalls::new(tasks, engine, searches, name, organization, fleet_wide, internal, permissions)
        });
        calls.map_or_else(|error| Either::B(Failure::from(&error)), Either::A)
    }

    /// A verdict at once, as text.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn decide_gate(
        &self,
        agent: String,
        role: String,
        tier: Option<String>,
        organization: Option<String>,
        caller: Option<String>,
        on_behalf_of: Option<String>,
        traceparent: Option<String>,
        resource: Option<String>,
        action: Option<String>,
        environment: Option<String>,
        metadata: Option<String>,
    ) -> Value {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Gate { agent, role, asked, resource, action, environment, metadata };
        let decided = self.get().and_then(|engine| engine.decide_gate(&request.into_request()?));
        decided.map_or_else(failed, |(verdict, ticket)| {
            let ticket = self.tickets.borrow_mut().keep(ticket);
            output::gate(&verdict, Some(ticket))
        })
    }

    /// Waits for the commit of a verdict: JSON of the receipt, or of null.
    #[napi(catch_unwind)]
    pub fn committed(&self, slot: u32, ticket: u32, org: Option<String>, id: String) -> Option<Value> {
        let ticket = self.tickets.borrow_mut().take(ticket);
        self.start(slot, move |engine| async move {
            let committed = match ticket {
                Some(ticket) => ticket.committed().await?.map(|committed| committed.to_json()),
                None => {
                    let log = engine.log().of(organization(org.as_deref())?);
                    let record = log.get(uuid("provenanceId", &id)?).await?;
                    Some(record.receipt().to_json())
                }
            };
            Ok(Value::A(committed.unwrap_or_else(|| "null".into())))
        })
    }

    /// A verdict that is committed, as text.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn evaluate_gate(
        &self,
        slot: u32,
        agent: String,
        role: String,
        tier: Option<String>,
        organization: Option<String>,
        caller: Option<String>,
        on_behalf_of: Option<String>,
        traceparent: Option<String>,
        resource: Option<String>,
        action: Option<String>,
        environment: Option<String>,
        metadata: Option<String>,
    ) -> Option<Value> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Gate { agent, role, asked, resource, action, environment, metadata };
        self.start(slot, |engine| async move {
            let verdict = engine.evaluate_gate(&request.into_request()?).await?;
            Ok(output::gate(&verdict, None))
        })
    }

    /// A ceiling's verdict at once, from what the engine holds, as text.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn check_ceiling_now(
        &self,
        agent: String,
        resource: String,
        amount: f64,
        tier: Option<String>,
        organization: Option<String>,
        caller: Option<String>,
        on_behalf_of: Option<String>,
        traceparent: Option<String>,
        id: Option<String>,
    ) -> Value {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Ceiling { agent, resource, amount, asked, id };
        let checked = self.get().and_then(|engine| engine.check_ceiling_now(&request.into_request()?));
        checked.map_or_else(failed, |(verdict, _)| output::ceiling(&verdict))
    }

    /// Asks the counters where it must.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn check_ceiling(
        &self,
        slot: u32,
        agent: String,
        resource: String,
        amount: f64,
        tier: Option<String>,
        organization: Option<String>,
        caller: Option<String>,
        on_behalf_of: Option<String>,
        traceparent: Option<String>,
        id: Option<String>,
    ) -> Option<Value> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Ceiling { agent, resource, amount, asked, id };
        self.start(slot, |engine| async move {
            Ok(output::ceiling(&engine.check_ceiling(&request.into_request()?).await?))
        })
    }

    /// JSON of the receipt.
    #[napi(catch_unwind)]
    pub fn record(&self, slot: u32, org: Option<String>, record: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let record: NewRecord = parse("record", &record)?;
            let committed = engine.log().of(organization(org.as_deref())?).record(record).await?;
            Ok(Value::A(committed.to_json()))
        })
    }

    /// A record's proof.
    #[napi(catch_unwind)]
    pub fn prove(&self, slot: u32, org: Option<String>, id: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let (log, id) = (log_of(&engine, org.as_deref())?, uuid("id", &id)?);
            let (record, proof) = (log.get(id).await?, log.prove(id).await?);
            let name = record.receipt().origin();
            let shard = name.rsplit('/').next().and_then(|shard| shard.parse().ok()).unwrap_or_default();
            Ok(Value::D(Proof {
                entry: Buffer::from(record.entry_bytes()),
                payload: record.payload().map(|payload| Buffer::from(payload.bytes.as_slice())),
                salt: record.payload().map(|payload| Buffer::from(payload.salt.as_slice())),
                proof: proof.to_string(),
                verifier_key: engine.verifier_key_of(shard).to_string(),
            }))
        })
    }

    /// JSON of the newest checkpoint's text, or of null.
    #[napi(catch_unwind)]
    pub fn checkpoint(&self, slot: u32) -> Option<Value> {
        self.start(slot, |engine| async move {
            let checkpoint = engine.log().checkpoint().await?;
            Ok(json(Ok(checkpoint.map(|signed| signed.note.to_string()))))
        })
    }

    /// JSON of what is wrong in any shard, on a thread of its own.
    #[napi(catch_unwind)]
    pub fn verify(&self, slot: u32) -> Option<Value> {
        self.start(slot, |engine| async move {
            let reports = offload(move || block_on(engine.log().verify_all())).await.ok_or_else(closed)??;
            let wrong: Vec<String> =
                reports.iter().filter(|report| !report.is_clean()).map(ToString::to_string).collect();
            Ok(json(Ok(wrong)))
        })
    }

    /// Copies the embedded store into a new folder, on a thread of its own.
    #[napi(catch_unwind)]
    pub fn backup(&self, slot: u32, folder: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let backup = offload(move || block_on(engine.backup(std::path::Path::new(&folder))));
            backup.await.ok_or_else(closed)??;
            Ok(Value::A(String::new()))
        })
    }

    /// JSON of the policy in force.
    #[napi(catch_unwind)]
    pub fn policy(&self) -> Value {
        json(self.get().map(|engine| {
            let policy = engine.policy().current();
            serde_json::json!({ "hash": policy.hash().to_string(), "document": policy.document().canonical_json() })
        }))
    }

    /// JSON of what can be reached.
    #[napi(catch_unwind)]
    pub fn health(&self, slot: u32) -> Option<Value> {
        self.start(slot, |engine| async move {
            let health = engine.health().await;
            let word = |up| if up { "up" } else { "down" };
            let mut checks = serde_json::json!({ "database": word(health.store) });
            if let (Some(relay), Some(checks)) = (health.relay, checks.as_object_mut()) {
                checks.insert("redis".into(), word(relay).into());
            }
            Ok(json(Ok(checks)))
        })
    }

    /// Warnings for the operator; none where the engine is not open.
    #[napi(catch_unwind)]
    pub fn warnings(&self) -> Vec<String> {
        self.get().map(|engine| engine.warnings()).unwrap_or_default()
    }

    /// The key of the shard that is written; empty before it is open.
    #[napi(catch_unwind)]
    pub fn verifier_key(&self) -> String {
        self.get().map(|engine| engine.verifier_key().to_string()).unwrap_or_default()
    }
}

impl NativeEngine {
    fn get(&self) -> Result<Engine> {
        self.engine.borrow().clone().ok_or_else(closed)
    }

    pub(crate) fn start<F>(&self, slot: u32, call: impl FnOnce(Engine) -> F) -> Option<Value>
    where
        F: Future<Output = Result<Value>> + 'static,
    {
        match self.get() {
            Ok(engine) => {
                let call = call(engine);
                self.tasks.start(slot, async move { call.await.unwrap_or_else(failed) })
            }
            Err(error) => Some(failed(error)),
        }
    }
}

/// The log of an organization; without one that of the whole fleet.
fn log_of<'a>(engine: &'a Engine, org: Option<&str>) -> Result<Log<'a>> {
    match org {
        None => Ok(engine.log().fleet_wide()),
        org => Ok(engine.log().of(organization(org)?)),
    }
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    // A list would be read as fields in order.
    if !text.starts_with('{') {
        return Err(Error::invalid(what, "is not an object"));
    }
    serde_json::from_str(text).map_err(|error| Error::invalid(what, format!("cannot be read: {error}")))
}

/// Nothing if the record is in the log of the key.
#[napi(catch_unwind)]
pub fn verify_record(entry: &[u8], proof: String, verifier_key: String) -> Option<Failure> {
    let verified = verifier_key
        .parse()
        .map_err(|issue| Error::invalid("verifierKey", format!("is no verifier key: {issue}")))
        .and_then(|key| verify::record(entry, &proof, &key).map_err(|error| Error::invalid("proof", error)));
    verified.err().map(|error| Failure::from(&error))
}

/// Nothing if the payload is the one that the entry commits to.
#[napi(catch_unwind)]
pub fn verify_payload(entry: &[u8], payload: &[u8], salt: &[u8]) -> Option<Failure> {
    let entry = Entry::parse(entry).map_err(|error| Error::invalid("entry", error));
    let verified = entry.and_then(|entry| {
        let salt = salt.try_into().map_err(|_| Error::invalid("salt", "is not 32 bytes"))?;
        let payload = Payload { salt, bytes: payload.to_vec() };
        verify::payload(&entry, &payload).map_err(|error| Error::invalid("payload", error))
    });
    verified.err().map(|error| Failure::from(&error))
}
