//! The agents of one organization.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::agent_query::{AgentPage, AgentQuery};
use super::instance::{Content, Engine, acknowledged, at_once};
use crate::agent::{Agent, AgentChange, NewAgent};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::log::Ticket;
use crate::log::recorded::{agent_document, agent_key};
use crate::provenance::{Receipt, RecordType};
use crate::storage::{After, Document, DocumentChange, MAX_COUNT};

/// An agent as it was committed, and the receipt of the record that says so.
#[derive(Clone, Debug)]
pub struct AgentReceipt {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Acknowledges the record of the change.
    pub receipt: Receipt,
}

/// The outcomes of an import by the places of the agents; in the end each place has one.
type Outcomes = BTreeMap<usize, Result<AgentReceipt>>;

/// Most registrations of an import that wait for their commit at once.
const MAX_UNDER_WAY: usize = 1024;

/// The agents of one organization.
#[derive(Clone, Debug)]
pub struct Agents<'a> {
    engine: &'a Engine,
    organization: OrganizationId,
}

impl Engine {
    /// Agents of the organization `default`; [`Agents::of`] for others.
    pub fn agents(&self) -> Agents<'_> {
        Agents { engine: self, organization: OrganizationId::default() }
    }
}

impl Agents<'_> {
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
        let (agent, actor) = self.prepare(agent).await?;
        if self.engine.read_agent(&self.organization, &agent.id).await?.is_some() {
            return Err(self.taken(&agent.id));
        }
        let id = agent.id.clone();
        let result = self.commit(None, agent, "REGISTERED", actor.as_deref(), None).await;
        result.map_err(|error| if error.kind() == ErrorKind::Conflict { self.taken(&id) } else { error })
    }

    /// Registers many agents, as fast as they can be committed together, and gives the outcome of each in its place.
    /// Agents may have parents and creators that stand before them. Each is a record and a commit of its own: an agent
    /// that is refused costs no other, and an import that was cut off is simply repeated, as those that are there are
    /// refused with [`ErrorKind::Conflict`].
    pub async fn import(&self, agents: Vec<NewAgent>) -> Vec<Result<AgentReceipt>> {
        let (mut outcomes, mut under_way) = (Outcomes::new(), Vec::new());
        let mut names: HashSet<String> = HashSet::new();
        for (place, agent) in agents.into_iter().enumerate() {
            // The family of an agent is known once its ancestors are committed.
            if under_way.len() >= MAX_UNDER_WAY || agent.ancestors().any(|name| names.contains(name)) {
                self.settle(&mut under_way, &mut outcomes).await;
                names.clear();
            }
            let begun = async {
                let (agent, actor) = self.prepare(agent).await?;
                self.begin(None, agent, "REGISTERED", actor.as_deref(), None).await
            };
            match begun.await {
                Ok((agent, ticket)) => {
                    names.insert(agent.id.as_str().to_owned());
                    under_way.push((place, agent, ticket));
                }
                Err(error) => {
                    outcomes.insert(place, Err(error));
                }
            }
        }
        self.settle(&mut under_way, &mut outcomes).await;
        outcomes.into_values().map(|outcome| outcome.map_err(|error| error.during("import agents"))).collect()
    }

    /// Waits for the commits that are under way.
    async fn settle(&self, under_way: &mut Vec<(usize, Arc<Agent>, Ticket)>, outcomes: &mut Outcomes) {
        for (place, agent, ticket) in under_way.drain(..) {
            let outcome = match acknowledged(ticket).await {
                Ok(receipt) => Ok(AgentReceipt { agent, receipt }),
                Err(error) if error.kind() == ErrorKind::Conflict => Err(self.taken(&agent.id)),
                Err(error) => Err(error),
            };
            outcomes.insert(place, outcome);
        }
    }

    /// Checks an agent to register, and gives it its family; beside it the actor.
    async fn prepare(&self, agent: NewAgent) -> Result<(Agent, Option<String>)> {
        let actor = agent.actor()?;
        let mut agent = agent.check(&self.organization, &self.engine.current_policy(), self.engine.now())?;
        agent.family = self.family(&agent).await?;
        Ok((agent, actor))
    }

    fn taken(&self, id: &AgentId) -> Error {
        let issue = format!("agent {id} is registered already in {}", self.organization);
        Error::new(ErrorKind::Conflict, issue).with("agentId", id)
    }

    /// The root of the family that a new agent joins.
    async fn family(&self, agent: &Agent) -> Result<Option<AgentId>> {
        let root = |ancestor: &Agent| ancestor.family.clone().unwrap_or_else(|| ancestor.id.clone());
        if let Some(parent) = &agent.parent {
            let found = self.engine.agent(&self.organization, parent).await?;
            let issue = || format!("{parent} is not registered in {}", self.organization);
            return found.map(|parent| Some(root(&parent))).ok_or_else(|| Error::invalid("parent", issue()));
        }
        // A creator may be any person or program; only an agent is an ancestor, and no agent is its own.
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
        let id = AgentId::recorded(id)?;
        let found = self.engine.agent(&self.organization, &id).await?;
        found.ok_or_else(|| self.not_found(&id).during("get agent"))
    }

    /// A page of the agents of a query, in the order of their registration.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for values out of bounds or the cursor of another query.
    pub async fn list(&self, query: &AgentQuery) -> Result<AgentPage> {
        self.try_list(query).await.map_err(|error| error.during("list agents"))
    }

    async fn try_list(&self, query: &AgentQuery) -> Result<AgentPage> {
        let (filter, after) = query.check(&self.organization)?;
        let store = &self.engine.0.store;
        // One more than asked for tells whether there is another page.
        let mut page = store.documents(&filter, after.as_ref(), query.page_size() + 1).await?;
        if page.documents.len() > query.page_size() {
            page.documents.truncate(query.page_size());
            page.rest = page.documents.last().map(Document::place);
        }
        let agents = page.documents.iter().map(agent_of).collect::<Result<Vec<Agent>>>()?;
        let next = page.rest.map(|place| AgentQuery::cursor(&filter, &place)).transpose()?;
        Ok(AgentPage { agents, next })
    }

    /// The number of agents of a query, exact up to 10,000; more are 10,000.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn count(&self, query: &AgentQuery) -> Result<u64> {
        let counted = async {
            let (filter, _) = query.check(&self.organization)?;
            self.engine.0.store.count_documents(&filter, MAX_COUNT).await
        };
        counted.await.map_err(|error: Error| error.during("count agents"))
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
        let id = AgentId::recorded(id)?;
        let stored = self.engine.read_agent(&self.organization, &id).await?;
        let before = stored.ok_or_else(|| self.not_found(&id))?;
        let after = change.apply(&before, &self.engine.current_policy(), self.engine.now())?;
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
        let (agent, ticket) = self.begin(before, after, code, actor, reason).await?;
        Ok(AgentReceipt { agent, receipt: acknowledged(ticket).await? })
    }

    /// Hands a change over; the ticket waits for its commit.
    async fn begin(
        &self,
        before: Option<Agent>,
        after: Agent,
        code: &'static str,
        actor: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(Arc<Agent>, Ticket)> {
        let body = json!({ "reason": reason, "actor": actor, "before": before, "after": after });
        let content = Content {
            kind: RecordType::Agent,
            organization: self.organization.clone(),
            agent: Some(after.id.clone()),
            decision: None,
            reason_code: Some(code.into()),
            policy: Some(self.engine.current_policy().hash()),
            payload: body.to_string().into_bytes(),
        };
        let draft = self.engine.draft(content, self.engine.now());
        let expected = before.map(|before| before.version);
        let document = agent_document(&after, draft.id)?;
        let change = DocumentChange { expected, after: After::Document(Box::new(document)) };
        let agent = Arc::new(after);
        let (cache, changed) = (Arc::clone(&self.engine.0.agents), Arc::clone(&agent));
        // The next decision reads the agent back from the store.
        let forget = move || cache.forget(&changed.organization, &changed.id);
        let ticket = self.engine.begin(draft, change, None, forget).await?;
        Ok((agent, ticket))
    }

    fn not_found(&self, id: &AgentId) -> Error {
        Error::new(ErrorKind::NotFound, format!("agent {id} is not registered in {}", self.organization))
    }
}

