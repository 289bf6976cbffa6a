//! Calls by name and streams.

use std::sync::Arc;

use pyo3::prelude::*;
use trust_engine::json::{self, CALLS, SharedSubscription};
use trust_engine::{Engine, Result};

use crate::error::raise;
use crate::fork::InProcess;
use crate::input::{Text, optional, text};
use crate::requests::BesideCall;
use crate::waiting::wait;

/// JSON of the table of calls.
#[pyfunction]
pub fn call_table() -> String {
    // No key of it is anything but a string, which is all that could fail.
    serde_json::to_string(CALLS).unwrap_or_default()
}

/// The caller of calls by name, read from JSON.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct Caller(pub(crate) Arc<json::Caller>);

#[pymethods]
impl Caller {
    #[new]
    #[pyo3(signature = (json, /))]
    fn new(json: Text<'_, '_>) -> PyResult<Self> {
        Ok(Self(Arc::new(json::Caller::from_json(text("caller", json)?).map_err(raise)?)))
    }
}

/// The answer of a call by name that succeeded.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct Answer(json::Answer);

#[pymethods]
impl Answer {
    #[getter]
    fn status(&self) -> u16 {
        self.0.status
    }

    #[getter]
    fn body(&self) -> &str {
        &self.0.body
    }

    #[getter]
    fn content_type(&self) -> &str {
        self.0.content_type
    }

    #[getter]
    fn etag(&self) -> Option<&str> {
        self.0.etag.as_deref()
    }

    #[getter]
    fn immutable(&self) -> bool {
        self.0.immutable
    }

    fn __repr__(&self) -> String {
        format!("Answer(status={}, body of {} bytes)", self.0.status, self.0.body.len())
    }
}

impl From<json::Answer> for Answer {
    fn from(answer: json::Answer) -> Self {
        Self(answer)
    }
}

/// A call as it is kept while it waits.
pub(crate) struct Call {
    name: String,
    parameters: String,
    body: Vec<u8>,
    if_match: Option<String>,
    idempotency_key: Option<String>,
    request_id: Option<String>,
    traceparent: Option<String>,
}

impl Call {
    pub(crate) fn read(
        name: Text<'_, '_>,
        parameters: Text<'_, '_>,
        body: &[u8],
        beside: &BesideCall<'_, '_>,
    ) -> PyResult<Self> {
        let kept = |field, given| Ok::<_, PyErr>(optional(field, given)?.map(str::to_owned));
        Ok(Self {
            name: text("name", name)?.to_owned(),
            parameters: text("parameters", parameters)?.to_owned(),
            body: body.to_owned(),
            if_match: kept("if_match", beside.if_match)?,
            idempotency_key: kept("idempotency_key", beside.idempotency_key)?,
            request_id: kept("request_id", beside.request_id)?,
            traceparent: kept("traceparent", beside.traceparent)?,
        })
    }

    pub(crate) fn is_heavy(&self) -> bool {
        CALLS.iter().any(|call| call.name == self.name && call.heavy)
    }

    /// The answer, or the engine's own error: what the contract makes of it is for strangers.
    pub(crate) async fn make(&self, engine: &Engine, caller: &json::Caller) -> Result<json::Answer> {
        let mut calls = engine.json(caller);
        if let Some(id) = &self.request_id {
            calls = calls.request_id(id);
        }
        if let Some(traceparent) = &self.traceparent {
            calls = calls.traceparent(traceparent);
        }
        if let Some(version) = &self.if_match {
            calls = calls.if_match(version);
        }
        if let Some(key) = &self.idempotency_key {
            calls = calls.idempotency_key(key);
        }
        let answer = calls.call(&self.name, self.parameters.as_bytes(), &self.body).await;
        match answer.cause {
            Some(cause) => Err(cause),
            None => Ok(answer),
        }
    }
}

/// A stream of items, each JSON.
#[pyclass(frozen, module = "trust_engine._trust_engine")]
pub struct Subscription {
    items: InProcess<Arc<SharedSubscription>>,
    /// A page of a store in this process keeps a processor busy.
    pub(crate) is_search: bool,
}

impl Subscription {
    pub(crate) fn new(subscription: json::Subscription, is_local: bool) -> Self {
        let is_search = is_local && !subscription.follows();
        let items = InProcess::new(Arc::new(SharedSubscription::new(subscription)));
        Self { items, is_search }
    }

    pub(crate) fn items(&self) -> PyResult<Arc<SharedSubscription>> {
        self.items.get().map(Arc::clone)
    }
}

#[pymethods]
impl Subscription {
    /// Waits for the next item; None at the end, and once the stream is ended.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        wait(py, self.items()?.next())
    }

    /// Ends the stream, also while another thread waits for an item.
    fn end(&self) {
        // In a child nobody waits.
        if let Ok(items) = self.items() {
            items.end();
        }
    }
}
