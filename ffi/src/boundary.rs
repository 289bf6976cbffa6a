//! The boundary: no panic leaves it, and a handle on which a call panicked takes no more of them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::te_code::{self, TE_OK, TE_PANIC};
use crate::error::{Failure, te_error};
use crate::handle::{Handle, Header, exclusive, shared, take_back};

/// A call on no handle.
///
/// # Safety
/// `error` is null or points to a `te_error`.
pub(crate) unsafe fn call(error: *mut te_error, body: impl FnOnce() -> Result<(), Failure>) -> te_code {
    // SAFETY: the caller promises it.
    unsafe { contain(None, error, || body().map(|()| TE_OK)) }
}

/// A call on a handle that other threads may use too.
///
/// # Safety
/// That of [`call`] and of [`shared`].
pub(crate) unsafe fn on<T: Handle>(
    handle: *const T,
    error: *mut te_error,
    body: impl FnOnce(&T) -> Result<te_code, Failure>,
) -> te_code {
    // SAFETY: the caller promises it.
    match unsafe { shared(handle) } {
        // SAFETY: the caller promises it.
        Ok(handle) => unsafe { contain(Some(handle.header()), error, || body(handle)) },
        // SAFETY: the caller promises it.
        Err(failure) => unsafe { failure.tell(error) },
    }
}

/// A call on a handle that one thread uses.
///
/// # Safety
/// That of [`call`] and of [`exclusive`].
pub(crate) unsafe fn on_exclusive<T: Handle>(
    handle: *mut T,
    error: *mut te_error,
    body: impl FnOnce(&mut T) -> Result<te_code, Failure>,
) -> te_code {
    // SAFETY: the caller promises it.
    match unsafe { exclusive(handle) } {
        Ok(of) => {
            // SAFETY: the caller promises it.
            let code = unsafe { contain(None, error, || body(of)) };
            if code == TE_PANIC {
                // SAFETY: the handle was checked above, and the body's borrow has ended.
                unsafe { (*handle).header().poison() };
            }
            code
        }
        // SAFETY: the caller promises it.
        Err(failure) => unsafe { failure.tell(error) },
    }
}

/// A look at a handle, with a value for where it cannot be made.
///
/// # Safety
/// That of [`shared`].
pub(crate) unsafe fn look<'a, T: Handle + 'a, V>(
    handle: *const T,
    otherwise: V,
    look: impl FnOnce(&'a T) -> V,
) -> V {
    // SAFETY: the caller promises it.
    match unsafe { shared(handle) } {
        Ok(handle) => match catch_unwind(AssertUnwindSafe(|| look(handle))) {
            Ok(value) => value,
            Err(panic) => {
                let_go(panic);
                handle.header().poison();
                otherwise
            }
        },
        Err(_) => otherwise,
    }
}

/// Empties a handle that a call is to write, whatever becomes of the call.
///
/// # Safety
/// That of [`exclusive`].
pub(crate) unsafe fn empty<T: Handle>(handle: *mut T, empty: impl FnOnce(&mut T)) {
    // SAFETY: the caller promises it.
    unsafe {
        on_exclusive(handle, std::ptr::null_mut(), |of| {
            empty(of);
            Ok(TE_OK)
        });
    }
}

/// Frees a handle; null is nothing.
///
/// # Safety
/// That of [`take_back`].
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    let drop_it = || {
        // SAFETY: the caller promises it.
        drop(unsafe { take_back(handle) });
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(drop_it)) {
        let_go(panic);
    }
}

/// Lets go of what a panic came with, which could panic once more.
pub(crate) fn let_go(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

/// # Safety
/// `error` is null or points to a `te_error`.
unsafe fn contain(
    header: Option<&Header>,
    error: *mut te_error,
    body: impl FnOnce() -> Result<te_code, Failure>,
) -> te_code {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => return code,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let_go(panic);
            if let Some(header) = header {
                header.poison();
            }
            Failure::new(TE_PANIC, "the library has failed in a way that it must not; please report it")
        }
    };
    // SAFETY: the caller promises it.
    unsafe { failure.tell(error) }
}
