//! Role gates.

use std::cell::OnceCell;
use std::ffi::c_void;

use pollster::block_on;
use trust_engine::{Decision, Error, GateRequest, Recorded, Ticket, Verdict};

use crate::boundary::{call, empty, free, look, on, on_exclusive};
use crate::completion::{Listener, Outcome, UserData};
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::fork::InProcess;
use crate::handle::{Header, exclusive, give, handle};
use crate::input::{self, te_str};
use crate::output::{Place, micros, te_uuid};
use crate::receipt::te_receipt;
use crate::{te_callback, te_engine};

/// A request to a role gate: may this agent take this role here? Begin with `TE_GATE_REQUEST_INIT`; texts that are not set are
/// null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_gate_request {
    /// `sizeof(te_gate_request)`.
    pub size: usize,
    /// The agent.
    pub agent_id: te_str,
    /// The role that it wants to take.
    pub role: te_str,
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
    /// The resource that the role is to be used on.
    pub resource_id: te_str,
    /// The action that is to be done.
    pub action: te_str,
    /// The environment.
    pub environment: te_str,
    /// Other data worth recording: an object of JSON.
    pub metadata: te_str,
}

// SAFETY: the struct is `repr(C)`, begins with its size, and all zeros are null texts.
unsafe impl input::Sized for te_gate_request {
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Sets the fields that requests share.
macro_rules! attribute {
    ($request:ident, $given:ident) => {
        // SAFETY: the caller promises that texts can be read.
        unsafe {
            if let Some(name) = $given.organization.text("organization")? {
                $request = $request.organization($crate::input::organization(Some(name))?);
            }
            if let Some(tier) = $given.tier.text("tier")? {
                $request = $request.tier(tier);
            }
            if let Some(caller) = $given.caller.text("caller")? {
                $request = $request.caller(caller);
            }
            if let Some(principal) = $given.on_behalf_of.text("onBehalfOf")? {
                $request = $request.on_behalf_of(principal);
            }
            if let Some(traceparent) = $given.traceparent.text("traceparent")? {
                $request = $request.traceparent(traceparent);
            }
        }
    };
}
pub(crate) use attribute;

/// # Safety
/// `request` is null or points to as many bytes as its first field says, and its texts can be read.
unsafe fn read(request: *const te_gate_request) -> Result<GateRequest, Failure> {
    // SAFETY: the caller promises it.
    let given = unsafe { input::read("request", request) }?;
    // SAFETY: the caller promises it.
    let (agent, role) = unsafe { (given.agent_id.required("agentId")?, given.role.required("role")?) };
    let mut request = GateRequest::new(agent, role);
    attribute!(request, given);
    // SAFETY: the caller promises that texts can be read.
    unsafe {
        if let Some(resource) = given.resource_id.text("context.resourceId")? {
            request = request.resource(resource);
        }
        if let Some(action) = given.action.text("context.action")? {
            request = request.action(action);
        }
        if let Some(environment) = given.environment.text("context.environment")? {
            request = request.environment(environment);
        }
        if let Some(metadata) = given.metadata.text("context.metadata")? {
            request = request.metadata(trust_engine::json::object("context.metadata", metadata)?);
        }
    }
    Ok(request)
}

/// A gate's verdict: memory that calls write their verdicts into, again and again. Texts that it gives are valid until it is
/// written again or freed. Threads: one at a time.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_gate_verdict {
    pub(crate) header: Header,
    verdict: Option<Verdict>,
    ticket: Option<InProcess<Ticket>>,
    reason: OnceCell<String>,
    trace: OnceCell<String>,
    json: OnceCell<String>,
}

handle!(te_gate_verdict, b"tegatevd");

impl te_gate_verdict {
    fn empty() -> Self {
        Self {
            header: Header::new(<Self as crate::handle::Handle>::KIND),
            verdict: None,
            ticket: None,
            reason: OnceCell::new(),
            trace: OnceCell::new(),
            json: OnceCell::new(),
        }
    }

    pub(crate) fn of(verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..Self::empty() }
    }

    /// Without the verdict that it held: a call that fails leaves none that could be taken for its own.
    fn clear(&mut self) {
        (self.verdict, self.ticket) = (None, None);
        self.reason.take();
        self.trace.take();
        self.json.take();
    }

    fn set(&mut self, verdict: Verdict, ticket: Option<Ticket>) {
        self.verdict = Some(verdict);
        self.ticket = ticket.map(InProcess::new);
    }
}

