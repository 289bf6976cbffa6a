//! Subscriptions to the engine's streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use napi_derive::napi;
use pollster::block_on;
use trust_engine::json::{Caller, Subscription};
use trust_engine::{Error, Result};

use crate::engine::SharedEngine;
use crate::error::{closed, failed};
use crate::output::Value;
use crate::searches::Searches;
use crate::tasks::Tasks;

/// A subscription.
#[napi]
pub struct NativeSubscription {
    tasks: Rc<Tasks>,
    engine: SharedEngine,
    searches: Rc<Searches>,
    caller: Arc<Caller>,
    name: String,
    parameters: String,
    state: Rc<State>,
}

/// The state of a subscription; lives on Node's thread.
#[derive(Default)]
struct State {
    /// The subscription while no call is under way; `None` before it begins, while one waits, and when it has ended.
    subscription: RefCell<Option<Subscription>>,
    ended: Cell<bool>,
    /// Ends a call that waits.
    end: RefCell<Option<oneshot::Sender<()>>>,
}

impl NativeSubscription {
    pub(crate) fn new(
        tasks: Rc<Tasks>,
        engine: SharedEngine,
        searches: Rc<Searches>,
        caller: Arc<Caller>,
        name: String,
        parameters: String,
    ) -> Self {
        Self { tasks, engine, searches, caller, name, parameters, state: Rc::default() }
    }
}

#[napi]
impl NativeSubscription {
    /// Subscribes; an empty text when that is done.
    #[napi(catch_unwind)]
    pub fn begin(&self, slot: u32) -> Option<Value> {
        let Some(engine) = self.engine.borrow().clone() else { return Some(failed(closed())) };
        let (caller, state) = (Arc::clone(&self.caller), Rc::clone(&self.state));
        let (name, parameters) = (self.name.clone(), self.parameters.clone());
        self.tasks.start(slot, async move {
            match engine.json(&caller).subscribe(&name, parameters.as_bytes()).await {
                Ok(subscription) => {
                    if !state.ended.get() {
                        state.subscription.replace(Some(subscription));
                    }
                    Value::A(String::new())
                }
                Err(error) => failed(error),
            }
        })
    }

    /// The next item as JSON; an empty text at the end.
    #[napi(catch_unwind)]
    pub fn next(&self, slot: u32) -> Option<Value> {
        let state = Rc::clone(&self.state);
        if state.ended.get() {
            return Some(Value::A(String::new()));
        }
        let Some(mut subscription) = state.subscription.borrow_mut().take() else {
            return Some(failed(Error::invalid(
                "next",
                "is called before the subscription has begun, or while a call waits",
            )));
        };
        if let Some(item) = subscription.pop() {
            state.subscription.replace(Some(subscription));
            return Some(Value::A(item));
        }
        // A page of a store in this process keeps a processor busy.
        let on_a_thread = self.searches.are_local() && !subscription.follows();
        let searches = Rc::clone(&self.searches);
        let (end, ended) = oneshot::channel();
        self.tasks.start(slot, async move {
            let (next, subscription): (Result<Option<String>>, Subscription) = if on_a_thread {
                // It is one page, and its thread holds the engine: so its end is waited for.
                let read = move || (block_on(subscription.next()), subscription);
                match searches.run(read).await {
                    Ok(read) => read,
                    Err(error) => return failed(error),
                }
            } else {
                state.end.replace(Some(end));
                let read = Box::pin(async move { (subscription.next().await, subscription) });
                match select(read, ended).await {
                    Either::Left((read, _)) => read,
                    Either::Right(_) => return Value::A(String::new()),
                }
            };
            if state.ended.get() {
                return Value::A(String::new());
            }
            state.subscription.replace(Some(subscription));
            match next {
                Ok(item) => Value::A(item.unwrap_or_default()),
                Err(error) => failed(error),
            }
        })
    }

    /// Ends it, also while a call waits, which is answered as at the end.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        self.state.ended.set(true);
        self.state.subscription.take();
        if let Some(end) = self.state.end.take() {
            // The call may be answered already.
            let _ = end.send(());
        }
    }
}
