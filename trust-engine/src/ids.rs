//! Names that callers choose: checked once, at the boundary, and cheap to pass on afterwards.
//!
//! An id is 1 to 256 bytes of UTF-8: printable ASCII, and letters that Unicode allows in identifiers, in normal form C and not
//! of alphabets that are easily mistaken for one another. It is compared byte by byte. Because entries of the log are never erased, ids should be pseudonyms.

use std::fmt;
use std::sync::{Arc, LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{MAX_ID_BYTES, check_id, check_line};
use crate::error::{Error, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(into = "String", try_from = "String")]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks the text of a `", $field, "`.")]
            pub fn parse(text: &str) -> Result<Self> {
                Self::parse_field($field, text)
            }

            /// Checks the text of a field that holds such an id under another name.
            pub(crate) fn parse_field(field: &'static str, text: &str) -> Result<Self> {
                check_id(field, text)?;
                Ok(Self(text.into()))
            }

            /// Checks the text of an id that is in a log or a store already. Which characters an id may have was checked
            /// when it was given: Unicode grows, and what one version wrote every version reads.
            pub(crate) fn recorded(text: &str) -> Result<Self> {
                check_line($field, text, MAX_ID_BYTES)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::recorded(&text)
            }
        }
    };
}

id!(
    /// Identifies an agent within its organization.
    AgentId,
    "agentId"
);
id!(
    /// Identifies an organization: the tenant that agents and records belong to.
    OrganizationId,
    "organization"
);

/// Name of the organization of deployments that have only one.
const DEFAULT: &str = "default";

/// The organization of deployments that have only one.
pub(crate) static DEFAULT_ORGANIZATION: LazyLock<OrganizationId> = LazyLock::new(OrganizationId::default);

impl Default for OrganizationId {
    /// The organization `default`, for deployments that have only one.
    fn default() -> Self {
        // Not a clone of the static: threads would meet at its count.
        Self(DEFAULT.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_out_of_bounds_is_refused_with_its_field_and_bound() {
        for (text, part) in [
            ("", "is empty"),
            (" a", "white space"),
            ("a\n", "control character '\\n' at byte 1"),
            ("a\u{85}b", "control character"),
            ("a\0b", "control character '\\0' at byte 1"),
        ] {
            let error = AgentId::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text:?}: {error}");
            assert_eq!(error.field(), Some("agentId"));
        }
        for (text, part) in [
            ("pay\u{200B}roll", "U+200B at byte 3"),
            ("a\u{202E}b", "U+202E"),
            ("a\u{AD}b", "U+00AD"),
            ("a\u{A0}b", "U+00A0"),
            ("a\u{3000}b", "U+3000"),
            ("\u{FEFF}a", "U+FEFF"),
            ("a\u{FE0F}", "U+FE0F"),
            ("a\u{E0041}", "U+E0041"),
            ("a\u{378}", "U+0378"),
            ("a\u{E000}", "U+E000"),
            ("\u{FF41}gent", "U+FF41"),
            ("e\u{301}clair", "normal form C"),
            ("\u{430}gent", "mixes scripts in the word"),
            ("scor\u{435}", "mixes scripts"),
            ("agent-\u{430}", "Latin, Greek or Cyrillic"),
            ("agent 7/β", "Latin, Greek or Cyrillic"),
            ("agent\u{2010}1", "U+2010"),
            ("o\u{2019}neil", "U+2019"),
        ] {
            let error = AgentId::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text:?}: {error}");
        }
        // An id that an earlier version took is read for ever.
        assert!(AgentId::recorded("pay\u{200B}roll").is_ok() && AgentId::recorded("a\n").is_err());
        for text in [
            "βήτα-7",
            "агент-7",
            "エージェント五号",
            "에이전트",
            "वकील",
            "spiffe://x.example/ns/a",
            "éclair",
            "名前 agent",
        ] {
            assert_eq!(AgentId::parse(text).unwrap().as_str(), text);
        }
        assert!(AgentId::parse(&"x".repeat(257)).unwrap_err().to_string().contains("257 bytes; at most 256"));
        assert_eq!(AgentId::parse(&"é".repeat(128)).unwrap().as_str().len(), 256);
    }
}
