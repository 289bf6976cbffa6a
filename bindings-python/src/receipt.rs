//! Receipts.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use pyo3::prelude::*;
use serde_json::Value;
use trust_engine::Timestamp;
use uuid::Uuid;

use crate::error::not_verified;
use crate::output;

/// Acknowledges a record: it is durable, and this is its place in the log.
#[pyclass(frozen, from_py_object, module = "trust_engine._trust_engine")]
#[derive(Clone)]
pub struct Receipt(Kept);

#[derive(Clone)]
enum Kept {
    Given(trust_engine::Receipt),
    /// One that was pickled: JSON.
    Restored(Value),
}

impl From<trust_engine::Receipt> for Receipt {
    fn from(receipt: trust_engine::Receipt) -> Self {
        Self(Kept::Given(receipt))
    }
}

/// A text of what was pickled.
pub(crate) fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

/// An instant of what was pickled.
pub(crate) fn time(of: &Value, name: &str) -> Option<Timestamp> {
    text(of, name)?.parse().ok()
}

/// Reads what was pickled.
pub(crate) fn restored(json: &str) -> PyResult<Value> {
    let value: Option<Value> = serde_json::from_str(json).ok();
    value.filter(Value::is_object).ok_or_else(|| not_verified("the pickle is none of this version"))
}

/// Gives a receipt back that was pickled.
#[pyfunction]
pub fn restore_receipt(json: &str) -> PyResult<Receipt> {
    Ok(Receipt(Kept::Restored(restored(json)?)))
}

impl Receipt {
    pub(crate) fn json(&self) -> String {
        match &self.0 {
            Kept::Given(receipt) => receipt.to_json(),
            Kept::Restored(of) => of.to_string(),
        }
    }

    fn uuid(&self) -> Uuid {
        match &self.0 {
            Kept::Given(receipt) => receipt.id(),
            Kept::Restored(of) => text(of, "id").and_then(|id| id.parse().ok()).unwrap_or_default(),
        }
    }

    fn number(&self, name: &str) -> u64 {
        match (&self.0, name) {
            (Kept::Given(receipt), "leafIndex") => receipt.leaf_index(),
            (Kept::Given(receipt), _) => receipt.tree_size(),
            (Kept::Restored(of), name) => of.get(name).and_then(Value::as_u64).unwrap_or_default(),
        }
    }
}

#[pymethods]
impl Receipt {
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        output::uuid(py, self.uuid())
    }

    #[getter]
    fn origin(&self) -> &str {
        match &self.0 {
            Kept::Given(receipt) => receipt.origin(),
            Kept::Restored(of) => text(of, "origin").unwrap_or_default(),
        }
    }

    #[getter]
    fn leaf_index(&self) -> u64 {
        self.number("leafIndex")
    }

    #[getter]
    fn tree_size(&self) -> u64 {
        self.number("treeSize")
    }

    #[getter]
    fn merkle_root(&self) -> String {
        match &self.0 {
            Kept::Given(receipt) => receipt.root().to_base64(),
            Kept::Restored(of) => text(of, "merkleRoot").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn signature(&self) -> String {
        match &self.0 {
            Kept::Given(receipt) => receipt.signature(),
            Kept::Restored(of) => text(of, "signature").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = match &self.0 {
            Kept::Given(receipt) => receipt.time(),
            Kept::Restored(of) => time(of, "timestamp").unwrap_or(Timestamp::from_micros(0)),
        };
        output::instant(py, time)
    }

    fn __repr__(&self) -> String {
        format!("Receipt(id='{}', origin='{}', leaf_index={})", self.uuid(), self.origin(), self.leaf_index())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.json() == other.json()
    }

    fn __hash__(&self) -> u64 {
        hash(self.uuid())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.import("trust_engine._trust_engine")?.getattr("restore_receipt")?, (self.json(),)))
    }
}

pub(crate) fn hash(id: Uuid) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
