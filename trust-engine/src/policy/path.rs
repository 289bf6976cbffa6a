//! The place of a value in a document: `rules[3].when.tiers[0]`.
//!
//! A [`Path`] lives on the stack while the document is walked and costs nothing until a mistake is found; only then
//! is it copied into [`Steps`], which can be kept, compared and written.

use std::fmt;

/// A place, as a chain of borrowed steps from the root.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(crate) fn field<'a>(&'a self, name: &'static str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(crate) fn item(&self, position: usize) -> Path<'_> {
        Path::Item(self, position)
    }

    pub(crate) fn steps(&self) -> Steps {
        let mut steps = Vec::new();
        let mut here = self;
        loop {
            match here {
                Path::Root => break,
                Path::Field(parent, name) => {
                    steps.push(Step::Field(name));
                    here = parent;
                }
                Path::Item(parent, position) => {
                    steps.push(Step::Item(*position));
                    here = parent;
                }
            }
        }
        steps.reverse();
        Steps(steps)
    }
}

/// One step of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(&'static str),
    Item(usize),
}

/// A place that can be kept. The order puts everything beneath a place directly behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Step> + '_ {
        self.0.iter().copied()
    }

    /// Says whether `self` is `other` or beneath it.
    pub(crate) fn within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The places from the root down to this one.
    pub(crate) fn ancestry(&self) -> impl Iterator<Item = Self> + '_ {
        (0..=self.0.len()).map(|length| Self(self.0.iter().take(length).copied().collect()))
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(position) => write!(f, "[{position}]")?,
            }
        }
        Ok(())
    }
}
