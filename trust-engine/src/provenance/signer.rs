//! The signer of a log: a key in memory, or another implementation of [`Signer`] (a KMS, an HSM).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::note::VerifierKey;
use crate::clock::Entropy;
use crate::error::{Error, ErrorKind, Result};

/// Signs checkpoints with Ed25519.
pub trait Signer: Send + Sync + 'static {
    /// The public key, 32 bytes.
    fn public_key(&self) -> [u8; 32];

    /// Signs `message` (RFC 8032, pure Ed25519). Called once per commit, on the thread that commits.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;
}

/// An Ed25519 key in memory; wiped when dropped.
pub struct Ed25519Signer(SigningKey);

impl Ed25519Signer {
    /// A new random key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut *seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key of a 32-byte seed (the private key of RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads `PRIVATE+KEY+name+id+base64(0x01 ‖ seed)`, the form that signed-note tools write.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || {
            let form = "a signing key has the form PRIVATE+KEY+name+id+base64(0x01 and 32 bytes)";
            Error::new(ErrorKind::Key, form)
        };
        let parts: Vec<&str> = text.trim().splitn(5, '+').collect();
        let ["PRIVATE", "KEY", name, id, key] = parts.as_slice() else { return Err(malformed()) };
        let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| malformed())?);
        let Some((&1, seed)) = key.split_first() else { return Err(malformed()) };
        let signer = Self::from_seed(seed.try_into().map_err(|_| malformed())?);
        let verifier = VerifierKey::new(name, &signer.public_key())?;
        if hex::encode(verifier.id()) != *id {
            return Err(Error::new(ErrorKind::Key, "the signing key's id is not that of its name and key"));
        }
        Ok(signer)
    }

    /// The text that [`parse`](Self::parse) reads, under `name`.
    pub fn to_text(&self, name: &str) -> Result<Zeroizing<String>> {
        let id = hex::encode(VerifierKey::new(name, &self.public_key())?.id());
        let mut key = Zeroizing::new(vec![1u8]);
        key.extend(self.0.as_bytes());
        let key = Zeroizing::new(STANDARD.encode(&*key));
        Ok(Zeroizing::new(format!("PRIVATE+KEY+{name}+{id}+{}\n", *key)))
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for Ed25519Signer {
    /// The public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", hex::encode(self.public_key()))
    }
}
