//! Checkpoints (C2SP tlog-checkpoint v1): the size and root of a log, signed as a note.

use std::fmt;
use std::str::FromStr;

use super::hash::Hash;
use super::note::{NoteSignature, SignedNote, VerifierKey};
use super::signer::Signer;
use crate::error::Result;

/// The content that is signed: a log's name, its size and its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: `<deployment>/prov/<shard>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs it in the origin's name.
    pub fn sign(&self, signer: &dyn Signer) -> Result<SignedNote> {
        let key = VerifierKey::new(&self.origin, &signer.public_key())?;
        let text = self.to_string();
        let signature = signer.sign(text.as_bytes())?;
        let line =
            NoteSignature { name: self.origin.clone(), key_id: key.id(), signature: signature.to_vec() };
        Ok(SignedNote { text, signatures: vec![line] })
    }
}

impl fmt::Display for Checkpoint {
    /// Three lines, each ending in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

impl FromStr for Checkpoint {
    type Err = &'static str;

    /// Exactly the three lines: this log writes no extension lines.
    fn from_str(text: &str) -> std::result::Result<Self, &'static str> {
        let mut lines =
            text.strip_suffix('\n').ok_or("the checkpoint does not end in a newline")?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err("a checkpoint has three lines: origin, size and root");
        };
        if origin.is_empty() {
            return Err("the checkpoint's origin is empty");
        }
        let number: u64 = size.parse().map_err(|_| "the checkpoint's size is not a number")?;
        if number.to_string() != size {
            return Err("the checkpoint's size is not in its shortest form");
        }
        let root = Hash::from_base64(root).ok_or("the checkpoint's root is not base64 of 32 bytes")?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}
