//! The checks that inputs of every kind share: lines of text, reasons, JSON objects.
//!
//! Each refusal names the field as the caller wrote it, and the bound.

use serde_json::{Map, Value};
use unicode_normalization::is_nfc;
use unicode_script::{Script, UnicodeScript as _};
use unicode_security::general_security_profile::IdentifierType;
use unicode_security::{GeneralSecurityProfile as _, MixedScript as _};

use crate::error::{Error, Result};

/// The longest id, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 256;
/// The longest name of a role, a tier or a resource in a request, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// The longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4096;
/// The largest JSON object of a caller, in bytes.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// The deepest JSON object of a caller; an object in the object is depth 2.
pub const MAX_METADATA_DEPTH: usize = 8;

/// Checks one line of text: 1 to `max` bytes, no control characters, no surrounding white space.
pub(crate) fn check_line(field: &'static str, text: &str, max: usize) -> Result<()> {
    let plain = text.bytes().all(|byte| (0x21..0x7F).contains(&byte));
    if plain && !text.is_empty() && text.len() <= max {
        return Ok(());
    }
    if text.is_empty() {
        return Err(Error::invalid(field, format!("is empty; it takes 1 to {max} bytes")));
    }
    if text.len() > max {
        return Err(Error::invalid(field, format!("has {} bytes; at most {max} are allowed", text.len())));
    }
    if let Some((at, control)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(Error::invalid(field, format!("has the control character {control:?} at byte {at}")));
    }
    if text.trim().len() != text.len() {
        return Err(Error::invalid(field, "begins or ends with white space"));
    }
    Ok(())
}

/// Checks an id: one line that can hardly be mistaken for another one. It takes printable ASCII and the letters, marks and
/// digits of Unicode's general security profile for identifiers (UTS #39, 3.1), so no character that is invisible, changes the
/// direction of writing, is not assigned or looks like punctuation of ASCII; it is in normal form C (UAX #15), each of its
/// words is of one script (UTS #39, 5.1), and not two of the Latin, Greek and Cyrillic alphabets are in it. An id that is
/// wholly of a look-alike alphabet passes.
pub(crate) fn check_id(field: &'static str, text: &str) -> Result<()> {
    check_line(field, text, MAX_ID_BYTES)?;
    if text.is_ascii() {
        return Ok(());
    }
    // The characters that the profile includes beside letters are punctuation, as a hyphen that is not the one of ASCII.
    let allowed = |c: char| c.identifier_allowed() && c.identifier_type() != Some(IdentifierType::Inclusion);
    let strange = text.char_indices().find(|(_, c)| !c.is_ascii() && !allowed(*c));
    if let Some((at, c)) = strange {
        let issue = format!(
            "has U+{:04X} at byte {at}; an id takes printable ASCII and characters that Unicode allows in identifiers",
            u32::from(c)
        );
        return Err(Error::invalid(field, issue));
    }
    if !is_nfc(text) {
        return Err(Error::invalid(field, "is not in Unicode's normal form C (NFC), as an id must be"));
    }
    let mixed = text.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_single_script());
    if let Some(word) = mixed {
        let issue = format!("mixes scripts in the word {word:?}; letters of two scripts can look the same");
        return Err(Error::invalid(field, issue));
    }
    let has = |alphabet: &Script| text.chars().any(|c| c.script() == *alphabet);
    if [Script::Latin, Script::Greek, Script::Cyrillic].iter().filter(|alphabet| has(alphabet)).count() > 1 {
        let issue = "mixes the Latin, Greek or Cyrillic alphabet, of which many letters look the same";
        return Err(Error::invalid(field, issue));
    }
    Ok(())
}

/// Checks an id, if it is given.
pub(crate) fn check_optional_id(field: &'static str, text: Option<&str>) -> Result<()> {
    text.map_or(Ok(()), |text| check_id(field, text))
}

/// Checks one line of text, if it is given.
pub(crate) fn check_optional_line(field: &'static str, text: Option<&str>, max: usize) -> Result<()> {
    text.map_or(Ok(()), |text| check_line(field, text, max))
}

/// Checks a reason: at most 4,096 bytes, no control characters but newline and tab.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    if reason.len() > MAX_REASON_BYTES {
        let issue = format!("has {} bytes; at most {MAX_REASON_BYTES} are allowed", reason.len());
        return Err(Error::invalid("reason", issue));
    }
    match reason.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some((at, c)) => {
            Err(Error::invalid("reason", format!("has the control character {c:?} at byte {at}")))
        }
        None => Ok(()),
    }
}

/// Checks depth and size of a caller's JSON object without recursion and without serialising it.
pub(crate) fn check_object(field: &'static str, object: &Map<String, Value>) -> Result<()> {
    let keys = |map: &Map<String, Value>| map.keys().map(|key| key.len() + 4).sum::<usize>();
    let mut bytes = keys(object) + 2;
    let mut pending: Vec<(usize, &Value)> = object.values().map(|value| (2, value)).collect();
    while let Some((depth, value)) = pending.pop() {
        bytes = bytes.saturating_add(match value {
            Value::String(text) => text.len() + 2,
            Value::Number(_) => 8,
            _ => 4,
        });
        match value {
            Value::Object(_) | Value::Array(_) if depth > MAX_METADATA_DEPTH => {
                return Err(Error::invalid(
                    field,
                    format!("is nested deeper than {MAX_METADATA_DEPTH} levels"),
                ));
            }
            Value::Object(map) => {
                bytes = bytes.saturating_add(keys(map));
                pending.extend(map.values().map(|value| (depth + 1, value)));
            }
            Value::Array(list) => pending.extend(list.iter().map(|value| (depth + 1, value))),
            _ => {}
        }
        if bytes > MAX_METADATA_BYTES {
            return Err(Error::invalid(field, format!("is larger than {MAX_METADATA_BYTES} bytes of JSON")));
        }
    }
    Ok(())
}
