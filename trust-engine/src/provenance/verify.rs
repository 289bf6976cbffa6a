//! Offline verification: no engine, no store, no network.
//!
//! A verification needs the entry's bytes, its proof and the log's verifier key. Everything else follows from them.

use std::fmt;

use super::entry::Entry;
use super::hash::Hash;
use super::merkle::{root_from_inclusion, verify_consistency};
use super::note::VerifierKey;
use super::payload::Payload;
use super::proof::InclusionProof;
use super::record::SignedCheckpoint;

/// The reason why a verification failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerificationError {
    /// The proof is not a tlog-proof.
    MalformedProof(&'static str),
    /// The checkpoint is not a signed checkpoint.
    MalformedCheckpoint(&'static str),
    /// The checkpoint is of another log.
    WrongLog {
        /// The log of the verifier key.
        expected: String,
        /// The log that the checkpoint is of.
        found: String,
    },
    /// The key has not signed the checkpoint.
    NotSigned,
    /// The entry is not in the log at the place that the proof says.
    NotIncluded {
        /// The index that the proof says.
        index: u64,
    },
    /// The newer log does not begin with the older one.
    NotConsistent {
        /// Size of the older one.
        old: u64,
        /// Size of the newer one.
        new: u64,
    },
    /// The bytes are in the log but are not an entry of this format.
    MalformedEntry(String),
    /// The payload is not the one that the entry commits to.
    WrongPayload,
}

impl fmt::Display for VerificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedProof(issue) | Self::MalformedCheckpoint(issue) => f.write_str(issue),
            Self::WrongLog { expected, found } => {
                write!(f, "the checkpoint is of the log {found}, not {expected}")
            }
            Self::NotSigned => f.write_str("the checkpoint has no valid signature of the key"),
            Self::NotIncluded { index } => write!(f, "the entry is not entry {index} of the log"),
            Self::NotConsistent { old, new } => {
                write!(f, "the log of {new} entries does not begin with the log of {old} entries")
            }
            Self::MalformedEntry(issue) => f.write_str(issue),
            Self::WrongPayload => f.write_str("the payload is not the one that the entry commits to"),
        }
    }
}

impl std::error::Error for VerificationError {}

/// The facts that a successful verification establishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRecord {
    /// The entry.
    pub entry: Entry,
    /// Its index in the log.
    pub index: u64,
    /// The checkpoint that it was proved against.
    pub checkpoint: super::Checkpoint,
}

/// Verifies that `entry` is in the log of `key`, by a tlog-proof.
///
/// ```
/// # use trust_engine::{blocking::Engine, Options, NewRecord, RecordType, Decision, verify};
/// # let engine = Engine::open(Options::memory())?;
/// let receipt = engine.log().record(NewRecord::new(RecordType::Alert, "agent_001", Decision::Deny))?;
/// let record = engine.log().get(receipt.id())?;
/// let proof = engine.log().prove(receipt.id())?;
///
/// let verified = verify::record(record.entry_bytes(), &proof.to_string(), &engine.verifier_key())?;
/// assert_eq!(verified.index, receipt.leaf_index());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn record(entry: &[u8], proof: &str, key: &VerifierKey) -> Result<VerifiedRecord, VerificationError> {
    let proof: InclusionProof = proof.parse().map_err(VerificationError::MalformedProof)?;
    let signed = checkpoint(&proof.checkpoint, key)?;
    let (index, size) = (proof.index, signed.checkpoint.size);
    if root_from_inclusion(index, size, Hash::leaf(entry), &proof.path) != Some(signed.checkpoint.root) {
        return Err(VerificationError::NotIncluded { index });
    }
    let entry = Entry::parse(entry).map_err(|error| VerificationError::MalformedEntry(error.to_string()))?;
    Ok(VerifiedRecord { entry, index, checkpoint: signed.checkpoint })
}

/// Verifies that `key` signed a checkpoint of its log.
pub fn checkpoint(note: &str, key: &VerifierKey) -> Result<SignedCheckpoint, VerificationError> {
    let signed = SignedCheckpoint::parse(note).map_err(VerificationError::MalformedCheckpoint)?;
    if signed.checkpoint.origin != key.name() {
        let (expected, found) = (key.name().to_owned(), signed.checkpoint.origin);
        return Err(VerificationError::WrongLog { expected, found });
    }
    if !signed.note.is_signed_by(key) {
        return Err(VerificationError::NotSigned);
    }
    Ok(signed)
}

/// Verifies that the log at checkpoint `new` begins with the log at checkpoint `old`: nothing was changed or removed
/// in between.
pub fn consistency(
    old: &SignedCheckpoint,
    new: &SignedCheckpoint,
    proof: &[Hash],
    key: &VerifierKey,
) -> Result<(), VerificationError> {
    for signed in [old, new] {
        if !signed.is_signed_by(key) {
            return Err(VerificationError::NotSigned);
        }
    }
    let (old, new) = (&old.checkpoint, &new.checkpoint);
    // Every log begins with the empty one.
    let empty = old.size == 0 && old.root == Hash::empty_tree() && proof.is_empty();
    if empty || verify_consistency(old.size, new.size, old.root, new.root, proof) {
        return Ok(());
    }
    Err(VerificationError::NotConsistent { old: old.size, new: new.size })
}

/// Verifies that `payload` is the one that `entry` commits to.
pub fn payload(entry: &Entry, payload: &Payload) -> Result<(), VerificationError> {
    if payload.commitment() == entry.payload { Ok(()) } else { Err(VerificationError::WrongPayload) }
}