/// Reads an agent from its document.
fn agent_of(document: &Document) -> Result<Agent> {
    serde_json::from_str(&document.body).map_err(|error| {
        let issue = format!("the stored {} cannot be read: {error}", document.key);
        Error::new(ErrorKind::Corrupt, issue).caused_by(error)
    })
}

impl Engine {
    /// An agent as the store has it now.
    async fn read_agent(&self, organization: &OrganizationId, id: &AgentId) -> Result<Option<Agent>> {
        let document = self.0.store.document(&agent_key(organization, id)).await?;
        document.as_ref().map(agent_of).transpose()
    }

    /// An agent, in a state that is fresh enough for decisions.
    pub(super) async fn agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
    ) -> Result<Option<Arc<Agent>>> {
        Ok(self.agent_for(organization, id).await?.0)
    }

    /// An agent, and the time for which a decision may rest on it.
    pub(super) async fn agent_for(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
    ) -> Result<(Option<Arc<Agent>>, Duration)> {
        let now = self.0.clock.coarse().steady;
        if let Some(known) = self.0.agents.fresh(organization, id, now) {
            let good_for = known.good_until.saturating_sub(now).max(0);
            return Ok((known.agent, Duration::from_micros(good_for.unsigned_abs())));
        }
        Ok((self.load_agent(organization, id, now).await?, self.0.agents.max_age))
    }

    /// An agent, in a state that is fresh enough for decisions, without waiting for another machine. Where the store has
    /// to be waited for, the agent is loaded meanwhile, for the next call.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if the store has to be waited for; those of the store.
    pub(super) fn agent_now(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
    ) -> Result<Option<Arc<Agent>>> {
        let now = self.0.clock.coarse().steady;
        match self.0.agents.fresh(organization, id, now) {
            Some(known) => Ok(known.agent),
            // A store of this process answers in place.
            None if !self.0.store.is_shared() => at_once(
                self.load_agent(organization, id, now),
                "the agent is not cached; use the waiting call",
            ),
            None => {
                // No decision can be given while the log cannot be written, so nobody waits for its facts.
                self.0.sequencer.check_state()?;
                let load = self.load_agent(organization, id, now);
                let cached = || self.0.agents.fresh(organization, id, now).map(|known| known.agent);
                self.0.loads.at_once((organization.clone(), id.clone()), cached, load)
            }
        }
    }

    /// Reads an agent and caches it.
    fn load_agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        now: i64,
    ) -> impl Future<Output = Result<Option<Arc<Agent>>>> + Send + use<> {
        let (cache, store) = (Arc::clone(&self.0.agents), Arc::clone(&self.0.store));
        let (organization, id) = (organization.clone(), id.clone());
        // This is read before the agent, so that a change in between keeps the older state out of the cache.
        let seen = cache.generation(cache.part_of(&organization, &id));
        async move {
            let document = store.document(&agent_key(&organization, &id)).await?;
            let agent = document.as_ref().map(agent_of).transpose()?.map(Arc::new);
            cache.loaded(&organization, &id, agent.clone(), now, seen);
            Ok(agent)
        }
    }
}
