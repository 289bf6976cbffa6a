//! The way from an outcome to a verdict and its record.

use std::borrow::Cow;

use super::cache::CachedQuota;
use super::payload::CeilingPayload;
use super::verdict::{CeilingVerdict, Record};
use crate::ceiling::{CeilingCode, CeilingRequest};
use crate::clock::Moment;
use crate::engine::instance::{Content, Engine};
use crate::error::Result;
use crate::log::{Draft, Submission, Ticket, VerdictStat};
use crate::policy::Decision;
use crate::provenance::RecordType;
use crate::quota::{AgentQuota, Outcome};

/// A verdict, the submission of its record if it is to be recorded, and the ticket of that record.
pub(super) type Concluded = (CeilingVerdict, Option<Submission>, Ticket);

impl Engine {
    /// Gives the verdict, the submission of its record if it is to be recorded, and the ticket of that record.
    /// `answered_early`: the caller has the verdict before it is committed.
    #[inline]
    pub(super) fn conclude<'a>(
        &self,
        cached: &CachedQuota,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        outcome: Outcome,
        now: Moment,
        answered_early: bool,
    ) -> Result<Concluded> {
        let mut verdict = CeilingVerdict::new(outcome, now.wall);
        let quota = &cached.quota;
        let recording = &quota.policy.document().recording.ceilings;
        let always = quota.tier.excess || verdict.code == CeilingCode::FailOpen;
        if !always && !self.is_sampled(recording.mode, recording.sample_per_thousand, verdict.allowed()) {
            // An unrecorded verdict needs this check as a recorded one does: a fenced engine decides by an outdated
            // policy.
            self.0.sequencer.check_state()?;
            if cached.counts.add(cached.agents_part, verdict.stat()) {
                self.ceiling_state()?.sweeper.wake();
            }
            return Ok((verdict, None, Ticket::unrecorded()));
        }
        let (submission, ticket) = self.recording(quota, &inputs(), &mut verdict, answered_early)?;
        Ok((verdict, Some(submission), ticket))
    }

    pub(super) fn recording(
        &self,
        quota: &AgentQuota,
        request: &CeilingRequest,
        verdict: &mut CeilingVerdict,
        answered_early: bool,
    ) -> Result<(Submission, Ticket)> {
        let now = self.now();
        verdict.evaluated_at = now;
        let authority = request.caller_name().filter(|caller| self.0.authorities.contains(*caller));
        let authority = authority.filter(|_| request.claimed_tier().is_some());
        let mut draft = self.ceiling_draft(
            quota,
            verdict.reason_code().as_str(),
            Some(verdict.decision()),
            CeilingPayload::bytes(verdict, request, quota, authority)?,
        );
        draft.stat = Some(VerdictStat::Ceiling(verdict.stat()));
        verdict.record = Some(Box::new(Record { id: draft.id, receipt: None }));
        let (claimed, caller) = (request.claimed_tier(), request.caller_name());
        let signal = quota.tier.excess.then(|| self.excess_claim(&draft, claimed, quota.tier_name(), caller));
        let drafts = std::iter::once(draft).chain(signal).collect();
        Ok(Submission::new(drafts, None, answered_early))
    }

    pub(super) fn ceiling_draft(
        &self,
        quota: &AgentQuota,
        code: &'static str,
        decision: Option<Decision>,
        payload: Vec<u8>,
    ) -> Draft {
        let content = Content {
            kind: RecordType::Ceiling,
            organization: quota.organization.clone(),
            agent: Some(quota.id.clone()),
            decision: decision.map(Into::into),
            reason_code: Some(code.into()),
            policy: Some(quota.policy.hash()),
            payload,
        };
        self.draft(content, self.now())
    }
}
