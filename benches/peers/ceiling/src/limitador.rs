//! limitador, check and count in one call: a window per key that begins with its first use.
//!
//! Its documentation says of counters in memory that "we'll never go over the limits defined". In 0.14 the call reads
//! the counter, compares, and adds later, with only a read lock on the map around all of it, so that threads can pass
//! the comparison together. See [`limitador_reserve`](crate::limitador_reserve) for its other way.

use std::collections::HashMap;

use limitador::RateLimiter;
use limitador::limit::{Context, Limit, Namespace};

use crate::{Ceiling, Contender, Result};

/// The variable that tells the counters of one limit apart.
const AGENT: &str = "agent";

struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

/// One limit without conditions, counted per agent.
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let namespace = Namespace::from("ceilings");
    Ok(Box::new(Limitador { limiter: limiter(ceiling, &namespace)?, namespace }))
}

pub(crate) fn limiter(ceiling: Ceiling, namespace: &Namespace) -> Result<RateLimiter> {
    // The counters are a cache of bounded size: one that falls out of it begins again at zero. Room for twice the
    // keys, so that this does not happen here.
    let limiter = RateLimiter::new(u64::from(ceiling.keys) * 2);
    let (limit, seconds) = (ceiling.limit.into(), ceiling.seconds.into());
    limiter.add_limit(Limit::new(namespace.clone(), limit, seconds, [], [AGENT.try_into()?]));
    Ok(limiter)
}

/// The context of a check. It is made for each check, as a host that has an agent's id has to; that is more than half
/// of the time of a check, which a host could spare if it kept one context for every agent.
pub(crate) fn context(key: &str) -> Context<'static> {
    HashMap::from([(AGENT.to_owned(), key.to_owned())]).into()
}

impl Contender for Limitador {
    fn name(&self) -> &'static str {
        "limitador 0.14"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        let answer = self.limiter.check_rate_limited_and_update(&self.namespace, &context(key), amount);
        answer.is_ok_and(|answer| !answer.limited)
    }

    fn promises(&self) -> &'static str {
        "a most per window from the first use, to one caller at a time; not to several, nor across the edge"
    }
}
