//! Answers of calls by name.

use trust_engine::json::Answer;

use crate::boundary::{free, look, on};
use crate::error::te_code::TE_OK;
use crate::error::{Failure, te_code, te_error};
use crate::handle::{Header, handle};
use crate::input::te_str;

/// The answer of a call by name. Threads: any number may read it.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_answer {
    pub(crate) header: Header,
    answer: Answer,
}

handle!(te_answer, b"teanswer");

impl te_answer {
    pub(crate) fn of(answer: Answer) -> Self {
        Self { header: Header::new(<Self as crate::handle::Handle>::KIND), answer }
    }
}

/// The status, as in HTTP: 200 and 201, or that of an error. A denial is a 200. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_status(answer: *const te_answer) -> u16 {
    // SAFETY: the caller promises it.
    unsafe { look(answer, 0, |of: &te_answer| of.answer.status) }
}

/// The body: JSON, or another text by its content type; valid until the answer is freed. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_body(answer: *const te_answer) -> te_str {
    // SAFETY: the caller promises it.
    unsafe { look(answer, te_str::NONE, |of: &te_answer| te_str::of(&of.answer.body)) }
}

/// The content type of the body; valid until the answer is freed. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_content_type(answer: *const te_answer) -> te_str {
    // SAFETY: the caller promises it.
    unsafe { look(answer, te_str::NONE, |of: &te_answer| te_str::of(of.answer.content_type)) }
}

/// The version of what the answer shows, quoted, as the header ETag has it; null if it has none. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_etag(answer: *const te_answer) -> te_str {
    // SAFETY: the caller promises it.
    unsafe { look(answer, te_str::NONE, |of: &te_answer| te_str::of_optional(of.answer.etag.as_deref())) }
}

/// Whether the answer can never change. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_immutable(answer: *const te_answer) -> bool {
    // SAFETY: the caller promises it.
    unsafe { look(answer, false, |of: &te_answer| of.answer.immutable) }
}

/// The seconds after which to try again; 0 if the answer does not say. Threads: any.
///
/// # Safety
/// `answer` is an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_retry_after(answer: *const te_answer) -> u32 {
    // SAFETY: the caller promises it.
    unsafe { look(answer, 0, |of: &te_answer| of.answer.retry_after.unwrap_or(0)) }
}

/// TE_OK, or the engine's own error that the answer is about, which `error` is told: the body leaves out details that concern
/// only the operator. Threads: any.
///
/// # Safety
/// `answer` is an answer, `error` null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_result(answer: *const te_answer, error: *mut te_error) -> te_code {
    let tell = |of: &te_answer| match &of.answer.cause {
        None => Ok(TE_OK),
        Some(cause) => Err(Failure::from(cause.clone())),
    };
    // SAFETY: the caller promises it.
    unsafe { on(answer, error, tell) }
}

/// Lets go of an answer; null is nothing. Threads: one.
///
/// # Safety
/// `answer` is null or an answer that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_answer_free(answer: *mut te_answer) {
    // SAFETY: the caller promises it.
    unsafe { free(answer) }
}
