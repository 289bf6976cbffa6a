//! Handles on the quota of one agent.

use trust_engine::Quota;

use crate::boundary::{empty, free, on};
use crate::ceiling::te_ceiling_verdict;
use crate::engine::te_engine;
use crate::error::te_code::TE_OK;
use crate::error::{te_code, te_error};
use crate::fork::InProcess;
use crate::handle::{Header, exclusive, give, handle};
use crate::input::{self, te_str};
use crate::output::Place;

/// The quota of one agent, for callers that check it often. It follows every change of the agent and of the policy, and keeps
/// its engine's store open. Threads: any number may use it at once; `te_quota_free` by one, when nobody uses it any more.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_quota {
    pub(crate) header: Header,
    quota: InProcess<Quota>,
}

handle!(te_quota, b"tequotas");

/// A handle on the quota of an agent of an organization (null: `default`); the caller frees it. TE_WOULD_BLOCK if the agent has to
/// be fetched first; a later call succeeds. Threads: any.
///
/// # Safety
/// `engine` is an engine, the texts can be read, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_quota(
    engine: *const te_engine,
    agent_id: te_str,
    organization: te_str,
    out: *mut *mut te_quota,
    error: *mut te_error,
) -> te_code {
    let open = |of: &te_engine| {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let (name, agent) = unsafe { (organization.text("organization")?, agent_id.required("agentId")?) };
        let quota = of.get()?.quotas().of(input::organization(name)?).quota(agent)?;
        let header = Header::new(<te_quota as crate::handle::Handle>::KIND);
        let quota = te_quota { header, quota: InProcess::new(quota) };
        // SAFETY: the caller promises it.
        unsafe { out.write(give(quota)) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, open) }
}

/// Checks an amount (1 to 2^40 - 1) at the agent's held tier and charges it, without waiting. If it fails, nothing is admitted, and
/// `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
///
/// # Safety
/// `quota` is a quota, `resource_type` can be read, `verdict` is a verdict, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_quota_try_take(
    quota: *const te_quota,
    resource_type: te_str,
    amount: u64,
    verdict: *mut te_ceiling_verdict,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_ceiling_verdict::clear) };
    let take = |of: &te_quota| {
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let resource = unsafe { resource_type.required("resourceType") }?;
        place.set(of.quota.get()?.try_take(resource, amount)?);
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(quota, error, take) }
}

/// Lets go of a quota; null is nothing. Threads: one.
///
/// # Safety
/// `quota` is null or a quota that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_quota_free(quota: *mut te_quota) {
    // SAFETY: the caller promises it.
    unsafe { free(quota) }
}
