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
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn current() -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    pub(crate) fn is_current(self) -> bool {
        self.0 == GENERATION.load(Ordering::Relaxed)
    }

    /// Refuses calls in a child.
    pub(crate) fn check(self) -> PyResult<()> {
        if self.is_current() { Ok(()) } else { Err(in_a_child()) }
    }
}
