//! Handles: what C holds of the engine. Each begins with a word that says what it is, so that a pointer to something else
//! is refused, as long as it can be read at all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::Failure;
use crate::error::te_code::{TE_INVALID_HANDLE, TE_POISONED};

/// The beginning of a handle.
pub(crate) struct Header {
    kind: AtomicU64,
    poisoned: AtomicBool,
}

impl Header {
    pub(crate) const fn new(kind: u64) -> Self {
        Self { kind: AtomicU64::new(kind), poisoned: AtomicBool::new(false) }
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }
}

/// A kind of handle.
///
/// # Safety
/// The type is `repr(C)`, and its first field is the [`Header`] that [`header`](Self::header) gives, made with `KIND`.
pub(crate) unsafe trait Handle: Sized {
    const NAME: &'static str;
    const KIND: u64;

    fn header(&self) -> &Header;
}

/// Makes a type a handle; its first field is `header`.
macro_rules! handle {
    ($type:ident, $kind:literal) => {
        // SAFETY: the field is the first one of a `repr(C)` struct, as asserted.
        unsafe impl crate::handle::Handle for $type {
            const NAME: &'static str = stringify!($type);
            const KIND: u64 = u64::from_le_bytes(*$kind);

            fn header(&self) -> &crate::handle::Header {
                const _: () = assert!(std::mem::offset_of!($type, header) == 0);
                &self.header
            }
        }
    };
}
pub(crate) use handle;

fn invalid<T: Handle>(issue: &str) -> Failure {
    Failure::new(TE_INVALID_HANDLE, format!("{} is {issue}", T::NAME))
}

/// Checks that a pointer is a handle of this kind.
///
/// # Safety
/// If the pointer is not null and aligned, it points to at least 8 bytes that can be read.
unsafe fn check<T: Handle>(handle: *const T) -> Result<(), Failure> {
    if handle.is_null() {
        return Err(invalid::<T>("a null pointer"));
    }
    if !handle.is_aligned() {
        return Err(invalid::<T>("a pointer that is not aligned"));
    }
    // SAFETY: the pointer is not null and aligned; a word of it can be read, as the caller promises.
    let kind = unsafe { &*handle.cast::<AtomicU64>() }.load(Ordering::Relaxed);
    if kind != T::KIND {
        return Err(invalid::<T>("a pointer to something else, or was freed"));
    }
    Ok(())
}

/// A handle that other threads may use too.
///
/// # Safety
/// The pointer is one that the library gave for this type and is not freed during `'a`, or points to at least 8 bytes that
/// are no such handle.
pub(crate) unsafe fn shared<'a, T: Handle>(handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller promises it; what passes the check is a handle of this type.
    let handle = unsafe {
        check(handle)?;
        &*handle
    };
    usable(handle)?;
    Ok(handle)
}

/// A handle that one thread uses.
///
/// # Safety
/// That of [`shared`], and no other thread uses the handle during `'a`.
pub(crate) unsafe fn exclusive<'a, T: Handle>(handle: *mut T) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller promises it; what passes the check is a handle of this type.
    let handle = unsafe {
        check(handle)?;
        &mut *handle
    };
    usable(handle)?;
    Ok(handle)
}

fn usable<T: Handle>(handle: &T) -> Result<(), Failure> {
    if handle.header().poisoned.load(Ordering::Relaxed) {
        let issue = format!("{} has failed before and takes no more calls", T::NAME);
        return Err(Failure::new(TE_POISONED, issue));
    }
    Ok(())
}

/// Hands a new handle to C.
pub(crate) fn give<T: Handle>(handle: T) -> *mut T {
    Box::into_raw(Box::new(handle))
}

/// Takes a handle back, whatever became of it. Null and what is no handle of this kind give `None`.
///
/// # Safety
/// That of [`shared`], and nobody uses the handle any more.
pub(crate) unsafe fn take_back<T: Handle>(handle: *mut T) -> Option<Box<T>> {
    // SAFETY: what passes the check was given by `give`, and the caller lets go of it.
    unsafe {
        check(handle).ok()?;
        (*handle).header().kind.store(0, Ordering::Relaxed);
        Some(Box::from_raw(handle))
    }
}
