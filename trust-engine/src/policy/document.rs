//! The policy document that people write, as data.
//!
//! Tiers, roles and resource types are names in the document, not Rust enums: the published defaults are only one
//! document among many. [`PolicyDocument::parse`] reads YAML or JSON and reports every mistake at once;
//! a document becomes enforceable only when it is compiled into a [`Policy`](crate::Policy).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;

/// A whole policy, with every default made explicit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Trust engine policy")]
pub struct PolicyDocument {
    /// Version of the document format; 1.
    #[schemars(range(min = bounds::FORMAT.min, max = bounds::FORMAT.max))]
    pub policy_format: u32,
    /// Short name of the policy, for people.
    #[schemars(length(min = bounds::POLICY_NAME.min, max = bounds::POLICY_NAME.max))]
    pub name: String,
    /// The purpose of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DESCRIPTION.max))]
    pub description: Option<String>,
    /// Trust tiers, lowest first; 1 to 64.
    #[schemars(length(min = bounds::TIERS.min, max = bounds::TIERS.max))]
    pub tiers: Vec<Tier>,
    /// Roles and the tier each needs at least; 1 to 256.
    #[schemars(length(min = bounds::ROLES.min, max = bounds::ROLES.max))]
    pub roles: Vec<Role>,
    /// Ordered rules, evaluated after the role's minimum tier; the first that matches decides. At most 4,096.
    #[serde(default)]
    #[schemars(length(max = bounds::RULES.max))]
    pub rules: Vec<Rule>,
    /// The verdict when the tier is sufficient and no rule matches. Always written out, so that no reader has to guess.
    pub default_effect: Decision,
    /// How agents without a registration and claimed tiers are treated.
    #[serde(default)]
    pub agents: AgentHandling,
    /// Names of the resources that ceilings are counted for; at most 64.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(max = bounds::RESOURCES.max))]
    #[schemars(inner(regex(pattern = bounds::NAME_PATTERN)))]
    pub resources: Vec<String>,
    /// Capability ceilings.
    #[serde(default)]
    pub ceilings: Ceilings,
    /// Which verdicts are recorded, and how durably.
    #[serde(default)]
    pub recording: Recording,
}

/// One trust tier; its rank is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tier {
    /// Unique name.
    #[schemars(regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,
    /// The proof that an agent of this tier has given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DESCRIPTION.max))]
    pub description: Option<String>,
    /// Scores that place an agent in this tier when no tier is given explicitly. All tiers have a band or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreBand>,
}

/// An inclusive range of trust scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreBand {
    /// Lowest score of the band.
    #[schemars(range(max = bounds::SCORE.max))]
    pub min: u32,
    /// Highest score of the band; at most 1,000,000.
    #[schemars(range(max = bounds::SCORE.max))]
    pub max: u32,
}

/// A role and the lowest tier that may take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// Unique name.
    #[schemars(regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,
    /// The purpose of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DESCRIPTION.max))]
    pub description: Option<String>,
    /// The lowest tier that may take the role; no rule can lift it.
    pub minimum_tier: String,
    /// A disabled role is denied to everyone.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// One ordered rule: when every condition holds, its effect decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Unique name; appears in traces and records.
    #[schemars(regex(pattern = bounds::NAME_PATTERN))]
    pub id: String,
    /// Why the rule exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DESCRIPTION.max))]
    pub description: Option<String>,
    /// The verdict of the rule.
    pub effect: Decision,
    /// Reason given to the caller; 1 to 512 characters. Default: a sentence naming the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = bounds::REASON.min, max = bounds::REASON.max))]
    pub reason: Option<String>,
    /// The approver that an ESCALATE asks: a queue, team or address of the host; only with effect ESCALATE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = bounds::ESCALATION_PATH.min, max = bounds::ESCALATION_PATH.max))]
    pub escalation_path: Option<String>,
    /// The conditions; all that are present must hold. An empty `when` always matches.
    #[serde(default)]
    pub when: Conditions,
}

