//! The gap: verdicts that were answered early and then could not be recorded. They are counted, and the counts are
//! recorded once the log can be written again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::settings::Settings;
use super::submission::{Draft, IdOrigin, ParentOf, Submission};
use crate::clock::{Timestamp, new_id};
use crate::ids::OrganizationId;
use crate::provenance::{Payload, RecordType, Source};

/// Most organizations that a gap tells apart; the verdicts of all others are counted under the organization `default`.
const MAX_ORGANIZATIONS: usize = 256;

/// The verdicts that are missing from the log, by organization. Only the writer's thread uses a gap.
#[derive(Debug, Default)]
pub(super) struct Gap {
    missing: BTreeMap<OrganizationId, Missing>,
}

#[derive(Debug)]
struct Missing {
    from: Timestamp,
    to: Timestamp,
    verdicts: BTreeMap<String, u64>,
}

impl Gap {
    pub(super) fn clear(&mut self) {
        self.missing.clear();
    }

    /// Adds the verdicts that another gap has counted.
    pub(super) fn merge(&mut self, other: Self) {
        for (organization, more) in other.missing {
            let missing = self.missing.entry(organization).or_insert_with(|| Missing {
                from: more.from,
                to: more.to,
                verdicts: BTreeMap::new(),
            });
            missing.from = missing.from.min(more.from);
            missing.to = missing.to.max(more.to);
            for (name, count) in more.verdicts {
                *missing.verdicts.entry(name).or_default() += count;
            }
        }
    }

    /// Counts the verdicts of a submission that did not reach the log, if they were answered early.
    pub(super) fn count(&mut self, submission: &Submission, now: Timestamp) {
        for draft in
            submission.drafts.iter().filter(|draft| submission.answered_early && draft.stat.is_some())
        {
            let known =
                self.missing.contains_key(&draft.organization) || self.missing.len() < MAX_ORGANIZATIONS;
            let organization = if known { draft.organization.clone() } else { OrganizationId::default() };
            let missing = self.missing.entry(organization).or_insert_with(|| Missing {
                from: now,
                to: now,
                verdicts: BTreeMap::new(),
            });
            missing.to = missing.to.max(now);
            let decision = draft.decision.as_ref().map_or("NONE", |decision| decision.as_str());
            *missing.verdicts.entry(format!("{}.{decision}", draft.kind)).or_default() += 1;
        }
    }

    /// The GAP records of the missing verdicts, one for each organization.
    pub(super) fn drafts(&self, settings: &Settings, now: Timestamp) -> Vec<Draft> {
        let draft = |(organization, missing): (&OrganizationId, &Missing)| {
            let total: u64 = missing.verdicts.values().sum();
            let body = json!({
                "reason": format!("{total} verdicts were given while the log could not be written"),
                "from": missing.from,
                "to": missing.to,
                "verdicts": missing.verdicts,
            });
            let mut payload = Payload { salt: [0; 32], bytes: body.to_string().into_bytes() };
            settings.entropy.fill(&mut payload.salt);
            Draft {
                id: new_id(now, &*settings.entropy),
                id_origin: IdOrigin::New,
                kind: RecordType::Gap,
                organization: organization.clone(),
                agent: None,
                source: Source::Engine,
                decision: None,
                reason_code: Some("STORE_UNAVAILABLE".into()),
                policy: None,
                parent: ParentOf::Nothing,
                commitment: payload.commitment(),
                payload: Arc::new(payload),
                stat: None,
            }
        };
        self.missing.iter().map(draft).collect()
    }
}
