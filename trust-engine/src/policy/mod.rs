//! Policies: from the document that people write to the compiled form that decides.

mod bounds;
mod ceiling_index;
mod ceilings;
mod check;
mod compile;
mod daily_window;
mod decode;
mod document;
mod error;
mod glob;
mod index;
mod location;
mod mistakes;
mod parse;
mod path;
mod presets;
mod source;
mod warnings;
mod wording;

pub use bounds::POLICY_FORMAT;
pub(crate) use bounds::name_fault;
pub use compile::{Policy, PolicyHash};
pub use document::{
    AgentCeiling, AgentHandling, CeilingRecording, Ceilings, Conditions, Day, Decision, Durability,
    ExcessClaim, FamilyCeiling, FleetCeiling, GateRecording, OrganizationCeiling, PolicyDocument, Precision,
    RateLimit, Recording, RecordingMode, Role, Rule, ScoreBand, Tier, TimeWindow, Unregistered, WindowKind,
};
pub use error::{PolicyError, PolicyErrors};
pub(crate) use index::{Hits, Lookup, Residual};
pub use warnings::PolicyWarning;
