//! Streams: what a call lists, item by item, and records as they are committed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::future::{Either, select};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::answer::Answer;
use super::calls::JsonCalls;
use super::parameters::{Parameter, Values};
use super::permission::Permission;
use super::record::RecordAnswer;
use super::verbs::{agents, provenance};
use super::{Caller, table};
use crate::engine::{AgentQuery, Engine, Followed};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Query;
use crate::provenance::Record;

/// A stream that can be subscribed to.
struct Stream {
    name: &'static str,
    parameters: &'static [Parameter],
    permission: Permission,
    open: fn(&Engine, &Caller, &Values) -> Result<Source>,
}

/// Every stream.
const STREAMS: &[Stream] = &[
    Stream {
        name: "provenance.query",
        parameters: table::SEARCH,
        permission: Permission::ReadProvenance,
        open: |engine, caller, values| {
            let query = engine.json(caller).visible_part(&provenance::query_of(values)?)?;
            Ok(Source::Records { query, ended: false })
        },
    },
    Stream {
        name: "provenance.follow",
        parameters: table::FOLLOW,
        permission: Permission::ReadProvenance,
        open: |engine, caller, values| {
            let query = engine.json(caller).visible_part(&provenance::query_of(values)?)?;
            Ok(Source::Follow { query, followed: engine.followed() })
        },
    },
    Stream {
        name: "agents.list",
        parameters: table::AGENTS,
        permission: Permission::ReadAgents,
        open: |_, _, values| Ok(Source::Agents { query: agents::query_of(values)?, ended: false }),
    },
];

enum Source {
    Records { query: Query, ended: bool },
    Follow { query: Query, followed: Followed },
    Agents { query: AgentQuery, ended: bool },
}

/// A subscription: ask for the [`next`](Self::next) item until there is no more; dropping it ends it.
pub struct Subscription {
    engine: Engine,
    caller: Caller,
    source: Source,
    items: VecDeque<String>,
}

/// A subscription for hosts whose threads share it: one at a time asks for items, and any may end it, also while one waits.
///
/// ```
/// # pollster::block_on(async {
/// use trust_engine::{Engine, Options, json::{Caller, SharedSubscription}};
///
/// let engine = Engine::open(Options::memory()).await?;
/// let caller = Caller::new();
/// let stream = SharedSubscription::new(engine.json(&caller).subscribe("provenance.follow", b"").await?);
/// stream.end();
/// assert_eq!(stream.next().await?, None);
/// # Ok::<(), trust_engine::Error>(())
/// # }).unwrap();
/// ```
pub struct SharedSubscription {
    /// `None` while a call waits, and once the subscription has ended.
    subscription: Mutex<Option<Subscription>>,
    ended: AtomicBool,
    /// Wakes the call that waits.
    end: AtomicWaker,
}

impl SharedSubscription {
    /// Shares a subscription.
    pub fn new(subscription: Subscription) -> Self {
        let subscription = Mutex::new(Some(subscription));
        Self { subscription, ended: AtomicBool::new(false), end: AtomicWaker::new() }
    }

    /// The next item as JSON; `None` at the end, and once the subscription was ended. A call that is dropped while it waits loses no
    /// item: the next one goes on where it stood.
    ///
    /// # Errors
    /// Those of [`Subscription::next`]; [`ErrorKind::Conflict`] while another call waits.
    pub async fn next(&self) -> Result<Option<String>> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(None);
        }
        let taken = self.subscription.lock().take();
        let Some(subscription) = taken else {
            // Ended in between, or taken by another call.
            if self.ended.load(Ordering::Acquire) {
                return Ok(None);
            }
            let issue = "another call waits for the next item of the subscription";
            return Err(Error::new(ErrorKind::Conflict, issue));
        };
        let ended = poll_fn(|context| {
            // Registered first, so that an end that comes in between wakes it.
            self.end.register(context.waker());
            if self.ended.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut asked = Asked { of: self, subscription: Some(subscription) };
        let Some(subscription) = &mut asked.subscription else { return Ok(None) };
        let next = match select(pin!(subscription.next()), ended).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => Ok(None),
        };
        if matches!(next, Ok(None)) {
            self.ended.store(true, Ordering::Release);
        }
        next
    }

    /// Whether the stream waits for commits, and never ends.
    pub fn follows(&self) -> bool {
        self.subscription.lock().as_ref().is_some_and(Subscription::follows)
    }

    /// Ends the subscription: a call that waits gives `None`, as do all later ones.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.wake();
        // One that waits lets go of it itself.
        self.subscription.lock().take();
    }
}

