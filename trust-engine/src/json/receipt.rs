//! Receipts as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::provenance::Receipt;

/// A receipt: the place of a record, and what makes its checkpoint a signed note again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptAnswer<'a> {
    id: Uuid,
    origin: &'a str,
    leaf_index: u64,
    tree_size: u64,
    merkle_root: String,
    signature: String,
    timestamp: Timestamp,
}

impl<'a> ReceiptAnswer<'a> {
    pub(super) fn of(receipt: &'a Receipt) -> Self {
        Self {
            id: receipt.id(),
            origin: receipt.origin(),
            leaf_index: receipt.leaf_index(),
            tree_size: receipt.tree_size(),
            merkle_root: receipt.root().to_base64(),
            signature: receipt.signature(),
            timestamp: receipt.time(),
        }
    }
}

impl Receipt {
    /// The receipt as JSON: `{id, origin, leafIndex, treeSize, merkleRoot, signature, timestamp}`.
    pub fn to_json(&self) -> String {
        // No key of it is anything but a string, which is all that could fail.
        serde_json::to_string(&ReceiptAnswer::of(self)).unwrap_or_default()
    }
}
