//! Provenance: a transparency log that other people's tools can verify.

mod checkpoint;
mod entry;
mod export;
mod fsck;
mod hash;
mod merkle;
mod note;
mod payload;
mod proof;
mod record;
mod sequencer;
mod signer;
mod tally;
mod tiles;
pub mod verify;

pub use checkpoint::Checkpoint;
pub(crate) use entry::hex_hash;
pub use entry::{Entry, MAX_ENTRY_BYTES, Parent, RecordType};
pub use export::{Exported, export};
pub use fsck::{Damage, Finding, Report, check_export, check_shards, check_store};
pub use hash::Hash;
pub use merkle::{Frontier, HashRange, ProofPlan, TILE_WIDTH, frontier_plan};
pub use note::{NoteSignature, SignedNote, VerifierKey};
pub use payload::{MAX_PAYLOAD_BYTES, Payload};
pub use proof::InclusionProof;
pub(crate) use record::check_reason;
pub use record::{NewRecord, Receipt, Record, SignedCheckpoint};
pub use sequencer::Ticket;
pub(crate) use sequencer::{Draft, ParentOf, Sequencer, Settings, Submission};
pub use signer::{Ed25519Signer, Signer};
pub(crate) use tally::{CeilingCount, Counted};
pub use tiles::{entry_bundle_path, hash_tile_path, push_bundled, split_bundle};
