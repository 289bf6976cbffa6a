//! Signed notes (C2SP signed-note v1): a text, and lines that say who signed it.
//!
//! A verifier key is `name+keyid+base64(0x01 ‖ public key)`; the key id binds name and key, so a signature cannot be
//! passed off as another log's. Ed25519 (RFC 8032) is the only algorithm written here; lines of others are kept.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

const ED25519: u8 = 1;

/// The key of a verifier: the name of a signer and its Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The verifier key of `name`. Names are not empty and have neither `+` nor white space.
    pub fn new(name: &str, public_key: &[u8; 32]) -> Result<Self> {
        if name.is_empty() || name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control()) {
            return Err(key_error(format!(
                "the key name {name:?} is empty or has '+', white space or controls"
            )));
        }
        let key = VerifyingKey::from_bytes(public_key)
            .map_err(|error| key_error("the public key is not a point of the curve").caused_by(error))?;
        if key.is_weak() {
            return Err(key_error("the public key is of small order, so that anyone could sign for it"));
        }
        Ok(Self::bind(name, key))
    }

    /// The same key under the name of another shard of the deployment: `<deployment>/prov/<shard>`.
    pub fn of_shard(&self, shard: u32) -> Self {
        Self::bind(&format!("{}/prov/{shard}", self.deployment()), self.key)
    }

    /// The shard in the name, if it is that of a shard.
    pub fn shard(&self) -> Option<u32> {
        self.name.rsplit_once("/prov/").and_then(|(_, shard)| shard.parse().ok())
    }

    /// The deployment in the name.
    pub(super) fn deployment(&self) -> &str {
        self.name.rsplit_once("/prov/").map_or(&self.name, |(deployment, _)| deployment)
    }

    fn bind(name: &str, key: VerifyingKey) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = digest;
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// The name that signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.key.verify_strict(text, &signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.key.to_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(key_error("a verifier key has the form name+id+key"));
        };
        let key = STANDARD.decode(key).map_err(|_| key_error("the verifier key is not base64"))?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(key_error("the verifier key's algorithm is not Ed25519 (1)"));
        };
        let key: [u8; 32] = key.try_into().map_err(|_| key_error("an Ed25519 public key has 32 bytes"))?;
        let verifier = Self::new(name, &key)?;
        if hex::encode(verifier.id) != id {
            return Err(key_error("the verifier key's id is not that of its name and key"));
        }
        Ok(verifier)
    }
}

pub(super) fn key_error(issue: impl Into<String>) -> Error {
    Error::new(ErrorKind::Key, issue)
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the signer.
    pub name: String,
    /// The signer's key id.
    pub key_id: [u8; 4],
    /// The signature itself.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    /// base64 of key id and signature: the blob of the line.
    pub fn to_base64(&self) -> String {
        STANDARD.encode([&self.key_id[..], &self.signature].concat())
    }
}

/// A text with its signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// The text, ending in a newline.
    pub text: String,
    /// At least one line.
    pub signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Whether `key` signed the text: a line with its name and id must be there, and every such line must verify.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        let mut lines = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name && line.key_id == key.id)
            .map(|line| key.verifies(self.text.as_bytes(), &line.signature))
            .peekable();
        lines.peek().is_some() && lines.all(|verified| verified)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            writeln!(f, "\u{2014} {} {}", line.name, line.to_base64())?;
        }
        Ok(())
    }
}

impl FromStr for SignedNote {
    type Err = &'static str;

    fn from_str(note: &str) -> std::result::Result<Self, &'static str> {
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err("the note has control characters");
        }
        let split = note.rfind("\n\n").ok_or("the note has no empty line before its signatures")?;
        let (text, signatures) = (note.get(..=split), note.get(split + 2..));
        let (text, signatures) = text.zip(signatures).ok_or("the note is cut off")?;
        let signatures = signatures.strip_suffix('\n').ok_or("the note does not end in a newline")?;
        let signatures = signatures.split('\n').map(parse_line).collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or("the note has a malformed signature line")?;
        if text == "\n" {
            return Err("the note has no text");
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (key_id, signature) = blob.split_first_chunk::<4>()?;
    if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace()) || signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
}
