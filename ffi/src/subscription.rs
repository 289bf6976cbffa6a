//! Subscriptions to the engine's streams.

use parking_lot::Mutex;
use pollster::block_on;
use trust_engine::json::SharedSubscription;

use crate::boundary::{free, on};
use crate::calls::{caller_of, te_caller};
use crate::engine::te_engine;
use crate::error::te_code::{TE_END, TE_OK};
use crate::error::{te_code, te_error};
use crate::fork::InProcess;
use crate::handle::{Header, give, handle};
use crate::input::te_str;
use crate::output::Place;

/// A stream of items. Threads: one at a time asks for items; any may end it, also while one waits.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_subscription {
    pub(crate) header: Header,
    items: InProcess<SharedSubscription>,
    /// The item that was given last.
    last: Mutex<String>,
}

handle!(te_subscription, b"tesubscr");

/// Subscribes to a stream: `provenance.query` and `agents.list` give what the calls of these names list, item by item, and end;
/// `provenance.follow` gives records that are committed from now on, and does not end. `parameters` is an object of JSON or null.
/// The subscription is the caller's to free, and keeps the engine's store open. Threads: any.
///
/// # Safety
/// `engine` is an engine, `caller` is a caller, the texts can be read, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_subscribe(
    engine: *const te_engine,
    caller: *const te_caller,
    name: te_str,
    parameters: te_str,
    out: *mut *mut te_subscription,
    error: *mut te_error,
) -> te_code {
    let subscribe = |of: &te_engine| {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let (caller, name, parameters) =
            unsafe { (caller_of(caller)?, name.required("name")?, parameters.bytes("parameters")?) };
        let calls = of.get()?;
        let subscription = block_on(calls.json(&caller).subscribe(name, parameters.unwrap_or_default()))?;
        let header = Header::new(<te_subscription as crate::handle::Handle>::KIND);
        let items = InProcess::new(SharedSubscription::new(subscription));
        let subscription = te_subscription { header, items, last: Mutex::default() };
        // SAFETY: the caller promises it.
        unsafe { out.write(give(subscription)) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, subscribe) }
}

/// Waits for the next item, which is JSON and valid until the next call. TE_END at the end, and once the subscription is ended.
/// After an error that is retryable it can be asked again where it stood. Threads: one.
///
/// # Safety
/// `subscription` is a subscription, `item` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_subscription_next(
    subscription: *mut te_subscription,
    item: *mut te_str,
    error: *mut te_error,
) -> te_code {
    let next = |of: &te_subscription| {
        let (items, place) = (of.items.get()?, Place::of("item", item)?);
        let Some(next) = block_on(items.next())? else { return Ok(TE_END) };
        let mut last = of.last.lock();
        *last = next;
        // SAFETY: the caller promises it.
        unsafe { place.write(te_str::of(&last)) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(subscription, error, next) }
}

/// Ends a subscription: a call that waits is given TE_END, as are all later ones. Threads: any.
///
/// # Safety
/// `subscription` is a subscription, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_subscription_end(
    subscription: *mut te_subscription,
    error: *mut te_error,
) -> te_code {
    let end = |of: &te_subscription| {
        of.items.get()?.end();
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(subscription, error, end) }
}

/// Lets go of a subscription; null is nothing. Threads: one, when nobody uses it any more.
///
/// # Safety
/// `subscription` is null or a subscription that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_subscription_free(subscription: *mut te_subscription) {
    // SAFETY: the caller promises it.
    unsafe { free(subscription) }
}
