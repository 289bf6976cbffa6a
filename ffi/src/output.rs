//! Outcomes on their way to C: nothing is written unless the call has succeeded.

use std::ffi::c_char;
use std::ptr::NonNull;

use trust_engine::{Error, Timestamp};
use uuid::Uuid;

use crate::error::{Failure, te_code};

/// A UUID: its 16 bytes in the order in which they are written.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct te_uuid {
    /// The bytes.
    pub bytes: [u8; 16],
}

impl From<Uuid> for te_uuid {
    fn from(id: Uuid) -> Self {
        Self { bytes: id.into_bytes() }
    }
}

/// The room for a UUID as text, with the NUL at its end.
pub const TE_UUID_BYTES: usize = 37;

/// Writes a UUID as text, for example `0198c5a2-…`, and a NUL. Threads: any.
///
/// # Safety
/// `out` is null or has room for TE_UUID_BYTES bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_uuid_format(id: te_uuid, out: *mut c_char) -> te_code {
    let Ok(place) = Place::of("out", out.cast::<[u8; TE_UUID_BYTES]>()) else {
        return te_code::TE_INVALID_INPUT;
    };
    let mut text = [0; TE_UUID_BYTES];
    Uuid::from_bytes(id.bytes).hyphenated().encode_lower(&mut text);
    // SAFETY: the caller promises it.
    unsafe { place.write(text) };
    te_code::TE_OK
}

/// Microseconds since 1970-01-01T00:00:00Z.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.micros()
}

/// A place to write to, checked before anything is done.
pub(crate) struct Place<T>(NonNull<T>);

impl<T> Place<T> {
    pub(crate) fn of(name: &'static str, at: *mut T) -> Result<Self, Failure> {
        if !at.is_aligned() {
            return Err(Error::invalid(name, "is a pointer that is not aligned").into());
        }
        NonNull::new(at).map(Self).ok_or_else(|| Error::invalid(name, "is a null pointer").into())
    }

    /// # Safety
    /// The place can be written.
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: the pointer is not null and aligned, and the caller promises the rest.
        unsafe { self.0.as_ptr().write(value) }
    }
}
