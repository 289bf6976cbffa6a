//! Futures on Node's thread. A call is polled once when it is made, so that one that need not wait is answered at once.
//! One that waits is parked under a number; its waker, on any thread, notes the number, and Node's loop is woken once
//! for all that were noted until it looks. So a commit that answers hundreds of calls wakes the loop once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;

use crate::error::{failed, panicked};
use crate::output::Value;

type Task = Pin<Box<dyn Future<Output = Value>>>;
/// Does not keep the loop alive; `index.cjs` does while calls wait.
type WakeLoop = ThreadsafeFunction<(), (), (), Status, false, true>;

pub(crate) struct Tasks {
    parked: RefCell<HashMap<u32, Task>>,
    ready: Arc<Ready>,
}

/// The calls that were woken and are not yet polled again.
struct Ready {
    slots: Mutex<Vec<u32>>,
    /// Whether the loop is to be woken already.
    called: AtomicBool,
    wakes: AtomicU32,
    wake_loop: WakeLoop,
}

struct Slot {
    number: u32,
    ready: Arc<Ready>,
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.ready.slots.lock().push(self.number);
        if !self.ready.called.swap(true, Ordering::AcqRel) {
            self.ready.wakes.fetch_add(1, Ordering::Relaxed);
            // Once the loop is gone, this does nothing.
            self.ready.wake_loop.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Tasks {
    /// `on_ready` is called on Node's thread, and is to call [`drain`](Self::drain).
    pub(crate) fn new(on_ready: &Function<'_, (), ()>) -> napi::Result<Self> {
        let wake_loop =
            on_ready.build_threadsafe_function().callee_handled::<false>().weak::<true>().build()?;
        let ready = Ready {
            slots: Mutex::default(),
            called: AtomicBool::new(false),
            wakes: AtomicU32::new(0),
            wake_loop,
        };
        Ok(Self { parked: RefCell::default(), ready: Arc::new(ready) })
    }

    /// Gives the answer, or parks the call under a number that nothing else has.
    pub(crate) fn start(&self, slot: u32, call: impl Future<Output = Value> + 'static) -> Option<Value> {
        let mut task: Task = Box::pin(call);
        match self.poll(slot, &mut task) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => {
                self.parked.borrow_mut().insert(slot, task);
                None
            }
        }
    }

    /// Polls the calls that were woken; gives numbers and answers of those that are done.
    pub(crate) fn drain(&self) -> Vec<(u32, Value)> {
        self.ready.called.store(false, Ordering::Release);
        let slots = std::mem::take(&mut *self.ready.slots.lock());
        let mut done = Vec::with_capacity(slots.len());
        for slot in slots {
            // Woken twice, or answered already.
            let Some(mut task) = self.parked.borrow_mut().remove(&slot) else { continue };
            match self.poll(slot, &mut task) {
                Poll::Ready(value) => done.push((slot, value)),
                Poll::Pending => drop(self.parked.borrow_mut().insert(slot, task)),
            }
        }
        done
    }

    /// How often the loop was woken.
    pub(crate) fn wakes(&self) -> u32 {
        self.ready.wakes.load(Ordering::Relaxed)
    }

    fn poll(&self, number: u32, task: &mut Task) -> Poll<Value> {
        let waker = Waker::from(Arc::new(Slot { number, ready: Arc::clone(&self.ready) }));
        let poll = || task.as_mut().poll(&mut Context::from_waker(&waker));
        // A call that panics must not take the others with it that are settled at the same time.
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| Poll::Ready(failed(panicked())))
    }
}

/// Runs work that may take long on a thread of its own.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, answer) = futures_channel::oneshot::channel();
    let run = move || {
        // The loop may be gone.
        let _ = done.send(work());
    };
    std::thread::Builder::new().name("trust-engine-node".into()).spawn(run).ok()?;
    answer.await.ok()
}
