//! The calls: body in, answer out.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::answer::{Answer, CeilingAnswer, GateAnswer};
use super::body::{self, Asker, CeilingBody, GateBody, RecordBody};
use super::permission::Permission;
use super::record::RecordAnswer;
use super::{Caller, MAX_REQUEST_ID_BYTES};
use crate::attribution::is_traceparent;
use crate::bounds::check_line;
use crate::ceiling::CeilingRequest;
use crate::engine::{Engine, Log};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Query, Ticket};
use crate::provenance::{Record, RecordType};

/// The calls of one caller.
#[derive(Clone, Copy, Debug)]
pub struct JsonCalls<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) request_id: Option<&'a str>,
    traceparent: Option<&'a str>,
    pub(super) if_match: Option<&'a str>,
    idempotency_key: Option<&'a str>,
}

/// A page of records.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Page")]
#[serde(rename_all = "camelCase")]
pub(super) struct PageAnswer<'a> {
    data: Vec<RecordAnswer<'a>>,
    next_page_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_ahead_seconds: Option<u64>,
}

/// A record and its ancestors.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Chain")]
pub(super) struct ChainAnswer<'a> {
    root: Option<&'a RecordAnswer<'a>>,
    chain: &'a [RecordAnswer<'a>],
    depth: usize,
}

impl Engine {
    /// The calls of the REST contract, for hosts that hold JSON.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use trust_engine::{Engine, Options, json::Caller};
    ///
    /// let engine = Engine::open(Options::memory()).await?;
    /// let caller = Caller::new().named("api-key-7")?;
    /// let answer = engine.json(&caller).evaluate_gate(br#"{"agentId":"agent_001","role":"READER"}"#).await;
    /// assert_eq!(answer.status, 200);
    /// assert!(answer.body.starts_with(r#"{"allowed":false,"decision":"DENY""#));
    /// let answer = engine.json(&caller).evaluate_gate(br#"{"agentId":"agent_001"}"#).await;
    /// assert_eq!(answer.status, 400);
    /// # Ok::<(), trust_engine::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn json<'a>(&'a self, caller: &'a Caller) -> JsonCalls<'a> {
        JsonCalls {
            engine: self,
            caller,
            request_id: None,
            traceparent: None,
            if_match: None,
            idempotency_key: None,
        }
    }
}

impl<'a> JsonCalls<'a> {
    /// Names the request, in errors. An id that is not one line of 1 to 128 bytes is left out.
    #[must_use]
    pub fn request_id(mut self, id: &'a str) -> Self {
        self.request_id = check_line("requestId", id, MAX_REQUEST_ID_BYTES).is_ok().then_some(id);
        self
    }

    /// Sets the `traceparent` that the request came with (W3C Trace Context): it is recorded, unless the body has one. A
    /// text that is none is left out, as the recommendation wants it.
    #[must_use]
    pub fn traceparent(mut self, traceparent: &'a str) -> Self {
        self.traceparent = is_traceparent(traceparent).then_some(traceparent);
        self
    }

    /// Sets the version that has to be there: the header If-Match.
    #[must_use]
    pub fn if_match(mut self, version: &'a str) -> Self {
        self.if_match = Some(version);
        self
    }

    /// Sets the key that makes a retry of an admitted check free: the header Idempotency-Key.
    #[must_use]
    pub fn idempotency_key(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// The same calls for another caller.
    pub(super) fn of<'b>(&self, caller: &'b Caller) -> JsonCalls<'b>
    where
        'a: 'b,
    {
        JsonCalls { caller, ..*self }
    }

    /// Evaluates a gate, and answers when the verdict is committed. The body is
    /// `{agentId, role, tier?, context?{resourceId?, action?, environment?, metadata?}, onBehalfOf?, traceparent?}`.
    pub async fn evaluate_gate(&self, body: &[u8]) -> Answer {
        self.answer(self.try_evaluate_gate(body).await)
    }

    pub(super) async fn try_evaluate_gate(&self, body: &[u8]) -> Result<Answer> {
        self.caller.check(Permission::EvaluateGates)?;
        let request = body::read::<GateBody>(body)?.into_request(self.asker());
        let verdict = self.engine.evaluate_gate(&request).await?;
        Ok(Answer::new(200, &GateAnswer::of(&verdict)))
    }

    /// Does the same as [`evaluate_gate`](Self::evaluate_gate) without ever waiting: the verdict's record is on its way
    /// into the log, and the ticket waits for it. `None` if there is no verdict.
    pub fn decide_gate(&self, body: &[u8]) -> (Answer, Option<Ticket>) {
        let permitted = self.caller.check(Permission::EvaluateGates);
        let decided = permitted
            .and_then(|()| body::read::<GateBody>(body))
            .and_then(|body| self.engine.decide_gate(&body.into_request(self.asker())))
            .map(|(verdict, ticket)| (Answer::new(200, &GateAnswer::of(&verdict)), ticket));
        match decided {
            Ok((answer, ticket)) => (answer, Some(ticket)),
            Err(error) => (Answer::of_error(&error, self.request_id), None),
        }
    }

    /// Checks and consumes. The body is `{agentId, resourceType, requestedAmount, tier?, onBehalfOf?, traceparent?}`,
    /// with `resources: [{resourceType, requestedAmount}]` instead for several at once.
    pub async fn check_ceiling(&self, body: &[u8]) -> Answer {
        self.answer(self.try_check_ceiling(body).await)
    }

    pub(super) fn ceiling_request(&self, body: &[u8]) -> Result<CeilingRequest> {
        body::read::<CeilingBody>(body)?.into_request(self.asker(), self.idempotency_key)
    }