/// A decision. A verdict that holds none is a denial.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum te_decision {
    /// The agent may not.
    TE_DENY = 0,
    /// The agent may.
    TE_ALLOW = 1,
    /// A person has to approve first.
    TE_ESCALATE = 2,
}

/// Whether a verdict is in the log.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum te_recorded {
    /// The policy does not record it.
    TE_NOT_RECORDED = 0,
    /// It waits for its commit.
    TE_RECORD_PENDING = 1,
    /// It is committed.
    TE_RECORD_COMMITTED = 2,
}

impl From<Recorded> for te_recorded {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Not => Self::TE_NOT_RECORDED,
            Recorded::Pending => Self::TE_RECORD_PENDING,
            Recorded::Committed => Self::TE_RECORD_COMMITTED,
        }
    }
}

/// Makes an empty verdict for calls to write into. Threads: any.
///
/// # Safety
/// `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_new(
    out: *mut *mut te_gate_verdict,
    error: *mut te_error,
) -> te_code {
    let make = || {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        unsafe { out.write(give(te_gate_verdict::empty())) };
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, make) }
}

/// Evaluates a gate without waiting: the verdict's record is on its way into the log, and `te_gate_verdict_committed` waits for
/// it. TE_WOULD_BLOCK if the agent has to be fetched first; a later call succeeds. If it fails, there is no verdict, and `verdict`
/// is empty, which allows nothing. Threads: any, with a verdict each.
///
/// # Safety
/// `engine` is an engine, `request` a request, `verdict` a verdict, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_decide_gate(
    engine: *const te_engine,
    request: *const te_gate_request,
    verdict: *mut te_gate_verdict,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_gate_verdict::clear) };
    let decide = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let request = unsafe { read(request) }?;
        let (verdict, ticket) = of.get()?.decide_gate(&request)?;
        place.set(verdict, Some(ticket));
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, decide) }
}

/// Evaluates a gate and, unless the policy says otherwise, waits until the verdict is committed. If it fails, there is no verdict,
/// and `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
///
/// # Safety
/// That of `te_engine_decide_gate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_evaluate_gate(
    engine: *const te_engine,
    request: *const te_gate_request,
    verdict: *mut te_gate_verdict,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_gate_verdict::clear) };
    let evaluate = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let request = unsafe { read(request) }?;
        let verdict = block_on(of.get()?.evaluate_gate(&request))?;
        place.set(verdict, None);
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, evaluate) }
}

/// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. If this fails, there is no
/// completion. Threads: any.
///
/// # Safety
/// `engine` is an engine, `request` a request, `error` null or a `te_error`; `callback` may be called with `user_data` on
/// another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_evaluate_gate_async(
    engine: *const te_engine,
    request: *const te_gate_request,
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
            Ok(Outcome::Gate(Box::new(engine.evaluate_gate(&request).await?)))
        })
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, begin) }
}

fn of_verdict<'a, V>(of: &'a te_gate_verdict, none: V, read: impl FnOnce(&'a Verdict) -> V) -> V {
    of.verdict.as_ref().map_or(none, read)
}

/// The decision; TE_DENY where there is none. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_decision(verdict: *const te_gate_verdict) -> te_decision {
    let word = |verdict: &Verdict| match verdict.decision() {
        Decision::Allow => te_decision::TE_ALLOW,
        Decision::Deny => te_decision::TE_DENY,
        Decision::Escalate => te_decision::TE_ESCALATE,
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_decision::TE_DENY, |of| of_verdict(of, te_decision::TE_DENY, word)) }
}

/// Whether the decision is TE_ALLOW. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_allowed(verdict: *const te_gate_verdict) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, false, |of| of_verdict(of, false, |verdict| verdict.allowed())) }
}

/// The reason as a stable word, for example `TIER_SUFFICIENT`. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_reason_code(verdict: *const te_gate_verdict) -> te_str {
    let word = |verdict: &Verdict| te_str::of(verdict.reason_code().as_str());
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, |of| of_verdict(of, te_str::NONE, word)) }
}

/// The reason for people: one line. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_reason(verdict: *const te_gate_verdict) -> te_str {
    let text = |of: &te_gate_verdict| {
        of_verdict(of, te_str::NONE, |verdict| te_str::of(of.reason.get_or_init(|| verdict.reason())))
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, text) }
}

