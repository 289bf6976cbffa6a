//! Reservations: amounts that may be needed are charged now, and the amounts that were used are told later.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::json;

use super::cache::CachedQuota;
use super::check::waits;
use super::verdict::CeilingVerdict;
use crate::ceiling::CeilingRequest;
use crate::engine::instance::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{ParentOf, Submission, Ticket};
use crate::policy::Decision;
use crate::provenance::{Parent, Receipt};
use crate::quota::{Charge, Meter};

/// Amounts that are charged and may turn out not to be needed.
///
/// Dropped without [`commit`](Self::commit) or [`void`](Self::void), they stay charged until their window has gone
/// by, as they do when the process dies.
pub struct Reservation {
    engine: Engine,
    cached: Arc<CachedQuota>,
    request: CeilingRequest,
    verdict: CeilingVerdict,
    /// `None` once it is settled.
    charge: Option<Charge<Arc<Meter>>>,
    /// Waits for the record of the reservation.
    ticket: Option<Ticket>,
}

pub(super) async fn reserve(
    engine: &Engine,
    request: &CeilingRequest,
) -> Result<(CeilingVerdict, Option<Reservation>)> {
    request.check()?;
    if request.id().is_some() {
        return Err(Error::invalid("requestId", "is not taken by reservations, which cannot be given twice"));
    }
    let (cached, outcome, charge, now) = engine.decide(request).await?;
    let wait = waits(&cached, outcome.code);
    let (mut verdict, submission, ticket) =
        engine.conclude(&cached, || Cow::Borrowed(request), outcome, now, !wait)?;
    let recorded = submission.is_some();
    if let Some(submission) = submission {
        engine.0.sequencer.submit(submission).await?;
    }
    // From here on the charge stays, even if the caller stops waiting for the commit.
    let charge = Kept(verdict.allowed().then_some(charge));
    let mut ticket = recorded.then_some(ticket);
    if wait && let Some(ticket) = ticket.take() {
        verdict.set_receipt(ticket.committed().await?);
    }
    let reservation = charge.into_inner().map(|charge| Reservation {
        engine: engine.clone(),
        cached,
        request: request.clone(),
        verdict: verdict.clone(),
        charge: Some(charge),
        ticket,
    });
    Ok((verdict, reservation))
}

/// A charge that stays when it is dropped.
struct Kept(Option<Charge<Arc<Meter>>>);

impl Kept {
    fn into_inner(mut self) -> Option<Charge<Arc<Meter>>> {
        self.0.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(charge) = self.0.take() {
            charge.keep();
        }
    }
}

impl Reservation {
    /// The verdict that it was made by.
    pub fn verdict(&self) -> &CeilingVerdict {
        &self.verdict
    }

    /// Says how much was used of each resource, in the order of the request: the rest is free again, if its window is
    /// still running. Gives the receipt of the record, if the policy records it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if an amount is missing or more than was reserved, and the errors of the log: then
    /// the reservation is as it was. [`ErrorKind::Conflict`] if it is settled already.
    pub async fn commit(&mut self, used: &[u64]) -> Result<Option<Receipt>> {
        let settled = self.settle(used, "RESERVATION_COMMITTED").await;
        settled.map_err(|error| error.during("commit reservation"))
    }

    /// Says that nothing was used.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn void(&mut self) -> Result<Option<Receipt>> {
        let used: Vec<u64> = self.request.amounts().map(|_| 0).collect();
        let settled = self.settle(&used, "RESERVATION_VOIDED").await;
        settled.map_err(|error| error.during("void reservation"))
    }

    async fn settle(&mut self, used: &[u64], code: &'static str) -> Result<Option<Receipt>> {
        if self.charge.is_none() {
            return Err(Error::new(ErrorKind::Conflict, "the reservation is settled already"));
        }
        let reserved: Vec<u64> = self.request.amounts().map(|(_, amount)| amount).collect();
        if used.len() != reserved.len() {
            let issue = format!("are {}; {} were reserved", used.len(), reserved.len());
            return Err(Error::invalid("used", issue));
        }
        if let Some((used, reserved)) = used.iter().zip(&reserved).find(|(used, reserved)| used > reserved) {
            return Err(Error::invalid("used", format!("is {used}; at most {reserved} was reserved")));
        }
        let ticket = self.record(used, code).await?;
        // The record is on its way: from here on the reservation is settled, even if the caller stops waiting.
        if let Some(charge) = self.charge.take() {
            charge.settle(used);
        }
        match ticket {
            Some(ticket) => ticket.committed().await,
            None => Ok(None),
        }
    }

    async fn record(&mut self, used: &[u64], code: &'static str) -> Result<Option<Ticket>> {
        let Some(id) = self.verdict.id() else { return Ok(None) };
        if let Some(ticket) = self.ticket.take() {
            // If the reservation's own record was lost, this one stands alone and names it.
            self.verdict.set_receipt(ticket.committed().await.ok().flatten());
        }
        let body = json!({
            "reason": "a reservation was settled",
            "reservation": id,
            "inputs": &self.request,
            "used": used,
        });
        let payload = body.to_string().into_bytes();
        let mut draft = self.engine.ceiling_draft(&self.cached.quota, code, Some(Decision::Allow), payload);
        if let Some(receipt) = self.verdict.receipt() {
            draft.parent = ParentOf::Record(Parent { id, leaf: receipt.leaf_hash() });
        }
        let (submission, ticket) = Submission::new(vec![draft], None, false);
        self.engine.0.sequencer.submit(submission).await?;
        Ok(Some(ticket))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            charge.keep();
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = self.charge.is_none();
        let mut out = f.debug_struct("Reservation");
        out.field("request", &self.request).field("settled", &settled).finish_non_exhaustive()
    }
}
