//! Reservations.

use pollster::block_on;
use trust_engine::{Error, Receipt, Reservation};

use crate::boundary::{empty, free, on, on_exclusive};
use crate::ceiling::{self, te_ceiling_request, te_ceiling_verdict};
use crate::engine::te_engine;
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::fork::InProcess;
use crate::handle::{Header, exclusive, give, handle};
use crate::output::Place;
use crate::receipt::te_receipt;

/// Amounts that are charged and may turn out not to be needed. Freed without `te_reservation_commit` or `te_reservation_void`, they
/// stay charged until their window has gone by. It keeps its engine's store open. Threads: one at a time.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_reservation {
    pub(crate) header: Header,
    reservation: InProcess<Reservation>,
}

handle!(te_reservation, b"tereserv");

/// Charges amounts that are not certain yet. If the check was refused, `out` is written null; otherwise the reservation is the
/// caller's to free. Takes no request id. If it fails, nothing is charged, `verdict` is empty and `out` as it was. Threads: any,
/// with a verdict each.
///
/// # Safety
/// `engine` is an engine, `request` a request, `verdict` a verdict, `out` is writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_engine_reserve(
    engine: *const te_engine,
    request: *const te_ceiling_request,
    verdict: *mut te_ceiling_verdict,
    out: *mut *mut te_reservation,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { empty(verdict, te_ceiling_verdict::clear) };
    let reserve = |of: &te_engine| {
        let out = Place::of("out", out)?;
        // SAFETY: the caller promises it.
        let place = unsafe { exclusive(verdict) }?;
        // SAFETY: the caller promises it.
        let request = unsafe { ceiling::read(request) }?;
        let (verdict, reservation) = block_on(of.get()?.quotas().reserve(&request))?;
        place.set(verdict);
        let reservation = reservation.map(|reservation| {
            let header = Header::new(<te_reservation as crate::handle::Handle>::KIND);
            give(te_reservation { header, reservation: InProcess::new(reservation) })
        });
        // SAFETY: the caller promises it.
        unsafe { out.write(reservation.unwrap_or(std::ptr::null_mut())) };
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on(engine, error, reserve) }
}

/// Settles a reservation, and hands over the receipt of its record.
///
/// # Safety
/// `reservation` is a reservation that nobody else uses, `receipt` is null or writable, `error` null or a `te_error`.
unsafe fn settle(
    reservation: *mut te_reservation,
    receipt: *mut *mut te_receipt,
    error: *mut te_error,
    settle: impl FnOnce(&mut Reservation) -> Result<Option<Receipt>, Failure>,
) -> te_code {
    let settle = |of: &mut te_reservation| {
        let place = if receipt.is_null() { None } else { Some(Place::of("receipt", receipt)?) };
        let settled = settle(of.reservation.get_mut()?)?;
        if let Some(place) = place {
            // SAFETY: the caller promises it.
            unsafe { place.write(settled.map_or(std::ptr::null_mut(), |of| give(te_receipt::of(of)))) };
        }
        Ok(TE_OK)
    };
    // SAFETY: the caller promises it.
    unsafe { on_exclusive(reservation, error, settle) }
}

/// Says how much was used of each resource, in the order of the request: the rest is free again, if its window is still running.
/// `receipt` may be null; it is written null if the policy does not record the reservation. If it fails, the reservation is as it
/// was; TE_CONFLICT if it is settled already. Threads: one.
///
/// # Safety
/// `reservation` is a reservation, `used` has `count` numbers, `receipt` is null or writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_reservation_commit(
    reservation: *mut te_reservation,
    used: *const u64,
    count: usize,
    receipt: *mut *mut te_receipt,
    error: *mut te_error,
) -> te_code {
    let commit = |of: &mut Reservation| {
        if used.is_null() || !used.is_aligned() || count > 16 {
            let issue =
                format!("are {count} behind a pointer that may be null; one for each resource is needed");
            return Err(Error::invalid("used", issue).into());
        }
        // SAFETY: the pointer is not null and aligned, and the caller promises that many numbers.
        let used = unsafe { std::slice::from_raw_parts(used, count) };
        Ok(block_on(of.commit(used))?)
    };
    // SAFETY: the caller promises it.
    unsafe { settle(reservation, receipt, error, commit) }
}

/// Says that nothing was used; otherwise as `te_reservation_commit`. Threads: one.
///
/// # Safety
/// `reservation` is a reservation, `receipt` is null or writable, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_reservation_void(
    reservation: *mut te_reservation,
    receipt: *mut *mut te_receipt,
    error: *mut te_error,
) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { settle(reservation, receipt, error, |of| Ok(block_on(of.void())?)) }
}

/// Lets go of a reservation; null is nothing. Threads: one.
///
/// # Safety
/// `reservation` is null or a reservation that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_reservation_free(reservation: *mut te_reservation) {
    // SAFETY: the caller promises it.
    unsafe { free(reservation) }
}
