//! Every bound of the policy language, once: the check applies them, the JSON Schema repeats them, and the messages
//! name them.
//!
//! The bounds are generous for policies that people write and small enough that a policy of the largest size still
//! compiles and decides quickly. Lengths are counted in characters, so that they mean the same in every language.

use super::wording::{grouped, quoted};

/// The format number that this crate reads and writes in `policyFormat`.
pub const POLICY_FORMAT: u32 = 1;

/// The shape of a name.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_.:-]{0,63}$";
/// The longest name.
pub(crate) const NAME_LENGTH: usize = 64;

/// The shape of a time from `00:00` to `23:59`.
pub(crate) const FROM_PATTERN: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// The shape of a time from `00:00` to `24:00`.
pub(crate) const TO_PATTERN: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

pub(crate) const TIERS: Range = Range::new(1, 64);
pub(crate) const ROLES: Range = Range::new(1, 256);
pub(crate) const RULES: Range = Range::new(0, 4096);
pub(crate) const RESOURCES: Range = Range::new(0, 64);
pub(crate) const CONDITION_VALUES: Range = Range::new(1, 256);
pub(crate) const DAYS: Range = Range::new(1, 7);
/// The number of rows of the four levels and of the rates together.
pub(crate) const CEILINGS: Range = Range::new(0, 4096);

pub(crate) const FORMAT: Range = Range::new(POLICY_FORMAT as u64, POLICY_FORMAT as u64);
pub(crate) const SCORE: Range = Range::new(0, 1_000_000);
pub(crate) const LIMIT: Range = Range::new(1, (1 << 40) - 1);
pub(crate) const WINDOW_SECONDS: Range = Range::new(1, 31_622_400);
pub(crate) const PER_SECONDS: Range = Range::new(1, 86_400);
/// The most of a rate's amount that comes back in a second: one unit in a nanosecond, so that the time of one unit
/// never rounds to nothing.
pub(crate) const AMOUNT_PER_SECOND: u64 = 1_000_000_000;
pub(crate) const NEAR_LIMIT_PERCENT: Range = Range::new(1, 100);
pub(crate) const MAX_HOLD_MILLIS: Range = Range::new(10, 60_000);
pub(crate) const SAMPLE_PER_THOUSAND: Range = Range::new(1, 999);

pub(crate) const POLICY_NAME: Text = Text::line(1, 128);
pub(crate) const DESCRIPTION: Text = Text { min: 0, max: 1024, controls: true };
pub(crate) const REASON: Text = Text { min: 1, max: 512, controls: true };
pub(crate) const ESCALATION_PATH: Text = Text::line(1, 256);
/// A value of a condition list, and the organization of a ceiling; no request and no agent has a longer one.
pub(crate) const VALUE: Text = Text::line(1, 256);
/// A pattern for resources.
pub(crate) const GLOB: Text = Text::line(1, 512);

/// An inclusive range, of a number or of the count of a list's values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Range {
    const fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    pub(crate) fn holds(self, number: u64) -> bool {
        (self.min..=self.max).contains(&number)
    }

    /// The message for a number outside the range, with `found`, the number as it was written.
    pub(crate) fn refusal(self, found: &str) -> String {
        format!("must be {self}, found {found}")
    }

    /// Gives the fault of a list with this many values, if it has one.
    pub(crate) fn count_fault(self, count: usize) -> Option<String> {
        match u64::try_from(count).unwrap_or(u64::MAX) {
            count if self.holds(count) => None,
            0 => Some(format!("must have {self} values, found an empty list")),
            count => Some(format!("must have {self} values, found {}", grouped(count))),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.min == self.max {
            return f.write_str(&grouped(self.min));
        }
        write!(f, "{} to {}", grouped(self.min), grouped(self.max))
    }
}

/// The bounds of a text, in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// Whether control characters, so also line breaks, may occur.
    pub(crate) controls: bool,
}

impl Text {
    /// The bounds of a text on one line.
    const fn line(min: usize, max: usize) -> Self {
        Self { min, max, controls: false }
    }

    /// Gives the fault of the text, if it has one.
    pub(crate) fn fault(self, text: &str) -> Option<String> {
        let length = text.chars().count();
        if length < self.min {
            return Some("must not be empty".into());
        }
        if length > self.max {
            let (max, length) = (grouped(self.max as u64), grouped(length as u64));
            return Some(format!("must have at most {max} characters, found {length}"));
        }
        let control = text.chars().find(|c| !self.controls && c.is_control())?;
        Some(format!("must not contain the control character U+{:04X}", u32::from(control)))
    }
}

/// Gives the fault of the name of a tier, role, rule or resource, if it has one.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let fine = name.len() <= NAME_LENGTH
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed);
    (!fine).then(|| {
        let found = quoted(name);
        format!("must be a letter followed by at most 63 letters, digits or _ . : -, found {found}")
    })
}
