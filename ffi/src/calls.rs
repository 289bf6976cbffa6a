//! Calls by name: everything that has no function of its own.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};

use pollster::block_on;
use trust_engine::Engine;
use trust_engine::json::{Answer, CALLS, Caller};

use crate::answer::te_answer;
use crate::boundary::{call, free, on};
use crate::completion::{Listener, Outcome, UserData};
use crate::engine::te_engine;
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::handle::{Header, give, handle, shared};
use crate::input::{self, te_str};
use crate::output::Place;
use crate::te_callback;

/// The caller of calls by name, as the host has authenticated it. Threads: any number may use it at once.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_caller {
    pub(crate) header: Header,
    pub(crate) caller: Arc<Caller>,
}

handle!(te_caller, b"tecaller");

/// Makes a caller of JSON: `{"name"?, "organization"?, "fleetWide"?, "internal"?, "permissions"?: [...]}`; the caller frees it.
/// Threads: any.
///
/// # Safety
/// `json` can be read, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_caller_new(
    json: te_str,
    out: *mut *mut te_caller,
    error: *mut te_error,
) -> te_code {
    let make = || {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let caller = Caller::from_json(unsafe { json.required("caller") }?)?;
        let header = Header::new(<te_caller as crate::handle::Handle>::KIND);
        // SAFETY: the caller promises it.
        unsafe { out.write(give(te_caller { header, caller: Arc::new(caller) })) };
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, make) }
}

/// Lets go of a caller; null is nothing, and so is `te_caller_host`. Threads: one.
///
/// # Safety
/// `caller` is null or a caller that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_caller_free(caller: *mut te_caller) {
    if std::ptr::eq(caller, te_caller_host()) {
        return;
    }
    // SAFETY: the caller promises it.
    unsafe { free(caller) }
}

/// The host itself, in the organization `default`: it has every permission. A null caller is refused, so that one that could not be
/// made has none. Valid for ever, and not to be freed. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn te_caller_host() -> *const te_caller {
    static HOST: OnceLock<te_caller> = OnceLock::new();
    HOST.get_or_init(|| te_caller {
        header: Header::new(<te_caller as crate::handle::Handle>::KIND),
        caller: Arc::default(),
    })
}

/// The caller of a handle.
///
/// # Safety
/// `caller` is a caller.
pub(crate) unsafe fn caller_of(caller: *const te_caller) -> Result<Arc<Caller>, Failure> {
    // SAFETY: the caller promises it.
    Ok(Arc::clone(&unsafe { shared(caller) }?.caller))
}

/// A call by name: `te_call_table` lists them. Begin with `TE_CALL_INIT`; what is not set is null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_call {
    /// `sizeof(te_call)`.
    pub size: usize,
    /// The name, for example `agents.list`.
    pub name: te_str,
    /// The parameters: an object of JSON.
    pub parameters: te_str,
    /// The body.
    pub body: te_str,
    /// The version that has to be there, as the header If-Match has it.
    pub if_match: te_str,
    /// The key that makes a retry of an admitted check free.
    pub idempotency_key: te_str,
    /// The request's name in errors.
    pub request_id: te_str,
    /// W3C Trace Context.
    pub traceparent: te_str,
}

// SAFETY: the struct is `repr(C)`, begins with its size, and all zeros are null texts.
unsafe impl input::Sized for te_call {
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// A call as it is kept while it waits.
struct Kept {
    name: String,
    parameters: Vec<u8>,
    body: Vec<u8>,
    if_match: Option<String>,
    idempotency_key: Option<String>,
    request_id: Option<String>,
    traceparent: Option<String>,
}

impl Kept {
    /// # Safety
    /// `call` is null or points to as many bytes as its first field says, and its texts can be read.
    unsafe fn read(call: *const te_call) -> Result<Self, Failure> {
        // SAFETY: the caller promises it.
        unsafe {
            let given = input::read("call", call)?;
            let text = |field, text: te_str| Ok::<_, Failure>(text.text(field)?.map(str::to_owned));
            Ok(Self {
                name: given.name.required("name")?.to_owned(),
                parameters: given.parameters.bytes("parameters")?.unwrap_or_default().to_owned(),
                body: given.body.bytes("body")?.unwrap_or_default().to_owned(),
                if_match: text("ifMatch", given.if_match)?,
                idempotency_key: text("idempotencyKey", given.idempotency_key)?,
                request_id: text("requestId", given.request_id)?,
                traceparent: text("traceparent", given.traceparent)?,
            })
        }
    }

    fn is_heavy(&self) -> bool {
        CALLS.iter().any(|call| call.name == self.name && call.heavy)
    }

    async fn make(&self, engine: &Engine, caller: &Caller) -> Answer {
        let mut calls = engine.json(caller);
        if let Some(id) = &self.request_id {
            calls = calls.request_id(id);
        }
        if let Some(traceparent) = &self.traceparent {
            calls = calls.traceparent(traceparent);
        }
        if let Some(version) = &self.if_match {
            calls = calls.if_match(version);
        }
        if let Some(key) = &self.idempotency_key {
            calls = calls.idempotency_key(key);
        }
        calls.call(&self.name, &self.parameters, &self.body).await
    }
}

/// Makes a call of the table, and waits for its answer. TE_OK also for an answer that is an error of the contract: see
/// `te_answer_status` and `te_answer_result`. The answer is the caller's to free. Threads: any.
///
/// # Safety
/// `engine` is an engine, `caller` is a caller, `call` a call, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_call(
    engine: *const te_engine,
    caller: *const te_caller,
    call: *const te_call,
    out: *mut *mut te_answer,
    error: *mut te_error,
) -> te_code {
    let make = |of: &te_engine| {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let (call, caller) = unsafe { (Kept::read(call)?, caller_of(caller)?) };
        let answer = block_on(call.make(of.get()?, &caller));
        // SAFETY: the caller promises it.
        unsafe { out.write(give(te_answer::of(answer))) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, make) }
}

/// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. Searches of an embedded
/// store run two at a time, on threads of their own. If this fails, there is no completion. Threads: any.
///
/// # Safety
/// `engine` is an engine, `caller` is a caller, `call` a call, `error` null or a `te_error`; `callback` may be called with
/// `user_data` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_call_async(
    engine: *const te_engine,
    caller: *const te_caller,
    call: *const te_call,
    callback: te_callback,
    user_data: *mut c_void,
    error: *mut te_error,
) -> te_code {
    let listener = Listener { callback, user_data: UserData(user_data) };
    let begin = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let (call, caller) = unsafe { (Kept::read(call)?, caller_of(caller)?) };
        let engine = of.get()?.clone();
        let is_search = of.is_local && call.is_heavy();
        of.delivery()?.begin(listener, is_search, async move {
            Ok(Outcome::Answer(Box::new(call.make(&engine, &caller).await)))
        })
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, begin) }
}

/// The table of calls as JSON; valid for ever. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn te_call_table() -> te_str {
    static TABLE: OnceLock<String> = OnceLock::new();
    // No key of it is anything but a string, which is all that could fail.
    te_str::of(TABLE.get_or_init(|| serde_json::to_string(CALLS).unwrap_or_default()))
}