/// Conditions of a rule. A list that is absent does not restrict; a list that is present has 1 to 256 values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conditions {
    /// Any of these roles is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    pub roles: Option<Vec<String>>,
    /// The agent is evaluated at any of these tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    pub tiers: Option<Vec<String>>,
    /// The request's action is any of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    #[schemars(inner(length(min = bounds::VALUE.min, max = bounds::VALUE.max)))]
    pub actions: Option<Vec<String>>,
    /// The request's resource matches any of these globs: `*` any run of characters, `?` one character, `\` takes
    /// the next character literally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    #[schemars(inner(length(min = bounds::GLOB.min, max = bounds::GLOB.max)))]
    pub resources: Option<Vec<String>>,
    /// The request's environment is any of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    #[schemars(inner(length(min = bounds::VALUE.min, max = bounds::VALUE.max)))]
    pub environments: Option<Vec<String>>,
    /// The agent holds all of these attestations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    #[schemars(inner(length(min = bounds::VALUE.min, max = bounds::VALUE.max)))]
    pub attestations: Option<Vec<String>>,
    /// The time of evaluation falls into this window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeWindow>,
    /// The agent belongs to any of these organizations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(length(min = bounds::CONDITION_VALUES.min, max = bounds::CONDITION_VALUES.max))]
    #[schemars(inner(length(min = bounds::VALUE.min, max = bounds::VALUE.max)))]
    pub organizations: Option<Vec<String>>,
}

/// A daily window in a civil time zone. `from` is included, `to` is not; `to` not after `from` spans midnight, and
/// then `days` names the day on which the window begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeWindow {
    /// IANA time zone, for example `Europe/Berlin`.
    pub zone: String,
    /// Days on which the window begins; absent means every day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = bounds::DAYS.min, max = bounds::DAYS.max), extend("uniqueItems" = true))]
    pub days: Option<Vec<Day>>,
    /// Start, `HH:MM`.
    #[schemars(regex(pattern = bounds::FROM_PATTERN))]
    pub from: String,
    /// End, `HH:MM`, up to `24:00`.
    #[schemars(regex(pattern = bounds::TO_PATTERN))]
    pub to: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The verdict of a rule, or of the absence of a matching rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    /// The agent may take the role.
    Allow,
    /// The agent may not take the role.
    Deny,
    /// A person has to approve first.
    Escalate,
}

impl Decision {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Escalate => "ESCALATE",
        }
    }
}

impl std::str::FromStr for Decision {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known =
            [Self::Allow, Self::Deny, Self::Escalate].into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| {
            crate::error::Error::invalid("decision", format!("{text:?} is not ALLOW, DENY or ESCALATE"))
        })
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How agents without a registration and claimed tiers are treated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentHandling {
    /// Agents that were never registered.
    #[serde(default)]
    pub unregistered: Unregistered,
    /// A tier claimed above the held one by a caller that is no tier authority.
    #[serde(default)]
    pub excess_claim: ExcessClaim,
}

/// How an unregistered agent is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unregistered {
    /// It holds the lowest tier.
    #[default]
    LowestTier,
    /// It is denied, whatever a caller asserts.
    Deny,
}

/// The effect of a claim above the held tier; either way it is recorded as a signal of gaming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExcessClaim {
    /// The request is evaluated at the held tier.
    #[default]
    HeldTier,
    /// The request is denied.
    Deny,
}

