//! Results and errors as C sees them.

use std::borrow::Cow;
use std::ffi::c_char;
use std::mem::offset_of;

use trust_engine::{Error, ErrorKind};

use crate::input::te_str;

/// The result of a call. A number is never used for anything else in a later version; there may be new ones.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum te_code {
    /// It is done.
    TE_OK = 0,
    /// There is nothing more: the end of a subscription.
    TE_END = 1,
    /// A value is outside its bounds; the error names the field.
    TE_INVALID_INPUT = 10,
    /// The caller may not do this.
    TE_FORBIDDEN = 11,
    /// The thing asked for does not exist, or not in this organization.
    TE_NOT_FOUND = 12,
    /// The change was made against another version, or an id is taken by other content.
    TE_CONFLICT = 13,
    /// The policy document has mistakes.
    TE_INVALID_POLICY = 14,
    /// A proof, a signature or a payload is not what it says.
    TE_NOT_VERIFIED = 15,
    /// A call that never waits would have had to wait. Try again.
    TE_WOULD_BLOCK = 20,
    /// The queue of records is full. Try again.
    TE_OVERLOADED = 21,
    /// The store cannot be reached or cannot write now. Try again.
    TE_UNAVAILABLE = 22,
    /// The store's file system is full.
    TE_NO_SPACE = 23,
    /// The store is open in another process, or in this one.
    TE_LOCKED = 24,
    /// Another engine has taken over this shard.
    TE_FENCED = 25,
    /// The engine was closed.
    TE_CLOSED = 30,
    /// The folder holds something that is not a store.
    TE_FOREIGN = 31,
    /// The store was written by a newer version, or the platform lacks what the call needs.
    TE_UNSUPPORTED = 32,
    /// Stored data is damaged or contradicts its signed checkpoint.
    TE_CORRUPT = 33,
    /// The operating system refuses access.
    TE_PERMISSION_DENIED = 34,
    /// The signing key is missing, malformed, readable by others, or not the log's.
    TE_KEY = 35,
    /// A kind of error that this version of the C ABI has no number for.
    TE_OTHER = 36,
    /// A pointer that should be a handle is null, not aligned, of another kind, or was freed.
    TE_INVALID_HANDLE = 40,
    /// The library has failed in a way that it must not; the handle takes no more calls. Please report it.
    TE_PANIC = 41,
    /// An earlier call on this handle gave TE_PANIC.
    TE_POISONED = 42,
    /// The process was forked after the engine was opened. Open an engine in the child.
    TE_FORKED = 43,
    /// The call cannot be made from a callback.
    TE_IN_CALLBACK = 44,
}

use te_code::*;

impl te_code {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => TE_INVALID_INPUT,
            ErrorKind::Forbidden => TE_FORBIDDEN,
            ErrorKind::NotFound => TE_NOT_FOUND,
            ErrorKind::Conflict => TE_CONFLICT,
            ErrorKind::InvalidPolicy => TE_INVALID_POLICY,
            ErrorKind::WouldBlock => TE_WOULD_BLOCK,
            ErrorKind::Overloaded => TE_OVERLOADED,
            ErrorKind::Unavailable => TE_UNAVAILABLE,
            ErrorKind::NoSpace => TE_NO_SPACE,
            ErrorKind::Locked => TE_LOCKED,
            ErrorKind::Foreign => TE_FOREIGN,
            ErrorKind::Unsupported => TE_UNSUPPORTED,
            ErrorKind::Corrupt => TE_CORRUPT,
            ErrorKind::PermissionDenied => TE_PERMISSION_DENIED,
            ErrorKind::Key => TE_KEY,
            ErrorKind::Fenced => TE_FENCED,
            ErrorKind::Closed => TE_CLOSED,
            _ => TE_OTHER,
        }
    }

    fn name(self) -> &'static str {
        match self {
            TE_OK => "TE_OK",
            TE_END => "TE_END",
            TE_INVALID_INPUT => "TE_INVALID_INPUT",
            TE_FORBIDDEN => "TE_FORBIDDEN",
            TE_NOT_FOUND => "TE_NOT_FOUND",
            TE_CONFLICT => "TE_CONFLICT",
            TE_INVALID_POLICY => "TE_INVALID_POLICY",
            TE_NOT_VERIFIED => "TE_NOT_VERIFIED",
            TE_WOULD_BLOCK => "TE_WOULD_BLOCK",
            TE_OVERLOADED => "TE_OVERLOADED",
            TE_UNAVAILABLE => "TE_UNAVAILABLE",
            TE_NO_SPACE => "TE_NO_SPACE",
            TE_LOCKED => "TE_LOCKED",
            TE_FENCED => "TE_FENCED",
            TE_CLOSED => "TE_CLOSED",
            TE_FOREIGN => "TE_FOREIGN",
            TE_UNSUPPORTED => "TE_UNSUPPORTED",
            TE_CORRUPT => "TE_CORRUPT",
            TE_PERMISSION_DENIED => "TE_PERMISSION_DENIED",
            TE_KEY => "TE_KEY",
            TE_OTHER => "TE_OTHER",
            TE_INVALID_HANDLE => "TE_INVALID_HANDLE",
            TE_PANIC => "TE_PANIC",
            TE_POISONED => "TE_POISONED",
            TE_FORKED => "TE_FORKED",
            TE_IN_CALLBACK => "TE_IN_CALLBACK",
        }
    }

    const ALL: [Self; 26] = [
        TE_OK,
        TE_END,
        TE_INVALID_INPUT,
        TE_FORBIDDEN,
        TE_NOT_FOUND,
        TE_CONFLICT,
        TE_INVALID_POLICY,
        TE_NOT_VERIFIED,
        TE_WOULD_BLOCK,
        TE_OVERLOADED,
        TE_UNAVAILABLE,
        TE_NO_SPACE,
        TE_LOCKED,
        TE_FENCED,
        TE_CLOSED,
        TE_FOREIGN,
        TE_UNSUPPORTED,
        TE_CORRUPT,
        TE_PERMISSION_DENIED,
        TE_KEY,
        TE_OTHER,
        TE_INVALID_HANDLE,
        TE_PANIC,
        TE_POISONED,
        TE_FORKED,
        TE_IN_CALLBACK,
    ];
}

