//! The agents of an organization.

use napi_derive::napi;
use trust_engine::{AgentChange, NewAgent, Result};

use crate::engine::{NativeEngine, parse};
use crate::error::{Failure, closed};
use crate::input::{AgentQueryInput, organization};
use crate::output::{Value, json};

#[napi]
impl NativeEngine {
    /// JSON of the agent.
    #[napi(catch_unwind)]
    pub fn register(&self, slot: u32, org: Option<String>, agent: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let agent: NewAgent = parse("agent", &agent)?;
            let done = engine.agents().of(organization(org.as_deref())?).register(agent).await?;
            Ok(json(Ok(&*done.agent)))
        })
    }

    /// JSON of the agent.
    #[napi(catch_unwind)]
    pub fn change(&self, slot: u32, org: Option<String>, id: String, change: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let change: AgentChange = parse("change", &change)?;
            let done = engine.agents().of(organization(org.as_deref())?).change(&id, change).await?;
            Ok(json(Ok(&*done.agent)))
        })
    }

    /// JSON of the agent.
    #[napi(catch_unwind)]
    pub fn agent(&self, slot: u32, org: Option<String>, id: String) -> Option<Value> {
        self.start(slot, |engine| async move {
            let agent = engine.agents().of(organization(org.as_deref())?).get(&id).await?;
            Ok(json(Ok(&*agent)))
        })
    }

    /// JSON of the outcomes, in the places of the agents: `{agent}`, or the parts of a failure.
    #[napi(catch_unwind)]
    pub fn import_agents(&self, slot: u32, org: Option<String>, agents: Vec<String>) -> Option<Value> {
        self.start(slot, |engine| async move {
            let parsed: Vec<Result<NewAgent>> = agents.iter().map(|agent| parse("agent", agent)).collect();
            let whole = parsed.iter().filter_map(|agent| agent.as_ref().ok().cloned()).collect();
            let imported = engine.agents().of(organization(org.as_deref())?).import(whole).await;
            let mut imported = imported.into_iter();
            let lost = || Err(closed());
            let outcome = |agent: Result<NewAgent>| agent.and_then(|_| imported.next().unwrap_or_else(lost));
            let outcomes = parsed.into_iter().map(outcome).map(|outcome| match outcome {
                Ok(committed) => serde_json::json!({ "agent": &*committed.agent }),
                Err(error) => {
                    let Failure { failure, message, retryable, details } = Failure::from(&error);
                    serde_json::json!({ "failure": failure, "message": message, "retryable": retryable, "details": details })
                }
            });
            Ok(json(Ok(outcomes.collect::<Vec<_>>())))
        })
    }

    /// JSON of a page of agents.
    #[napi(catch_unwind)]
    pub fn agents(&self, slot: u32, org: Option<String>, query: AgentQueryInput) -> Option<Value> {
        self.search(slot, async move |engine| {
            let query = query.into_query()?;
            let page = engine.agents().of(organization(org.as_deref())?).list(&query).await?;
            Ok(json(Ok(serde_json::json!({ "data": page.agents, "nextPageToken": page.next }))))
        })
    }

    /// JSON of the number of agents.
    #[napi(catch_unwind)]
    pub fn count_agents(&self, slot: u32, org: Option<String>, query: AgentQueryInput) -> Option<Value> {
        self.search(slot, async move |engine| {
            let query = query.into_query()?;
            let count = engine.agents().of(organization(org.as_deref())?).count(&query).await?;
            Ok(json(Ok(count)))
        })
    }
}
