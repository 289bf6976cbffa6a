//! Subscriptions to the engine's streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi_derive::napi;
use trust_engine::Error;
use trust_engine::json::{Caller, Subscription};

use crate::engine::SharedEngine;
use crate::error::{closed, failed};
use crate::output::Value;
use crate::tasks::Tasks;

/// The subscription while no call is under way; `None` before it begins, while one waits, and when it has ended.
type Place = Rc<RefCell<Option<Subscription>>>;

/// A subscription.
#[napi]
pub struct NativeSubscription {
    tasks: Rc<Tasks>,
    engine: SharedEngine,
    caller: Arc<Caller>,
    name: String,
    parameters: String,
    place: Place,
    ended: Rc<RefCell<bool>>,
}

impl NativeSubscription {
    pub(crate) fn new(
        tasks: Rc<Tasks>,
        engine: SharedEngine,
        caller: Arc<Caller>,
        name: String,
        parameters: String,
    ) -> Self {
        Self { tasks, engine, caller, name, parameters, place: Place::default(), ended: Rc::default() }
    }
}

#[napi]
impl NativeSubscription {
    /// Subscribes; an empty text when that is done.
    #[napi(catch_unwind)]
    pub fn begin(&self, slot: u32) -> Option<Value> {
        let Some(engine) = self.engine.borrow().clone() else { return Some(failed(closed())) };
        let (caller, place) = (Arc::clone(&self.caller), Rc::clone(&self.place));
        let (name, parameters) = (self.name.clone(), self.parameters.clone());
        self.tasks.start(slot, async move {
            match engine.json(&caller).subscribe(&name, parameters.as_bytes()).await {
                Ok(subscription) => {
                    place.replace(Some(subscription));
                    Value::A(String::new())
                }
                Err(error) => failed(error),
            }
        })
    }

    /// The next item as JSON; an empty text at the end.
    #[napi(catch_unwind)]
    pub fn next(&self, slot: u32) -> Option<Value> {
        let (place, ended) = (Rc::clone(&self.place), Rc::clone(&self.ended));
        if *ended.borrow() {
            return Some(Value::A(String::new()));
        }
        let Some(mut subscription) = place.borrow_mut().take() else {
            return Some(failed(Error::invalid("next", "is called while the call before it waits")));
        };
        self.tasks.start(slot, async move {
            let next = subscription.next().await;
            if !*ended.borrow() {
                place.replace(Some(subscription));
            }
            match next {
                Ok(item) => Value::A(item.unwrap_or_default()),
                Err(error) => failed(error),
            }
        })
    }

    /// Ends it. A call that waits is answered by what it waits for, or when the engine is closed.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        self.ended.replace(true);
        self.place.take();
    }
}
