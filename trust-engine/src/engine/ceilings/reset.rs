//! The way back for counters that are ahead of the clock, because it was once set ahead.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cache::QuotaKeyRef;
use super::find::CeilingUsage;
use crate::bounds::check_id;
use crate::ceiling::{Measure, Terms};
use crate::engine::instance::{Engine, acknowledged};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::Submission;
use crate::policy::Decision;
use crate::provenance::Receipt;
use crate::quota::{LeasePool, Meter};

/// The time by which the authority's clock may differ from this engine's without being taken for one that was set.
const DIFFERENCE: Duration = Duration::from_secs(2);

/// A counter of the agent, with the terms of its ceiling.
type Counter = (Arc<Meter>, Terms);

impl Engine {
    pub(super) async fn reset_ceiling(
        &self,
        organization: &OrganizationId,
        agent: &str,
        resource: &str,
        actor: &str,
    ) -> Result<(Vec<CeilingUsage>, Receipt)> {
        check_id("actor", actor)?;
        let pool = &self.ceiling_state()?.quotas.pool;
        let key = QuotaKeyRef::holder(organization, agent);
        let cached = self.find(&key, self.0.clock.coarse()).await?;
        let limits = cached.quota.limits_even_if_refused(resource, pool).ok_or_else(|| {
            let issue = format!("is {resource:?}, for which the agent has no ceiling at its tier");
            Error::invalid("resource", issue)
        })?;
        // The amounts that this engine holds were granted by the clock that was ahead.
        limits.meters.iter().for_each(|(meter, _)| meter.drain());
        let latest = self.now().plus(DIFFERENCE);
        let counters: Vec<&Counter> = limits.meters.iter().collect();
        let measured = measure(pool, &counters).await?.into_iter().zip(counters);
        let ahead: Vec<(Measure, &Counter)> = measured
            .filter(|(measure, (meter, _))| measure.is_ahead_of(meter.window().slice(latest)))
            .collect();
        if ahead.is_empty() {
            let issue = format!("has no counter of {resource} that is ahead of the clock");
            return Err(Error::invalid("agent", issue));
        }
        // The record comes first: a reset that is cut off behind it is made again, and none is without its record.
        let body = json!({
            "reason": "counters that were ahead of the clock are brought back to it",
            "actor": actor,
            "reset": ahead.iter().map(|(measure, _)| row(resource, measure)).collect::<Vec<_>>(),
        });
        let payload = body.to_string().into_bytes();
        let draft = self.ceiling_draft(&cached.quota, "CLOCK_RESET", Some(Decision::Allow), payload);
        let (submission, ticket) = Submission::new(vec![draft], None, false);
        self.0.sequencer.submit(submission).await?;
        let receipt = acknowledged(ticket).await?;
        let ahead: Vec<&Counter> = ahead.into_iter().map(|(_, counter)| counter).collect();
        let keys: Vec<_> = ahead.iter().map(|(meter, _)| meter.counter()).collect();
        if !pool.store().reset(&keys).await?.contains(&true) {
            let issue = "somebody else has brought the counters back meanwhile";
            return Err(Error::new(ErrorKind::Conflict, issue));
        }
        let usage = |measure| CeilingUsage { resource: resource.to_owned(), measure };
        Ok((measure(pool, &ahead).await?.into_iter().map(usage).collect(), receipt))
    }
}

async fn measure(pool: &LeasePool, counters: &[&Counter]) -> Result<Vec<Measure>> {
    let keys: Vec<_> = counters.iter().map(|(meter, _)| meter.counter()).collect();
    let used = pool.used(&keys).await?;
    let measure = |((meter, terms), used): (&&Counter, crate::ceiling::Charged)| {
        terms.measure(meter.window(), used.amount, used.slice)
    };
    Ok(counters.iter().zip(used).map(measure).collect())
}

fn row(resource: &str, measure: &Measure) -> Value {
    json!({
        "resourceType": resource,
        "level": measure.level(),
        "charged": measure.current_usage(),
        "window": measure.window().kind(),
        "windowSeconds": measure.window().seconds(),
        "windowStart": measure.window_start(),
    })
}
