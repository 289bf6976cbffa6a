//! The check of a whole log: it recomputes everything and names the parts that do not fit.
//!
//! One checker is fed every entry, stored hash and checkpoint in order, whether they come from a store or from an
//! exported folder. Because every commit's checkpoint is kept, damage that was made consistent with the stored hashes
//! is still narrowed down to the entries of one commit.

mod checker;
mod documents;
mod folder;
mod report;
mod store;

pub use folder::check_export;
pub use report::{Damage, Finding, Report};
pub use store::{check_copy, check_shards, check_store};
