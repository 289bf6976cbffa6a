//! Verification: no engine, no store, no network.

use std::path::Path;

use trust_engine::log::check_export;
use trust_engine::provenance::{Entry, Hash, Payload, SignedCheckpoint};
use trust_engine::verify::{self, VerificationError};
use trust_engine::{Error, VerifierKey};

use crate::boundary::call;
use crate::error::te_code::TE_NOT_VERIFIED;
use crate::error::{Failure, te_code, te_error};
use crate::input::te_str;

impl From<VerificationError> for Failure {
    fn from(error: VerificationError) -> Self {
        Self::new(TE_NOT_VERIFIED, error.to_string())
    }
}

/// # Safety
/// The text can be read.
unsafe fn key_of(key: te_str) -> Result<VerifierKey, Failure> {
    // SAFETY: the caller promises it.
    let key = unsafe { key.required("verifierKey") }?;
    key.parse()
        .map_err(|error| Error::invalid("verifierKey", format!("is no C2SP verifier key: {error}")).into())
}

/// Verifies that a record is in the log of a key: `entry` is its exact bytes, `proof` a C2SP tlog-proof, `verifier_key` a C2SP
/// verifier key. TE_NOT_VERIFIED if it is not. Threads: any.
///
/// # Safety
/// The texts can be read, `error` is null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_verify_record(
    entry: te_str,
    proof: te_str,
    verifier_key: te_str,
    error: *mut te_error,
) -> te_code {
    let check = || {
        // SAFETY: the caller promises it.
        let (entry, proof, key) =
            unsafe { (entry.bytes("entry")?, proof.required("proof")?, key_of(verifier_key)?) };
        let missing = || Failure::from(Error::invalid("entry", "is missing"));
        verify::record(entry.ok_or_else(missing)?, proof, &key)?;
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, check) }
}

/// Verifies that a payload is the one that a record commits to: the exact bytes of both, and the salt as its 32 bytes or
/// as 64 hexadecimal digits. TE_NOT_VERIFIED if it is not. Threads: any.
///
/// # Safety
/// The texts can be read, `error` is null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_verify_payload(
    entry: te_str,
    payload: te_str,
    salt: te_str,
    error: *mut te_error,
) -> te_code {
    let check = || {
        let missing = |field| Failure::from(Error::invalid(field, "is missing"));
        // SAFETY: the caller promises it.
        let (entry, payload, salt) = unsafe {
            (
                entry.bytes("entry")?.ok_or_else(|| missing("entry"))?,
                payload.bytes("payload")?.ok_or_else(|| missing("payload"))?,
                salt.bytes("salt")?.ok_or_else(|| missing("salt"))?,
            )
        };
        let entry = Entry::parse(entry).map_err(|error| Failure::new(TE_NOT_VERIFIED, error.to_string()))?;
        let salt = salt_of(salt).ok_or_else(|| {
            let issue = "is neither 32 bytes nor 64 hexadecimal digits, as provenance.evidence has it";
            Failure::from(Error::invalid("salt", issue))
        })?;
        verify::payload(&entry, &Payload { salt, bytes: payload.to_owned() })?;
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, check) }
}

/// The bytes of a salt that is given as it is, or in hexadecimal.
fn salt_of(given: &[u8]) -> Option<[u8; 32]> {
    if let Ok(bytes) = given.try_into() {
        return Some(bytes);
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(given, &mut bytes).ok().map(|()| bytes)
}

/// Verifies that the log at the checkpoint `newer` begins with the log at the checkpoint `older`: nothing was changed or removed in
/// between. Both are signed notes as text; `proof` is the hashes of RFC 6962's consistency proof, one in base64 on each line.
/// TE_NOT_VERIFIED if it does not. Threads: any.
///
/// # Safety
/// The texts can be read, `error` is null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_verify_consistency(
    older: te_str,
    newer: te_str,
    proof: te_str,
    verifier_key: te_str,
    error: *mut te_error,
) -> te_code {
    let check = || {
        // SAFETY: the caller promises it.
        let (older, newer, proof, key) = unsafe {
            (older.required("older")?, newer.required("newer")?, proof.text("proof")?, key_of(verifier_key)?)
        };
        let no_hash = || Failure::from(Error::invalid("proof", "has a line that is no hash in base64"));
        let lines = proof.unwrap_or_default().lines();
        let hashes: Vec<Hash> =
            lines.map(|line| Hash::from_base64(line).ok_or_else(no_hash)).collect::<Result<_, _>>()?;
        let (older, newer) = (verify::checkpoint(older, &key)?, verify::checkpoint(newer, &key)?);
        verify::consistency(&older, &newer, &hashes, &key)?;
        Ok(())
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, check) }
}

/// Verifies a log that was exported into a folder, from its first entry to its last, and that it goes on from the checkpoint `since`,
/// if that is given (a signed note as text). TE_NOT_VERIFIED with the first thing that is wrong. Threads: any.
///
/// # Safety
/// The texts can be read, `error` is null or a `te_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn te_verify_log(
    folder: te_str,
    verifier_key: te_str,
    since: te_str,
    error: *mut te_error,
) -> te_code {
    let check = || {
        // SAFETY: the caller promises it.
        let (folder, key, since) =
            unsafe { (folder.required("folder")?, key_of(verifier_key)?, since.text("since")?) };
        let since = since.map(SignedCheckpoint::parse).transpose().map_err(|issue| {
            Failure::from(Error::invalid("since", format!("is no signed checkpoint: {issue}")))
        })?;
        if folder.is_empty() {
            return Err(Error::invalid("folder", "is empty").into());
        }
        let report = check_export(Path::new(folder), &key, since.as_ref())?;
        if report.is_clean() {
            return Ok(());
        }
        Err(Failure::new(TE_NOT_VERIFIED, report.to_string()))
    };
    // SAFETY: the caller promises it.
    unsafe { call(error, check) }
}
