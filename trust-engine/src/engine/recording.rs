//! The steps of recording that gates and ceilings share: which verdicts are recorded, and the signal of a claim that was too
//! high.

use serde_json::json;

use super::instance::{Content, Engine};
use crate::log::{Draft, ParentOf};
use crate::policy::RecordingMode;
use crate::provenance::RecordType;

impl Engine {
    /// The record of a claim above the held tier: a signal of gaming, recorded as a consequence of the verdict.
    pub(super) fn excess_claim(
        &self,
        verdict: &Draft,
        claimed: Option<&str>,
        held: Option<&str>,
        caller: Option<&str>,
    ) -> Draft {
        let body = json!({
            "reason": "a tier above the held one was claimed",
            "claimed": claimed,
            "held": held,
            "caller": caller,
        });
        let content = Content {
            kind: RecordType::Signal,
            organization: verdict.organization.clone(),
            agent: verdict.agent.clone(),
            decision: None,
            reason_code: Some("TIER_CLAIM_ABOVE_HELD".into()),
            policy: verdict.policy,
            payload: body.to_string().into_bytes(),
        };
        let mut draft = self.draft(content, self.now());
        draft.parent = ParentOf::First;
        draft
    }

    /// Whether a verdict is among those that are recorded. Refusals always are, unless the policy records none.
    pub(super) fn is_sampled(&self, mode: RecordingMode, per_thousand: Option<u32>, allowed: bool) -> bool {
        match mode {
            RecordingMode::All => true,
            RecordingMode::None => false,
            RecordingMode::Sampled if !allowed => true,
            RecordingMode::Sampled => {
                let mut random = [0u8; 4];
                self.0.entropy.fill(&mut random);
                // The remainder's bias is below one in four million.
                u32::from_le_bytes(random) % 1000 < per_thousand.unwrap_or(1000)
            }
        }
    }
}
