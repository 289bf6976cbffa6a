//! Records that the host writes itself.

use std::ffi::c_void;

use pollster::block_on;
use trust_engine::{Error, NewRecord, OrganizationId, RecordType};

use crate::boundary::on;
use crate::completion::{Listener, Outcome, UserData};
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::handle::give;
use crate::input::{self, te_str};
use crate::output::Place;
use crate::receipt::te_receipt;
use crate::{te_callback, te_engine};

/// A record that the host writes itself. Begin with `TE_NEW_RECORD_INIT`; texts that are not set are null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_new_record {
    /// `sizeof(te_new_record)`.
    pub size: usize,
    /// `ROLE_GATE`, `CEILING`, `ESCALATION` or `ALERT`.
    pub kind: te_str,
    /// The agent that it is about.
    pub agent_id: te_str,
    /// One of the engine's decisions, or a word of the host's own: a letter, then at most 63 letters, digits or `_.:-`.
    pub decision: te_str,
    /// An id of the caller's own, a UUID: a retry with the same content returns the same receipt.
    pub id: te_str,
    /// The reason as a stable word.
    pub reason_code: te_str,
    /// The reason for people.
    pub reason: te_str,
    /// Anything else that is to be kept: an object of JSON.
    pub context: te_str,
    /// The record of the same organization that this one follows from, a UUID.
    pub parent_id: te_str,
    /// The organization; `default` if it is not set.
    pub organization: te_str,
    /// The caller that records; the host vouches for it.
    pub caller: te_str,
    /// The person or service on whose behalf the agent acts.
    pub on_behalf_of: te_str,
    /// W3C Trace Context.
    pub traceparent: te_str,
}

// SAFETY: the struct is `repr(C)`, begins with its size, and all zeros are null texts.
unsafe impl input::Sized for te_new_record {
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// # Safety
/// `record` is null or points to as many bytes as its first field says, and its texts can be read.
unsafe fn read(record: *const te_new_record) -> Result<(NewRecord, OrganizationId), Failure> {
    // SAFETY: the caller promises it.
    let given = unsafe { input::read("record", record) }?;
    // SAFETY: the caller promises that texts can be read.
    unsafe {
        let kind: RecordType = given.kind.required("type")?.parse()?;
        let (agent, decision) = (given.agent_id.required("agentId")?, given.decision.required("decision")?);
        let mut record = NewRecord::new(kind, agent, decision);
        let uuid = |field, text: &str| {
            text.parse().map_err(|_| Failure::from(Error::invalid(field, "is not a UUID")))
        };
        if let Some(id) = given.id.text("id")? {
            record = record.id(uuid("id", id)?);
        }
        if let Some(code) = given.reason_code.text("reasonCode")? {
            record = record.reason_code(code);
        }
        if let Some(reason) = given.reason.text("reason")? {
            record = record.reason(reason);
        }
        if let Some(context) = given.context.text("context")? {
            record = record.context(trust_engine::json::object("context", context)?);
        }
        if let Some(parent) = given.parent_id.text("parentId")? {
            record = record.parent(uuid("parentId", parent)?);
        }
        if let Some(caller) = given.caller.text("caller")? {
            record = record.caller(caller);
        }
        if let Some(principal) = given.on_behalf_of.text("onBehalfOf")? {
            record = record.on_behalf_of(principal);
        }
        if let Some(traceparent) = given.traceparent.text("traceparent")? {
            record = record.traceparent(traceparent);
        }
        Ok((record, input::organization(given.organization.text("organization")?)?))
    }
}

/// Records something that the host decided, and waits until it is committed. The receipt is the caller's to free. Threads: any.
///
/// # Safety
/// `engine` is an engine, `record` a record, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_record(
    engine: *const te_engine,
    record: *const te_new_record,
    out: *mut *mut te_receipt,
    error: *mut te_error,
) -> te_code {
    let write = |of: &te_engine| {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let (record, organization) = unsafe { read(record) }?;
        let receipt = block_on(of.get()?.log().of(organization).record(record))?;
        // SAFETY: the caller promises it.
        unsafe { out.write(give(te_receipt::of(receipt))) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, write) }
}

/// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. If this fails, there is no
/// completion. Threads: any.
///
/// # Safety
/// `engine` is an engine, `record` a record, `error` null or a `te_error`; `callback` may be called with `user_data` on
/// another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_record_async(
    engine: *const te_engine,
    record: *const te_new_record,
    callback: te_callback,
    user_data: *mut c_void,
    error: *mut te_error,
) -> te_code {
    let listener = Listener { callback, user_data: UserData(user_data) };
    let begin = |of: &te_engine| {
        // SAFETY: the caller promises it.
        let (record, organization) = unsafe { read(record) }?;
        let engine = of.get()?.clone();
        of.delivery()?.begin(listener, false, async move {
            Ok(Outcome::Receipt(Some(engine.log().of(organization).record(record).await?)))
        })
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, begin) }
}
