//! The parameters of a call: an object of JSON, read by what the call's row says of each.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::read;
use super::strict::StrictMap;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The values that a parameter takes. From a query string or a path they come as text; a host may give numbers and truths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "of")]
pub enum Kind {
    /// Any text; the engine checks it.
    Text,
    /// A whole number from 1 to this one.
    Whole(u64),
    /// The number of a shard.
    Shard,
    /// `true` or `false`.
    Flag,
    /// An instant of RFC 3339.
    Instant,
    /// A UUID.
    Uuid,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A parameter of a call.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// The values of a call's parameters, of the kinds that the row names.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Reads an object; nothing at all stands for an empty one.
    pub(super) fn read(parameters: &'static [Parameter], object: &[u8]) -> Result<Self> {
        let object = if object.is_empty() { &b"{}"[..] } else { object };
        let StrictMap(given) = read::read_as("parameters", object)?;
        let mut values = BTreeMap::new();
        for (name, value) in given {
            let Some(parameter) = parameters.iter().find(|parameter| parameter.name == name) else {
                return Err(unknown(&name, parameters));
            };
            if !value.is_null() {
                values.insert(parameter.name, parameter.read(value)?);
            }
        }
        let missing = |parameter: &&Parameter| parameter.required && !values.contains_key(parameter.name);
        match parameters.iter().find(missing) {
            Some(missing) => Err(Error::invalid(missing.name, "is missing")),
            None => Ok(Self(values)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    /// A parameter that the row requires.
    pub(super) fn required(&self, name: &'static str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::invalid(name, "is missing"))
    }
}

fn unknown(name: &str, parameters: &[Parameter]) -> Error {
    let name = read::shown(name, read::MAX_FIELD_BYTES);
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    let there =
        if names.is_empty() { "there are none".into() } else { format!("there are {}", names.join(", ")) };
    let issue = format!("{name} is not a parameter; {there}");
    Error::new(crate::ErrorKind::InvalidInput, issue).with("field", name)
}

impl Parameter {
    fn read(&self, value: Value) -> Result<String> {
        let wrong = |issue: &str| Err(Error::invalid(self.name, issue.to_owned()));
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) if matches!(self.kind, Kind::Whole(_) | Kind::Shard) => number.to_string(),
            Value::Bool(truth) if self.kind == Kind::Flag => truth.to_string(),
            Value::Array(_) => return wrong("is there more than once"),
            _ => return wrong(&format!("must be {}", self.kind.describe())),
        };
        let whole = |least: u64, most: u64| {
            // Digits alone: no sign, no space, no exponent.
            let digits =
                !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits && text.parse().is_ok_and(|number: u64| (least..=most).contains(&number))
        };
        let fits = match self.kind {
            Kind::Text => true,
            Kind::Whole(most) => whole(1, most),
            Kind::Shard => whole(0, u64::from(u32::MAX)),
            Kind::Flag => matches!(text.as_str(), "true" | "false"),
            Kind::Instant => text.parse::<Timestamp>().is_ok(),
            Kind::Uuid => text.parse::<Uuid>().is_ok(),
            Kind::Word(words) => words.contains(&text.as_str()),
        };
        if fits { Ok(text) } else { wrong(&format!("must be {}", self.kind.describe())) }
    }
}

impl Kind {
    fn describe(self) -> String {
        match self {
            Self::Text => "a string".into(),
            Self::Whole(most) => format!("a whole number from 1 to {most}"),
            Self::Shard => "the number of a shard".into(),
            Self::Flag => "true or false".into(),
            Self::Instant => "an RFC 3339 instant of the years 1970 to 9999".into(),
            Self::Uuid => "a UUID".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
        }
    }
}
