//! Agents of one organization, and the cache that decisions read them from.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use quick_cache::sync::Cache as QuickCache;
use serde_json::json;

use super::{Content, Engine};
use crate::agent::{Agent, AgentChange, NewAgent};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::provenance::{Receipt, RecordType};
use crate::storage::StateChange;

/// Longest time that a decision may rest on an agent's cached state where others may change it, if nobody looked for
/// changes meanwhile. Changes made through the same engine are seen at once.
const MAX_AGE_SHARED: Duration = Duration::from_secs(1);
/// The same for a store that nobody else can write to.
const MAX_AGE_OWN: Duration = Duration::from_secs(3600);

/// An agent as it was committed, and the receipt of the record that says so.
#[derive(Clone, Debug)]
pub struct AgentReceipt {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Acknowledges the record of the change.
    pub receipt: Receipt,
}

/// The agents of one organization.
#[derive(Clone, Debug)]
pub struct Agents<'a> {
    engine: &'a Engine,
    organization: OrganizationId,
}

impl<'a> Agents<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, organization: OrganizationId::default() }
    }

    /// The agents of another organization.
    #[must_use]
    pub fn of(mut self, organization: OrganizationId) -> Self {
        self.organization = organization;
        self
    }

    /// Registers an agent; committed, with its record, when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the id is registered already, [`ErrorKind::InvalidInput`] for values out of bounds or
    /// a tier that the policy does not know.
    pub async fn register(&self, agent: NewAgent) -> Result<AgentReceipt> {
        self.try_register(agent).await.map_err(|error| error.during("register agent"))
    }

    async fn try_register(&self, agent: NewAgent) -> Result<AgentReceipt> {
        let policy = self.engine.snapshot();
        let actor = agent.actor()?;
        let mut agent = agent.check(&self.organization, &policy, self.engine.now())?;
        agent.family = self.family(&agent).await?;
        let taken = || {
            let issue = format!("agent {} is registered already in {}", agent.id, self.organization);
            Error::new(ErrorKind::Conflict, issue).with("agentId", &agent.id)
        };
        if self.engine.0.store.agent(&self.organization, &agent.id).await?.is_some() {
            return Err(taken());
        }
        let result = self.commit(None, agent.clone(), "REGISTERED", actor.as_deref(), None).await;
        result.map_err(|error| if error.kind() == ErrorKind::Conflict { taken() } else { error })
    }

    /// The root of the family that a new agent joins.
    async fn family(&self, agent: &Agent) -> Result<Option<AgentId>> {
        let root = |ancestor: &Agent| ancestor.family.clone().unwrap_or_else(|| ancestor.id.clone());
        if let Some(parent) = &agent.parent {
            let found = self.engine.agent(&self.organization, parent).await?;
            let issue = || format!("{parent} is not registered in {}", self.organization);
            return found.map(|parent| Some(root(&parent))).ok_or_else(|| Error::invalid("parent", issue()));
        }
        // A creator may be anyone; only an agent is an ancestor, and none is its own.
        let creator = agent.creator.as_deref().and_then(|creator| AgentId::parse(creator).ok());
        match creator.filter(|creator| *creator != agent.id) {
            Some(creator) => {
                Ok(self.engine.agent(&self.organization, &creator).await?.map(|found| root(&found)))
            }
            None => Ok(None),
        }
    }

    /// Reads an agent.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not registered in this organization.
    pub async fn get(&self, id: &str) -> Result<Arc<Agent>> {
        let id = AgentId::parse(id)?;
        let found = self.engine.agent(&self.organization, &id).await?;
        found.ok_or_else(|| self.not_found(&id).during("get agent"))
    }

    /// Agents in the order of their ids, after `after`, at most `limit` (1 to 1,000).
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Agent>> {
        if !(1..=1000).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; it must be 1 to 1000")));
        }
        let after = after.map(AgentId::parse).transpose()?;
        self.engine.0.store.agents(&self.organization, after.as_ref(), limit).await
    }

    /// Changes an agent; committed, with its record, when this returns, and seen by every later decision.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the agent is not at the version that the change was made for, or was changed at the
    /// same time; [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`].
    pub async fn change(&self, id: &str, change: AgentChange) -> Result<AgentReceipt> {
        self.try_change(id, change).await.map_err(|error| error.during("change agent"))
    }

    async fn try_change(&self, id: &str, change: AgentChange) -> Result<AgentReceipt> {
        let id = AgentId::parse(id)?;
        let stored = self.engine.0.store.agent(&self.organization, &id).await?;
        let before = stored.ok_or_else(|| self.not_found(&id))?;
        let after = change.apply(&before, &self.engine.snapshot(), self.engine.now())?;
        self.commit(Some(before), after, "CHANGED", change.actor(), change.reason_text()).await
    }

    async fn commit(
        &self,
        before: Option<Agent>,
        after: Agent,
        code: &'static str,
        actor: Option<&str>,
        reason: Option<&str>,
    ) -> Result<AgentReceipt> {
        let body = json!({ "reason": reason, "actor": actor, "before": before, "after": after });
        let content = Content {
            kind: RecordType::Agent,
            organization: self.organization.clone(),
            agent: Some(after.id.clone()),
            decision: None,
            reason_code: Some(code.into()),
            policy: Some(self.engine.snapshot().hash()),
            payload: body.to_string().into_bytes(),
        };
        let draft = self.engine.draft(content, self.engine.now());
        let expected = before.map(|before| before.version);
        let change = StateChange::Agent { expected, agent: Box::new(after.clone()) };
        let agent = Arc::new(after);
        let (cache, changed) = (Arc::clone(&self.engine.0.agents), Arc::clone(&agent));
        // The next decision reads it back.
        let landed = move || cache.forget(&changed.organization, &changed.id);
        let receipt = self.engine.commit(draft, change, landed).await?;
        Ok(AgentReceipt { agent, receipt })
    }

    fn not_found(&self, id: &AgentId) -> Error {
        Error::new(ErrorKind::NotFound, format!("agent {id} is not registered in {}", self.organization))
    }
}

