//! Forks. A child has the memory of its parent but none of its threads, so no engine of the parent's can be used in it.

use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Failure;
use crate::error::te_code::TE_FORKED;

/// How often this process was forked off, since the first engine was opened.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// The process that an engine was opened in.
#[derive(Clone, Copy)]
struct Process(u32);

impl Process {
    /// The process that runs now.
    fn current() -> Self {
        WATCH.call_once(watch);
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Refuses calls in a child.
    fn check(self) -> Result<(), Failure> {
        if self.0 == GENERATION.load(Ordering::Relaxed) {
            return Ok(());
        }
        let issue = "the process was forked after the engine was opened; open an engine in the child";
        Err(Failure::new(TE_FORKED, issue))
    }
}

/// A value that only the process that made it uses. In a child it is not even dropped: the threads that it would wait for are
/// not there, and its locks may be held for ever.
pub(crate) struct InProcess<T> {
    value: ManuallyDrop<T>,
    process: Process,
}

impl<T> InProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), process: Process::current() }
    }

    pub(crate) fn get(&self) -> Result<&T, Failure> {
        self.process.check()?;
        Ok(&self.value)
    }

    pub(crate) fn into_inner(self) -> Result<T, Failure> {
        self.process.check()?;
        let mut kept = ManuallyDrop::new(self);
        // SAFETY: the value is taken once, because what held it is not dropped.
        Ok(unsafe { ManuallyDrop::take(&mut kept.value) })
    }

    pub(crate) fn get_mut(&mut self) -> Result<&mut T, Failure> {
        self.process.check()?;
        Ok(&mut self.value)
    }
}

impl<T> Drop for InProcess<T> {
    fn drop(&mut self) {
        if self.process.check().is_ok() {
            // SAFETY: the value is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
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
