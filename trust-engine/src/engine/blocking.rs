//! The same engine for callers without async: every verb blocks its thread until it is done.
//!
//! ```
//! use trust_engine::{GateRequest, NewAgent, Options, blocking::Engine};
//!
//! let engine = Engine::open(Options::memory())?;
//! engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED"))?;
//! let verdict = engine.evaluate_gate(&GateRequest::new("agent_001", "SYSTEM_ADMIN"))?;
//! assert_eq!(verdict.required_tier(), Some("PRIVILEGED"));
//! engine.close();
//! # Ok::<(), trust_engine::Error>(())
//! ```

use std::path::Path;
use std::sync::Arc;

use pollster::block_on;
use uuid::Uuid;

use super::{
    AgentReceipt, CeilingUsage, CeilingVerdict, Options, Page, PolicyVersion, Query, Quota, Stats, TimeRange,
    Verdict,
};
use crate::agent::{Agent, AgentChange, NewAgent};
use crate::ceiling::CeilingRequest;
use crate::error::Result;
use crate::gate::GateRequest;
use crate::ids::OrganizationId;
use crate::policy::{Policy, PolicyDocument};
use crate::provenance::{
    Exported, Hash, InclusionProof, NewRecord, Receipt, Record, Report, SignedCheckpoint, Ticket, VerifierKey,
};
use crate::storage::Shard;

/// [`Engine`](crate::Engine) without async.
#[derive(Clone, Debug)]
pub struct Engine(crate::Engine);

impl Engine {
    /// See [`Engine::open`](crate::Engine::open).
    pub fn open(options: Options) -> Result<Self> {
        block_on(crate::Engine::open(options)).map(Self)
    }
    /// The async engine, which shares everything with this one.
    pub fn as_async(&self) -> &crate::Engine {
        &self.0
    }
    /// See [`Engine::evaluate_gate`](crate::Engine::evaluate_gate).
    pub fn evaluate_gate(&self, request: &GateRequest) -> Result<Verdict> {
        block_on(self.0.evaluate_gate(request))
    }
    /// See [`Engine::decide_gate`](crate::Engine::decide_gate).
    pub fn decide_gate(&self, request: &GateRequest) -> Result<(Verdict, Ticket)> {
        self.0.decide_gate(request)
    }
    /// See [`Engine::check_ceiling`](crate::Engine::check_ceiling).
    pub fn check_ceiling(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        block_on(self.0.check_ceiling(request))
    }
    /// See [`Engine::check_ceiling_now`](crate::Engine::check_ceiling_now).
    pub fn check_ceiling_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)> {
        self.0.check_ceiling_now(request)
    }
    /// See [`Engine::quota`](crate::Engine::quota).
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        self.0.quota(agent)
    }
    /// See [`Engine::quotas`](crate::Engine::quotas).
    pub fn quotas(&self) -> Quotas<'_> {
        Quotas(self.0.quotas())
    }
    /// See [`Engine::agents`](crate::Engine::agents).
    pub fn agents(&self) -> Agents<'_> {
        Agents(self.0.agents())
    }
    /// See [`Engine::policy`](crate::Engine::policy).
    pub fn policy(&self) -> Policies<'_> {
        Policies(self.0.policy())
    }
    /// See [`Engine::log`](crate::Engine::log).
    pub fn log(&self) -> Log<'_> {
        Log(self.0.log())
    }
    /// See [`Engine::stats`](crate::Engine::stats).
    pub fn stats(&self, range: TimeRange, organization: Option<&OrganizationId>) -> Result<Stats> {
        block_on(self.0.stats(range, organization))
    }
    /// See [`Engine::verifier_key`](crate::Engine::verifier_key).
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.verifier_key()
    }
    /// See [`Engine::verifier_key_of`](crate::Engine::verifier_key_of).
    pub fn verifier_key_of(&self, shard: Shard) -> VerifierKey {
        self.0.verifier_key_of(shard)
    }
    /// See [`Engine::shard`](crate::Engine::shard).
    pub fn shard(&self) -> Shard {
        self.0.shard()
    }
    /// See [`Engine::warnings`](crate::Engine::warnings).
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }
    /// See [`Engine::close`](crate::Engine::close).
    pub fn close(&self) {
        block_on(self.0.close());
    }
}

impl Ticket {
    /// [`committed`](Self::committed) without async.
    pub fn wait(self) -> Result<Option<Receipt>> {
        block_on(self.committed())
    }
}

/// [`Quotas`](crate::Quotas) without async.
#[derive(Clone, Debug)]
pub struct Quotas<'a>(super::Quotas<'a>);

impl Quotas<'_> {
    /// See [`Quotas::of`](crate::Quotas::of).
    #[must_use]
    pub fn of(self, organization: OrganizationId) -> Self {
        Self(self.0.of(organization))
    }
    /// See [`Quotas::peek`](crate::Quotas::peek).
    pub fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        block_on(self.0.peek(request))
    }
    /// See [`Quotas::reserve`](crate::Quotas::reserve).
    pub fn reserve(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Option<Reservation>)> {
        let (verdict, reservation) = block_on(self.0.reserve(request))?;
        Ok((verdict, reservation.map(Reservation)))
    }
    /// See [`Quotas::usage`](crate::Quotas::usage).
    pub fn usage(&self, agent: &str) -> Result<Vec<CeilingUsage>> {
        block_on(self.0.usage(agent))
    }
    /// See [`Quotas::try_take`](crate::Quotas::try_take).
    pub fn try_take(&self, agent: &str, resource: &str, amount: u64) -> Result<CeilingVerdict> {
        self.0.try_take(agent, resource, amount)
    }
    /// See [`Quotas::quota`](crate::Quotas::quota).
    pub fn quota(&self, agent: &str) -> Result<Quota> {
        self.0.quota(agent)
    }
}

