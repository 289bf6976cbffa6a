//! Completions of calls that were begun and not waited for.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use trust_engine::completions::{Completions, Ended};
use trust_engine::json::Answer;
use trust_engine::{CeilingVerdict, Error, ErrorKind, Receipt, Verdict};

use crate::answer::te_answer;
use crate::boundary::{free, let_go, look, on_exclusive};
use crate::ceiling::te_ceiling_verdict;
use crate::error::te_code::{TE_CONFLICT, TE_OK, TE_PANIC};
use crate::error::{Failure, te_code, te_error};
use crate::gate::te_gate_verdict;
use crate::handle::{Header, give, handle};
use crate::output::Place;
use crate::receipt::te_receipt;

/// What a call that was begun without waiting has come to. Threads: one at a time.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_completion {
    pub(crate) header: Header,
    user_data: UserData,
    outcome: Result<Outcome, Failure>,
}

handle!(te_completion, b"tecomple");

/// A function that is given completions, one at a time, on a thread of the engine's. The completion is its to free. It must not
/// wait for calls of the same engine, as no other completion is delivered meanwhile, nor leave by an exception or a jump.
pub type te_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, completion: *mut te_completion)>;

/// A pointer that is handed back as it was given.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: the library does nothing with the pointer but hand it back.
unsafe impl Send for UserData {}

pub(crate) enum Outcome {
    Gate(Box<Verdict>),
    Ceiling(Box<CeilingVerdict>),
    /// `None` for a verdict that the policy does not record.
    Receipt(Option<Receipt>),
    Answer(Box<Answer>),
    Taken,
}

/// The one who hears of a completion.
#[derive(Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) callback: te_callback,
    pub(crate) user_data: UserData,
}

struct Done {
    callback: te_callback,
    completion: te_completion,
}

/// The delivery of an engine's completions.
pub(crate) struct Delivery {
    calls: Completions<Done>,
    waiting: Arc<Waiting>,
}

/// The completions that wait to be polled.
struct Waiting {
    list: Mutex<VecDeque<te_completion>>,
    #[cfg(target_os = "linux")]
    event: Option<std::os::fd::OwnedFd>,
}

impl Delivery {
    pub(crate) fn start() -> std::io::Result<Self> {
        let waiting = Arc::new(Waiting {
            list: Mutex::default(),
            #[cfg(target_os = "linux")]
            event: event::open(),
        });
        let to_poll = Arc::clone(&waiting);
        let deliver = move |done: Vec<Done>| {
            let mut polled = Vec::new();
            for Done { callback, completion } in done {
                match callback {
                    Some(callback) => {
                        let user_data = completion.user_data.0;
                        // SAFETY: the caller gave a function of this type for this pointer.
                        unsafe { callback(user_data, give(completion)) };
                    }
                    None => polled.push(completion),
                }
            }
            to_poll.add(polled);
        };
        Ok(Self { calls: Completions::start(deliver)?, waiting })
    }

