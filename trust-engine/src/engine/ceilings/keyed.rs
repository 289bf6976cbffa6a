//! Checks with a request id: a retry of an admitted one is free, in every engine of a fleet and after a restart.
//!
//! Such a check is committed before it is answered, together with the document of its admission. Of several engines that admit
//! the same request, the first commit wins; the others find the document, give their charge back and repeat its answer.
//! Nothing is looked up before that: retries are rare. A refusal by the counters is answered only after a look-up, because
//! the first try may have used the last that there was. An agent that may use nothing any more is refused, retry or not.

use super::cache::CachedQuota;
use super::payload::recorded_verdict;
use super::recent::Seen;
use super::verdict::CeilingVerdict;
use crate::ceiling::{CeilingCode, CeilingRequest};
use crate::engine::instance::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Fate;
use crate::log::recorded::{RequestName, is_current};
use crate::quota::{Charge, Outcome};
use crate::storage::{After, DocumentChange};

/// Attempts to commit while other engines admit the same request.
const ATTEMPTS: u32 = 20;

/// An admission that the store has.
enum Admission {
    /// The answer of the first try.
    Valid(CeilingVerdict),
    /// It is over; the version of its document.
    Over(u64),
}

impl Engine {
    pub(super) async fn check_keyed(
        &self,
        request: &CeilingRequest,
        request_id: &str,
    ) -> Result<CeilingVerdict> {
        let state = self.ceiling_state()?;
        state.expiry.start(self)?;
        let name = RequestName { agent_id: request.agent_name(), request_id };
        let (mut attempts, mut outdated) = (0..ATTEMPTS, None);
        loop {
            // An engine that cannot record gives no verdict, not even one that it remembers.
            self.0.sequencer.check_state()?;
            let pending = match state.recent.begin(request_id, request, self.now())? {
                Seen::Before(verdict) => return self.repeat(verdict, request).await,
                Seen::Open(decided) => {
                    // It ends when that request is admitted or given up, or when it is not known whether it is: the store is
                    // down before those who wait are woken, and who comes later sees that here.
                    self.0.sequencer.check_state()?;
                    let _ = decided.await;
                    continue;
                }
                Seen::New(pending) => pending,
            };
            let (cached, outcome, charge, now) = self.decide(request).await?;
            if !outcome.code.admits() {
                drop(charge);
                // The first try may have used the last that there was.
                if outcome.code.is_of_counters()
                    && let Some(Admission::Valid(verdict)) = self.admission(name, request).await?
                {
                    pending.admitted(request, &verdict);
                    return Ok(verdict);
                }
                return self.conclude_and_wait(request, (cached, outcome, Charge::new(), now)).await;
            }
            let mut verdict = CeilingVerdict::new(outcome, now.wall);
            let (mut submission, ticket) = self.recording(&cached.quota, request, &mut verdict, false)?;
            let id = verdict.id().unwrap_or_default();
            let document = name.admitted(request.organization_id(), verdict.evaluated_at(), id)?;
            let after = After::Document(Box::new(document));
            submission.change = Some(DocumentChange { expected: outdated, after });
            let (kept, answer) = (request.clone(), verdict.clone());
            let mut held = Some((charge, pending));
            // Whether or not the caller still waits. Dropped, because the record is certainly not in the log, it gives the
            // charge back.
            let submission = submission.on_fate(move |fate| match (fate, held.take()) {
                (Fate::Committed, Some((charge, pending))) => {
                    charge.keep();
                    pending.admitted(&kept, &answer);
                }
                (Fate::Open, Some((charge, pending))) => {
                    pending.wake();
                    held = Some((charge, pending));
                }
                // The record may be there, and a retry free.
                (Fate::Unknown, Some((charge, _))) => charge.keep(),
                (_, None) => {}
            });
            self.0.sequencer.submit(submission).await?;
            match ticket.committed().await {
                Ok(receipt) => {
                    verdict.set_receipt(receipt);
                    state.recent.acknowledge(request_id, request, &verdict);
                    return Ok(verdict);
                }
                Err(error) if error.kind() == ErrorKind::Conflict && attempts.next().is_some() => {
                    outdated = match self.admission(name, request).await? {
                        Some(Admission::Valid(verdict)) => {
                            if let Seen::New(pending) = state.recent.begin(request_id, request, self.now())? {
                                pending.admitted(request, &verdict);
                            }
                            return Ok(verdict);
                        }
                        Some(Admission::Over(version)) => Some(version),
                        None => None,
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The answer to an earlier try, unless the agent may use nothing any more.
    async fn repeat(&self, verdict: CeilingVerdict, request: &CeilingRequest) -> Result<CeilingVerdict> {
        let (cached, now) = self.quota_for(&self.key_of(request)).await?;
        match self.refusal(&cached, request)? {
            Some(code) => {
                self.conclude_and_wait(request, (cached, Outcome::new(code), Charge::new(), now)).await
            }
            None => Ok(self.with_receipt(verdict.again(), request).await),
        }
    }

    /// The reason why the agent may not use what it asks for, whatever the counters say.
    pub(super) fn refusal(
        &self,
        cached: &CachedQuota,
        request: &CeilingRequest,
    ) -> Result<Option<CeilingCode>> {
        let pool = &self.ceiling_state()?.quotas.pool;
        Ok(request.amounts().find_map(|(resource, _)| cached.quota.limits(resource, pool).err()))
    }

    /// The admission of a request in the store.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the id was used for a request with other content.
    async fn admission(&self, name: RequestName<'_>, request: &CeilingRequest) -> Result<Option<Admission>> {
        let organization = request.organization_id();
        let Some(document) = self.0.store.document(&name.key(organization)).await? else { return Ok(None) };
        if !is_current(document.created, self.now()) {
            return Ok(Some(Admission::Over(document.version)));
        }
        let record = self.log().of(organization.clone()).get(document.record).await?;
        let (first, verdict) = recorded_verdict(&record)?;
        if !first.is_retried_as(request) {
            let issue = format!("requestId {:?} was used for a request with other content", name.request_id);
            return Err(Error::new(ErrorKind::Conflict, issue).with("requestId", name.request_id));
        }
        Ok(Some(Admission::Valid(verdict)))
    }
}
