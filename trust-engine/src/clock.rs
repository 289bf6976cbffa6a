//! Time and randomness, injected: nothing else in the crate reads a clock or draws a random number.
//!
//! Times are microseconds since the Unix epoch, written as RFC 3339 in UTC with exactly six decimals, so that the
//! same instant always has the same bytes. Tests use [`ManualClock`] and never sleep.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An instant: microseconds since 1970-01-01T00:00:00Z, between the years 1970 and 9999.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Timestamp(i64);

/// 9999-12-30T22:00:00Z, the last whole second that every time zone can show.
const MAX_MICROS: i64 = 253_402_207_200_000_000;

impl Timestamp {
    /// Makes an instant from microseconds since the epoch, clamped to the years 1970 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(0, MAX_MICROS))
    }

    /// The microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This instant moved forward.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads any RFC 3339 instant; digits beyond the microsecond are cut off.
    fn from_str(text: &str) -> Result<Self> {
        let parsed: jiff::Timestamp = text
            .parse()
            .map_err(|_| Error::invalid("time", format!("{text:?} is not an RFC 3339 instant")))?;
        match parsed.as_microsecond() {
            micros @ 0..=MAX_MICROS => Ok(Self(micros)),
            _ => Err(Error::invalid("time", format!("{text:?} is outside the years 1970 to 9999"))),
        }
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The source of an engine's time.
pub trait Clock: Send + Sync + 'static {
    /// The current time. It may step back; the log's entry times never do.
    fn now(&self) -> Timestamp;

    /// Whether this is a real clock, which can be compared with that of a store; a test's is not.
    fn is_real(&self) -> bool {
        true
    }

    /// Reads both clocks of the machine cheaply: each reading may be up to 10 ms behind.
    fn coarse(&self) -> Moment;

    /// Microseconds since some fixed instant, by a clock that nobody sets and that goes on while the machine sleeps, where
    /// there is one.
    fn since_boot(&self) -> i64 {
        self.coarse().steady
    }
}

/// The time that a coarse reading may be behind: the longest tick that Linux is built with (100 Hz).
pub(crate) const COARSE_TICK: Duration = Duration::from_millis(10);

/// A reading of two clocks, because neither will do alone to say that a lease has ended: the wall clock can be set
/// back, and the steady one stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// The steady clock: microseconds since some fixed instant; it never goes back.
    pub steady: i64,
}

impl Moment {
    /// This moment moved forward on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self { wall: self.wall.plus(by), steady: self.steady.saturating_add(micros) }
    }
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// The kernel's coarse clocks take 4 ns each; the fine ones take 20.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn coarse(&self) -> Moment {
        use rustix::time::{ClockId, Timespec, clock_gettime};
        let micros = |time: Timespec| time.tv_sec * 1_000_000 + time.tv_nsec / 1000;
        Moment {
            wall: Timestamp::from_micros(micros(clock_gettime(ClockId::RealtimeCoarse))),
            steady: micros(clock_gettime(ClockId::MonotonicCoarse)),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn since_boot(&self) -> i64 {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::Boottime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn coarse(&self) -> Moment {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let steady = START.get_or_init(std::time::Instant::now).elapsed();
        Moment { wall: self.now(), steady: i64::try_from(steady.as_micros()).unwrap_or(i64::MAX) }
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { wall: AtomicI64::new(start.micros()), steady: AtomicI64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.steady.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.set(self.now().plus(by));
    }

    /// Sets the wall clock to any time, also backwards; the steady clock stays.
    pub fn set(&self, to: Timestamp) {
        self.wall.store(to.micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn is_real(&self) -> bool {
        false
    }

    fn coarse(&self) -> Moment {
        Moment { wall: self.now(), steady: self.steady.load(Ordering::SeqCst) }
    }
}

/// The source of an engine's random bytes, for salts and record ids.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// A per-thread ChaCha generator seeded from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        use rand::Rng as _;
        rand::rng().fill_bytes(bytes);
    }
}

/// A UUIDv7 (RFC 9562): milliseconds, then random bits.
pub(crate) fn new_id(now: Timestamp, entropy: &dyn Entropy) -> uuid::Uuid {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_always_prints_six_decimals_in_utc() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_micros(1_700_000_000_123_450).to_string(), "2023-11-14T22:13:20.123450Z");
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-30T22:00:00.000000Z");
    }

    #[test]
    fn parsing_accepts_offsets_and_refuses_what_cannot_be_written() {
        let time: Timestamp = "2024-02-29T01:00:00.5+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2024-02-29T00:00:00.500000Z");
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
