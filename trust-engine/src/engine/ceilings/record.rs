//! From an outcome to a verdict and its record.

use std::borrow::Cow;

use super::super::{Content, Engine};
use super::cache::Entry;
use super::payload::CeilingPayload;
use super::verdict::{CeilingVerdict, Record};
use crate::ceiling::{AgentQuota, CeilingCode, CeilingRequest, Outcome};
use crate::clock::Moment;
use crate::error::Result;
use crate::policy::Decision;
use crate::provenance::{Counted, Draft, RecordType, Submission, Ticket};

/// A verdict, what is to be recorded of it, and the ticket that waits for that.
pub(super) type Concluded = (CeilingVerdict, Option<Submission>, Ticket);

impl Engine {
    /// The verdict and what is to be recorded of it. `given`: the caller has the verdict before it is committed.
    #[inline]
    pub(super) fn conclude<'a>(
        &self,
        entry: &Entry,
        inputs: impl FnOnce() -> Cow<'a, CeilingRequest>,
        outcome: Outcome,
        now: Moment,
        given: bool,
    ) -> Result<Concluded> {
        let mut verdict = CeilingVerdict::new(outcome, now.wall);
        let quota = &entry.quota;
        let recording = &quota.policy.document().recording.ceilings;
        let always = quota.tier.excess || verdict.code == CeilingCode::FailOpen;
        if !always && !self.is_sampled(recording.mode, recording.sample_per_thousand, verdict.allowed()) {
            // As for those that are recorded: an engine that was fenced decides by an outdated policy.
            self.0.sequencer.check_state()?;
            if entry.counts.add(entry.mark_place, verdict.count()) {
                self.state()?.sweeper.wake();
            }
            return Ok((verdict, None, Ticket::unrecorded()));
        }
        let (submission, ticket) = self.recording(quota, &inputs(), &mut verdict, given)?;
        Ok((verdict, Some(submission), ticket))
    }

    fn recording(
        &self,
        quota: &AgentQuota,
        request: &CeilingRequest,
        verdict: &mut CeilingVerdict,
        given: bool,
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
        draft.counted = Some(Counted::Ceiling(verdict.count()));
        verdict.record = Some(Box::new(Record { id: draft.id, receipt: None }));
        let (claimed, caller) = (request.claimed_tier(), request.caller_name());
        let signal = quota.tier.excess.then(|| self.excess_claim(&draft, claimed, quota.tier_name(), caller));
        let drafts = std::iter::once(draft).chain(signal).collect();
        Ok(Submission::new(drafts, None, given))
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
            decision,
            reason_code: Some(code.into()),
            policy: Some(quota.policy.hash()),
            payload,
        };
        self.draft(content, self.now())
    }
}