/// Capability ceilings: how much may be used in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ceilings {
    /// Use at or above this share of a ceiling counts as near the limit; 1 to 100.
    #[serde(default = "near_limit_percent")]
    #[schemars(range(min = bounds::NEAR_LIMIT_PERCENT.min, max = bounds::NEAR_LIMIT_PERCENT.max))]
    pub near_limit_percent: u32,
    /// Longest time a granted amount is held unspent before it is given back, at most a second if it was granted near the
    /// limit; 10 to 60,000 ms.
    #[serde(default = "max_hold_millis")]
    #[schemars(range(min = bounds::MAX_HOLD_MILLIS.min, max = bounds::MAX_HOLD_MILLIS.max))]
    pub max_hold_millis: u32,
    /// Whether checks are admitted when no authority can be reached. False is the only safe choice.
    #[serde(default)]
    pub fail_open: bool,
    /// Ceilings of a single agent, by tier and resource; no row means nothing is allowed.
    #[serde(default)]
    pub agent: Vec<AgentCeiling>,
    /// Ceilings shared by an agent and all agents that descend from it.
    #[serde(default)]
    pub family: Vec<FamilyCeiling>,
    /// Ceilings shared by all agents of an organization.
    #[serde(default)]
    pub organization: Vec<OrganizationCeiling>,
    /// Ceilings shared by everyone.
    #[serde(default)]
    pub fleet: Vec<FleetCeiling>,
    /// Token buckets that smooth one agent's use, by tier and resource; asked before the ceilings.
    #[serde(default)]
    pub rate: Vec<RateLimit>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            near_limit_percent: near_limit_percent(),
            max_hold_millis: max_hold_millis(),
            fail_open: false,
            agent: Vec::new(),
            family: Vec::new(),
            organization: Vec::new(),
            fleet: Vec::new(),
            rate: Vec::new(),
        }
    }
}

/// A ceiling of one agent of a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentCeiling {
    /// The tier it applies to.
    pub tier: String,
    /// The resource counted.
    pub resource: String,
    /// Most that may be used in a window; 1 to 2^40 − 1.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub limit: u64,
    /// Length of the window in seconds; 1 to 31,622,400 (366 days).
    #[serde(default = "window_seconds")]
    #[schemars(range(min = bounds::WINDOW_SECONDS.min, max = bounds::WINDOW_SECONDS.max))]
    pub window_seconds: u32,
    /// Kind of window.
    #[serde(default)]
    pub window: WindowKind,
    /// How the ceiling is handed out.
    #[serde(default)]
    pub precision: Precision,
}

/// A ceiling shared by an agent and all agents that descend from it (registered with it as parent or creator), so
/// that spawning agents multiplies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FamilyCeiling {
    /// The resource counted.
    pub resource: String,
    /// Most that may be used in a window; 1 to 2^40 − 1.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub limit: u64,
    /// Length of the window in seconds; 1 to 31,622,400 (366 days).
    #[serde(default = "window_seconds")]
    #[schemars(range(min = bounds::WINDOW_SECONDS.min, max = bounds::WINDOW_SECONDS.max))]
    pub window_seconds: u32,
    /// Kind of window.
    #[serde(default)]
    pub window: WindowKind,
    /// How the ceiling is handed out.
    #[serde(default)]
    pub precision: Precision,
}

/// A ceiling shared by an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrganizationCeiling {
    /// The organization; absent means each organization by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = bounds::VALUE.min, max = bounds::VALUE.max))]
    pub organization: Option<String>,
    /// The resource counted.
    pub resource: String,
    /// Most that may be used in a window; 1 to 2^40 − 1.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub limit: u64,
    /// Length of the window in seconds; 1 to 31,622,400 (366 days).
    #[serde(default = "window_seconds")]
    #[schemars(range(min = bounds::WINDOW_SECONDS.min, max = bounds::WINDOW_SECONDS.max))]
    pub window_seconds: u32,
    /// Kind of window.
    #[serde(default)]
    pub window: WindowKind,
    /// How the ceiling is handed out.
    #[serde(default)]
    pub precision: Precision,
}

/// A ceiling shared by the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetCeiling {
    /// The resource counted.
    pub resource: String,
    /// Most that may be used in a window; 1 to 2^40 − 1.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub limit: u64,
    /// Length of the window in seconds; 1 to 31,622,400 (366 days).
    #[serde(default = "window_seconds")]
    #[schemars(range(min = bounds::WINDOW_SECONDS.min, max = bounds::WINDOW_SECONDS.max))]
    pub window_seconds: u32,
    /// Kind of window.
    #[serde(default)]
    pub window: WindowKind,
    /// How the ceiling is handed out.
    #[serde(default)]
    pub precision: Precision,
}