    /// Begins a call; the listener hears of it, unless the delivery has ended.
    pub(crate) fn begin(
        &self,
        listener: Listener,
        is_search: bool,
        call: impl Future<Output = Result<Outcome, Failure>> + Send + 'static,
    ) -> Result<te_code, Failure> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let done = move |outcome| {
            let header = Header::new(<te_completion as crate::handle::Handle>::KIND);
            let Listener { callback, user_data } = listener;
            Done { callback, completion: te_completion { header, user_data, outcome } }
        };
        let call = async move {
            let outcome = call.await.unwrap_or_else(|panic| {
                let_go(panic);
                let issue = "the library has failed in a way that it must not; please report it";
                Err(Failure::new(TE_PANIC, issue))
            });
            done(outcome)
        };
        let begun = if is_search { self.calls.search(call) } else { self.calls.submit(call) };
        begun.map_err(|Ended| Error::new(ErrorKind::Closed, "the engine is closed"))?;
        Ok(TE_OK)
    }

    pub(crate) fn take(&self, most: usize) -> Vec<te_completion> {
        self.waiting.take(most)
    }

    /// Whether this is the thread that delivers.
    pub(crate) fn is_here(&self) -> bool {
        self.calls.is_here()
    }

    /// Waits until calls that are under way are done and delivered.
    pub(crate) fn close(&self) {
        self.calls.close();
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn event_fd(&self) -> Option<i32> {
        use std::os::fd::AsRawFd as _;
        self.waiting.event.as_ref().map(|event| event.as_raw_fd())
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn event_fd(&self) -> Option<i32> {
        None
    }
}

impl Waiting {
    fn add(&self, completions: Vec<te_completion>) {
        if completions.is_empty() {
            return;
        }
        let mut list = self.list.lock();
        // The event is set while the list is not empty, and both change under the lock.
        #[cfg(target_os = "linux")]
        if let (Some(event), true) = (&self.event, list.is_empty()) {
            event::set(event);
        }
        list.extend(completions);
    }

    fn take(&self, most: usize) -> Vec<te_completion> {
        let mut list = self.list.lock();
        let count = most.min(list.len());
        let taken = list.drain(..count).collect();
        #[cfg(target_os = "linux")]
        if let (Some(event), true) = (&self.event, list.is_empty() && count > 0) {
            event::reset(event);
        }
        taken
    }
}

/// An eventfd, see eventfd(2).
#[cfg(target_os = "linux")]
mod event {
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

    pub(super) fn open() -> Option<OwnedFd> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        // SAFETY: what is not negative is a descriptor that nobody else has.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn set(event: &OwnedFd) {
        let one: u64 = 1;
        // SAFETY: eight bytes are read from a number that is there. It cannot fail: the count is 0 before.
        unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    pub(super) fn reset(event: &OwnedFd) {
        let mut count: u64 = 0;
        // SAFETY: eight bytes are written to a number that is there.
        unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

/// The pointer that the call was begun with. Threads: any.
///
/// # Safety
/// `completion` is a completion.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_user_data(completion: *const te_completion) -> *mut c_void {
    // SAFETY: the caller promises it.
    unsafe { look(completion, std::ptr::null_mut(), |of: &te_completion| of.user_data.0) }
}

/// TE_OK, or what the call failed with, which `error` is told. Threads: one.
///
/// # Safety
/// `completion` is a completion, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_result(
    completion: *mut te_completion,
    error: *mut te_error,
) -> te_code {
    let tell = |of: &mut te_completion| match &of.outcome {
        Ok(_) => Ok(TE_OK),
        // SAFETY: the caller promises it.
        Err(failure) => Ok(unsafe { failure.tell(error) }),
    };
    // SAFETY: the caller promises it.
    unsafe { on_exclusive(completion, error, tell) }
}

/// Takes the outcome out of a completion.
///
/// # Safety
/// `completion` is a completion that nobody else uses, `out` is writable, `error` null or a `te_error`.
unsafe fn take<T: crate::handle::Handle>(
    completion: *mut te_completion,
    out: *mut *mut T,
    error: *mut te_error,
    wanted: impl FnOnce(Outcome) -> Result<Option<T>, Outcome>,
) -> te_code {
    let take = |of: &mut te_completion| {
        let out = Place::of("out", out)?;
        if let Err(failure) = &of.outcome {
            // SAFETY: the caller promises it.
            return Ok(unsafe { failure.tell(error) });
        }
        match wanted(std::mem::replace(&mut of.outcome, Ok(Outcome::Taken)).unwrap_or(Outcome::Taken)) {
            Ok(value) => {
                // SAFETY: the caller promises it.
                unsafe { out.write(value.map_or(std::ptr::null_mut(), give)) };
                Ok(TE_OK)
            }
            Err(other) => {
                let issue = match other {
                    Outcome::Taken => "the outcome of this completion was taken already",
                    _ => "the outcome of this completion is of another kind",
                };
                of.outcome = Ok(other);
                Err(Failure::new(TE_CONFLICT, issue))
            }
        }
    };
    // SAFETY: the caller promises it.
    unsafe { on_exclusive(completion, error, take) }
}

/// Takes the verdict of `te_engine_evaluate_gate_async`; the caller frees it. What the call failed with is given as by
/// `te_completion_result`. Threads: one.
///
/// # Safety
/// `completion` is a completion, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_take_gate_verdict(
    completion: *mut te_completion,
    out: *mut *mut te_gate_verdict,
    error: *mut te_error,
) -> te_code {
    let wanted = |outcome| match outcome {
        Outcome::Gate(verdict) => Ok(Some(te_gate_verdict::of(*verdict))),
        other => Err(other),
    };
    // SAFETY: the caller promises it.
    unsafe { take(completion, out, error, wanted) }
}

/// Takes the verdict of `te_engine_check_ceiling_async`; the caller frees it. Threads: one.
///
/// # Safety
/// That of `te_completion_take_gate_verdict`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_take_ceiling_verdict(
    completion: *mut te_completion,
    out: *mut *mut te_ceiling_verdict,
    error: *mut te_error,
) -> te_code {
    let wanted = |outcome| match outcome {
        Outcome::Ceiling(verdict) => Ok(Some(te_ceiling_verdict::of(*verdict))),
        other => Err(other),
    };
    // SAFETY: the caller promises it.
    unsafe { take(completion, out, error, wanted) }
}

/// Takes the receipt of `te_engine_record_async` and `te_gate_verdict_committed_async`; the caller frees it. It is null for a
/// verdict that the policy does not record. Threads: one.
///
/// # Safety
/// That of `te_completion_take_gate_verdict`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_take_receipt(
    completion: *mut te_completion,
    out: *mut *mut te_receipt,
    error: *mut te_error,
) -> te_code {
    let wanted = |outcome| match outcome {
        Outcome::Receipt(receipt) => Ok(receipt.map(te_receipt::of)),
        other => Err(other),
    };
    // SAFETY: the caller promises it.
    unsafe { take(completion, out, error, wanted) }
}

/// Takes the answer of `te_engine_call_async`; the caller frees it. Threads: one.
///
/// # Safety
/// That of `te_completion_take_gate_verdict`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_take_answer(
    completion: *mut te_completion,
    out: *mut *mut te_answer,
    error: *mut te_error,
) -> te_code {
    let wanted = |outcome| match outcome {
        Outcome::Answer(answer) => Ok(Some(te_answer::of(*answer))),
        other => Err(other),
    };
    // SAFETY: the caller promises it.
    unsafe { take(completion, out, error, wanted) }
}

/// Lets go of a completion; null is nothing. Threads: one.
///
/// # Safety
/// `completion` is null or a completion that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_completion_free(completion: *mut te_completion) {
    // SAFETY: the caller promises it.
    unsafe { free(completion) }
}
