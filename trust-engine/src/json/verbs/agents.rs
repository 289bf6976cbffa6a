//! Agents: lists, reads, registrations and changes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::agent::{Agent, AgentChange, AgentStatus, Creation, NewAgent};
use crate::engine::{AgentQuery, Agents};
use crate::error::{Error, ErrorKind, Result};
use crate::json::answer::Answer;
use crate::json::body;
use crate::json::calls::JsonCalls;
use crate::json::error::ErrorBody;
use crate::json::parameters::Values;
use crate::json::read;

/// Most agents of one import.
const MAX_IMPORTED: usize = 10_000;

/// A page of agents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AgentPage")]
#[serde(rename_all = "camelCase")]
pub(in crate::json) struct PageAnswer<'a> {
    data: &'a [Agent],
    next_page_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

pub(in crate::json) async fn list(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let (agents, mut query) = (of(&calls), query_of(&values)?);
    let total = if values.flag("total") { total(&agents, &query).await? } else { None };
    if let Some(size) = values.whole("pageSize") {
        query = query.limit(usize::try_from(size).unwrap_or(usize::MAX));
    }
    if let Some(token) = values.text("pageToken") {
        query = query.after(token);
    }
    let page = agents.list(&query).await?;
    Ok(Answer::new(200, &PageAnswer { data: &page.agents, next_page_token: page.next, total }))
}

/// The number of agents; `None` where counting them would take too long.
async fn total(agents: &Agents<'_>, query: &AgentQuery) -> Result<Option<u64>> {
    match agents.count(query).await {
        Err(error) if error.field() == Some("tags") => Ok(None),
        counted => counted.map(Some),
    }
}

pub(in crate::json) async fn count(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    Ok(Answer::new(200, &of(&calls).count(&query_of(&values)?).await?))
}

pub(in crate::json) async fn get(calls: JsonCalls<'_>, values: Values, _: &[u8]) -> Result<Answer> {
    let agent = of(&calls).get(values.required("agentId")?).await?;
    Ok(tagged(200, &agent))
}

pub(in crate::json) async fn register(calls: JsonCalls<'_>, _: Values, text: &[u8]) -> Result<Answer> {
    let agent = by_caller(&calls, body::read::<NewAgent>(text)?)?;
    Ok(tagged(201, &of(&calls).register(agent).await?.agent))
}

pub(in crate::json) async fn change(calls: JsonCalls<'_>, values: Values, text: &[u8]) -> Result<Answer> {
    let mut change: AgentChange = body::read(text)?;
    if let Some(name) = &calls.caller.name {
        change = change.changed_by(name.as_str());
    }
    Ok(tagged(200, &of(&calls).change(values.required("agentId")?, change).await?.agent))
}

/// The fields that a PUT may set. An absent field stays as it is, or has the default of a new agent.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "AgentBody")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::json) struct PutBody {
    #[serde(default, deserialize_with = "given")]
    tier: Option<String>,
    #[serde(default, deserialize_with = "given")]
    score: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    status: Option<AgentStatus>,
    #[serde(default, deserialize_with = "given")]
    attestations: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    creation: Option<Creation>,
    #[serde(default, deserialize_with = "given")]
    parent: Option<String>,
    #[serde(default, deserialize_with = "given")]
    version: Option<u64>,
}

/// A field that is there has a value: `null` would be taken for a field that is not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Registers an agent, or changes the one that is registered. `version` or `If-Match` says which one has to be there.
pub(in crate::json) async fn put(calls: JsonCalls<'_>, values: Values, text: &[u8]) -> Result<Answer> {
    let (agents, id) = (of(&calls), values.required("agentId")?);
    let body: PutBody = body::read(text)?;
    let expected = expected(calls.if_match, body.version)?;
    match (agents.get(id).await, expected) {
        (Ok(known), expected) => {
            let change = body.into_change(&calls, &known, expected)?;
            Ok(tagged(200, &agents.change(id, change).await?.agent))
        }
        (Err(error), Expected::Any) if error.kind() == ErrorKind::NotFound => {
            let agent = by_caller(&calls, body.into_new(id))?;
            Ok(tagged(201, &agents.register(agent).await?.agent))
        }
        (Err(error), _) if error.kind() == ErrorKind::NotFound => {
            let id = read::shown(id, read::MAX_TOLD_BYTES);
            Err(Error::new(ErrorKind::Conflict, format!("agent {id} is not registered")).with("agentId", id))
        }
        (Err(error), _) => Err(error),
    }
}

/// The agent that has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Any,
    /// `*`: whichever there is.
    Known,
    Version(u64),
}

fn expected(if_match: Option<&str>, version: Option<u64>) -> Result<Expected> {
    let of_body = version.map_or(Expected::Any, Expected::Version);
    let Some(header) = if_match else { return Ok(of_body) };
    if header == "*" {
        return Ok(if of_body == Expected::Any { Expected::Known } else { of_body });
    }
    let digits = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(header);
    let plain = digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seen = digits.parse().ok().filter(|_| plain);
    let seen =
        seen.ok_or_else(|| Error::invalid("If-Match", "must be the version of the agent, as ETag has it"))?;
    match version {
        Some(version) if version != seen => {
            Err(Error::invalid("version", "is another one than If-Match has"))
        }
        _ => Ok(Expected::Version(seen)),
    }
}

