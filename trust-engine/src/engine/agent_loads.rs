//! Loads of agents that outlive the calls that began them.
//!
//! A call that never waits begins to load an agent that is not cached, and gives up at once. The load goes on here, so
//! that the next call finds the agent, and the store is asked once however often the call is repeated.

use std::collections::{HashMap, HashSet};
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

/// Most loads that are under way at a time, and most of one organization. A call beyond them begins none.
const MOST: usize = 4096;
const MOST_OF_ONE: usize = 1024;
/// Most failures that are kept for the calls that ask again.
const FAILURES: usize = 1024;

type Key = (OrganizationId, AgentId);
type Load = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The loads that are under way. The table is locked for a look-up or a change only; the thread that drives the loads is
/// started by the first one, and ends when this is closed or dropped.
#[derive(Default)]
pub(super) struct AgentLoads {
    table: Arc<Mutex<Table>>,
    driver: Mutex<Driver>,
}

#[derive(Default)]
struct Table {
    under_way: HashSet<Key>,
    of: HashMap<OrganizationId, usize>,
    /// The errors of loads that failed, until somebody asks again.
    failed: HashMap<Key, Error>,
}

impl Table {
    /// Whether a load of an agent may begin now.
    fn has_room(&self, (organization, _): &Key) -> bool {
        self.under_way.len() < MOST && self.of.get(organization).is_none_or(|loads| *loads < MOST_OF_ONE)
    }

    fn begin(&mut self, key: &Key) -> bool {
        let begins = self.has_room(key) && self.under_way.insert(key.clone());
        if begins {
            *self.of.entry(key.0.clone()).or_default() += 1;
        }
        begins
    }

    fn end(&mut self, key: &Key) {
        self.under_way.remove(key);
        if let Some(loads) = self.of.get_mut(&key.0) {
            *loads -= 1;
            if *loads == 0 {
                self.of.remove(&key.0);
            }
        }
    }

    fn fail(&mut self, key: Key, error: Error) {
        if self.failed.len() >= FAILURES {
            self.failed.clear();
        }
        self.failed.insert(key, error);
    }
}

#[derive(Default)]
enum Driver {
    #[default]
    NotStarted,
    Running(Sender<Load>),
    Closed,
}

impl AgentLoads {
    /// The agent, if it is `cached` by now or its load needs no waiting. Otherwise the load goes on, unless one of the same agent is under way.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if the load needs waiting; that of the load, or of the one before that failed meanwhile.
    pub(super) fn at_once(
        &self,
        key: Key,
        cached: impl FnOnce() -> Option<Option<Arc<Agent>>>,
        load: impl Future<Output = Result<Option<Arc<Agent>>>> + Send + 'static,
    ) -> Result<Option<Arc<Agent>>> {
        let issue = format!("agent {} is being loaded from a remote store; wait for it, or try again", key.1);
        let would_block = || Err(Error::new(ErrorKind::WouldBlock, issue));
        {
            let mut table = self.table.lock();
            if let Some(error) = table.failed.remove(&key) {
                return Err(error);
            }
            if table.under_way.contains(&key) || !table.has_room(&key) {
                return would_block();
            }
        }
        // A load caches the agent before it leaves the table, so one that has ended since the caller looked is seen here.
        if let Some(agent) = cached() {
            return Ok(agent);
        }
        let mut load = Box::pin(load);
        if let Poll::Ready(result) = load.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        // A load of the same agent that another thread has just begun makes this one superfluous.
        if self.table.lock().begin(&key) {
            let ended = Ended { table: Arc::clone(&self.table), key };
            self.drive(Box::pin(async move {
                let loaded = load.await;
                if let Err(error) = loaded {
                    ended.table.lock().fail(ended.key.clone(), error);
                }
                drop(ended);
            }))?;
        }
        would_block()
    }

