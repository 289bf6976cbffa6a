//! A ceiling's verdict.

use std::fmt;
use std::time::Duration;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::ceiling::{CeilingCode, Level, Measure};
use crate::clock::Timestamp;
use crate::engine::recorded::Recorded;
use crate::log::CeilingStat;
use crate::policy::Decision;
use crate::provenance::Receipt;
use crate::quota::Outcome;

/// The verdict of a ceiling check: whether the amounts may be used, and how far the counters have come.
#[derive(Clone, Debug)]
pub struct CeilingVerdict {
    pub(super) code: CeilingCode,
    pub(super) measures: SmallVec<[(u32, u64, Measure); 1]>,
    pub(super) retry_after: Option<i64>,
    pub(super) evaluated_at: Timestamp,
    pub(super) repeated: bool,
    /// Boxed, because a verdict that is not recorded should be quick to hand on.
    pub(super) record: Option<Box<Record>>,
}

/// The record of a verdict.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: Uuid,
    pub(super) receipt: Option<Receipt>,
}

impl CeilingVerdict {
    pub(super) fn new(outcome: Outcome, evaluated_at: Timestamp) -> Self {
        Self {
            code: outcome.code,
            measures: outcome.measures,
            retry_after: outcome.retry_after,
            evaluated_at,
            repeated: false,
            record: None,
        }
    }

    /// An admission by one counter.
    #[inline]
    pub(super) fn admitted(amount: u64, measure: Measure, evaluated_at: Timestamp) -> Self {
        let measures = SmallVec::from_buf([(0, amount, measure)]);
        Self {
            code: CeilingCode::WithinCeiling,
            measures,
            retry_after: None,
            evaluated_at,
            repeated: false,
            record: None,
        }
    }

    /// Whether the amounts may be used. All of them are charged then, and none otherwise.
    pub fn allowed(&self) -> bool {
        self.code.admits()
    }

    /// ALLOW or DENY.
    pub fn decision(&self) -> Decision {
        if self.allowed() { Decision::Allow } else { Decision::Deny }
    }

    /// The reason as a stable word.
    pub fn reason_code(&self) -> CeilingCode {
        self.code
    }

    /// The reason in words.
    pub fn reason(&self) -> String {
        let asked = self.measures.first().map_or(0, |(_, amount, _)| *amount);
        match (self.code, self.measure()) {
            (CeilingCode::WithinCeiling, Some(measure)) => format!("{asked} within the ceiling; {measure}"),
            (CeilingCode::CeilingExceeded, Some(measure)) => {
                let (left, level) = (measure.remaining(), measure.level());
                format!("{asked} asked for, but the {level} ceiling has {left} left: {measure}")
            }
            (CeilingCode::ClockSetBack, _) => {
                "the clock shows a time before one that was counted at; `trust-engine ceiling reset` brings the counter back".into()
            }
            (CeilingCode::FailOpen, _) => "admitted unchecked: the counters cannot be reached".into(),
            (CeilingCode::StoreUnavailable, _) => {
                "the counters cannot be reached, and nothing is held".into()
            }
            (CeilingCode::RateExceeded, _) => match self.retry_after() {
                Some(time) => format!("the rate admits it in {time:?}"),
                None => "more was asked for than the rate ever admits at once".into(),
            },
            (CeilingCode::NoCeiling, _) => "the policy has no ceiling for this tier and resource".into(),
            (CeilingCode::UnknownResource, _) => "the policy does not know the resource".into(),
            (CeilingCode::UnknownTier, _) => "the policy does not know the tier".into(),
            (CeilingCode::AgentSuspended, _) => "the agent is suspended".into(),
            (CeilingCode::AgentRevoked, _) => "the agent is revoked".into(),
            (CeilingCode::AgentUnregistered, _) => "the agent is not registered".into(),
            (CeilingCode::ExcessClaim, _) => "a tier above the held one was claimed".into(),
            (CeilingCode::WithinCeiling | CeilingCode::CeilingExceeded, None) => self.code.to_string(),
        }
    }

    /// The counter that refused, or the agent's own of the first resource; `None` where none was asked.
    pub fn measure(&self) -> Option<&Measure> {
        self.measures.first().map(|(_, _, measure)| measure)
    }

    /// The agent's own counters in the order of the request; of a refusal only the counter that refused.
    pub fn measures(&self) -> impl Iterator<Item = &Measure> {
        let own = |measure: &Measure| measure.level() == Level::Agent || !self.allowed();
        self.measures.iter().map(|(_, _, measure)| measure).filter(move |measure| own(measure))
    }

    /// Every counter that was charged, with the place of its resource in the request; of a refusal only the counter
    /// that refused.
    pub fn counters(&self) -> impl Iterator<Item = (usize, &Measure)> {
        self.measures.iter().map(|(place, _, measure)| (*place as usize, measure))
    }

    /// The level of the counter that refused: it says who shares that counter.
    pub fn refused_by(&self) -> Option<Level> {
        self.measure().filter(|_| !self.allowed()).map(Measure::level)
    }

    /// Whether any counter is at or above the policy's share of its ceiling.
    pub fn near_limit(&self) -> bool {
        self.measures.iter().any(|(_, _, measure)| measure.near_limit())
    }

    /// The time after which a rate will admit the check, if a rate has refused it and can ever admit it.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|micros| Duration::from_micros(micros.unsigned_abs()))
    }

    /// Whether the same check may be admitted soon, without a change by the caller. It may not if it asks for more than
    /// a rate ever admits at once.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable() && (self.code != CeilingCode::RateExceeded || self.retry_after.is_some())
    }

    /// The time of the verdict; usage is as of then.
    pub fn evaluated_at(&self) -> Timestamp {
        self.evaluated_at
    }

    /// Whether this is the answer to an earlier try with the same request id: nothing was charged now.
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Id of the record, if the policy records this verdict.
    pub fn id(&self) -> Option<Uuid> {
        self.record.as_ref().map(|record| record.id)
    }

    /// Whether the verdict is in the log.
    pub fn recorded(&self) -> Recorded {
        match &self.record {
            None => Recorded::Not,
            Some(record) if record.receipt.is_none() => Recorded::Pending,
            Some(_) => Recorded::Committed,
        }
    }

    /// Acknowledges the record, if it is committed.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.record.as_ref()?.receipt.as_ref()
    }

    /// The verdict of a record.
    pub(super) fn of_record(
        code: CeilingCode,
        measures: SmallVec<[(u32, u64, Measure); 1]>,
        evaluated_at: Timestamp,
        receipt: &Receipt,
    ) -> Self {
        let record = Some(Box::new(Record { id: receipt.id(), receipt: Some(receipt.clone()) }));
        Self { code, measures, retry_after: None, evaluated_at, repeated: true, record }
    }

    /// The verdict as the answer to a retry.
    pub(super) fn again(self) -> Self {
        Self { repeated: true, ..self }
    }

    /// Adds the receipt of the record.
    pub(super) fn set_receipt(&mut self, receipt: Option<Receipt>) {
        if let Some(record) = &mut self.record {
            record.receipt = receipt;
        }
    }

    #[inline]
    pub(super) fn stat(&self) -> CeilingStat {
        match self.code {
            _ if self.allowed() && self.near_limit() => CeilingStat::Near,
            _ if self.allowed() => CeilingStat::Admitted,
            CeilingCode::CeilingExceeded => CeilingStat::Exceeded,
            _ => CeilingStat::Refused,
        }
    }
}

impl fmt::Display for CeilingVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.decision(), self.code, self.reason())
    }
}