impl Engine {
    /// An agent, as fresh as decisions need it.
    pub(super) async fn agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
    ) -> Result<Option<Arc<Agent>>> {
        Ok(self.agent_for(organization, id).await?.0)
    }

    /// An agent, and how long a decision may rest on what is known of it.
    pub(super) async fn agent_for(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
    ) -> Result<(Option<Arc<Agent>>, Duration)> {
        let cache = &self.0.agents;
        let now = self.0.clock.coarse().steady;
        if let Some(known) = cache.fresh(organization, id, now) {
            let good_for = known.good_until.saturating_sub(now).max(0);
            return Ok((known.agent, Duration::from_micros(good_for.unsigned_abs())));
        }
        let seen = cache.changes();
        let agent = self.0.store.agent(organization, id).await?.map(Arc::new);
        cache.loaded(organization, id, agent.clone(), now, seen);
        Ok((agent, cache.max_age))
    }
}

type Key = (OrganizationId, AgentId);

/// Agents that decisions asked for lately, also those that are not registered.
pub(super) struct Cache {
    known: QuickCache<Key, Known>,
    max_age: Duration,
    /// Until then nothing that is known has changed for longer than decisions may rest on it, because someone looked.
    followed_until: AtomicI64,
    /// Counts committed changes. Held while the cache is written, so that a state that was read before a change can
    /// not come in after it.
    changes: Mutex<u64>,
    /// Count changes too, of a part of the agents each, for whoever keeps what follows from an agent's state.
    marks: [AtomicU64; MARKS],
    hasher: RandomState,
}

const MARKS: usize = 256;

#[derive(Clone)]
struct Known {
    agent: Option<Arc<Agent>>,
    /// In microseconds of the steady clock, as everything here.
    good_until: i64,
}

impl Cache {
    /// `shared`: whether others may change agents too.
    pub(super) fn new(capacity: usize, shared: bool) -> Self {
        let max_age = if shared { MAX_AGE_SHARED } else { MAX_AGE_OWN };
        let marks = [const { AtomicU64::new(0) }; MARKS];
        Self {
            known: QuickCache::new(capacity),
            max_age,
            followed_until: AtomicI64::new(i64::MIN),
            changes: Mutex::new(0),
            marks,
            hasher: RandomState::default(),
        }
    }

    /// Which mark an agent's changes move.
    pub(super) fn mark_of(&self, organization: &OrganizationId, id: &AgentId) -> usize {
        self.hasher.hash_one((organization, id)) as usize % MARKS
    }

    /// Differs from an earlier reading if the agent may have changed since.
    pub(super) fn mark(&self, place: usize) -> u64 {
        self.marks.get(place).map_or(0, |mark| mark.load(Ordering::Acquire))
    }

    fn fresh(&self, organization: &OrganizationId, id: &AgentId, now: i64) -> Option<Known> {
        let known = self.known.get(&(organization.clone(), id.clone()))?;
        (now < known.good_until || self.is_followed(now)).then_some(known)
    }

    /// Everything that others changed before `looked` has been forgotten.
    pub(super) fn followed(&self, looked: i64) {
        let until = looked.saturating_add(self.max_age.as_micros() as i64);
        self.followed_until.fetch_max(until, Ordering::Release);
    }

    /// Whether what is known need not be read again, however old it is.
    #[inline]
    pub(super) fn is_followed(&self, now: i64) -> bool {
        now < self.followed_until.load(Ordering::Acquire)
    }

    fn changes(&self) -> u64 {
        *self.changes.lock()
    }

    fn loaded(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        agent: Option<Arc<Agent>>,
        now: i64,
        seen: u64,
    ) {
        let good_until = now.saturating_add(self.max_age.as_micros() as i64);
        let changes = self.changes.lock();
        if *changes == seen {
            self.known.insert((organization.clone(), id.clone()), Known { agent, good_until });
        }
    }

    /// Lets every agent be read again.
    pub(super) fn forget_all(&self) {
        let mut changes = self.changes.lock();
        *changes += 1;
        self.known.clear();
        for mark in &self.marks {
            mark.fetch_add(1, Ordering::Release);
        }
    }

    /// Lets an agent be read again.
    pub(super) fn forget(&self, organization: &OrganizationId, id: &AgentId) {
        let mut changes = self.changes.lock();
        *changes += 1;
        self.known.remove(&(organization.clone(), id.clone()));
        if let Some(mark) = self.marks.get(self.mark_of(organization, id)) {
            mark.fetch_add(1, Ordering::Release);
        }
    }
}
