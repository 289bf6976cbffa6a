//! Reading counters without charging them.

use std::sync::Arc;

use super::super::Engine;
use super::CeilingUsage;
use super::cache::Asker;
use super::verdict::CeilingVerdict;
use crate::ceiling::{CeilingCode, CeilingRequest, Meter, Outcome, Terms};
use crate::error::Result;

impl Engine {
    pub(super) async fn peek(&self, request: &CeilingRequest) -> Result<CeilingVerdict> {
        request.check()?;
        let state = self.state()?;
        let now = self.0.clock.coarse();
        let entry = self.find(&self.asker(request), now).await?;
        let mut counters = Vec::new();
        for (place, (resource, amount)) in (0..).zip(request.amounts()) {
            match entry.quota.line(resource, &state.quotas.bank, &state.quotas) {
                Ok(line) => counters.extend(line.meters.iter().map(|counter| (place, amount, counter))),
                Err(code) => return Ok(CeilingVerdict::new(Outcome::new(code), now.wall)),
            }
        }
        let keys: Vec<_> = counters.iter().map(|(_, _, (meter, _))| meter.counter()).collect();
        let used = state.quotas.bank.used(&keys).await?;
        let mut outcome = Outcome::new(CeilingCode::WithinCeiling);
        for ((place, amount, (meter, terms)), used) in counters.into_iter().zip(used) {
            let measure = terms.measure(meter.window(), used.amount, used.slice);
            if measure.remaining() < amount {
                outcome = Outcome::new(CeilingCode::CeilingExceeded);
                outcome.measures.push((place, amount, measure));
                break;
            }
            outcome.measures.push((place, amount, measure));
        }
        Ok(CeilingVerdict::new(outcome, now.wall))
    }

    pub(super) async fn usage(&self, organization: &str, agent: &str) -> Result<Vec<CeilingUsage>> {
        let state = self.state()?;
        let now = self.0.clock.coarse();
        let asker = Asker::holder(organization, agent);
        let entry = self.find(&asker, now).await?;
        let mut counters: Vec<(&str, &(Arc<Meter>, Terms))> = Vec::new();
        for resource in &entry.quota.policy.document().resources {
            if let Some(line) = entry.quota.line_of(resource, &state.quotas.bank, &state.quotas) {
                counters.extend(line.meters.iter().map(|counter| (resource.as_str(), counter)));
            }
        }
        let keys: Vec<_> = counters.iter().map(|(_, (meter, _))| meter.counter()).collect();
        let used = state.quotas.bank.used(&keys).await?;
        let usage = counters.into_iter().zip(used).map(|((resource, (meter, terms)), used)| CeilingUsage {
            resource: resource.to_owned(),
            measure: terms.measure(meter.window(), used.amount, used.slice),
        });
        Ok(usage.collect())
    }
}
