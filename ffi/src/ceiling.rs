//! Capability ceilings.

use std::cell::OnceCell;
use std::ffi::c_void;

use pollster::block_on;
use trust_engine::{CeilingRequest, CeilingVerdict, Error, Measure};

use crate::boundary::{call, empty, free, look, on};
use crate::completion::{Listener, Outcome, UserData};
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::gate::{attribute, te_recorded};
use crate::handle::{Header, exclusive, give, handle};
use crate::input::{self, te_str};
use crate::output::{Place, micros, te_uuid};
use crate::{te_callback, te_engine};

/// Most demands of a request.
const MAX_DEMANDS: usize = 16;

/// An amount of one resource.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_demand {
    /// The resource.
    pub resource_type: te_str,
    /// 1 to 2^40 - 1.
    pub requested_amount: u64,
}

/// A request for a ceiling check: may this agent use this much? Begin with `TE_CEILING_REQUEST_INIT`; texts that are not set are
/// null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_ceiling_request {
    /// `sizeof(te_ceiling_request)`.
    pub size: usize,
    /// The agent.
    pub agent_id: te_str,
    /// 1 to 16 demands, each for another resource: all are admitted, or none.
    pub demands: *const te_demand,
    /// The number of demands.
    pub demand_count: usize,
    /// The tier that the caller says the agent holds: a claim.
    pub tier: te_str,
    /// The organization; `default` if it is not set.
    pub organization: te_str,
    /// The caller that asks; the host vouches for it.
    pub caller: te_str,
    /// The person or service on whose behalf the agent acts.
    pub on_behalf_of: te_str,
    /// W3C Trace Context.
    pub traceparent: te_str,
    /// Makes a retry of an admitted check free, in every engine of a fleet, for 24 hours.
    pub request_id: te_str,
}

// SAFETY: the struct is `repr(C)`, begins with its size, and all zeros are null texts and no demands.
unsafe impl input::Sized for te_ceiling_request {
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// # Safety
/// `request` is null or points to as many bytes as its first field says, and its demands and texts can be read.
pub(crate) unsafe fn read(request: *const te_ceiling_request) -> Result<CeilingRequest, Failure> {
    // SAFETY: the caller promises it.
    let given = unsafe { input::read("request", request) }?;
    let (demands, count) = (given.demands, given.demand_count);
    if demands.is_null() || !demands.is_aligned() || !(1..=MAX_DEMANDS).contains(&count) {
        let issue =
            format!("are {count}; a request takes 1 to {MAX_DEMANDS}, behind a pointer that is not null");
        return Err(Error::invalid("demands", issue).into());
    }
    // SAFETY: the pointer is not null and aligned, and the caller promises that many demands.
    let demands = unsafe { std::slice::from_raw_parts(demands, count) };
    // SAFETY: the caller promises that texts can be read.
    let agent = unsafe { given.agent_id.required("agentId") }?;
    let mut request: Option<CeilingRequest> = None;
    for demand in demands {
        // SAFETY: the caller promises that texts can be read.
        let (resource, amount) =
            (unsafe { demand.resource_type.required("resourceType") }?, demand.requested_amount);
        request = Some(match request {
            None => CeilingRequest::new(agent, resource, amount),
            Some(request) => request.and(resource, amount),
        });
    }
    let Some(mut request) = request else { return Err(Error::invalid("demands", "are none").into()) };
    attribute!(request, given);
    // SAFETY: the caller promises that texts can be read.
    if let Some(id) = unsafe { given.request_id.text("requestId") }? {
        request = request.request_id(id);
    }
    Ok(request)
}

/// A ceiling's verdict: memory that calls write their verdicts into, again and again. Texts that it gives are valid until it is
/// written again or freed. Threads: one at a time.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_ceiling_verdict {
    pub(crate) header: Header,
    verdict: Option<CeilingVerdict>,
    reason: OnceCell<String>,
    json: OnceCell<String>,
}

handle!(te_ceiling_verdict, b"teceilvd");

impl te_ceiling_verdict {
    fn empty() -> Self {
        let header = Header::new(<Self as crate::handle::Handle>::KIND);
        Self { header, verdict: None, reason: OnceCell::new(), json: OnceCell::new() }
    }

    pub(crate) fn of(verdict: CeilingVerdict) -> Self {
        Self { verdict: Some(verdict), ..Self::empty() }
    }

    /// Without the verdict that it held: a call that fails leaves none that could be taken for its own.
    pub(crate) fn clear(&mut self) {
        self.verdict = None;
        self.reason.take();
        self.json.take();
    }

    pub(crate) fn set(&mut self, verdict: CeilingVerdict) {
        self.verdict = Some(verdict);
    }
}

/// How far the counter has come that refused, or the agent's own of the first resource. All zeros where no counter was asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct te_usage {
    /// The amount that is used, this check included if it was admitted.
    pub current_usage: u64,
    /// The ceiling.
    pub ceiling: u64,
    /// The amount that is left.
    pub remaining: u64,
    /// The time at which the window ends, in microseconds since 1970-01-01T00:00:00Z.
    pub reset_at: i64,
}

/// Makes an empty verdict for calls to write into. Threads: any.
///
/// # Safety
/// `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_new(
    out: *mut *mut te_ceiling_verdict,
    error: *mut te_error,
) -> te_code {
    let make = || {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        unsafe { out.write(give(te_ceiling_verdict::empty())) };
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, make) }
}

/// Checks and consumes, all of the amounts or nothing; asks the counters where it must. If it fails, nothing is admitted, and
/// `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
///
/// # Safety
/// `engine` is an engine, `request` a request, `verdict` a verdict, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_check_ceiling(
    engine: *const te_engine,
    request: *const te_ceiling_request,
    verdict: *mut te_ceiling_verdict,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_ceiling_verdict::clear) };
    let check = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let request = unsafe { read(request) }?;
        place.set(block_on(of.get()?.check_ceiling(&request))?);
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, check) }
}