impl PutBody {
    fn into_new(self, id: &str) -> NewAgent {
        let mut agent = NewAgent::new(id);
        if let Some(tier) = self.tier {
            agent = agent.tier(tier);
        }
        if let Some(score) = self.score {
            agent = agent.score(score);
        }
        if let Some(status) = self.status {
            agent = agent.status(status);
        }
        for attestation in self.attestations.into_iter().flatten() {
            agent = agent.attestation(attestation);
        }
        let creation = self.creation.unwrap_or_default();
        match self.parent {
            Some(parent) => agent.made_from(parent, creation),
            None => agent.creation(creation),
        }
    }

    fn into_change(self, calls: &JsonCalls<'_>, known: &Agent, expected: Expected) -> Result<AgentChange> {
        let fixed = |field: &'static str, given: bool| match given {
            true => {
                let issue = format!("{field} of a registered agent cannot be changed");
                Err(Error::new(ErrorKind::Conflict, issue).with("field", field))
            }
            false => Ok(()),
        };
        fixed("creation", self.creation.is_some_and(|creation| creation != known.creation))?;
        let parent = known.parent.as_ref().map(|parent| parent.as_str());
        fixed("parent", self.parent.is_some() && self.parent.as_deref() != parent)?;
        let mut change = match expected {
            Expected::Version(version) => AgentChange::of_version(version),
            Expected::Any | Expected::Known => AgentChange::of_current(),
        };
        if let Some(tier) = self.tier {
            change = change.tier(tier);
        }
        if let Some(score) = self.score {
            change = change.score(score);
        }
        if let Some(status) = self.status {
            change = change.status(status);
        }
        if let Some(attestations) = self.attestations {
            change = change.attestations(attestations);
        }
        if let Some(name) = &calls.caller.name {
            change = change.changed_by(name.as_str());
        }
        Ok(change)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    agents: Vec<Box<RawValue>>,
}

/// Agents to register.
#[derive(JsonSchema)]
#[schemars(rename = "ImportBody")]
pub(in crate::json) struct ImportShape {
    #[allow(dead_code, reason = "gives the schema of what is read one by one")]
    agents: Vec<NewAgent>,
}

/// The outcomes of an import.
#[derive(Serialize, JsonSchema)]
pub(in crate::json) struct ImportAnswer {
    registered: usize,
    refused: usize,
    /// In the places of the agents.
    outcomes: Vec<Imported>,
}

/// The outcome of one agent.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Imported {
    Registered(ImportedAgent),
    Refused(RefusedAgent),
}

/// An agent that was registered.
#[derive(Serialize, JsonSchema)]
struct ImportedAgent {
    agent: Agent,
}

/// The reason why an agent was not registered.
#[derive(Serialize, JsonSchema)]
struct RefusedAgent {
    error: ErrorBody,
}

/// Registers many agents; one that is refused costs no other.
pub(in crate::json) async fn import(calls: JsonCalls<'_>, _: Values, text: &[u8]) -> Result<Answer> {
    // The row bounds it.
    let ImportBody { agents } = read::read_as("body", text)?;
    if agents.len() > MAX_IMPORTED {
        let issue = format!("are {}; at most {MAX_IMPORTED} are allowed", agents.len());
        return Err(Error::invalid("agents", issue));
    }
    let read = |agent: Box<RawValue>| {
        read::read_as("agent", agent.get().as_bytes()).and_then(|agent| by_caller(&calls, agent))
    };
    let read: Vec<Result<NewAgent>> = agents.into_iter().map(read).collect();
    let whole = read.iter().filter_map(|agent| agent.as_ref().ok().cloned()).collect();
    let mut imported = of(&calls).import(whole).await.into_iter();
    let lost = || Err(Error::new(ErrorKind::Closed, "the agent was not registered"));
    let outcomes = read.into_iter().map(|agent| agent.and_then(|_| imported.next().unwrap_or_else(lost)));
    let outcomes: Vec<Imported> = outcomes
        .map(|outcome| match outcome {
            Ok(done) => Imported::Registered(ImportedAgent { agent: Arc::unwrap_or_clone(done.agent) }),
            Err(error) => Imported::Refused(RefusedAgent { error: ErrorBody::of(&error, None) }),
        })
        .collect();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Imported::Refused(_))).count();
    Ok(Answer::new(200, &ImportAnswer { registered: outcomes.len() - refused, refused, outcomes }))
}

fn of<'a>(calls: &JsonCalls<'a>) -> Agents<'a> {
    calls.engine.agents().of(calls.caller.organization.clone())
}

/// A caller with a name is recorded as the one that registered the agent, and registers it in nobody else's name.
fn by_caller(calls: &JsonCalls<'_>, agent: NewAgent) -> Result<NewAgent> {
    match &calls.caller.name {
        Some(name) => {
            agent.check_unsigned()?;
            Ok(agent.registered_by(name.as_str()))
        }
        None => Ok(agent),
    }
}

/// The agents that the parameters ask for.
pub(in crate::json) fn query_of(values: &Values) -> Result<AgentQuery> {
    let mut query = AgentQuery::new();
    if let Some(tier) = values.text("tier") {
        query = query.tier(tier);
    }
    if let Some(status) = values.text("status") {
        query = query.status(status.parse()?);
    }
    if let Some(family) = values.text("family") {
        query = query.family(family);
    }
    Ok(query)
}

/// An agent, with its version as the tag.
fn tagged(status: u16, agent: &Agent) -> Answer {
    Answer { etag: Some(format!("\"{}\"", agent.version)), ..Answer::new(status, agent) }
}
