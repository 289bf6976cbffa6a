//! The calls of the REST contract for one caller. Bodies are copied before anything waits.

use std::rc::Rc;
use std::sync::Arc;

use napi_derive::napi;
use pollster::block_on;
use trust_engine::json::{Answer, Caller, JsonCalls};
use trust_engine::{Result, TimeRange};

use crate::engine::{SharedEngine, query_of};
use crate::error::{closed, failed};
use crate::input::{QueryInput, integer, organization};
use crate::output::{Value, answer};
use crate::searches::Searches;
use crate::tasks::Tasks;

/// The calls of one caller.
#[napi]
pub struct NativeCalls {
    tasks: Rc<Tasks>,
    engine: SharedEngine,
    searches: Rc<Searches>,
    caller: Arc<Caller>,
}

impl NativeCalls {
    pub(crate) fn new(
        tasks: Rc<Tasks>,
        engine: SharedEngine,
        searches: Rc<Searches>,
        name: Option<String>,
        org: Option<&str>,
        fleet_wide: bool,
        internal: bool,
    ) -> Result<Self> {
        let mut caller = Caller::new().organization(organization(org)?);
        if let Some(name) = name {
            caller = caller.named(name)?;
        }
        if fleet_wide {
            caller = caller.fleet_wide();
        }
        if internal {
            caller = caller.internal();
        }
        Ok(Self { tasks, engine, searches, caller: Arc::new(caller) })
    }

    fn start(
        &self,
        slot: u32,
        request_id: Option<String>,
        call: impl AsyncFnOnce(JsonCalls<'_>) -> Answer + 'static,
    ) -> Option<Value> {
        let caller = Arc::clone(&self.caller);
        let Some(engine) = self.engine.borrow().clone() else { return Some(failed(closed())) };
        self.tasks.start(slot, async move {
            let calls = engine.json(&caller);
            answer(call(named(calls, request_id.as_deref())).await)
        })
    }
}

fn named<'a>(calls: JsonCalls<'a>, request_id: Option<&'a str>) -> JsonCalls<'a> {
    match request_id {
        Some(id) => calls.request_id(id),
        None => calls,
    }
}

fn traced<'a>(calls: JsonCalls<'a>, traceparent: Option<&'a str>) -> JsonCalls<'a> {
    match traceparent {
        Some(traceparent) => calls.traceparent(traceparent),
        None => calls,
    }
}

#[napi]
impl NativeCalls {
    /// Answers when the verdict is committed.
    #[napi(catch_unwind)]
    pub fn evaluate_gate(
        &self,
        slot: u32,
        body: &[u8],
        request_id: Option<String>,
        traceparent: Option<String>,
    ) -> Option<Value> {
        let body = body.to_vec();
        self.start(slot, request_id, async move |calls| {
            traced(calls, traceparent.as_deref()).evaluate_gate(&body).await
        })
    }

    /// Answers at once.
    #[napi(catch_unwind)]
    pub fn decide_gate(&self, body: &[u8], request_id: Option<String>, traceparent: Option<String>) -> Value {
        match &*self.engine.borrow() {
            Some(engine) => {
                let calls = named(engine.json(&self.caller), request_id.as_deref());
                answer(traced(calls, traceparent.as_deref()).decide_gate(body).0)
            }
            None => failed(closed()),
        }
    }

    /// Checks and consumes.
    #[napi(catch_unwind)]
    pub fn check_ceiling(
        &self,
        slot: u32,
        body: &[u8],
        idempotency_key: Option<String>,
        request_id: Option<String>,
        traceparent: Option<String>,
    ) -> Option<Value> {
        let body = body.to_vec();
        self.start(slot, request_id, async move |calls| {
            traced(calls, traceparent.as_deref()).check_ceiling(&body, idempotency_key.as_deref()).await
        })
    }

    /// Answers with the committed record.
    #[napi(catch_unwind)]
    pub fn record(
        &self,
        slot: u32,
        body: &[u8],
        request_id: Option<String>,
        traceparent: Option<String>,
    ) -> Option<Value> {
        let body = body.to_vec();
        self.start(slot, request_id, async move |calls| {
            traced(calls, traceparent.as_deref()).record(&body).await
        })
    }

    /// One record.
    #[napi(catch_unwind)]
    pub fn get(&self, slot: u32, id: String, request_id: Option<String>) -> Option<Value> {
        self.start(slot, request_id, async move |calls| calls.get(&id).await)
    }

    /// A record and its ancestors.
    #[napi(catch_unwind)]
    pub fn chain(&self, slot: u32, id: String, depth: f64, request_id: Option<String>) -> Option<Value> {
        let depth = integer("depth", depth, 1, 100);
        self.start(slot, request_id, async move |calls| match depth {
            Ok(depth) => calls.chain(&id, depth).await,
            Err(error) => calls.refuse(&error),
        })
    }

    /// A page.
    #[napi(catch_unwind)]
    pub fn query(&self, slot: u32, query: Option<QueryInput>, request_id: Option<String>) -> Option<Value> {
        let query = match query_of(query) {
            Ok(query) => query,
            Err(error) => return self.start(slot, request_id, async move |calls| calls.refuse(&error)),
        };
        if !self.searches.are_local() {
            return self.start(slot, request_id, async move |calls| calls.query(&query).await);
        }
        let (caller, searches) = (Arc::clone(&self.caller), Rc::clone(&self.searches));
        let Some(engine) = self.engine.borrow().clone() else { return Some(failed(closed())) };
        self.tasks.start(slot, async move {
            let search = move || block_on(named(engine.json(&caller), request_id.as_deref()).query(&query));
            searches.run(search).await.map_or_else(failed, answer)
        })
    }

    /// Statistics.
    #[napi(catch_unwind)]
    pub fn stats(&self, slot: u32, range: String, request_id: Option<String>) -> Option<Value> {
        self.start(slot, request_id, async move |calls| match TimeRange::parse(&range) {
            Ok(range) => calls.stats(range).await,
            Err(error) => calls.refuse(&error),
        })
    }
}
