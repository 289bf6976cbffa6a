//! Errors of the engine as exceptions of the package.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict as _, PyDict};
use trust_engine::{Error, ErrorKind};

/// The code of what only a defect of ours can cause.
const PANIC: &str = "TE_PANIC";

fn class_of<'py>(py: Python<'py>, code: &str) -> PyResult<Bound<'py, PyAny>> {
    static FIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FIND.import(py, "trust_engine._errors", "error_class")?.call1((code,))
}

fn raise_as(
    code: &str,
    message: &str,
    retryable: bool,
    field: Option<&str>,
    details: HashMap<&str, &str>,
) -> PyErr {
    Python::attach(|py| {
        let make = || {
            let beside: Bound<'_, PyDict> =
                [("code", code.into_pyobject(py)?.into_any())].into_py_dict(py)?;
            beside.set_item("retryable", retryable)?;
            beside.set_item("field", field)?;
            beside.set_item("details", details)?;
            class_of(py, code)?.call((message,), Some(&beside))
        };
        match make() {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    })
}

/// The exception for an error of the engine.
pub(crate) fn raise(error: Error) -> PyErr {
    let details = error.context().collect();
    raise_as(error.kind().code(), &error.to_string(), error.is_retryable(), error.field(), details)
}

/// The exception where a proof does not hold.
pub(crate) fn not_verified(message: &str) -> PyErr {
    raise_as("TE_NOT_VERIFIED", message, false, None, HashMap::new())
}

/// The exception in a child of the process that opened the engine.
pub(crate) fn in_a_child() -> PyErr {
    let message = "the process was forked after the engine was opened; open an engine in the child";
    raise_as("TE_FORKED", message, false, None, HashMap::new())
}

/// The exception of a call that panicked: a defect of ours.
pub(crate) fn panicked() -> PyErr {
    let message = "the call failed in a way that it must not; please report it";
    raise_as(PANIC, message, false, None, HashMap::new())
}

/// The error of an engine that was closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine is closed")
}
