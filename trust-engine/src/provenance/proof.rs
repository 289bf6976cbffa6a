//! Inclusion proofs as text (C2SP tlog-proof v1): a record's place in the log, the path to the root, and the signed
//! checkpoint that vouches for the root. One file, verifiable offline, by other people's tools too.

use std::fmt;
use std::str::FromStr;

use super::hash::Hash;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// A parsed proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// Index of the entry.
    pub index: u64,
    /// Hashes from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as text.
    pub checkpoint: String,
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(HEADER).ok_or("the proof does not begin with c2sp.org/tlog-proof@v1")?;
        let (head, checkpoint) =
            rest.split_once("\n\n").ok_or("the proof has no empty line before its checkpoint")?;
        let mut lines = head.split('\n').peekable();
        // Opaque data of an application may come first; this log writes none and gives it no meaning.
        lines.next_if(|line| line.starts_with("extra "));
        let index =
            lines.next().and_then(|line| line.strip_prefix("index ")).ok_or("the proof has no index")?;
        let number: u64 = index.parse().map_err(|_| "the proof's index is not a number")?;
        if number.to_string() != index {
            return Err("the proof's index is not in its shortest form");
        }
        let path: Vec<Hash> =
            lines.map(Hash::from_base64).collect::<Option<_>>().ok_or("the proof has a malformed hash")?;
        if path.len() > 63 {
            return Err("the proof has more hashes than a tree has levels");
        }
        Ok(Self { index: number, path, checkpoint: checkpoint.to_owned() })
    }
}