/// A subscription that a call has taken; it comes back when the call is done, or given up.
struct Asked<'a> {
    of: &'a SharedSubscription,
    subscription: Option<Subscription>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut place = self.of.subscription.lock();
        if !self.of.ended.load(Ordering::Acquire) {
            *place = self.subscription.take();
        }
    }
}

impl JsonCalls<'_> {
    /// Subscribes to a stream: `provenance.query` and `agents.list` give what the calls of these names list, item by item,
    /// and end; `provenance.follow` gives the records that are committed from now on, in their final order over all
    /// shards, and does not end.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for another name, [`ErrorKind::Forbidden`], [`ErrorKind::InvalidInput`].
    pub async fn subscribe(&self, name: &str, parameters: &[u8]) -> Result<Subscription> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no stream {name:?}"));
        let stream = STREAMS.iter().find(|stream| stream.name == name).ok_or_else(missing)?;
        self.caller.check(stream.permission)?;
        let values = Values::read(stream.parameters, parameters)?;
        let caller = provenance::caller_of(self, &values)?;
        let mut source = (stream.open)(self.engine, &caller, &values)?;
        if let Source::Follow { followed, .. } = &mut source {
            followed.begin().await?;
        }
        Ok(Subscription { engine: self.engine.clone(), caller, source, items: VecDeque::new() })
    }
}

impl Subscription {
    /// The next item as JSON; `None` at the end. A stream that follows waits for the next commit.
    ///
    /// # Errors
    /// Those of the call that lists; the subscription can be asked again after one that is retryable.
    pub async fn next(&mut self) -> Result<Option<String>> {
        while self.items.is_empty() {
            if !self.fetch().await? {
                return Ok(None);
            }
        }
        Ok(self.items.pop_front())
    }

    /// The next item, if it is there already.
    pub fn pop(&mut self) -> Option<String> {
        self.items.pop_front()
    }

    /// Whether the stream waits for commits, and never ends.
    pub fn follows(&self) -> bool {
        matches!(self.source, Source::Follow { .. })
    }

    /// Reads the next page. `false` at the end.
    async fn fetch(&mut self) -> Result<bool> {
        let Self { engine, caller, source, items } = self;
        let calls = engine.json(caller);
        match source {
            Source::Records { ended: true, .. } | Source::Agents { ended: true, .. } => return Ok(false),
            Source::Records { query, ended } => {
                let page = calls.log().query(query).await?;
                items.extend(texts(&page.records)?);
                match page.next {
                    Some(next) => *query = query.clone().after(next),
                    None => *ended = true,
                }
            }
            Source::Follow { query, followed } => {
                items.extend(texts(&followed.next(query, caller.scope()).await?)?);
            }
            Source::Agents { query, ended } => {
                let page = engine.agents().of(caller.organization.clone()).list(query).await?;
                items.extend(page.agents.iter().map(text));
                match page.next {
                    Some(next) => *query = query.clone().after(next),
                    None => *ended = true,
                }
            }
        }
        Ok(true)
    }
}

/// All of the records, or an error.
fn texts(records: &[Record]) -> Result<Vec<String>> {
    records.iter().map(|record| Ok(text(&RecordAnswer::of(record)?))).collect()
}

fn text(item: &impl serde::Serialize) -> String {
    Answer::new(200, item).body
}
