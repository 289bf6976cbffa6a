//! limitador, reserve and then commit: its way for amounts that are known only afterwards.
//!
//! Reservations are compared and held under one lock, which its authors keep "obviously-correct" at the cost of
//! speed. The counter itself is read before that lock, so a commit that comes between is not seen.

use limitador::RateLimiter;
use limitador::limit::Namespace;

use crate::limitador::{context, limiter};
use crate::{Ceiling, Contender, Result};

struct Reserving {
    limiter: RateLimiter,
    namespace: Namespace,
}

/// The same limit as in [`limitador`](crate::limitador).
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let namespace = Namespace::from("ceilings");
    Ok(Box::new(Reserving { limiter: limiter(ceiling, &namespace)?, namespace }))
}

impl Contender for Reserving {
    fn name(&self) -> &'static str {
        "limitador 0.14, reserve and commit"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        let context = context(key);
        let Ok(held) = self.limiter.reserve(&self.namespace, &context, amount, None) else {
            return false;
        };
        // A commit that fails has counted nothing, so it is no yes.
        !held.limited
            && self
                .limiter
                .commit_reservation(&self.namespace, &context, held.reservation_id.as_ref(), amount)
                .is_ok()
    }

    fn promises(&self) -> &'static str {
        "the same, and holds that several callers cannot exceed; not once they commit, nor across the edge"
    }
}
