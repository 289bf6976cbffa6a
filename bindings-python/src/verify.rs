//! Verification: no engine, no store, no network.

use std::path::Path;

use pyo3::prelude::*;
use trust_engine::log::check_export;
use trust_engine::provenance::{Entry, Hash, Payload, SignedCheckpoint};
use trust_engine::verify::{self, VerificationError};
use trust_engine::{Error, VerifierKey};

use crate::error::{not_verified, raise};
use crate::input::{Text, optional, text};

fn refused(error: VerificationError) -> PyErr {
    not_verified(&error.to_string())
}

fn key_of(key: Text<'_, '_>) -> PyResult<VerifierKey> {
    let issue = |issue| raise(Error::invalid("verifier_key", format!("is no C2SP verifier key: {issue}")));
    text("verifier_key", key)?.parse().map_err(issue)
}

/// Verifies that a record is in the log of a key.
#[pyfunction]
pub fn verify_record(entry: &[u8], proof: Text<'_, '_>, verifier_key: Text<'_, '_>) -> PyResult<()> {
    let key = key_of(verifier_key)?;
    verify::record(entry, text("proof", proof)?, &key).map(drop).map_err(refused)
}

/// Verifies that a payload is the one that a record commits to.
#[pyfunction]
pub fn verify_payload(entry: &[u8], payload: &[u8], salt: &[u8]) -> PyResult<()> {
    let entry = Entry::parse(entry).map_err(|error| not_verified(&error.to_string()))?;
    let issue = |_| raise(Error::invalid("salt", format!("has {} bytes; a salt has 32", salt.len())));
    let payload = Payload { salt: salt.try_into().map_err(issue)?, bytes: payload.to_owned() };
    verify::payload(&entry, &payload).map_err(refused)
}

/// Verifies that the log at a newer checkpoint begins with the log at an older one. The proof is hashes in base64.
#[pyfunction]
pub fn verify_consistency(
    older: Text<'_, '_>,
    newer: Text<'_, '_>,
    proof: Vec<String>,
    verifier_key: Text<'_, '_>,
) -> PyResult<()> {
    let key = key_of(verifier_key)?;
    let no_hash = || raise(Error::invalid("proof", "holds a text that is no hash in base64"));
    let hashes: Vec<Hash> =
        proof.iter().map(|hash| Hash::from_base64(hash).ok_or_else(no_hash)).collect::<PyResult<_>>()?;
    let older = verify::checkpoint(text("older", older)?, &key).map_err(refused)?;
    let newer = verify::checkpoint(text("newer", newer)?, &key).map_err(refused)?;
    verify::consistency(&older, &newer, &hashes, &key).map_err(refused)
}

/// Verifies a log that was exported into a folder, and that it goes on from a checkpoint that was kept.
#[pyfunction]
#[pyo3(signature = (folder, verifier_key, since=None))]
pub fn verify_log(
    py: Python<'_>,
    folder: Text<'_, '_>,
    verifier_key: Text<'_, '_>,
    since: Option<Text<'_, '_>>,
) -> PyResult<()> {
    let (folder, key) = (text("folder", folder)?.to_owned(), key_of(verifier_key)?);
    let since = optional("since", since)?.map(SignedCheckpoint::parse).transpose();
    let since =
        since.map_err(|issue| raise(Error::invalid("since", format!("is no signed checkpoint: {issue}"))))?;
    let report = py.detach(|| check_export(Path::new(&folder), &key, since.as_ref())).map_err(raise)?;
    if report.is_clean() { Ok(()) } else { Err(not_verified(&report.to_string())) }
}
