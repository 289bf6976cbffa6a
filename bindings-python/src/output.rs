//! Values on their way to Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use trust_engine::Timestamp;
use uuid::Uuid;

/// A `datetime` in UTC.
pub(crate) fn instant(py: Python<'_>, time: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static TIMEDELTA: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let zone = module.getattr("timezone")?.getattr("utc")?;
        Ok::<_, PyErr>(module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, zone))?.unbind())
    })?;
    // Added to the epoch, because a float would lose microseconds.
    epoch.bind(py).add(TIMEDELTA.import(py, "datetime", "timedelta")?.call1((0, 0, time.micros()))?)
}

/// A `uuid.UUID`.
pub(crate) fn uuid(py: Python<'_>, id: Uuid) -> PyResult<Bound<'_, PyAny>> {
    static UUID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let bytes = PyDict::new(py);
    bytes.set_item("bytes", PyBytes::new(py, id.as_bytes()))?;
    UUID.import(py, "uuid", "UUID")?.call((), Some(&bytes))
}

/// What JSON says, as Python's values.
pub(crate) fn parsed<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")?.call1((json,))
}
