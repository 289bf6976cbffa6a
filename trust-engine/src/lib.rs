#![doc = include_str!("crate.md")]

mod agent;
mod attribution;
mod bounds;
pub mod ceiling;
mod clock;
#[cfg(feature = "completions")]
pub mod completions;
mod engine;
mod error;
pub mod gate;
mod ids;
pub mod json;
pub mod log;
mod policy;
pub mod provenance;
mod quota;
pub mod storage;
mod subject;

pub use agent::{Agent, AgentChange, AgentStatus, Creation, NewAgent};
pub use ceiling::{CeilingCode, CeilingRequest, Level, Measure};
pub use clock::{Clock, Entropy, ManualClock, Moment, SystemClock, SystemEntropy, Timestamp};
#[cfg(feature = "embedded")]
pub use engine::rotate_embedded_key;
pub use engine::{
    AgentPage, AgentQuery, AgentReceipt, Agents, CeilingUsage, CeilingVerdict, Deployment, Engine, Following,
    Health, Log, Options, Policies, PolicyVersion, Quota, Quotas, Recorded, Reservation, Stats, TimeRange,
    Verdict, blocking, recompute, recompute_ceiling,
};
pub use error::{Error, ErrorKind, Result};
pub use gate::{Evaluation, GateRequest, ReasonCode};
pub use ids::{AgentId, OrganizationId};
pub use log::{Page, Query, Ticket};
pub use policy::{
    AgentCeiling, AgentHandling, CeilingRecording, Ceilings, Conditions, Day, Decision, Durability,
    ExcessClaim, FamilyCeiling, FleetCeiling, GateRecording, OrganizationCeiling, POLICY_FORMAT, Policy,
    PolicyDocument, PolicyError, PolicyErrors, PolicyHash, PolicyWarning, Precision, RateLimit, Recording,
    RecordingMode, Role, Rule, ScoreBand, Tier, TimeWindow, Unregistered, WindowKind,
};
pub use provenance::{
    DecisionWord, NewRecord, Receipt, Record, RecordType, Source, VerifierKey, VerifierKeys, verify,
};
