//! The engine, as `index.cjs` calls it. Every call that may wait takes the number that it is parked under, and gives its
//! answer if it need not wait.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use napi::bindgen_prelude::{Either, Function};
use napi_derive::napi;
use pollster::block_on;
use trust_engine::{Engine, Error, NewRecord, Options, Result, Ticket};

use crate::calls::NativeCalls;
use crate::error::{Failure, closed, failed, panicked};
use crate::input::{Asked, Ceiling, Gate, organization, uuid};
use crate::output::{self, Value, json, text};
use crate::quotas::{NativeQuota, NativeReservation};
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
        traced: bool,
    ) -> Value {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Gate { agent, role, asked, resource, action, environment, metadata };
        let decided = self.get().and_then(|engine| engine.decide_gate(&request.into_request()?));
        decided.map_or_else(failed, |(verdict, ticket)| {
            let ticket = self.tickets.borrow_mut().keep(ticket);
            output::gate(&verdict, Some(ticket), traced)
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
        traced: bool,
    ) -> Option<Value> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Gate { agent, role, asked, resource, action, environment, metadata };
        self.start(slot, move |engine| async move {
            let verdict = engine.evaluate_gate(&request.into_request()?).await?;
            Ok(output::gate(&verdict, None, traced))
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

    /// A handle on an agent's quota, for callers that check it often.
    #[napi(catch_unwind)]
    pub fn quota(&self, agent: String, org: Option<String>) -> Either<NativeQuota, Failure> {
        let open =
            self.get().and_then(|engine| engine.quotas().of(organization(org.as_deref())?).quota(&agent));
        open.map_or_else(|error| Either::B(Failure::from(&error)), |quota| Either::A(NativeQuota::new(quota)))
    }

    /// Charges amounts that are not certain yet: a verdict, and a reservation in `at` unless it was refused.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn reserve(
        &self,
        slot: u32,
        at: &NativeReservation,
        agent: String,
        resource: String,
        amount: f64,
        tier: Option<String>,
        organization: Option<String>,
        caller: Option<String>,
        on_behalf_of: Option<String>,
        traceparent: Option<String>,
    ) -> Option<Value> {
        let asked = Asked { tier, organization, caller, on_behalf_of, traceparent };
        let request = Ceiling { agent, resource, amount, asked, id: None };
        let place = at.place();
        self.start(slot, |engine| async move {
            let (verdict, reservation) = engine.quotas().reserve(&request.into_request()?).await?;
            place.replace(reservation);
            Ok(output::ceiling(&verdict))
        })
    }

    /// A reservation that holds nothing yet.
    #[napi(catch_unwind)]
    pub fn reservation(&self) -> NativeReservation {
        NativeReservation::new(Rc::clone(&self.tasks))
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

    /// JSON of the policy in force.
    #[napi(catch_unwind)]
    pub fn policy(&self) -> Value {
        json(self.get().map(|engine| {
            let policy = engine.policy().current();
            serde_json::json!({ "hash": policy.hash().to_string(), "document": policy.document().canonical_json() })
        }))
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

pub(crate) fn parse<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    // A list would be read as fields in order.
    if !text.starts_with('{') {
        return Err(Error::invalid(what, "is not an object"));
    }
    serde_json::from_str(text).map_err(|error| Error::invalid(what, format!("cannot be read: {error}")))
}
