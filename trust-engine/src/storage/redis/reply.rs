//! What the scripts answer: lists of numbers.

use std::time::Duration;

use crate::ceiling::{CounterKey, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::WindowKind;
use crate::storage::counters::{Grant, Unspent};

/// Whether a chunk had enough.
pub(super) enum Have {
    Enough(Grant),
    /// The server's time, and what is left of a chunk that is over.
    Short(i64, Option<Over>),
}

/// The answer to a take.
pub(super) struct Taken {
    pub(super) have: Have,
    /// What the asker had not spent is of another chunk.
    pub(super) strange: bool,
}

impl Taken {
    pub(super) fn parse(reply: &[i64]) -> Result<Self> {
        Ok(match number(reply, 0)? {
            1 => Self { have: Have::Enough(grant(reply)?), strange: number(reply, 5)? == 1 },
            _ => Self {
                have: Have::Short(number(reply, 1)?, over(reply, 3)?),
                strange: number(reply, 2)? == 1,
            },
        })
    }
}

/// The answer to a refill.
pub(super) struct Refilled {
    /// `None`: the grant was not taken, because it is over by the server's clock.
    pub(super) grant: Option<Grant>,
    pub(super) over: Option<Over>,
}

impl Refilled {
    pub(super) fn parse(reply: &[i64]) -> Result<Self> {
        let taken = number(reply, 0)? == 1;
        Ok(Self {
            grant: if taken { Some(grant(reply)?) } else { None },
            over: if taken { over(reply, 6)? } else { None },
        })
    }
}

/// What is left of a chunk that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    window: Window,
    slice: i64,
    left: u64,
}

impl Over {
    /// What to give back for it, if it is anything.
    pub(super) fn of(self, key: &CounterKey) -> Option<Unspent> {
        let Self { window, slice, left: amount } = self;
        (amount > 0).then(|| Unspent { key: key.clone(), window, slice, amount })
    }
}

/// Kind, seconds, slice, rest.
pub(super) fn over(reply: &[i64], from: usize) -> Result<Option<Over>> {
    if reply.len() <= from {
        return Ok(None);
    }
    let kind = match number(reply, from)? {
        0 => WindowKind::Fixed,
        1 => WindowKind::Sliding,
        _ => return Err(strange()),
    };
    let seconds = u32::try_from(number(reply, from + 1)?).map_err(|_| strange())?;
    let (slice, left) = (number(reply, from + 2)?, amount_in(reply, from + 3)?);
    Ok(Some(Over { window: Window::new(kind, seconds), slice, left }))
}

/// Amount, what is used, slice, validity, from the second place.
fn grant(reply: &[i64]) -> Result<Grant> {
    Ok(Grant {
        amount: amount_in(reply, 1)?,
        charged: amount_in(reply, 2)?,
        slice: number(reply, 3)?,
        valid_for: Duration::from_micros(amount_in(reply, 4)?),
    })
}

pub(super) fn number(reply: &[i64], place: usize) -> Result<i64> {
    reply.get(place).copied().ok_or_else(strange)
}

pub(super) fn amount_in(reply: &[i64], place: usize) -> Result<u64> {
    u64::try_from(number(reply, place)?).map_err(|_| strange())
}

fn strange() -> Error {
    Error::new(ErrorKind::Corrupt, "a script in Redis answers what it does not return")
}
