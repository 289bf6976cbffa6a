//! The mistakes found so far, and the parts of the document that are not to be trusted because of them.
//!
//! Reading goes on after a mistake with a placeholder in the broken place. A report about the placeholder would be
//! noise, so nothing more is reported at or beneath a broken place, and a check that would need its value tests first
//! whether the place is broken.

use std::collections::BTreeSet;

use super::error::{PolicyError, PolicyErrors};
use super::location::Location;
use super::path::{Path, Steps};
use super::source::Node;
use super::wording::{listed, nearest, quoted};

/// The most suggestions that are looked for in one document: the comparison of names costs time, and people read no
/// more.
const SUGGESTIONS: usize = 100;

/// The mistakes of one document.
#[derive(Debug)]
pub(crate) struct Mistakes {
    found: Vec<Mistake>,
    broken: BTreeSet<Steps>,
    suggestions: usize,
}

#[derive(Debug)]
struct Mistake {
    /// The location, if it was known when the document was read; otherwise it is looked up by the place.
    at: Option<Location>,
    place: Steps,
    message: String,
}

impl Mistakes {
    pub(crate) fn new() -> Self {
        Self { found: Vec::new(), broken: BTreeSet::new(), suggestions: SUGGESTIONS }
    }

    /// Reports a mistake in a value that stays as it is.
    pub(crate) fn report(&mut self, path: &Path<'_>, message: impl Into<String>) {
        let place = path.steps();
        if self.broken.is_empty() || !place.ancestry().any(|place| self.broken.contains(&place)) {
            self.found.push(Mistake { at: None, place, message: message.into() });
        }
    }

    /// Reports a mistake at a known location, about the map at `path`.
    pub(crate) fn report_at(&mut self, at: Location, path: &Path<'_>, message: String) {
        self.found.push(Mistake { at: Some(at), place: path.steps(), message });
    }

    /// Reports a mistake that leaves only a placeholder at `path`.
    pub(crate) fn replace(&mut self, at: Location, path: &Path<'_>, message: String) {
        self.report_at(at, path, message);
        self.distrust(path);
    }

    /// Marks `path` as holding a placeholder.
    pub(crate) fn distrust(&mut self, path: &Path<'_>) {
        self.broken.insert(path.steps());
    }

    /// Says whether the value at `path`, a part of it or something around it is a placeholder.
    pub(crate) fn distrusts(&self, path: &Path<'_>) -> bool {
        if self.broken.is_empty() {
            return false;
        }
        let place = path.steps();
        let beneath = self.broken.range(&place..).next().is_some_and(|broken| broken.within(&place));
        beneath || place.ancestry().any(|place| self.broken.contains(&place))
    }

    /// Words the message `unknown tier "VERFIED"; did you mean "VERIFIED"?`, or one with the list of `known` names.
    pub(crate) fn unknown(&mut self, what: &str, name: &str, known: &[&str]) -> String {
        let found = quoted(name);
        if known.is_empty() {
            return format!("unknown {what} {found}; the policy names none");
        }
        match self.suggestion(name, known.iter().copied()) {
            Some(meant) => format!("unknown {what} {found}; did you mean {meant:?}?"),
            None => format!("unknown {what} {found}; known: {}", listed(known.iter().copied())),
        }
    }

    /// Gives the known name that `name` was probably meant to be.
    pub(crate) fn suggestion<T: AsRef<str>>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = T>,
    ) -> Option<T> {
        self.suggestions = self.suggestions.checked_sub(1)?;
        nearest(name, known)
    }

    /// Fails with the mistakes, if there are any, located in `source` when the document was read from text.
    pub(crate) fn into_errors(self, source: Option<&Node>) -> Result<(), PolicyErrors> {
        let locate = |place: &Steps| source.map(|root| root.nearest(place));
        let errors = self
            .found
            .into_iter()
            .map(|mistake| {
                let at = mistake.at.or_else(|| locate(&mistake.place));
                PolicyError::new(at, mistake.place.to_string(), mistake.message)
            })
            .collect();
        PolicyErrors::refuse(errors)
    }
}
