//! A handle on one agent's quota, which looks the quota up once, and again only when it is not fresh any more.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::cache::{CachedQuota, QuotaKeyRef};
use super::verdict::CeilingVerdict;
use crate::ceiling::{CeilingRequest, check_amount, check_resource};
use crate::clock::Moment;
use crate::engine::instance::Engine;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};

/// An agent's quota. It follows every change of the agent and of the policy.
///
/// ```
/// use trust_engine::{NewAgent, Options, blocking::Engine};
///
/// let engine = Engine::open(Options::memory())?;
/// engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED"))?;
/// let quota = engine.quota("agent_001")?;
/// assert!(quota.try_take("API_CALLS", 1)?.allowed());
/// # Ok::<(), trust_engine::Error>(())
/// ```
pub struct Quota {
    engine: Engine,
    organization: OrganizationId,
    agent: AgentId,
    /// The quota that was found first, for as long as it is fresh: it is quicker to reach than `later`.
    first: Arc<CachedQuota>,
    /// The quota that was found last, once the first one is not fresh any more.
    later: ArcSwap<CachedQuota>,
}

impl Quota {
    pub(super) fn open(engine: &Engine, organization: &OrganizationId, agent: &str) -> Result<Self> {
        let (organization, agent) = (organization.clone(), AgentId::parse(agent)?);
        let (cached, _) = engine.quota_now(&QuotaKeyRef::holder(&organization, agent.as_str()))?;
        let later = ArcSwap::new(Arc::clone(&cached));
        Ok(Self { engine: engine.clone(), organization, agent, first: cached, later })
    }

    /// Checks an amount at the agent's held tier and charges it, as [`check_ceiling_now`](Engine::check_ceiling_now)
    /// does. If the policy records the verdict, its record is on its way into the log.
    ///
    /// # Errors
    /// As [`check_ceiling_now`](Engine::check_ceiling_now).
    pub fn try_take(&self, resource: &str, amount: u64) -> Result<CeilingVerdict> {
        self.take(resource, amount).map_err(|error| error.during("check ceiling"))
    }

    #[inline]
    fn take(&self, resource: &str, amount: u64) -> Result<CeilingVerdict> {
        check_amount(amount)?;
        let now = self.engine.0.clock.coarse();
        if self.engine.is_fresh(&self.first, now) {
            return self.engine.take_from(&self.first, resource, amount, now);
        }
        let later = self.later.load();
        if self.engine.is_fresh(&later, now) {
            return self.engine.take_from(&later, resource, amount, now);
        }
        let key = QuotaKeyRef::holder(&self.organization, self.agent.as_str());
        let (cached, now) = self.engine.quota_now(&key)?;
        self.later.store(Arc::clone(&cached));
        self.engine.take_from(&cached, resource, amount, now)
    }
}

impl Engine {
    /// Takes from the quota of an agent's held tier.
    pub(super) fn take(
        &self,
        organization: &OrganizationId,
        agent: &str,
        resource: &str,
        amount: u64,
    ) -> Result<CeilingVerdict> {
        check_amount(amount)?;
        // The ids need no check here: those of a cached quota were checked when it was found.
        let (cached, now) = self.quota_now(&QuotaKeyRef::holder(organization, agent))?;
        self.take_from(&cached, resource, amount, now)
    }

    #[inline(always)]
    fn take_from(
        &self,
        cached: &CachedQuota,
        resource: &str,
        amount: u64,
        now: Moment,
    ) -> Result<CeilingVerdict> {
        if let Some(measure) = self.take_fast(cached, resource, amount, now)? {
            return Ok(CeilingVerdict::admitted(amount, measure, now.wall));
        }
        let inputs = || {
            let request = CeilingRequest::new(cached.quota.id.as_str(), resource, amount);
            Cow::Owned(request.organization(cached.quota.organization.clone()))
        };
        check_resource(resource)?;
        Ok(self.check_quota(cached, std::iter::once((resource, amount)), inputs, now)?.0)
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (organization, agent) = (&self.organization, &self.agent);
        f.debug_struct("Quota")
            .field("organization", organization)
            .field("agent", agent)
            .finish_non_exhaustive()
    }
}
