//! The tables of documents: one row for each, and one row for each of its tags.

mod read;
mod rows;
mod write;

pub(super) use read::{all, count, document, documents, due, version};
pub(super) use write::apply;
