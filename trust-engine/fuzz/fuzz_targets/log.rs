//! Entries, notes, checkpoints, proofs, keys and bundles from anywhere: parsed or refused, and what is parsed is
//! written back as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trust_engine::provenance::{Entry, InclusionProof, SignedCheckpoint, SignedNote, push_bundled, split_bundle};
use trust_engine::{VerifierKey, verify};

const KEY: &str = "example/prov/0+c86f3dc4+AQPQCSeTkzHnpaPbaXKvIcPN2mGLTvx2GuTAGw1ZbKwg";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::parse(bytes) {
        assert_eq!(entry.to_bytes(), bytes);
    }
    if let Some(entries) = split_bundle(bytes) {
        let mut bundle = Vec::new();
        assert!(entries.iter().all(|entry| push_bundled(&mut bundle, entry)));
        assert_eq!(bundle, bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(note) = text.parse::<SignedNote>() {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(signed) = SignedCheckpoint::parse(text) {
        assert_eq!(signed.note.to_string(), text);
    }
    if let Ok(proof) = text.parse::<InclusionProof>() {
        assert_eq!(proof.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse::<VerifierKey>().ok(), Some(key));
    }
    if let Ok(key) = KEY.parse::<VerifierKey>() {
        // No record and no checkpoint was ever signed with this key.
        assert!(verify::record(b"{}", text, &key).is_err());
        assert!(verify::checkpoint(text, &key).is_err());
    }
});
