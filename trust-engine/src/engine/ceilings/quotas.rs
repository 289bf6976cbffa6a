//! The quotas of one organization's agents, as callers see them.

use super::find::CeilingUsage;
use super::handle::Quota;
use super::reservation::{Reservation, reserve};
use super::verdict::CeilingVerdict;
use crate::ceiling::CeilingRequest;
use crate::engine::instance::Engine;
use crate::error::Result;
use crate::ids::{DEFAULT_ORGANIZATION, OrganizationId};
use crate::provenance::Receipt;

/// The quotas of one organization's agents: usage, reservations, handles.
#[derive(Clone, Debug)]
pub struct Quotas<'a> {
    engine: &'a Engine,
    /// `None`: the organization `default`.
    organization: Option<OrganizationId>,
}

impl Engine {
    /// A handle on the quota of an agent of the organization `default`, for callers that check it often.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for the id;
    /// [`ErrorKind::WouldBlock`](crate::ErrorKind::WouldBlock) if the agent is not cached and the store is remote: it is
    /// loaded meanwhile.
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        self.quotas().quota(agent)
    }

    /// Usage, reservations and quotas of the organization `default`; [`Quotas::of`] for others.
    pub fn quotas(&self) -> Quotas<'_> {
        Quotas { engine: self, organization: None }
    }
}

impl Quotas<'_> {
    /// The quotas of another organization.
    #[must_use]
    pub fn of(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Whether a check would be admitted now. Charges and records nothing; rates are not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput);
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the counters cannot be read.
    pub async fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        self.engine.peek(request).await.map_err(|error| error.during("peek at ceiling"))
    }

    /// Charges amounts that are not certain yet. The reservation says later how much was used; if it is dropped without
    /// that, everything counts as used. `None` if the check was refused.
    ///
    /// # Errors
    /// As [`Engine::check_ceiling`]; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a request with
    /// an id, which reservations do not take.
    pub async fn reserve(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Option<Reservation>)> {
        reserve(self.engine, request).await.map_err(|error| error.during("reserve"))
    }

    /// The usage of an agent, for every resource that its held tier has a ceiling for, each level by itself.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput);
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the counters cannot be read.
    pub async fn usage(&self, agent: &str) -> Result<Vec<CeilingUsage>> {
        self.engine.usage(self.organization(), agent).await.map_err(|error| error.during("ceiling usage"))
    }

    /// Brings the counters of an agent and a resource that are ahead of the clock, because it was once set ahead, back to it,
    /// at every level; they refuse with [`ClockSetBack`](crate::CeilingCode::ClockSetBack) until then. What they have charged
    /// counts in the window that is running, so nothing is granted twice. Recorded in the name of `actor`; gives the counters
    /// that were brought back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), also if no counter is ahead;
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if somebody else has brought them back meanwhile;
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the counters cannot be reached.
    pub async fn reset(
        &self,
        agent: &str,
        resource: &str,
        actor: &str,
    ) -> Result<(Vec<CeilingUsage>, Receipt)> {
        let reset = self.engine.reset_ceiling(self.organization(), agent, resource, actor).await;
        reset.map_err(|error| error.during("reset ceiling"))
    }

    /// A handle on one agent's quota, for callers that check it often.
    ///
    /// # Errors
    /// As [`Engine::quota`].
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        Quota::open(self.engine, self.organization(), agent).map_err(|error| error.during("quota"))
    }

    /// Checks an amount of one resource at the agent's held tier and charges it, as
    /// [`check_ceiling_now`](Engine::check_ceiling_now) does, without building a request. If the policy records the
    /// verdict, its record is on its way into the log.
    ///
    /// # Errors
    /// As [`check_ceiling_now`](Engine::check_ceiling_now).
    pub fn try_take(&self, agent: &str, resource: &str, amount: u64) -> Result<CeilingVerdict> {
        let taken = self.engine.take(self.organization(), agent, resource, amount);
        taken.map_err(|error| error.during("check ceiling"))
    }

    fn organization(&self) -> &OrganizationId {
        self.organization.as_ref().unwrap_or(&DEFAULT_ORGANIZATION)
    }
}
