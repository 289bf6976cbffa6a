//! Receipts.

use std::cell::OnceCell;

use trust_engine::Receipt;

use crate::boundary::{free, look};
use crate::handle::{Header, handle};
use crate::input::te_str;
use crate::output::{micros, te_uuid};

/// Acknowledges a record: it is durable, and this is its place in the log. Threads: one at a time.
#[cfg_attr(not(cbindgen), repr(C))]
pub struct te_receipt {
    pub(crate) header: Header,
    receipt: Receipt,
    json: OnceCell<String>,
}

handle!(te_receipt, b"tereceip");

impl te_receipt {
    pub(crate) fn of(receipt: Receipt) -> Self {
        let header = Header::new(<Self as crate::handle::Handle>::KIND);
        Self { header, receipt, json: OnceCell::new() }
    }
}

/// The id of the record; zeros for what is no receipt. Threads: any.
///
/// # Safety
/// `receipt` is a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_id(receipt: *const te_receipt) -> te_uuid {
    // SAFETY: the caller promises it.
    unsafe { look(receipt, te_uuid { bytes: [0; 16] }, |of: &te_receipt| of.receipt.id().into()) }
}

/// The index of the record in its shard of the log. Threads: any.
///
/// # Safety
/// `receipt` is a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_leaf_index(receipt: *const te_receipt) -> u64 {
    // SAFETY: the caller promises it.
    unsafe { look(receipt, 0, |of: &te_receipt| of.receipt.leaf_index()) }
}

/// The size of the tree that the record was committed with. Threads: any.
///
/// # Safety
/// `receipt` is a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_tree_size(receipt: *const te_receipt) -> u64 {
    // SAFETY: the caller promises it.
    unsafe { look(receipt, 0, |of: &te_receipt| of.receipt.tree_size()) }
}

/// The time of the record in microseconds since 1970-01-01T00:00:00Z. Threads: any.
///
/// # Safety
/// `receipt` is a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_time(receipt: *const te_receipt) -> i64 {
    // SAFETY: the caller promises it.
    unsafe { look(receipt, 0, |of: &te_receipt| micros(of.receipt.time())) }
}

/// The receipt as JSON: `{id, origin, leafIndex, treeSize, merkleRoot, signature, timestamp}`; valid until the receipt is freed.
/// Threads: one.
///
/// # Safety
/// `receipt` is a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_json(receipt: *const te_receipt) -> te_str {
    let json = |of: &te_receipt| te_str::of(of.json.get_or_init(|| of.receipt.to_json()));
    // SAFETY: the caller promises it.
    unsafe { look(receipt, te_str::NONE, json) }
}

/// Lets go of a receipt; null is nothing. Threads: one.
///
/// # Safety
/// `receipt` is null or a receipt that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_receipt_free(receipt: *mut te_receipt) {
    // SAFETY: the caller promises it.
    unsafe { free(receipt) }
}
