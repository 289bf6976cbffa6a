//! Totals, over a range of time and now.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::instance::Engine;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::OrganizationId;
use crate::storage::{STATS_BUCKET_SECONDS, StatCounts};

/// A range of time that ends now: the last hour, the last day and so on. Counts are kept in buckets of five minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeRange {
    /// The last hour.
    Hour,
    /// The last six hours.
    SixHours,
    /// The last 24 hours.
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
    /// Everything since the first record.
    All,
}

impl TimeRange {
    /// Reads `1h`, `6h`, `24h`, `7d`, `30d` or `all`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "1h" => Ok(Self::Hour),
            "6h" => Ok(Self::SixHours),
            "24h" => Ok(Self::Day),
            "7d" => Ok(Self::Week),
            "30d" => Ok(Self::Month),
            "all" => Ok(Self::All),
            other => Err(Error::invalid(
                "timeRange",
                format!("is {other:?}; it takes 1h, 6h, 24h, 7d, 30d or all"),
            )),
        }
    }

    fn seconds(self) -> Option<i64> {
        match self {
            Self::Hour => Some(3600),
            Self::SixHours => Some(6 * 3600),
            Self::Day => Some(86_400),
            Self::Week => Some(7 * 86_400),
            Self::Month => Some(30 * 86_400),
            Self::All => None,
        }
    }
}

/// Statistics of one organization, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Role gates.
    pub role_gates: GateStats,
    /// Capability ceilings.
    pub ceiling: CeilingStats,
    /// The log.
    pub provenance: ProvenanceStats,
    /// The time at which these were taken.
    pub timestamp: Timestamp,
}

/// Verdicts of role gates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStats {
    /// All verdicts.
    pub total: u64,
    /// ALLOW.
    pub allowed: u64,
    /// DENY.
    pub denied: u64,
    /// ESCALATE.
    pub escalated: u64,
    /// Verdicts that the policy did not record.
    pub unrecorded: u64,
    /// Verdicts by the tier that they were evaluated at.
    pub by_tier: BTreeMap<String, u64>,
}

/// Verdicts of ceilings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CeilingStats {
    /// All checks.
    pub total_checks: u64,
    /// Checks that were admitted.
    pub admitted: u64,
    /// Checks that asked for more than was left.
    pub exceeded: u64,
    /// Checks that were refused for another reason.
    pub refused: u64,
    /// Admitted checks that came near a ceiling.
    pub near_limit: u64,
    /// Checks that the policy did not record.
    pub unrecorded: u64,
}

/// What an engine does for all organizations together is not shown to one of them.
fn only_for_the_fleet(schema: &mut Schema) {
    if let Some(required) = schema.get_mut("required").and_then(|list| list.as_array_mut()) {
        required.retain(|name| !matches!(name.as_str(), Some("queued" | "committed" | "commits")));
    }
}

/// Records of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(transform = only_for_the_fleet)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceStats {
    /// All records.
    pub total_records: u64,
    /// Records by type.
    pub by_type: BTreeMap<String, u64>,
    /// Submissions that wait for a commit now, in this engine.
    pub queued: u64,
    /// Records committed by this engine since it was opened.
    pub committed: u64,
    /// Commits made by this engine since it was opened.
    pub commits: u64,
    /// Seconds by which the log's time is ahead of the clock; 0 unless it is more than
    /// [`max_clock_jump`](crate::Options::max_clock_jump). Ranges that end now do not hold what comes meanwhile.
    pub ahead_seconds: u64,
}

impl Engine {
    /// Statistics of an organization; `None` is all of them, for callers that may see that.
    ///
    /// The range ends now and begins at the edge of a five-minute bucket. Verdicts that the policy does not record are
    /// counted with the next commit.
    pub async fn stats(&self, range: TimeRange, organization: Option<&OrganizationId>) -> Result<Stats> {
        let now = self.now();
        let end = now.micros().div_euclid(1_000_000);
        let start = range.seconds().map_or(0, |seconds| (end - seconds).max(0));
        let start = start - start.rem_euclid(STATS_BUCKET_SECONDS);
        // Entry times can be ahead of a clock that was set back; the newest bucket is never cut off.
        let counters = self.counts(organization, start).await?;
        let mut stats = Stats { timestamp: now, ..Stats::default() };
        for (name, count) in counters {
            match name.split_once('.') {
                Some(("gates", "ALLOW")) => stats.role_gates.allowed = count,
                Some(("gates", "DENY")) => stats.role_gates.denied = count,
                Some(("gates", "ESCALATE")) => stats.role_gates.escalated = count,
                Some(("gates", "unrecorded")) => stats.role_gates.unrecorded = count,
                Some(("ceilings", "admitted")) => stats.ceiling.admitted += count,
                Some(("ceilings", "near")) => {
                    stats.ceiling.near_limit = count;
                    stats.ceiling.admitted += count;
                }
                Some(("ceilings", "exceeded")) => stats.ceiling.exceeded = count,
                Some(("ceilings", "refused")) => stats.ceiling.refused = count,
                Some(("ceilings", "unrecorded")) => stats.ceiling.unrecorded = count,
                Some(("tiers", tier)) => {
                    stats.role_gates.by_tier.insert(tier.to_owned(), count);
                }
                Some(("records", kind)) => {
                    stats.provenance.by_type.insert(kind.to_owned(), count);
                }
                _ => {}
            }
        }
        let gates = &mut stats.role_gates;
        gates.total = gates.allowed + gates.denied + gates.escalated;
        let ceiling = &mut stats.ceiling;
        ceiling.total_checks = ceiling.admitted + ceiling.exceeded + ceiling.refused;
        stats.provenance.total_records = stats.provenance.by_type.values().sum();
        let (committed, commits, queued) = self.0.sequencer.progress();
        stats.provenance.queued = queued as u64;
        stats.provenance.committed = committed;
        stats.provenance.commits = commits;
        let ahead = self.0.sequencer.log_time().ahead(now);
        stats.provenance.ahead_seconds = ahead.map_or(0, |ahead| ahead.as_secs());
        Ok(stats)
    }

    /// The counts from a bucket on: those that the relay keeps for all engines, or if there are none those of the
    /// store.
    async fn counts(&self, organization: Option<&OrganizationId>, start: i64) -> Result<StatCounts> {
        let name = format!("{start}:{}", organization.map_or("", OrganizationId::as_str));
        let relay = self.0.relay.as_ref();
        if let Some(relay) = relay
            && let Some(kept) = relay.cached(&name).await
            && let Ok(counters) = serde_json::from_slice(&kept)
        {
            return Ok(counters);
        }
        let store = self.0.store.replica().unwrap_or(&*self.0.store);
        let counters = store.stats(organization, start, i64::MAX).await?;
        if let (Some(relay), Ok(bytes)) = (relay, serde_json::to_vec(&counters)) {
            relay.cache(&name, bytes);
        }
        Ok(counters)
    }
}
