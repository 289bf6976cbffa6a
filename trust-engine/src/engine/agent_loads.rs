//! Loads of agents that outlive the calls that began them.
//!
//! A call that never waits begins to load an agent that is not cached, and gives up at once. The load goes on here, so
//! that the next call finds the agent, and the store is asked once however often the call is repeated.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_channel::{Receiver, Sender};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use pollster::block_on;

use crate::agent::Agent;
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::ids::{AgentId, OrganizationId};

/// Most loads that are under way at a time. A call beyond them begins none.
const MOST: usize = 4096;

type Key = (OrganizationId, AgentId);
type Load = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The loads that are under way. The set is locked for a look-up or a change only; the thread that drives the loads is
/// started by the first one, and ends when this is closed or dropped.
#[derive(Default)]
pub(super) struct AgentLoads {
    under_way: Arc<Mutex<HashSet<Key>>>,
    driver: Mutex<Driver>,
}

#[derive(Default)]
enum Driver {
    #[default]
    NotStarted,
    Running(Sender<Load>),
    Closed,
}

impl AgentLoads {
    /// The agent, if its load needs no waiting. Otherwise the load goes on, unless one of the same agent is under way.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if the load needs waiting; those of the load.
    pub(super) fn at_once(
        &self,
        key: Key,
        load: impl Future<Output = Result<Option<Arc<Agent>>>> + Send + 'static,
    ) -> Result<Option<Arc<Agent>>> {
        let issue = format!("agent {} is being loaded from a remote store; wait for it, or try again", key.1);
        let would_block = || Err(Error::new(ErrorKind::WouldBlock, issue));
        if self.under_way.lock().contains(&key) {
            return would_block();
        }
        let mut load = Box::pin(load);
        if let Poll::Ready(result) = load.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        // A load of the same agent that another thread has just begun makes this one superfluous.
        let mut under_way = self.under_way.lock();
        if under_way.len() < MOST && under_way.insert(key.clone()) {
            drop(under_way);
            let ended = Ended { under_way: Arc::clone(&self.under_way), key };
            self.drive(Box::pin(async move {
                // The caller is told by the next load if this one fails.
                let _ = load.await;
                drop(ended);
            }))?;
        }
        would_block()
    }

    fn drive(&self, load: Load) -> Result<()> {
        let mut driver = self.driver.lock();
        if let Driver::NotStarted = *driver {
            let (sender, loads) = async_channel::unbounded();
            std::thread::Builder::new()
                .name("trust-engine-loads".into())
                .spawn(move || block_on(drive(loads)))
                .map_err(|error| from_io(error, "the thread of loads cannot be started"))?;
            *driver = Driver::Running(sender);
        }
        if let Driver::Running(sender) = &*driver {
            // The channel has no bound, and its other end lives as long as this one.
            let _ = sender.try_send(load);
        }
        Ok(())
    }

    /// Ends the loads that are under way, and begins no more.
    pub(super) fn close(&self) {
        *self.driver.lock() = Driver::Closed;
    }
}

/// Takes a load out of the set when it has ended, also by being dropped.
struct Ended {
    under_way: Arc<Mutex<HashSet<Key>>>,
    key: Key,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

/// Drives loads until there is nobody to begin another one.
async fn drive(loads: Receiver<Load>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let next = if under_way.is_empty() {
            loads.recv().await
        } else {
            match select(std::pin::pin!(loads.recv()), under_way.next()).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => continue,
            }
        };
        match next {
            Ok(load) => under_way.push(load),
            Err(_) => return,
        }
    }
}
