//! The engine's calls for one caller. Bodies are copied before anything waits.

use std::rc::Rc;
use std::sync::Arc;

use napi_derive::napi;
use pollster::block_on;
use trust_engine::Result;
use trust_engine::json::{Answer, CALLS, Caller, JsonCalls};

use crate::engine::SharedEngine;
use crate::error::{closed, failed};
use crate::input::organization;
use crate::output::{Value, answer, whole_answer};
use crate::searches::Searches;
use crate::subscriptions::NativeSubscription;
use crate::tasks::Tasks;

/// JSON of the table of calls.
#[napi(catch_unwind)]
pub fn call_table() -> String {
    // No key of it is anything but a string, which is all that could fail.
    serde_json::to_string(CALLS).unwrap_or_default()
}

/// The calls of one caller.
#[napi]
pub struct NativeCalls {
    tasks: Rc<Tasks>,
    engine: SharedEngine,
    searches: Rc<Searches>,
    caller: Arc<Caller>,
}

impl NativeCalls {
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub(crate) fn new(
        tasks: Rc<Tasks>,
        engine: SharedEngine,
        searches: Rc<Searches>,
        name: Option<String>,
        org: Option<&str>,
        fleet_wide: bool,
        internal: bool,
        permissions: Option<Vec<String>>,
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
        if let Some(permissions) = permissions {
            caller = caller.permitting(permissions.iter().map(String::as_str))?;
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
            let calls = traced(calls, traceparent.as_deref());
            match &idempotency_key {
                Some(key) => calls.idempotency_key(key).check_ceiling(&body).await,
                None => calls.check_ceiling(&body).await,
            }
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

    /// A call of the table. `parameters` is JSON; the answer is whole, with what is beside the body.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments, reason = "as JavaScript passes them")]
    pub fn call(
        &self,
        slot: u32,
        name: String,
        parameters: String,
        body: &[u8],
        if_match: Option<String>,
        idempotency_key: Option<String>,
        request_id: Option<String>,
        traceparent: Option<String>,
    ) -> Option<Value> {
        let Some(engine) = self.engine.borrow().clone() else { return Some(failed(closed())) };
        let (caller, searches, body) = (Arc::clone(&self.caller), Rc::clone(&self.searches), body.to_vec());
        let on_a_thread = searches.are_local() && CALLS.iter().any(|call| call.name == name && call.heavy);
        let call = async move || {
            let mut calls =
                traced(named(engine.json(&caller), request_id.as_deref()), traceparent.as_deref());
            if let Some(version) = &if_match {
                calls = calls.if_match(version);
            }
            if let Some(key) = &idempotency_key {
                calls = calls.idempotency_key(key);
            }
            calls.call(&name, parameters.as_bytes(), &body).await
        };
        self.tasks.start(slot, async move {
            if on_a_thread {
                searches.run(move || block_on(call())).await.map_or_else(failed, whole_answer)
            } else {
                whole_answer(call().await)
            }
        })
    }

    /// A subscription to a stream, which begins with [`NativeSubscription::begin`].
    #[napi(catch_unwind)]
    pub fn subscribe(&self, name: String, parameters: String) -> NativeSubscription {
        let (tasks, engine) = (Rc::clone(&self.tasks), Rc::clone(&self.engine));
        let searches = Rc::clone(&self.searches);
        NativeSubscription::new(tasks, engine, searches, Arc::clone(&self.caller), name, parameters)
    }
}
