//! The answers of the scripts: lists of numbers.

use std::time::Duration;

use crate::ceiling::{CounterKey, Grant, Unspent, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::WindowKind;

/// Whether a chunk has enough for a request.
pub(super) enum Have {
    Enough(Grant),
    Short {
        /// The server's time.
        at: i64,
        /// The amount that is left; it, or the room below the limit, is less than is needed.
        left: u64,
        /// The rest of the chunk that was there, if that is over.
        over: Option<Over>,
    },
}

/// The answer to a take.
pub(super) struct Taken {
    /// Whether the chunk has taken back the asker's unspent amount.
    pub(super) taken_back: bool,
    pub(super) have: Have,
}

impl Taken {
    pub(super) fn parse(reply: &[i64]) -> Result<Self> {
        let have = match number(reply, 1)? {
            1 => Have::Enough(grant(reply, 2)?),
            _ => Have::Short { at: number(reply, 2)?, left: amount(reply, 3)?, over: over(reply, 4)? },
        };
        Ok(Self { taken_back: number(reply, 0)? == 1, have })
    }
}

/// The answer to a refill: the asker's part, and the rest of a chunk that is over. `None` if the grant was refused.
pub(super) fn refilled(reply: &[i64]) -> Result<Option<(Grant, Option<Over>)>> {
    Ok(match number(reply, 0)? {
        1 => Some((grant(reply, 1)?, over(reply, 5)?)),
        _ => None,
    })
}

/// The rest of a chunk that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    window: Window,
    slice: i64,
    left: u64,
}

impl Over {
    /// The amount to give back for it, if there is any.
    pub(super) fn of(self, key: &CounterKey) -> Option<Unspent> {
        let Self { window, slice, left: amount } = self;
        (amount > 0).then(|| Unspent { key: key.clone(), window, slice, amount })
    }
}

/// Reads the rest of a chunk that is over: kind, seconds, slice, rest.
pub(super) fn over(reply: &[i64], from: usize) -> Result<Option<Over>> {
    if reply.len() <= from {
        return Ok(None);
    }
    let kind = match number(reply, from)? {
        0 => WindowKind::Fixed,
        1 => WindowKind::Sliding,
        _ => return Err(unreadable()),
    };
    let seconds = u32::try_from(number(reply, from + 1)?).map_err(|_| unreadable())?;
    let (slice, left) = (number(reply, from + 2)?, amount(reply, from + 3)?);
    Ok(Some(Over { window: Window::new(kind, seconds), slice, left }))
}

/// Reads a grant: amount, the amount that is used, slice, validity.
fn grant(reply: &[i64], from: usize) -> Result<Grant> {
    Ok(Grant {
        amount: amount(reply, from)?,
        charged: amount(reply, from + 1)?,
        slice: number(reply, from + 2)?,
        valid_for: Duration::from_micros(amount(reply, from + 3)?),
    })
}

pub(super) fn number(reply: &[i64], place: usize) -> Result<i64> {
    reply.get(place).copied().ok_or_else(unreadable)
}

pub(super) fn amount(reply: &[i64], place: usize) -> Result<u64> {
    u64::try_from(number(reply, place)?).map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "a script in Redis answers what it does not return")
}
