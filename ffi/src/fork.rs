//! Forks. A child has the memory of its parent but none of its threads, so no engine of the parent's can be used in it.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Failure;
use crate::error::te_code::TE_FORKED;

/// How often this process was forked off, since the first engine was opened.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// The process that an engine was opened in.
#[derive(Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    /// The process that runs now.
    pub(crate) fn current() -> Self {
        WATCH.call_once(watch);
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Refuses calls in a child.
    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.0 == GENERATION.load(Ordering::Relaxed) {
            return Ok(());
        }
        let issue = "the process was forked after the engine was opened; open an engine in the child";
        Err(Failure::new(TE_FORKED, issue))
    }

    pub(crate) fn is_current(self) -> bool {
        self.check().is_ok()
    }
}

#[cfg(unix)]
fn watch() {
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function does nothing but add to a number, which is allowed after a fork. Without memory for it, which
    // is the only failure, forks are not noticed.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

#[cfg(not(unix))]
fn watch() {}
