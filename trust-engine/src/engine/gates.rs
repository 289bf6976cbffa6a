//! Role gates: load the facts, evaluate, hand the record to the log.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use super::instance::{Content, Engine};
use super::payload::GatePayload;
use super::recorded::Recorded;
use crate::agent::Agent;
use crate::clock::new_id;
use crate::error::Result;
use crate::gate::{Evaluation, GateRequest, Subject, evaluate};
use crate::ids::AgentId;
use crate::log::{Submission, Ticket, VerdictStat};
use crate::policy::{Decision, Durability, Policy};
use crate::provenance::{Receipt, RecordType};

/// A gate's verdict and its record.
#[derive(Clone, Debug)]
pub struct Verdict {
    evaluation: Evaluation,
    id: Uuid,
    recorded: Recorded,
    receipt: Option<Receipt>,
}

impl Verdict {
    /// Id of the record.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the verdict is in the log.
    pub fn recorded(&self) -> Recorded {
        self.recorded
    }

    /// Acknowledges the record, if it is committed.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }
}

impl Deref for Verdict {
    type Target = Evaluation;

    fn deref(&self) -> &Evaluation {
        &self.evaluation
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.evaluation, f)
    }
}

impl Engine {
    /// Evaluates a gate and, unless the policy says otherwise, waits until the verdict is committed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for values out of bounds. Any other error means
    /// that there is no verdict: treat it as a denial.
    pub async fn evaluate_gate(&self, request: &GateRequest) -> Result<Verdict> {
        self.try_evaluate(request).await.map_err(|error| error.during("evaluate gate"))
    }

    async fn try_evaluate(&self, request: &GateRequest) -> Result<Verdict> {
        let id = request.check()?;
        // No decision can be given while the log cannot be written, so nobody waits for its facts.
        self.0.sequencer.check_state()?;
        let agent = self.agent(request.organization_id(), &id).await?;
        let policy = self.current_policy();
        let wait = policy.document().recording.gates.durability == Durability::Commit;
        let (mut verdict, submission, ticket) = self.judge(policy, request, id, agent, !wait)?;
        if let Some(submission) = submission {
            self.0.sequencer.submit(submission).await?;
            if wait {
                verdict.receipt = ticket.committed().await?;
                verdict.recorded = Recorded::Committed;
            }
        }
        Ok(verdict)
    }

    /// Evaluates a gate without ever waiting. The ticket waits for the record's commit; dropping it changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for values out of bounds,
    /// [`ErrorKind::WouldBlock`](crate::ErrorKind::WouldBlock) if the agent is not cached and the store is remote: it
    /// is loaded meanwhile, so a later call succeeds,
    /// [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) if the queue is full,
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) while the store cannot be written. In all of them
    /// there is no verdict: treat it as a denial.
    pub fn decide_gate(&self, request: &GateRequest) -> Result<(Verdict, Ticket)> {
        self.try_decide(request).map_err(|error| error.during("decide gate"))
    }

    fn try_decide(&self, request: &GateRequest) -> Result<(Verdict, Ticket)> {
        let id = request.check()?;
        let agent = self.agent_now(request.organization_id(), &id)?;
        let (verdict, submission, ticket) =
            self.judge(self.current_policy(), request, id.clone(), agent, true)?;
        if let Some(submission) = submission {
            self.0.sequencer.try_submit(submission)?;
        }
        Ok((verdict, ticket))
    }

    /// Gives the verdict, the submission of its record if it is to be recorded, and the ticket of that record.
    /// `answered_early`: the caller has the verdict before it is committed.
    fn judge(
        &self,
        policy: Arc<Policy>,
        request: &GateRequest,
        id: AgentId,
        agent: Option<Arc<Agent>>,
        answered_early: bool,
    ) -> Result<(Verdict, Option<Submission>, Ticket)> {
        let now = self.now();
        let agent = agent.as_deref();
        let authority = request.caller_name().filter(|caller| self.0.authorities.contains(*caller));
        // The authority is recorded only if the request asserts a tier.
        let authority = authority.filter(|_| request.claimed_tier().is_some());
        let evaluation = evaluate(&policy, &Subject::of(agent).asserted_by(authority), request, now);
        let stat = VerdictStat::Gate(evaluation.decision(), evaluation.tier().unwrap_or("unknown").into());
        let organization = request.organization_id();
        if !evaluation.excess_claim() && !self.is_recorded(&policy, evaluation.decision()) {
            // An unrecorded verdict needs this check as a recorded one does: a fenced engine decides by an outdated
            // policy.
            self.0.sequencer.check_state()?;
            self.0.sequencer.count_unrecorded(organization, now, &stat, 1);
            let id = new_id(now, &*self.0.entropy);
            let verdict = Verdict { evaluation, id, recorded: Recorded::Not, receipt: None };
            return Ok((verdict, None, Ticket::unrecorded()));
        }
        let content = Content {
            kind: RecordType::RoleGate,
            organization: organization.clone(),
            agent: Some(id),
            decision: Some(evaluation.decision().into()),
            reason_code: Some(evaluation.reason_code().as_str().into()),
            policy: Some(policy.hash()),
            payload: GatePayload::bytes(&evaluation, request, agent, authority)?,
        };
        let mut draft = self.draft(content, now);
        draft.stat = Some(stat);
        let id = draft.id;
        let (claimed, caller) = (request.claimed_tier(), request.caller_name());
        let signal =
            evaluation.excess_claim().then(|| self.excess_claim(&draft, claimed, evaluation.tier(), caller));
        let drafts = std::iter::once(draft).chain(signal).collect();
        let (submission, ticket) = Submission::new(drafts, None, answered_early);
        let verdict = Verdict { evaluation, id, recorded: Recorded::Pending, receipt: None };
        Ok((verdict, Some(submission), ticket))
    }

    fn is_recorded(&self, policy: &Policy, decision: Decision) -> bool {
        let recording = &policy.document().recording.gates;
        self.is_sampled(recording.mode, recording.sample_per_thousand, decision == Decision::Allow)
    }
}