    fn drive(&self, load: Load) -> Result<()> {
        let mut driver = self.driver.lock();
        // Its thread has ended if a load panicked.
        let runs = match &*driver {
            Driver::NotStarted => false,
            Driver::Running(sender) => !sender.is_closed(),
            Driver::Closed => return Ok(()),
        };
        if !runs {
            let (sender, loads) = async_channel::unbounded();
            std::thread::Builder::new()
                .name("trust-engine-loads".into())
                .spawn(move || block_on(drive(loads)))
                .map_err(|error| from_io(error, "the thread of loads cannot be started"))?;
            *driver = Driver::Running(sender);
        }
        if let Driver::Running(sender) = &*driver {
            // If the thread ends just now, the load is dropped, and the next call begins another one.
            let _ = sender.try_send(load);
        }
        Ok(())
    }

    /// Ends the loads that are under way, and begins no more.
    pub(super) fn close(&self) {
        *self.driver.lock() = Driver::Closed;
    }
}

/// Takes a load out of the table when it has ended, also by being dropped.
struct Ended {
    table: Arc<Mutex<Table>>,
    key: Key,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.table.lock().end(&self.key);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, Instant};

    use futures_channel::oneshot;

    use super::*;

    fn key(organization: &str, agent: usize) -> Key {
        let agent = AgentId::parse(&format!("agent_{agent}")).unwrap();
        (OrganizationId::parse(organization).unwrap(), agent)
    }

    fn kind(loaded: &Result<Option<Arc<Agent>>>) -> Option<ErrorKind> {
        loaded.as_ref().err().map(Error::kind)
    }

    fn soon(mut is_so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_organization_cannot_take_all_loads_and_each_that_ends_makes_room() {
        let loads = AgentLoads::default();
        let mut answers = Vec::new();
        let mut begin = |organization: &str, agent: usize| {
            let (answer, loaded) = oneshot::channel::<()>();
            let load = async move {
                let _ = loaded.await;
                Ok(None)
            };
            let begun = loads.at_once(key(organization, agent), || None, load);
            assert_eq!(kind(&begun), Some(ErrorKind::WouldBlock));
            answers.push(answer);
        };
        let under_way = || loads.table.lock().under_way.len();
        (0..MOST_OF_ONE + 500).for_each(|agent| begin("flood", agent));
        assert_eq!(under_way(), MOST_OF_ONE, "those beyond began none");
        (0..10).for_each(|agent| begin("other", agent));
        assert_eq!(under_way(), MOST_OF_ONE + 10);
        ["b", "c", "d"].iter().for_each(|name| (0..MOST_OF_ONE).for_each(|agent| begin(name, agent)));
        assert_eq!(under_way(), MOST, "and no more together");
        // The first one ends, which makes room for one.
        answers.remove(0).send(()).unwrap();
        soon(|| under_way() == MOST - 1);
        let (_answer, never) = oneshot::channel::<()>();
        let load = async move {
            let _ = never.await;
            Ok(None)
        };
        assert_eq!(kind(&loads.at_once(key("flood", 0), || None, load)), Some(ErrorKind::WouldBlock));
        assert_eq!(under_way(), MOST);
        answers.clear();
        soon(|| under_way() == 1);
        let table = loads.table.lock();
        assert_eq!(table.of.values().sum::<usize>(), 1, "nothing of those that ended is kept");
    }

    #[test]
    fn the_next_call_is_told_that_a_load_failed_once_and_then_one_is_begun_again() {
        let loads = AgentLoads::default();
        let fails = || async {
            // Once pending, as a remote store is.
            let mut polled = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            Err(Error::new(ErrorKind::Unavailable, "the store is away"))
        };
        let ended = || loads.table.lock().under_way.is_empty();
        for _ in 0..2 {
            assert_eq!(kind(&loads.at_once(key("o", 1), || None, fails())), Some(ErrorKind::WouldBlock));
            soon(ended);
            let told = loads.at_once(key("o", 1), || None, fails());
            assert_eq!(kind(&told), Some(ErrorKind::Unavailable));
            assert!(ended(), "the call that is told begins none");
        }
        // Failures that nobody asks for again take bounded room.
        for agent in 0..FAILURES + 10 {
            assert_eq!(kind(&loads.at_once(key("o", agent), || None, fails())), Some(ErrorKind::WouldBlock));
            soon(ended);
        }
        assert!(loads.table.lock().failed.len() <= FAILURES);
    }
}
