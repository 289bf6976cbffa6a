//! The engine.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pollster::block_on;
use trust_engine::{Engine, Error, ErrorKind, Options};

use crate::boundary::{call, free, on};
use crate::completion::Delivery;
use crate::error::te_code::{TE_IN_CALLBACK, TE_OK, TE_UNSUPPORTED};
use crate::error::{Failure, te_code, te_error};
use crate::fork::InProcess;
use crate::handle::{Header, give, handle};
use crate::input::te_str;
use crate::output::Place;

/// An open engine. Threads: any number may use it at once; `te_engine_free` by one, when nobody uses it any more.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_engine {
    pub(crate) header: Header,
    open: InProcess<Open>,
    /// Searches of a store in this process keep a processor busy.
    pub(crate) is_local: bool,
}

handle!(te_engine, b"teengine");

struct Open {
    engine: Engine,
    closed: AtomicBool,
    /// The delivery of completions, from the first call on that has one.
    delivery: OnceLock<Delivery>,
}

impl te_engine {
    /// The engine, in the process that opened it, until it is closed.
    pub(crate) fn get(&self) -> Result<&Engine, Failure> {
        let open = self.open.get()?;
        if open.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the engine is closed").into());
        }
        Ok(&open.engine)
    }

    /// The delivery of completions, also of those that are still there when the engine is closed.
    pub(crate) fn delivery(&self) -> Result<&Delivery, Failure> {
        let open = self.open.get()?;
        if let Some(delivery) = open.delivery.get() {
            return Ok(delivery);
        }
        self.get()?;
        let new = Delivery::start().map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "a thread for completions cannot be started").caused_by(cause)
        })?;
        // Where two threads come first at once, one of the two ends again at once.
        Ok(open.delivery.get_or_init(|| new))
    }
}

impl Open {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        block_on(self.engine.close());
        if let Some(delivery) = self.delivery.get() {
            delivery.close();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens an engine, and waits until it is open. `options` is JSON:
/// `{"storage": {"memory": true} | {"embedded": folder} | {"postgres": url | {…}, "redis": url | {…}}, …}`, as docs/c.md lists
/// it. Threads: any.
///
/// # Safety
/// `options` is readable, `out` writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_open(
    options: te_str,
    out: *mut *mut te_engine,
    error: *mut te_error,
) -> te_code {
    let open = || {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let options = Options::from_json(unsafe { options.required("options") }?)?;
        let is_local = options.is_local();
        let engine = block_on(Engine::open(options))?;
        let header = Header::new(<te_engine as crate::handle::Handle>::KIND);
        let open = Open { engine, closed: AtomicBool::new(false), delivery: OnceLock::new() };
        let engine = te_engine { header, open: InProcess::new(open), is_local };
        // SAFETY: the caller promises it.
        unsafe { out.write(give(engine)) };
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, open) }
}

/// Commits what waits and closes; calls afterwards give TE_CLOSED, and completions that wait can still be polled. Waits until
/// those under way are delivered, so it is refused from a callback (TE_IN_CALLBACK). The store is free for others when the
/// engine and its quotas, reservations and subscriptions are freed. Threads: any.
///
/// # Safety
/// `engine` is an engine, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_close(engine: *mut te_engine, error: *mut te_error) -> te_code {
    let close = |of: &te_engine| {
        let open = of.open.get()?;
        if open.delivery.get().is_some_and(Delivery::is_here) {
            let issue = "an engine cannot be closed from a callback, which it would wait for";
            return Err(Failure::new(TE_IN_CALLBACK, issue));
        }
        open.close();
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, close) }
}

/// Closes an engine if that was not done, and lets go of it; null is nothing. Completions that nobody polled are dropped. From a
/// callback the completions that are still to come are delivered afterwards. Threads: one, when nobody uses the engine any
/// more.
///
/// # Safety
/// `engine` is null or an engine that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_free(engine: *mut te_engine) {
    // SAFETY: the caller promises it.
    unsafe { free(engine) }
}

/// Takes up to `most` completions of calls that were begun without a callback, oldest first. `count` says how many; each is
/// the caller's to free. Never waits: see `te_engine_event_fd`. Threads: any.
///
/// # Safety
/// `engine` is an engine, `out` has room for `most` pointers, `count` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_poll(
    engine: *const te_engine,
    out: *mut *mut crate::te_completion,
    most: usize,
    count: *mut usize,
    error: *mut te_error,
) -> te_code {
    let poll = |of: &te_engine| {
        let (first, count) = (Place::of("out", out), Place::of("count", count)?);
        if most > 0 {
            first?;
        }
        let mut taken = 0;
        for completion in of.delivery()?.take(most) {
            // SAFETY: there is room for `most` pointers, and no more are taken.
            unsafe { out.add(taken).write(give(completion)) };
            taken += 1;
        }
        // SAFETY: the caller promises it.
        unsafe { count.write(taken) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, poll) }
}

/// A file descriptor (eventfd) that is readable while completions wait for `te_engine_poll`. The engine owns it: watch it, but
/// neither read nor close it. TE_UNSUPPORTED where there is no eventfd. Threads: any.
///
/// # Safety
/// `engine` is an engine, `fd` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_event_fd(
    engine: *const te_engine,
    fd: *mut i32,
    error: *mut te_error,
) -> te_code {
    let get = |of: &te_engine| {
        let fd = Place::of("fd", fd)?;
        let missing = || Failure::new(TE_UNSUPPORTED, "there is no eventfd here");
        let number = of.delivery()?.event_fd().ok_or_else(missing)?;
        // SAFETY: the caller promises it.
        unsafe { fd.write(number) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, get) }
}

/// Panics behind the boundary, so that tests can see that nothing of it comes through.
///
/// # Safety
/// `engine` is an engine, `error` null or a `te_error`.
#[cfg(feature = "test-panic")]
#[unsafe(no_mangle)]
#[allow(clippy::panic, reason = "that is what it is for")]
pub unsafe extern "C" fn te_test_panic(engine: *const te_engine, error: *mut te_error) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, |_| panic!("a test asked for it")) }
}
