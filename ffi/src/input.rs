//! Texts and structs as C gives them.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;

use trust_engine::{Error, OrganizationId};

use crate::error::Failure;

/// Most bytes that a struct of a newer program may have.
const MAX_STRUCT_BYTES: usize = 4096;

/// Bytes and how many there are; they need not end with NUL, and are UTF-8 where they are text. A null pointer with
/// length 0 is no text at all. The library reads them only during the call that they are passed to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_str {
    /// The first byte.
    pub ptr: *const c_char,
    /// The number of bytes.
    pub len: usize,
}

impl te_str {
    pub(crate) const NONE: Self = Self { ptr: ptr::null(), len: 0 };

    pub(crate) const fn of(text: &str) -> Self {
        Self { ptr: text.as_ptr().cast(), len: text.len() }
    }

    pub(crate) fn of_optional(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, Self::of)
    }

    /// The bytes, `None` for a null pointer.
    ///
    /// # Safety
    /// If the pointer is not null, `len` bytes can be read there for as long as `'a`.
    pub(crate) unsafe fn bytes<'a>(self, field: &'static str) -> Result<Option<&'a [u8]>, Failure> {
        match (self.ptr.is_null(), self.len) {
            (true, 0) => Ok(None),
            (true, len) => Err(Error::invalid(field, format!("is a null pointer with {len} bytes")).into()),
            (false, len) if len > isize::MAX as usize => {
                Err(Error::invalid(field, format!("has {len} bytes, more than there can be")).into())
            }
            // SAFETY: the pointer is not null, the length is below isize::MAX, and the caller promises the rest.
            (false, len) => Ok(Some(unsafe { std::slice::from_raw_parts(self.ptr.cast(), len) })),
        }
    }

    /// The text, `None` for a null pointer.
    ///
    /// # Safety
    /// That of [`bytes`](Self::bytes).
    pub(crate) unsafe fn text<'a>(self, field: &'static str) -> Result<Option<&'a str>, Failure> {
        // SAFETY: the caller promises it.
        let bytes = unsafe { self.bytes(field) }?;
        let not_utf8 = |_| Error::invalid(field, "is not UTF-8").into();
        bytes.map(|bytes| std::str::from_utf8(bytes).map_err(not_utf8)).transpose()
    }

    /// A text that has to be there.
    ///
    /// # Safety
    /// That of [`bytes`](Self::bytes).
    pub(crate) unsafe fn required<'a>(self, field: &'static str) -> Result<&'a str, Failure> {
        // SAFETY: the caller promises it.
        unsafe { self.text(field) }?.ok_or_else(|| Error::invalid(field, "is missing").into())
    }
}

/// The organization of a name, or `default`.
pub(crate) fn organization(name: Option<&str>) -> Result<OrganizationId, Failure> {
    match name {
        // Hosts write it for all of them.
        Some("*") => Err(Error::invalid("organization", "is '*', which is no organization").into()),
        Some(name) => Ok(OrganizationId::parse(name)?),
        None => Ok(OrganizationId::default()),
    }
}

/// A struct that begins with its own size, so that later versions can add fields at its end. All zeros are a value of it.
///
/// # Safety
/// The type is `repr(C)`, its first field is a `usize`, and bytes of zero are valid for each of the others.
pub(crate) unsafe trait Sized {
    /// The size of the struct in the first version that had it.
    const FIRST_SIZE: usize;
}

/// Reads a struct: fields that the program's version did not have are zero, and those that ours does not have must be.
///
/// # Safety
/// If the pointer is not null and aligned, it points to as many bytes as its first field says.
pub(crate) unsafe fn read<T: Sized>(name: &'static str, from: *const T) -> Result<T, Failure> {
    if from.is_null() {
        return Err(Error::invalid(name, "is a null pointer").into());
    }
    if !from.is_aligned() {
        return Err(Error::invalid(name, "is a pointer that is not aligned").into());
    }
    // SAFETY: the pointer is not null and aligned, and the struct begins with its size.
    let size = unsafe { from.cast::<usize>().read() };
    if size < T::FIRST_SIZE || size > MAX_STRUCT_BYTES {
        let (least, most) = (T::FIRST_SIZE, MAX_STRUCT_BYTES);
        let issue =
            format!("begins with the size {size}; it has {least} to {most} bytes: set size to sizeof");
        return Err(Error::invalid(name, issue).into());
    }
    let ours = size_of::<T>();
    if size > ours {
        // SAFETY: the struct has `size` bytes, and `size` is more than `ours`.
        let rest = unsafe { std::slice::from_raw_parts(from.cast::<u8>().add(ours), size - ours) };
        if rest.iter().any(|byte| *byte != 0) {
            let issue = "sets a field that this version of the library does not have";
            return Err(Error::invalid(name, issue).into());
        }
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: both places have as many bytes as are copied, and do not overlap; zeros are valid for the rest.
    unsafe {
        ptr::copy_nonoverlapping(from.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), size.min(ours));
        Ok(value.assume_init())
    }
}
