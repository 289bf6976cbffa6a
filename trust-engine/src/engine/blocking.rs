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
//!
//! A verb is one line of the tables below: its signature, `async` where the engine's own method is. A macro writes the
//! method, and the compiler compares the line with the method that it stands for.

use std::path::Path;
use std::sync::Arc;

use pollster::block_on;
use uuid::Uuid;

use super::{
    AgentPage, AgentQuery, AgentReceipt, CeilingUsage, CeilingVerdict, Health, Options, PolicyVersion, Quota,
    Stats, TimeRange, Verdict,
};
use crate::agent::{Agent, AgentChange, NewAgent};
use crate::ceiling::CeilingRequest;
use crate::error::Result;
use crate::gate::GateRequest;
use crate::ids::OrganizationId;
use crate::log::{Exported, Page, Query, Report, Ticket};
use crate::policy::{Policy, PolicyDocument};
use crate::provenance::{
    Hash, InclusionProof, NewRecord, Receipt, Record, SignedCheckpoint, Signer, VerifierKey, VerifierKeys,
};
use crate::storage::Shard;

/// Methods that stand for those of the async type `$of`, one for each signature: `async fn` waits for the original,
/// `fn` calls it, and `facade fn` wraps the part of the engine that it gives.
macro_rules! verbs {
    ($of:ident:) => {};
    ($of:ident: async fn $verb:ident(&self $(, $name:ident: $type:ty)*) $(-> $output:ty)?; $($rest:tt)*) => {
        verbs!(@documented $of, $verb,
            pub fn $verb(&self $(, $name: $type)*) $(-> $output)? { block_on(self.0.$verb($($name),*)) });
        verbs!($of: $($rest)*);
    };
    ($of:ident: async fn $verb:ident(&mut self $(, $name:ident: $type:ty)*) -> $output:ty; $($rest:tt)*) => {
        verbs!(@documented $of, $verb,
            pub fn $verb(&mut self $(, $name: $type)*) -> $output { block_on(self.0.$verb($($name),*)) });
        verbs!($of: $($rest)*);
    };
    ($of:ident: fn $verb:ident(&self $(, $name:ident: $type:ty)*) -> $output:ty; $($rest:tt)*) => {
        verbs!(@documented $of, $verb,
            pub fn $verb(&self $(, $name: $type)*) -> $output { self.0.$verb($($name),*) });
        verbs!($of: $($rest)*);
    };
    ($of:ident: fn $verb:ident(self $(, $name:ident: $type:ty)*) -> Self; $($rest:tt)*) => {
        verbs!(@documented $of, $verb,
            #[must_use] pub fn $verb(self $(, $name: $type)*) -> Self { Self(self.0.$verb($($name),*)) });
        verbs!($of: $($rest)*);
    };
    ($of:ident: facade fn $verb:ident(&self) -> $facade:ident; $($rest:tt)*) => {
        verbs!(@documented $of, $verb,
            pub fn $verb(&self) -> $facade<'_> { $facade(self.0.$verb()) });
        verbs!($of: $($rest)*);
    };
    (@documented $of:ident, $verb:ident, $($method:tt)*) => {
        #[doc = concat!("See [`", stringify!($of), "::", stringify!($verb), "`](crate::", stringify!($of), "::",
            stringify!($verb), ").")]
        $($method)*
    };
}

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

    verbs! { Engine:
        async fn evaluate_gate(&self, request: &GateRequest) -> Result<Verdict>;
        fn decide_gate(&self, request: &GateRequest) -> Result<(Verdict, Ticket)>;
        async fn check_ceiling(&self, request: &CeilingRequest) -> Result<CeilingVerdict>;
        fn check_ceiling_now(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Ticket)>;
        fn quota(&self, agent: &str) -> Result<Quota>;
        facade fn quotas(&self) -> Quotas;
        facade fn agents(&self) -> Agents;
        facade fn policy(&self) -> Policies;
        facade fn log(&self) -> Log;
        async fn stats(&self, range: TimeRange, organization: Option<&OrganizationId>) -> Result<Stats>;
        async fn health(&self) -> Health;
        fn verifier_key(&self) -> VerifierKey;
        fn verifier_key_of(&self, shard: Shard) -> VerifierKey;
        fn verifier_keys(&self) -> VerifierKeys;
        facade fn deployment(&self) -> Deployment;
        fn shard(&self) -> Shard;
        fn warnings(&self) -> Vec<String>;
        async fn backup(&self, folder: &Path) -> Result<()>;
        async fn close(&self);
    }
}

