//! The sign of life of the shard that an engine writes, on a thread of its own, so that nothing delays it.
//!
//! It keeps other engines from taking the shard over, and lets readers who go by time pass a shard that is idle.

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use uuid::Uuid;

use super::sequencer::Sequencer;
use super::worker::Worker;
use crate::clock::{Clock, Moment};
use crate::error::Result;
use crate::storage::Store;

/// Time between two signs.
const PAUSE: Duration = Duration::from_millis(500);

/// The time by both clocks.
fn now(clock: &dyn Clock) -> Moment {
    Moment { wall: clock.now(), steady: clock.since_boot() }
}

pub(crate) fn start(
    store: Arc<dyn Store>,
    sequencer: Arc<Sequencer>,
    clock: Arc<dyn Clock>,
    owner: Uuid,
) -> Result<Worker> {
    let sign = move || {
        // The shard is read before the promise is made: a promise of an era that has ended is none to the shard of the next.
        let shard = sequencer.shard();
        let time = sequencer.log_time().promise(now(&*clock));
        // No failure is fatal: a store that is down is asked again by the next sign, and a shard that was lost is
        // noticed by the next commit, which claims another if it may.
        let asked = clock.since_boot();
        let signed = block_on(store.renew(shard, owner, time));
        // A store without a clock gives the time back.
        if let (Ok((_, by_the_store)), true) = (signed, clock.is_real())
            && by_the_store != time
        {
            sequencer.log_time().compare(asked, now(&*clock), by_the_store);
        }
        false
    };
    Worker::start("trust-engine-sign", PAUSE, sign, || {})
}
