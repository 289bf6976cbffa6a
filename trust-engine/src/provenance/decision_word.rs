//! The decision of a record, as the entry tells it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::policy::{Decision, name_fault};

/// The decision of a record: one of the engine's three words, or a word of the host that wrote the record.
///
/// A word is a name: 1 to 64 letters, digits, `_`, `.`, `:` or `-`, beginning with a letter. It is none of the engine's
/// in other letters, as `Deny`.
///
/// ```
/// use trust_engine::{Decision, DecisionWord};
///
/// let word: DecisionWord = "APPROVED_BY_TWO".parse()?;
/// assert_eq!(word.decision(), None);
/// assert_eq!(DecisionWord::from(Decision::Deny).as_str(), "DENY");
/// # Ok::<(), trust_engine::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DecisionWord(Cow<'static, str>);

impl DecisionWord {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The decision, if the word is one of the engine's.
    pub fn decision(&self) -> Option<Decision> {
        self.0.parse().ok()
    }
}

impl From<Decision> for DecisionWord {
    fn from(decision: Decision) -> Self {
        Self(Cow::Borrowed(decision.as_str()))
    }
}

impl FromStr for DecisionWord {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let word = Self::try_from(text.to_owned())?;
        // A misspelt decision would stay in the log for ever, and no search for the decision would find it.
        match (word.decision(), text.to_ascii_uppercase().parse::<Decision>()) {
            (None, Ok(decision)) => Err(Error::invalid("decision", format!("is {text:?}; write {decision}"))),
            _ => Ok(word),
        }
    }
}

impl TryFrom<String> for DecisionWord {
    type Error = Error;

    /// Takes every name, as a reader of entries does.
    fn try_from(text: String) -> Result<Self> {
        match (text.parse::<Decision>(), name_fault(&text)) {
            (Ok(decision), _) => Ok(decision.into()),
            (Err(_), None) => Ok(Self(Cow::Owned(text))),
            (Err(_), Some(fault)) => Err(Error::invalid("decision", fault)),
        }
    }
}

impl From<DecisionWord> for String {
    fn from(word: DecisionWord) -> Self {
        word.0.into_owned()
    }
}

impl fmt::Display for DecisionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DecisionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_name_and_everything_else_is_refused() {
        for word in ["ALLOW", "APPROVED_BY_TWO", "a", "x.y:z-1_", &"w".repeat(64)] {
            assert_eq!(word.parse::<DecisionWord>().unwrap().as_str(), word);
        }
        for text in ["", "1A", "_A", "A B", "A\n", "Ä", &"w".repeat(65)] {
            let error = text.parse::<DecisionWord>().unwrap_err();
            assert_eq!(error.field(), Some("decision"), "{text:?}");
        }
        for misspelt in ["allow", "Deny", "eSCALATE"] {
            let error = misspelt.parse::<DecisionWord>().unwrap_err();
            assert!(error.to_string().contains(&format!("write {}", misspelt.to_uppercase())), "{error}");
        }
        assert_eq!("ALLOW".parse::<DecisionWord>().unwrap().decision(), Some(Decision::Allow));
    }
}
