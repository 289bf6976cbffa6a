//! Calls that wait: without the GIL, and with an ear for signals. No panic comes through.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use pyo3::prelude::*;
use trust_engine::Result;

use crate::error::{panicked, raise};

/// How long a call waits before it looks for signals again.
const SIGNALS: Duration = Duration::from_millis(50);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a call. A signal handler that raises ends the wait; a record that was on its way is committed all the same.
pub(crate) fn wait<T: Send>(py: Python<'_>, call: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut call = pin!(call);
    loop {
        let step = || {
            let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                thread::park_timeout(SIGNALS);
            }
            polled
        };
        match py.detach(|| catch_unwind(AssertUnwindSafe(step))) {
            Ok(Poll::Ready(result)) => return result.map_err(raise),
            Ok(Poll::Pending) => py.check_signals()?,
            Err(panic) => {
                std::mem::forget(panic);
                return Err(panicked());
            }
        }
    }
}

/// Makes a call that never waits.
#[inline]
pub(crate) fn now<T>(call: impl FnOnce() -> Result<T>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(raise),
        Err(panic) => {
            std::mem::forget(panic);
            Err(panicked())
        }
    }
}