/// [`Deployment`](crate::Deployment) without async.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a>(super::Deployment<'a>);

impl Deployment<'_> {
    verbs! { Deployment:
        async fn rotate_key(&self, signer: Arc<dyn Signer>, actor: &str) -> Result<Receipt>;
        async fn set_log_back(&self, actor: &str) -> Result<Receipt>;
    }
}

/// [`Quotas`](crate::Quotas) without async.
#[derive(Clone, Debug)]
pub struct Quotas<'a>(super::Quotas<'a>);

impl Quotas<'_> {
    verbs! { Quotas:
        fn of(self, organization: OrganizationId) -> Self;
        async fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict>;
        async fn usage(&self, agent: &str) -> Result<Vec<CeilingUsage>>;
        async fn reset(&self, agent: &str, resource: &str, actor: &str) -> Result<(Vec<CeilingUsage>, Receipt)>;
        fn try_take(&self, agent: &str, resource: &str, amount: u64) -> Result<CeilingVerdict>;
        fn quota(&self, agent: &str) -> Result<Quota>;
    }

    /// See [`Quotas::reserve`](crate::Quotas::reserve).
    pub fn reserve(&self, request: &CeilingRequest) -> Result<(CeilingVerdict, Option<Reservation>)> {
        let (verdict, reservation) = block_on(self.0.reserve(request))?;
        Ok((verdict, reservation.map(Reservation)))
    }
}

/// [`Reservation`](crate::Reservation) without async.
#[derive(Debug)]
pub struct Reservation(super::Reservation);

impl Reservation {
    verbs! { Reservation:
        async fn commit(&mut self, used: &[u64]) -> Result<Option<Receipt>>;
        async fn void(&mut self) -> Result<Option<Receipt>>;
    }
}

/// [`Agents`](crate::Agents) without async.
#[derive(Clone, Debug)]
pub struct Agents<'a>(super::Agents<'a>);

impl Agents<'_> {
    verbs! { Agents:
        fn of(self, organization: OrganizationId) -> Self;
        async fn register(&self, agent: NewAgent) -> Result<AgentReceipt>;
        async fn import(&self, agents: Vec<NewAgent>) -> Vec<Result<AgentReceipt>>;
        async fn get(&self, id: &str) -> Result<Arc<Agent>>;
        async fn list(&self, query: &AgentQuery) -> Result<AgentPage>;
        async fn count(&self, query: &AgentQuery) -> Result<u64>;
        async fn change(&self, id: &str, change: AgentChange) -> Result<AgentReceipt>;
    }
}

/// [`Policies`](crate::Policies) without async.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a>(super::Policies<'a>);

impl Policies<'_> {
    verbs! { Policies:
        fn current(&self) -> Arc<Policy>;
        async fn swap(&self, document: PolicyDocument, actor: &str) -> Result<Receipt>;
        async fn history(&self, below: Option<u64>, limit: usize) -> Result<Vec<PolicyVersion>>;
    }
}

/// [`Log`](crate::Log) without async.
#[derive(Clone, Debug)]
pub struct Log<'a>(super::Log<'a>);

impl Log<'_> {
    verbs! { Log:
        fn of(self, organization: OrganizationId) -> Self;
        fn fleet_wide(self) -> Self;
        fn shard(self, shard: Shard) -> Self;
        async fn shards(&self) -> Result<Vec<Shard>>;
        async fn record(&self, record: NewRecord) -> Result<Receipt>;
        async fn get(&self, id: Uuid) -> Result<Record>;
        async fn query(&self, query: &Query) -> Result<Page>;
        async fn chain(&self, id: Uuid, depth: usize) -> Result<Vec<Record>>;
        async fn prove(&self, id: Uuid) -> Result<InclusionProof>;
        async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>>;
        async fn prove_consistency(&self, old: u64) -> Result<(SignedCheckpoint, Vec<Hash>)>;
        async fn verify(&self, since: Option<&SignedCheckpoint>) -> Result<Report>;
        async fn verify_all(&self) -> Result<Vec<Report>>;
        async fn export(&self, folder: &Path) -> Result<Exported>;
    }
}