/// Checks and consumes without waiting, with what the engine holds. TE_WOULD_BLOCK if the counters have to be asked. If it fails,
/// nothing is admitted, and `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
///
/// # Safety
/// That of `te_engine_check_ceiling`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_check_ceiling_now(
    engine: *const te_engine,
    request: *const te_ceiling_request,
    verdict: *mut te_ceiling_verdict,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_ceiling_verdict::clear) };
    let check = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let request = unsafe { read(request) }?;
        place.set(of.get()?.check_ceiling_now(&request)?.0);
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, check) }
}

/// Does the same as `te_engine_check_ceiling` without waiting: `callback` is given the completion, or `te_engine_poll` if it is
/// null. If this fails, there is no completion. Threads: any.
///
/// # Safety
/// `engine` is an engine, `request` a request, `error` null or a `te_error`; `callback` may be called with `user_data` on
/// another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_check_ceiling_async(
    engine: *const te_engine,
    request: *const te_ceiling_request,
    callback: te_callback,
    user_data: *mut c_void,
    error: *mut te_error,
) -> te_code {
    let listener = Listener { callback, user_data: UserData(user_data) };
    let begin = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let request = unsafe { read(request) }?;
        let engine = of.get()?.clone();
        of.delivery()?.begin(listener, false, async move {
            Ok(Outcome::Ceiling(Box::new(engine.check_ceiling(&request).await?)))
        })
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, begin) }
}

fn of_verdict<'a, V>(of: &'a te_ceiling_verdict, none: V, read: impl FnOnce(&'a CeilingVerdict) -> V) -> V {
    of.verdict.as_ref().map_or(none, read)
}

/// Whether the amounts may be used: all of them are charged then, and none otherwise. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_allowed(verdict: *const te_ceiling_verdict) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, false, |of| of_verdict(of, false, CeilingVerdict::allowed)) }
}

/// The reason as a stable word, for example `CEILING_EXCEEDED`. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_reason_code(verdict: *const te_ceiling_verdict) -> te_str {
    let word = |verdict: &CeilingVerdict| te_str::of(verdict.reason_code().as_str());
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, |of| of_verdict(of, te_str::NONE, word)) }
}

/// The reason for people: one line. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_reason(verdict: *const te_ceiling_verdict) -> te_str {
    let text = |of: &te_ceiling_verdict| {
        of_verdict(of, te_str::NONE, |verdict| te_str::of(of.reason.get_or_init(|| verdict.reason())))
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, text) }
}

/// The verdict as the contract's JSON: `{allowed, currentUsage, ceiling, remaining, resetAt, …}`. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_json(verdict: *const te_ceiling_verdict) -> te_str {
    let text = |of: &te_ceiling_verdict| {
        of_verdict(of, te_str::NONE, |verdict| te_str::of(of.json.get_or_init(|| verdict.to_json())))
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, text) }
}

/// How far the counter has come that refused, or the agent's own of the first resource. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_usage(verdict: *const te_ceiling_verdict) -> te_usage {
    let none = te_usage::default();
    let usage = |of: &Measure| te_usage {
        current_usage: of.current_usage(),
        ceiling: of.ceiling(),
        remaining: of.remaining(),
        reset_at: micros(of.reset_at()),
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, none, |of| of_verdict(of, none, |verdict| verdict.measure().map_or(none, usage))) }
}

/// Whether any counter is at or above the policy's share of its ceiling. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_near_limit(verdict: *const te_ceiling_verdict) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, false, |of| of_verdict(of, false, CeilingVerdict::near_limit)) }
}

/// Whether the same check may be admitted soon, without a change by the caller. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_retryable(verdict: *const te_ceiling_verdict) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, false, |of| of_verdict(of, false, CeilingVerdict::is_retryable)) }
}

/// The microseconds after which a rate will admit the check; 0 if no rate has refused it. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_retry_after(verdict: *const te_ceiling_verdict) -> u64 {
    let time = |verdict: &CeilingVerdict| {
        verdict.retry_after().map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, 0, |of| of_verdict(of, 0, time)) }
}

/// Whether this answers an earlier try with the same request id: nothing was charged now. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_repeated(verdict: *const te_ceiling_verdict) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, false, |of| of_verdict(of, false, CeilingVerdict::is_repeated)) }
}

/// The id of the record; zeros if the policy does not record this verdict. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_id(verdict: *const te_ceiling_verdict) -> te_uuid {
    let none = te_uuid { bytes: [0; 16] };
    let id = |verdict: &CeilingVerdict| verdict.id().map_or(none, te_uuid::from);
    // SAFETY: the caller promises it.
    unsafe { look(verdict, none, |of| of_verdict(of, none, id)) }
}

/// The time of the check in microseconds since 1970-01-01T00:00:00Z. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_time(verdict: *const te_ceiling_verdict) -> i64 {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, 0, |of| of_verdict(of, 0, |verdict| micros(verdict.evaluated_at()))) }
}

/// Whether the verdict was in the log when it was given. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_recorded(verdict: *const te_ceiling_verdict) -> te_recorded {
    let none = te_recorded::TE_NOT_RECORDED;
    // SAFETY: the caller promises it.
    unsafe { look(verdict, none, |of| of_verdict(of, none, |verdict| verdict.recorded().into())) }
}

/// Lets go of a verdict; null is nothing. Threads: one.
///
/// # Safety
/// `verdict` is null or a verdict that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_ceiling_verdict_free(verdict: *mut te_ceiling_verdict) {
    // SAFETY: the caller promises it.
    unsafe { free(verdict) }
}
