//! Receipts.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use trust_engine::Timestamp;
use uuid::Uuid;

use crate::output;

/// Acknowledges a record: it is durable, and this is its place in the log.
#[pyclass(frozen, from_py_object, module = "trust_engine._trust_engine")]
#[derive(Clone)]
pub struct Receipt(Kept);

#[derive(Clone)]
enum Kept {
    Given(trust_engine::Receipt),
    Restored(Restored),
}

impl From<trust_engine::Receipt> for Receipt {
    fn from(receipt: trust_engine::Receipt) -> Self {
        Self(Kept::Given(receipt))
    }
}

/// What was pickled: JSON, as it was written, and its fields.
#[derive(Clone)]
pub(crate) struct Restored {
    pub(crate) json: String,
    fields: Map<String, Value>,
}

impl Restored {
    pub(crate) fn read(json: String) -> PyResult<Self> {
        match serde_json::from_str(&json) {
            Ok(fields) => Ok(Self { json, fields }),
            Err(_) => Err(PyValueError::new_err("the pickle is none of this version")),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.fields.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.fields.get(name) == Some(&Value::Bool(true))
    }
}

/// Gives a receipt back that was pickled.
#[pyfunction]
pub fn restore_receipt(json: String) -> PyResult<Receipt> {
    Ok(Receipt(Kept::Restored(Restored::read(json)?)))
}

impl Receipt {
    pub(crate) fn json(&self) -> String {
        match &self.0 {
            Kept::Given(receipt) => receipt.to_json(),
            Kept::Restored(of) => of.json.clone(),
        }
    }

    fn uuid(&self) -> Uuid {
        match &self.0 {
            Kept::Given(receipt) => receipt.id(),
            Kept::Restored(of) => of.uuid("id").unwrap_or_default(),
        }
    }

    fn number(&self, name: &str) -> u64 {
        match (&self.0, name) {
            (Kept::Given(receipt), "leafIndex") => receipt.leaf_index(),
            (Kept::Given(receipt), _) => receipt.tree_size(),
            (Kept::Restored(of), name) => of.number(name),
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
            Kept::Restored(of) => of.text("origin").unwrap_or_default(),
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
            Kept::Restored(of) => of.text("merkleRoot").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn signature(&self) -> String {
        match &self.0 {
            Kept::Given(receipt) => receipt.signature(),
            Kept::Restored(of) => of.text("signature").unwrap_or_default().to_owned(),
        }
    }

    #[getter]
    fn time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = match &self.0 {
            Kept::Given(receipt) => receipt.time(),
            Kept::Restored(of) => of.time("timestamp").unwrap_or(Timestamp::from_micros(0)),
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
