//! The formats of provenance: records, trees and checkpoints, byte for byte, and their verification with nothing but
//! the key. Nothing here knows where a log is kept.

mod checkpoint;
mod decision_word;
mod entry;
mod hash;
mod merkle;
mod note;
mod payload;
mod proof;
mod record;
mod signer;
mod tiles;
mod verifier_keys;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use decision_word::DecisionWord;
pub(crate) use entry::hex_hash;
pub use entry::{Entry, MAX_ENTRY_BYTES, Parent, RecordType, Source};
pub use hash::Hash;
pub use merkle::{Frontier, HashRange, ProofPlan, TILE_WIDTH, frontier_plan};
pub use note::{NoteSignature, SignedNote, VerifierKey};
pub(crate) use payload::keyed_hash;
pub use payload::{MAX_PAYLOAD_BYTES, Payload};
pub use proof::InclusionProof;
pub use record::{NewRecord, Receipt, Record, SignedCheckpoint};
pub use signer::{Ed25519Signer, Signer};
pub use tiles::{entry_bundle_path, hash_tile_path, push_bundled, split_bundle};
pub use verifier_keys::VerifierKeys;
