//! Forks. A child has the memory of its parent but none of its threads, so no engine of the parent's can be used in it.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

use crate::error::in_a_child;

/// How often this process was forked off: the package has `os` tell it.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Notes that the process is a child.
#[pyfunction]
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The process that an engine was opened in.
#[derive(Clone, Copy)]
struct Process(u32);

impl Process {
    fn current() -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    fn is_current(self) -> bool {
        self.0 == GENERATION.load(Ordering::Relaxed)
    }
}

/// A value that only the process that made it uses. In a child it is not even dropped: the threads that it would wait for are
/// not there, and its locks may be held for ever.
pub(crate) struct InProcess<T> {
    /// There until this is dropped.
    value: Option<T>,
    process: Process,
}

impl<T> InProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: Process::current() }
    }

    /// The value, in the process that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.value.as_ref().filter(|_| self.process.is_current()).ok_or_else(in_a_child)
    }

    pub(crate) fn into_inner(mut self) -> PyResult<T> {
        self.get()?;
        self.value.take().ok_or_else(in_a_child)
    }
}

impl<T> Drop for InProcess<T> {
    fn drop(&mut self) {
        if !self.process.is_current() {
            std::mem::forget(self.value.take());
        }
    }
}
