//! Finding the quota of whoever asks, and noticing when it does not hold any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::super::{Engine, at_once};
use super::cache::{Asker, Entry};
use crate::ceiling::{AgentQuota, CeilingRequest};
use crate::clock::Moment;
use crate::error::Result;
use crate::ids::{AgentId, OrganizationId};
use crate::policy::RecordingMode;

impl Engine {
    /// Whom a request is for.
    pub(super) fn asker<'a>(&self, request: &'a CeilingRequest) -> Asker<'a> {
        let claim = request.claimed_tier();
        let authority = request.caller_name().is_some_and(|caller| self.0.authorities.contains(caller));
        Asker {
            organization: request.organization_id().as_str(),
            agent: request.agent_name(),
            claim,
            asserted: authority && claim.is_some(),
        }
    }

    /// The quota that is known and still to be relied on.
    #[inline]
    pub(super) fn known(&self, asker: &Asker<'_>, now: Moment) -> Result<Option<Arc<Entry>>> {
        let entry = self.state()?.quotas.get(asker);
        Ok(entry.filter(|entry| self.is_fresh(entry, now)))
    }

    #[inline]
    pub(super) fn is_fresh(&self, entry: &Entry, now: Moment) -> bool {
        let edition = self.0.edition.load(Ordering::Acquire);
        let agents = &self.0.agents;
        entry.is_fresh(edition, agents.mark(entry.mark_place), now, || agents.is_followed(now.steady))
    }

    /// The quota of whoever asks, and the time from which it may be used.
    pub(super) async fn entry(&self, asker: &Asker<'_>) -> Result<(Arc<Entry>, Moment)> {
        let now = self.0.clock.coarse();
        if let Some(entry) = self.known(asker, now)? {
            return Ok((entry, now));
        }
        let entry = self.find(asker, now).await?;
        // Finding may have taken its time, and a lease must not be spent by an old clock.
        Ok((entry, self.0.clock.coarse()))
    }

    /// The same without waiting for another machine.
    #[inline]
    pub(super) fn entry_now(&self, asker: &Asker<'_>) -> Result<(Arc<Entry>, Moment)> {
        let now = self.0.clock.coarse();
        match self.known(asker, now)? {
            Some(entry) => Ok((entry, now)),
            None => at_once(
                self.entry(asker),
                "the agent is not cached and its store is remote; use check_ceiling",
            ),
        }
    }

    /// Reads agent and policy again, and gives the quota that follows from them.
    pub(super) async fn find(&self, asker: &Asker<'_>, now: Moment) -> Result<Arc<Entry>> {
        let state = self.state()?;
        let organization = OrganizationId::parse(asker.organization)?;
        let id = AgentId::parse(asker.agent)?;
        // Read before what they stand for, so that a change in between is noticed.
        let edition = self.0.edition.load(Ordering::Acquire);
        let mark_place = self.0.agents.mark_of(&organization, &id);
        let mark = self.0.agents.mark(mark_place);
        let policy = self.snapshot();
        let (agent, good_for) = self.agent_for(&organization, &id).await?;
        let fresh_until = now.plus(good_for).steady;
        if let Some(old) = state.quotas.get(asker) {
            let version = |agent: &Option<Arc<crate::Agent>>| agent.as_ref().map(|agent| agent.version);
            if Arc::ptr_eq(&old.quota.policy, &policy) && version(&old.quota.agent) == version(&agent) {
                old.edition.store(edition, Ordering::Relaxed);
                old.mark.store(mark, Ordering::Relaxed);
                old.fresh_until.store(fresh_until, Ordering::Relaxed);
                return Ok(old);
            }
            old.quota.drain();
        }
        let counts = state.quotas.unrecorded.of(&organization);
        let quota = AgentQuota::new(policy, organization, id, agent, asker.claim, asker.asserted);
        let mode = quota.policy.document().recording.ceilings.mode;
        let unrecorded = mode == RecordingMode::None && !quota.tier.excess;
        let entry = Arc::new(Entry {
            quota,
            mark_place,
            mark: AtomicU64::new(mark),
            edition: AtomicU64::new(edition),
            fresh_until: AtomicI64::new(fresh_until),
            counts,
            unrecorded,
        });
        state.quotas.insert(asker, Arc::clone(&entry));
        Ok(entry)
    }
}
