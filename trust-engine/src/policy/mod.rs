//! Policies: from what people write to what decides.

mod bounds;
mod ceilings;
mod check;
mod compile;
mod decode;
mod document;
mod error;
mod glob;
mod index;
mod mistakes;
mod parse;
mod path;
mod presets;
mod source;
mod window;
mod wording;

pub use compile::{Policy, PolicyHash};
pub use document::{
    AgentCeiling, AgentHandling, CeilingRecording, Ceilings, Conditions, Day, Decision, Durability,
    ExcessClaim, FamilyCeiling, FleetCeiling, GateRecording, OrganizationCeiling, POLICY_FORMAT,
    PolicyDocument, Precision, RateLimit, Recording, RecordingMode, Role, Rule, ScoreBand, Tier, TimeWindow,
    Unregistered, WindowKind,
};
pub use error::{PolicyError, PolicyErrors};
pub(crate) use index::{Hits, Lookup, Residual};
