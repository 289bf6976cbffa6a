//! Reads an object of JSON and, where it is bad, says where.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Longest part of a bad body that an error tells, and longest name of a field in it.
pub(super) const MAX_TOLD_BYTES: usize = 200;
pub(super) const MAX_FIELD_BYTES: usize = 64;

/// Reads an object of any size; `what` names it where an error is about no field of it.
pub(super) fn read_as<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T> {
    // Serde would read a list as fields in order, which is not seen by a reader who looks for names.
    if body.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
        return Err(Error::invalid(what, "is a list; it takes an object"));
    }
    serde_json::from_slice(body).map_err(|_| explain::<T>(what, body))
}

/// Reads a bad body once more, to say where it is bad.
#[cold]
fn explain<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Error {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let (path, error) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => (error.path().to_string(), error.into_inner()),
        Ok(_) => match deserializer.end() {
            Err(error) => (String::new(), error),
            Ok(()) => return Error::invalid(what, "cannot be read"),
        },
    };
    let text = error.to_string();
    if !error.is_data() {
        return Error::invalid(what, format!("is not JSON: {text}"));
    }
    // The name of the field says more than its place in the text.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // The text names a field that is missing, unknown or there twice; the path names the object of that field.
    let (path, named) = match text.split_once('`').and_then(|(_, rest)| rest.split_once('`')) {
        Some((name, _))
            if ["missing field", "unknown field", "duplicate field"].iter().any(|s| text.starts_with(s)) =>
        {
            // The path may end with the name of the field already.
            let parent = match path.strip_suffix(name) {
                Some("") => "",
                Some(parent) => parent.strip_suffix('.').unwrap_or(&path),
                None => &path,
            };
            (parent, Some(name))
        }
        _ => (path.as_str(), None),
    };
    let field: Vec<&str> =
        [path].into_iter().filter(|part| !part.is_empty() && *part != ".").chain(named).collect();
    let field = if field.is_empty() { what.to_owned() } else { shown(&field.join("."), MAX_FIELD_BYTES) };
    let text = shown(text, MAX_TOLD_BYTES);
    Error::new(crate::ErrorKind::InvalidInput, format!("{field}: {text}")).with("field", field)
}

/// The beginning of a text that comes from outside, on one line and with everything in it visible.
pub(super) fn shown(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let visible = |c: char| if is_unseen(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.get(..end).unwrap_or_default().chars().map(visible).collect();
    if end < text.len() {
        shown.push('…');
    }
    shown
}

/// Characters of control and format, and those that end a line (Unicode categories Cc, Cf, Zl and Zp).
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}