/// The name of a result, `TE_INVALID_INPUT`…; `TE_UNKNOWN` for a number that is none. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn te_code_name(code: i32) -> te_str {
    let known = te_code::ALL.into_iter().find(|known| *known as i32 == code);
    te_str::of(known.map_or("TE_UNKNOWN", te_code::name))
}

/// The room for a field's name in `te_error`.
pub const TE_FIELD_BYTES: usize = 64;
/// The room for a message in `te_error`.
pub const TE_MESSAGE_BYTES: usize = 1024;

/// An error, in memory of the caller. Set `size` to `sizeof(te_error)` once, or begin with `TE_ERROR_INIT`; a call that
/// fails writes the rest, and one that succeeds writes nothing. Every function takes a null pointer instead.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct te_error {
    /// `sizeof(te_error)`.
    pub size: usize,
    /// The result.
    pub code: te_code,
    /// Whether the same call may succeed later without a change by the caller.
    pub retryable: bool,
    /// The offending field of TE_INVALID_INPUT, with a NUL at its end.
    pub field: [c_char; TE_FIELD_BYTES],
    /// What is wrong and what would be right: UTF-8 with a NUL at its end, one line, or one for each mistake of a policy. A
    /// longer text is cut.
    pub message: [c_char; TE_MESSAGE_BYTES],
}

/// What a call failed with.
pub(crate) struct Failure {
    pub(crate) code: te_code,
    retryable: bool,
    field: String,
    message: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: te_code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, retryable: false, field: String::new(), message: message.into() }
    }

    /// Writes what the caller's struct has room for, and gives the code.
    ///
    /// # Safety
    /// `error` is null, or points to as many bytes as its first field says.
    pub(crate) unsafe fn tell(&self, error: *mut te_error) -> te_code {
        if error.is_null() || !error.is_aligned() {
            return self.code;
        }
        // SAFETY: the pointer is not null and aligned, and the struct begins with its size.
        let size = unsafe { (*error).size };
        if size < size_of::<te_error>() {
            // There is no older version of the struct, so the size was never set, and nothing is known of the place.
            return self.code;
        }
        // SAFETY: the struct is at least as large as ours.
        unsafe {
            (*error).code = self.code;
            (*error).retryable = self.retryable;
            copy(&self.field, (&raw mut (*error).field).cast(), TE_FIELD_BYTES);
            copy(&self.message, (&raw mut (*error).message).cast(), TE_MESSAGE_BYTES);
        }
        self.code
    }
}

/// Copies as many whole characters as there is room for, and a NUL.
///
/// # Safety
/// `room` bytes, at least one, can be written at `to`.
unsafe fn copy(text: &str, to: *mut u8, room: usize) {
    let end = (0..room.min(text.len() + 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    // SAFETY: `end` is less than `room` and at most the length of the text.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), to, end);
        to.add(end).write(0);
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: te_code::of(error.kind()),
            retryable: error.is_retryable(),
            field: error.field().unwrap_or_default().to_owned(),
            message: error.to_string().into(),
        }
    }
}

const _: () = assert!(offset_of!(te_error, size) == 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_and_names_are_not_shared() {
        let names: std::collections::BTreeSet<&str> = te_code::ALL.into_iter().map(te_code::name).collect();
        assert_eq!(names.len(), te_code::ALL.len());
        assert!(te_code::ALL.is_sorted_by_key(|code| *code as i32));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut place = [0xff_u8; 8];
        // SAFETY: the place has eight bytes.
        unsafe { copy("ab\u{20ac}\u{20ac}\u{20ac}", place.as_mut_ptr(), 8) };
        assert_eq!(&place, b"ab\xe2\x82\xac\0\xff\xff");
    }
}
