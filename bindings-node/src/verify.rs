//! Verification: no engine, no store, no network.

use std::collections::HashMap;
use std::path::Path;

use napi_derive::napi;
use trust_engine::log::check_export;
use trust_engine::provenance::{Entry, Hash, Payload, SignedCheckpoint};
use trust_engine::verify::{self, VerificationError};
use trust_engine::{Error, VerifierKey};

use crate::error::Failure;

fn refused(message: String) -> Failure {
    Failure { failure: "TE_NOT_VERIFIED".into(), message, retryable: false, details: HashMap::new() }
}

fn not_verified(error: VerificationError) -> Failure {
    refused(format!("not verified: {error}"))
}

fn invalid(field: &'static str, issue: impl std::fmt::Display) -> Failure {
    Failure::from(&Error::invalid(field, issue))
}

fn key_of(key: &str) -> Result<VerifierKey, Failure> {
    key.parse().map_err(|issue| invalid("verifierKey", format!("is no verifier key: {issue}")))
}

/// Nothing if the record is in the log of the key.
#[napi(catch_unwind)]
pub fn verify_record(entry: &[u8], proof: String, verifier_key: String) -> Option<Failure> {
    let verified =
        key_of(&verifier_key).and_then(|key| verify::record(entry, &proof, &key).map_err(not_verified));
    verified.err()
}

/// Nothing if the payload is the one that the entry commits to.
#[napi(catch_unwind)]
pub fn verify_payload(entry: &[u8], payload: &[u8], salt: &[u8]) -> Option<Failure> {
    let Ok(salt) = salt.try_into() else { return Some(invalid("salt", "is not 32 bytes")) };
    let payload = Payload { salt, bytes: payload.to_vec() };
    let entry = Entry::parse(entry).map_err(|error| refused(format!("not verified: {error}")));
    entry.and_then(|entry| verify::payload(&entry, &payload).map_err(not_verified)).err()
}

/// Nothing if the log at the newer checkpoint begins with the log at the older one. The proof is hashes in base64.
#[napi(catch_unwind)]
pub fn verify_consistency(
    older: String,
    newer: String,
    proof: Vec<String>,
    verifier_key: String,
) -> Option<Failure> {
    let check = || {
        let key = key_of(&verifier_key)?;
        let no_hash = || invalid("proof", "holds a text that is no hash in base64");
        let hashes: Vec<Hash> =
            proof.iter().map(|hash| Hash::from_base64(hash).ok_or_else(no_hash)).collect::<Result<_, _>>()?;
        let older = verify::checkpoint(&older, &key).map_err(not_verified)?;
        let newer = verify::checkpoint(&newer, &key).map_err(not_verified)?;
        verify::consistency(&older, &newer, &hashes, &key).map_err(not_verified)
    };
    check().err()
}

/// Nothing if the log that was exported into a folder is whole, and goes on from a checkpoint that was kept.
#[napi(catch_unwind)]
pub fn verify_log(folder: String, verifier_key: String, since: Option<String>) -> Option<Failure> {
    let check = || {
        let key = key_of(&verifier_key)?;
        let since = since.as_deref().map(SignedCheckpoint::parse).transpose();
        let since = since.map_err(|issue| invalid("since", format!("is no signed checkpoint: {issue}")))?;
        let report = check_export(Path::new(&folder), &key, since.as_ref());
        let report = report.map_err(|error| Failure::from(&error))?;
        if report.is_clean() { Ok(()) } else { Err(refused(format!("not verified: {report}"))) }
    };
    check().err()
}