/// The trace: every layer, rule and condition, and what would have allowed it, in several lines. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_trace(verdict: *const te_gate_verdict) -> te_str {
    let text = |of: &te_gate_verdict| {
        let trace = |verdict: &Verdict| te_str::of(of.trace.get_or_init(|| verdict.trace().to_string()));
        of_verdict(of, te_str::NONE, trace)
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, text) }
}

/// The verdict as the contract's JSON: `{allowed, decision, reason, reasonCode, …}`. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_json(verdict: *const te_gate_verdict) -> te_str {
    let text = |of: &te_gate_verdict| {
        of_verdict(of, te_str::NONE, |verdict| te_str::of(of.json.get_or_init(|| verdict.to_json())))
    };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, text) }
}

/// The tier that the role requires, if that is why it was denied; null otherwise. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_required_tier(verdict: *const te_gate_verdict) -> te_str {
    let tier = |verdict: &Verdict| te_str::of_optional(verdict.required_tier());
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, |of| of_verdict(of, te_str::NONE, tier)) }
}

/// The path by which a person approves, if the decision is TE_ESCALATE and the rule names one; null otherwise. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_escalation_path(verdict: *const te_gate_verdict) -> te_str {
    let path = |verdict: &Verdict| te_str::of_optional(verdict.escalation_path());
    // SAFETY: the caller promises it.
    unsafe { look(verdict, te_str::NONE, |of| of_verdict(of, te_str::NONE, path)) }
}

/// The id of the record; of a verdict that is not recorded nothing can be found under it. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_id(verdict: *const te_gate_verdict) -> te_uuid {
    let none = te_uuid { bytes: [0; 16] };
    // SAFETY: the caller promises it.
    unsafe { look(verdict, none, |of| of_verdict(of, none, |verdict| verdict.id().into())) }
}

/// The time of the evaluation in microseconds since 1970-01-01T00:00:00Z. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_time(verdict: *const te_gate_verdict) -> i64 {
    // SAFETY: the caller promises it.
    unsafe { look(verdict, 0, |of| of_verdict(of, 0, |verdict| micros(verdict.evaluated_at()))) }
}

/// Whether the verdict was in the log when it was given. Threads: one.
///
/// # Safety
/// `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_recorded(verdict: *const te_gate_verdict) -> te_recorded {
    let none = te_recorded::TE_NOT_RECORDED;
    // SAFETY: the caller promises it.
    unsafe { look(verdict, none, |of| of_verdict(of, none, |verdict| verdict.recorded().into())) }
}

fn ticket_of(of: &mut te_gate_verdict) -> Result<Ticket, Failure> {
    let missing = "holds no verdict of te_engine_decide_gate, or its commit was asked for already";
    of.ticket.take().ok_or_else(|| Error::invalid("verdict", missing))?.into_inner()
}

/// Waits for the commit of a verdict that `te_engine_decide_gate` gave, once for each verdict, also if it fails. The receipt is the caller's to free;
/// it is null if the policy does not record the verdict, and also TE_OK then. Threads: one.
///
/// # Safety
/// `verdict` is a verdict, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_committed(
    verdict: *mut te_gate_verdict,
    out: *mut *mut te_receipt,
    error: *mut te_error,
) -> te_code {
    let wait = |of: &mut te_gate_verdict| {
        let out = Place::of("out", out)?;
        let receipt = ticket_of(of)?.wait()?;
        // SAFETY: the caller promises it.
        unsafe { out.write(receipt.map_or(std::ptr::null_mut(), |receipt| give(te_receipt::of(receipt)))) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on_exclusive(verdict, error, wait) }
}

/// Does the same without waiting: the completion of `engine` has the receipt. Threads: one.
///
/// # Safety
/// That of `te_engine_evaluate_gate_async`, and `verdict` is a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_committed_async(
    verdict: *mut te_gate_verdict,
    engine: *const te_engine,
    callback: te_callback,
    user_data: *mut c_void,
    error: *mut te_error,
) -> te_code {
    let listener = Listener { callback, user_data: UserData(user_data) };
    let begin = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let verdict = unsafe { exclusive(verdict) }?;
        let delivery = of.delivery()?;
        let ticket = ticket_of(verdict)?;
        delivery.begin(listener, false, async move { Ok(Outcome::Receipt(ticket.committed().await?)) })
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, begin) }
}

/// Lets go of a verdict; null is nothing. Its record is committed all the same. Threads: one.
///
/// # Safety
/// `verdict` is null or a verdict that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_gate_verdict_free(verdict: *mut te_gate_verdict) {
    // SAFETY: the caller promises it.
    unsafe { free(verdict) }
}