/// A token bucket that smooths one agent's use: `amount` per `perSeconds`, at most `burst` at once. It is not a
/// ceiling: it admits up to `burst` + `amount` in a window, is kept by each engine in memory for itself, and is asked
/// before the ceilings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// The tier it applies to.
    pub tier: String,
    /// The resource smoothed.
    pub resource: String,
    /// How much comes back in `perSeconds`; 1 to 2^40 − 1, and at most 1,000,000,000 a second.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub amount: u64,
    /// In how many seconds `amount` comes back; 1 to 86,400 (a day).
    #[serde(default = "per_seconds")]
    #[schemars(range(min = bounds::PER_SECONDS.min, max = bounds::PER_SECONDS.max))]
    pub per_seconds: u32,
    /// Most that may be used at once; 1 to 2^40 − 1. Without a default, because only another field could be it.
    #[schemars(range(min = bounds::LIMIT.min, max = bounds::LIMIT.max))]
    pub burst: u64,
}

/// Kind of a ceiling's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WindowKind {
    /// Aligned to the epoch; everything returns at its end.
    #[default]
    Fixed,
    /// Never more than the ceiling in any window of this length.
    Sliding,
}

/// How a ceiling is handed out to engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Precision {
    /// In leases that shrink near the ceiling: fast, never over, may leave a remainder unused.
    #[default]
    Leased,
    /// Exactly the amount asked, every time.
    Exact,
}

/// Which verdicts are recorded, and when the answer is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recording {
    /// Role gates.
    #[serde(default)]
    pub gates: GateRecording,
    /// Ceiling checks.
    #[serde(default)]
    pub ceilings: CeilingRecording,
}

/// Recording of role gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateRecording {
    /// Which verdicts are recorded.
    #[serde(default)]
    pub mode: RecordingMode,
    /// Of 1,000 ALLOW verdicts how many are recorded in mode SAMPLED; 1 to 999. Refusals always are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = bounds::SAMPLE_PER_THOUSAND.min, max = bounds::SAMPLE_PER_THOUSAND.max))]
    pub sample_per_thousand: Option<u32>,
    /// Whether the answer waits for the commit.
    #[serde(default = "commit")]
    pub durability: Durability,
}

impl Default for GateRecording {
    fn default() -> Self {
        Self { mode: RecordingMode::All, sample_per_thousand: None, durability: Durability::Commit }
    }
}

/// Recording of ceiling checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CeilingRecording {
    /// Which verdicts are recorded.
    #[serde(default)]
    pub mode: RecordingMode,
    /// Of 1,000 admitted checks how many are recorded in mode SAMPLED; 1 to 999. Refusals always are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = bounds::SAMPLE_PER_THOUSAND.min, max = bounds::SAMPLE_PER_THOUSAND.max))]
    pub sample_per_thousand: Option<u32>,
    /// Whether the answer to an admitted check waits for the commit.
    #[serde(default = "enqueue")]
    pub durability: Durability,
    /// Whether the answer to a refused check waits for the commit.
    #[serde(default = "commit")]
    pub refusals: Durability,
}

impl Default for CeilingRecording {
    fn default() -> Self {
        Self {
            mode: RecordingMode::All,
            sample_per_thousand: None,
            durability: Durability::Enqueue,
            refusals: Durability::Commit,
        }
    }
}

/// Which verdicts are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordingMode {
    /// Every verdict.
    #[default]
    All,
    /// Every refusal and a sample of the rest.
    Sampled,
    /// None; counted in the statistics all the same.
    None,
}

/// When a recorded answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Durability {
    /// After the record is committed.
    Commit,
    /// At once; the answer says `recorded: pending`.
    Enqueue,
}

pub(super) fn yes() -> bool {
    true
}
fn near_limit_percent() -> u32 {
    80
}
fn max_hold_millis() -> u32 {
    10_000
}
pub(super) fn window_seconds() -> u32 {
    3600
}
pub(super) fn per_seconds() -> u32 {
    1
}
fn commit() -> Durability {
    Durability::Commit
}
fn enqueue() -> Durability {
    Durability::Enqueue
}