/// [`Reservation`](crate::Reservation) without async.
#[derive(Debug)]
pub struct Reservation(crate::Reservation);

impl Reservation {
    /// See [`Reservation::commit`](crate::Reservation::commit).
    pub fn commit(&mut self, used: &[u64]) -> Result<Option<Receipt>> {
        block_on(self.0.commit(used))
    }
    /// See [`Reservation::void`](crate::Reservation::void).
    pub fn void(&mut self) -> Result<Option<Receipt>> {
        block_on(self.0.void())
    }
}

/// [`Agents`](crate::Agents) without async.
#[derive(Clone, Debug)]
pub struct Agents<'a>(super::Agents<'a>);

impl Agents<'_> {
    /// See [`Agents::of`](crate::Agents::of).
    #[must_use]
    pub fn of(self, organization: OrganizationId) -> Self {
        Self(self.0.of(organization))
    }
    /// See [`Agents::register`](crate::Agents::register).
    pub fn register(&self, agent: NewAgent) -> Result<AgentReceipt> {
        block_on(self.0.register(agent))
    }
    /// See [`Agents::get`](crate::Agents::get).
    pub fn get(&self, id: &str) -> Result<Arc<Agent>> {
        block_on(self.0.get(id))
    }
    /// See [`Agents::list`](crate::Agents::list).
    pub fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Agent>> {
        block_on(self.0.list(after, limit))
    }
    /// See [`Agents::change`](crate::Agents::change).
    pub fn change(&self, id: &str, change: AgentChange) -> Result<AgentReceipt> {
        block_on(self.0.change(id, change))
    }
}

/// [`Policies`](crate::Policies) without async.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a>(super::Policies<'a>);

impl Policies<'_> {
    /// See [`Policies::current`](crate::Policies::current).
    pub fn current(&self) -> Arc<Policy> {
        self.0.current()
    }
    /// See [`Policies::swap`](crate::Policies::swap).
    pub fn swap(&self, document: PolicyDocument, actor: &str) -> Result<Receipt> {
        block_on(self.0.swap(document, actor))
    }
    /// See [`Policies::history`](crate::Policies::history).
    pub fn history(&self, below: Option<u64>, limit: usize) -> Result<Vec<PolicyVersion>> {
        block_on(self.0.history(below, limit))
    }
}

/// [`Log`](crate::Log) without async.
#[derive(Clone, Debug)]
pub struct Log<'a>(super::Log<'a>);

impl Log<'_> {
    /// See [`Log::of`](crate::Log::of).
    #[must_use]
    pub fn of(self, organization: OrganizationId) -> Self {
        Self(self.0.of(organization))
    }
    /// See [`Log::fleet_wide`](crate::Log::fleet_wide).
    #[must_use]
    pub fn fleet_wide(self) -> Self {
        Self(self.0.fleet_wide())
    }
    /// See [`Log::shard`](crate::Log::shard).
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self(self.0.shard(shard))
    }
    /// See [`Log::shards`](crate::Log::shards).
    pub fn shards(&self) -> Result<Vec<Shard>> {
        block_on(self.0.shards())
    }
    /// See [`Log::record`](crate::Log::record).
    pub fn record(&self, record: NewRecord) -> Result<Receipt> {
        block_on(self.0.record(record))
    }
    /// See [`Log::get`](crate::Log::get).
    pub fn get(&self, id: Uuid) -> Result<Record> {
        block_on(self.0.get(id))
    }
    /// See [`Log::query`](crate::Log::query).
    pub fn query(&self, query: &Query) -> Result<Page> {
        block_on(self.0.query(query))
    }
    /// See [`Log::chain`](crate::Log::chain).
    pub fn chain(&self, id: Uuid, depth: usize) -> Result<Vec<Record>> {
        block_on(self.0.chain(id, depth))
    }
    /// See [`Log::prove`](crate::Log::prove).
    pub fn prove(&self, id: Uuid) -> Result<InclusionProof> {
        block_on(self.0.prove(id))
    }
    /// See [`Log::checkpoint`](crate::Log::checkpoint).
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        block_on(self.0.checkpoint())
    }
    /// See [`Log::prove_consistency`](crate::Log::prove_consistency).
    pub fn prove_consistency(&self, old: u64) -> Result<(SignedCheckpoint, Vec<Hash>)> {
        block_on(self.0.prove_consistency(old))
    }
    /// See [`Log::verify`](crate::Log::verify).
    pub fn verify(&self, since: Option<&SignedCheckpoint>) -> Result<Report> {
        block_on(self.0.verify(since))
    }
    /// See [`Log::verify_all`](crate::Log::verify_all).
    pub fn verify_all(&self) -> Result<Vec<Report>> {
        block_on(self.0.verify_all())
    }
    /// See [`Log::export`](crate::Log::export).
    pub fn export(&self, folder: &Path) -> Result<Exported> {
        block_on(self.0.export(folder))
    }
}