    pub(super) async fn try_check_ceiling(&self, body: &[u8]) -> Result<Answer> {
        self.caller.check(Permission::CheckCeilings)?;
        let request = self.ceiling_request(body)?;
        let verdict = self.engine.check_ceiling(&request).await?;
        Ok(Answer::new(200, &CeilingAnswer::of(&verdict)))
    }

    /// Records a decision of the host, and answers with the committed record. The body is
    /// `{type, agentId, decision, id?, reason?, reasonCode?, context?, parentId?, onBehalfOf?, traceparent?}`.
    pub async fn record(&self, body: &[u8]) -> Answer {
        self.answer(self.try_record(body).await)
    }

    pub(super) async fn try_record(&self, body: &[u8]) -> Result<Answer> {
        self.caller.check(Permission::WriteProvenance)?;
        let record = body::read::<RecordBody>(body)?.into_record(self.asker());
        let organization = &self.caller.organization;
        let receipt = self.engine.log().of(organization.clone()).record(record.clone()).await?;
        Ok(Answer::new(201, &RecordAnswer::of_new(&record, organization, &receipt)))
    }

    /// Reads one record.
    pub async fn get(&self, id: &str) -> Answer {
        self.answer(self.try_get(id, None).await)
    }

    /// `evidence`: whether to add what the record is checked by, and for whom.
    pub(super) async fn try_get(&self, id: &str, evidence: Option<&Caller>) -> Result<Answer> {
        self.caller.check(Permission::ReadProvenance)?;
        let record = self.log().get(parse_id(id)?).await?;
        if !self.sees(&record) {
            return Err(missing(record.id()));
        }
        let answer = RecordAnswer::of(&record)?;
        let Some(caller) = evidence else { return Ok(Answer::new(200, &answer)) };
        if record.entry().kind == RecordType::Ceiling && !caller.fleet_wide {
            return Err(use_of_the_fleet());
        }
        Ok(Answer::new(200, &answer.with_evidence(&record)?))
    }

    /// The id of a record that the caller may see.
    pub(super) async fn visible(&self, id: &str) -> Result<Uuid> {
        self.caller.check(Permission::ReadProvenance)?;
        let record = self.log().get(parse_id(id)?).await?;
        if self.sees(&record) { Ok(record.id()) } else { Err(missing(record.id())) }
    }

    /// A record and its ancestors, the records that it follows from, at most `depth` (1 to 100) of them.
    pub async fn chain(&self, id: &str, depth: usize) -> Answer {
        self.answer(self.try_chain(id, depth).await)
    }

    pub(super) async fn try_chain(&self, id: &str, depth: usize) -> Result<Answer> {
        self.caller.check(Permission::ReadProvenance)?;
        let mut records = self.log().chain(parse_id(id)?, depth).await?;
        // The chain ends before the first record that the caller may not see.
        let seen = records.iter().take_while(|record| self.sees(record)).count();
        if let (0, Some(first)) = (seen, records.first()) {
            return Err(missing(first.id()));
        }
        records.truncate(seen);
        let chain = answers(&records)?;
        let depth = chain.len().saturating_sub(1);
        Ok(Answer::new(200, &ChainAnswer { root: chain.last(), chain: &chain, depth }))
    }

    /// A page of records, of which there may be fewer than asked for only where those to come are very far apart.
    pub async fn query(&self, query: &Query) -> Answer {
        self.answer(self.try_query(query).await)
    }

    pub(super) async fn try_query(&self, query: &Query) -> Result<Answer> {
        self.caller.check(Permission::ReadProvenance)?;
        let page = self.log().query(&self.visible_part(query)?).await?;
        let log_ahead_seconds = page.ahead.map(|ahead| ahead.as_secs());
        let data = answers(&page.records)?;
        Ok(Answer::new(200, &PageAnswer { data, next_page_token: page.next, log_ahead_seconds }))
    }

    /// A query without the records that the caller may not see.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for a type of which the caller may see none.
    pub(super) fn visible_part(&self, query: &Query) -> Result<Query> {
        match query.record_type() {
            _ if self.caller.internal => Ok(query.clone()),
            Some(kind) if !kind.is_public() => {
                let issue = format!(
                    "records of the type {kind} are internal: only a caller with the permission fleet sees them, if it asks \
                     for them (includeInternal)"
                );
                Err(Error::new(ErrorKind::Forbidden, issue).with("permission", "fleet"))
            }
            _ => Ok(query.clone().public_only()),
        }
    }

    fn asker(&self) -> Asker<'a> {
        Asker { caller: self.caller, traceparent: self.traceparent }
    }

    pub(super) fn sees(&self, record: &Record) -> bool {
        self.caller.internal || record.entry().kind.is_public()
    }

    pub(super) fn log(&self) -> Log<'a> {
        let log = self.engine.log();
        if self.caller.fleet_wide { log.fleet_wide() } else { log.of(self.caller.organization.clone()) }
    }

    fn answer(&self, answer: Result<Answer>) -> Answer {
        answer.unwrap_or_else(|error| Answer::of_error(&error, self.request_id))
    }
}

/// The refusal of evidence that a caller may see only in part.
pub(super) fn use_of_the_fleet() -> Error {
    let issue = "the evidence of a check holds the use of the whole fleet, and cannot be shown in part";
    Error::new(ErrorKind::Forbidden, issue).with("permission", "fleet")
}

fn missing(id: Uuid) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no record {id}"))
}

fn parse_id(id: &str) -> Result<Uuid> {
    id.parse().map_err(|_| Error::invalid("id", "is not a UUID"))
}

fn answers(records: &[Record]) -> Result<Vec<RecordAnswer<'_>>> {
    records.iter().map(RecordAnswer::of).collect()
}
