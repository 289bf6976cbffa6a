//! Calls that are begun and not waited for, for hosts whose languages have no futures.
//!
//! A call is polled once where it is begun, and from then on by one thread, which hands over together what was done together:
//! a commit that answers hundreds of calls wakes it once. Searches, which keep a processor busy, run on two threads of their
//! own.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle, ThreadId};

use async_channel::{Receiver, Sender};
use async_executor::Executor;
use parking_lot::Mutex;
use pollster::block_on;

/// Steps of calls between two deliveries.
const STEPS: usize = 1024;
/// Searches at a time.
const SEARCHES: usize = 2;

/// The calls of one host that are under way, and the threads that see to them.
///
/// ```
/// use std::sync::mpsc::channel;
/// use trust_engine::completions::Completions;
///
/// let (send, outcomes) = channel();
/// let calls = Completions::start(move |done: Vec<u32>| done.into_iter().for_each(|one| send.send(one).unwrap()))?;
/// let (answer, question) = futures_channel::oneshot::channel();
/// assert_eq!(calls.begin(async { question.await.unwrap() }), Ok(None));
/// answer.send(7).unwrap();
/// assert_eq!(outcomes.recv(), Ok(7));
/// assert_eq!(calls.begin(async { 8 }), Ok(Some(8)), "a call that need not wait is answered at once");
/// calls.close();
/// assert!(calls.begin(async { 9 }).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Completions<T> {
    shared: Arc<Shared<T>>,
    /// The thread that delivers; `None` once it was waited for.
    delivers: Mutex<Option<JoinHandle<()>>>,
    thread: ThreadId,
    searchers: Mutex<Option<Searchers>>,
}

struct Shared<T> {
    calls: Executor<'static>,
    searches: Executor<'static>,
    done: Mutex<Vec<T>>,
    /// Calls that are begun and whose outcome is not in `done` yet, and one more until the end.
    open: AtomicUsize,
    /// Whether no more calls are taken. Read and set under the lock, so that `open` counts every call that is taken.
    ended: Mutex<bool>,
}

/// The threads of searches: they end when the sender goes.
struct Searchers {
    _stop: Sender<()>,
}

/// The delivery has ended: no call is taken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// A call that is under way.
struct Open<T>(Arc<Shared<T>>);

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        // Release: whoever sees the count sees the outcome in `done`.
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

impl<T: Send + 'static> Completions<T> {
    /// Starts the thread, on which `deliver` is called with outcomes in the order in which they came.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn start(mut deliver: impl FnMut(Vec<T>) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            calls: Executor::new(),
            searches: Executor::new(),
            done: Mutex::default(),
            open: AtomicUsize::new(1),
            ended: Mutex::new(false),
        });
        let of = Arc::clone(&shared);
        let run = move || {
            loop {
                // Acquire: with nothing open, everything is in `done`.
                let last = of.open.load(Ordering::Acquire) == 0;
                let done = std::mem::take(&mut *of.done.lock());
                if !done.is_empty() {
                    // A host that fails here loses these outcomes and no others.
                    let _ = catch_unwind(AssertUnwindSafe(|| deliver(done)));
                } else if last {
                    return;
                } else {
                    let step = || {
                        block_on(of.calls.tick());
                        (1..STEPS).all(|_| of.calls.try_tick())
                    };
                    let _ = catch_unwind(AssertUnwindSafe(step));
                }
            }
        };
        let thread = thread::Builder::new().name("te-completions".into()).spawn(run)?;
        let id = thread.thread().id();
        Ok(Self { shared, delivers: Mutex::new(Some(thread)), thread: id, searchers: Mutex::default() })
    }

    /// Begins a call, and gives its outcome if it need not wait; otherwise the outcome is delivered later. A call should not
    /// panic: nothing is delivered for one that does.
    ///
    /// # Errors
    /// [`Ended`] after [`close`](Self::close).
    pub fn begin(&self, call: impl Future<Output = T> + Send + 'static) -> Result<Option<T>, Ended> {
        Ok(self.poll(call)?.map(|(_, outcome)| outcome))
    }

    /// Begins a call whose outcome is delivered, also if it need not wait.
    ///
    /// # Errors
    /// [`Ended`] after [`close`](Self::close).
    pub fn submit(&self, call: impl Future<Output = T> + Send + 'static) -> Result<(), Ended> {
        if let Some((open, outcome)) = self.poll(call)? {
            open.finish(outcome);
        }
        Ok(())
    }

    fn poll(&self, call: impl Future<Output = T> + Send + 'static) -> Result<Option<(Open<T>, T)>, Ended> {
        let open = self.open()?;
        // Polled here, a call takes its place before those that are begun after it, and most checks need no more.
        let mut call = Box::pin(call);
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Ok(Some((open, outcome))),
            Poll::Pending => {
                let calls = Arc::clone(&self.shared);
                calls.calls.spawn(async move { open.finish(call.await) }).detach();
                Ok(None)
            }
        }
    }

    /// Begins a call that keeps a processor busy.
    ///
    /// # Errors
    /// [`Ended`] after [`close`](Self::close).
    pub fn search(&self, call: impl Future<Output = T> + Send + 'static) -> Result<(), Ended> {
        let open = self.open()?;
        self.shared.searches.spawn(async move { open.finish(call.await) }).detach();
        let mut searchers = self.searchers.lock();
        if searchers.is_none() {
            *searchers = Some(Searchers::start(&self.shared));
        }
        Ok(())
    }

    /// Whether the calling thread is the one that delivers.
    pub fn is_here(&self) -> bool {
        thread::current().id() == self.thread
    }

    /// Takes no more calls and, unless the thread that delivers asks for it, waits until those under way are delivered.
    pub fn close(&self) {
        self.end();
        if self.is_here() {
            return;
        }
        if let Some(thread) = self.delivers.lock().take() {
            // It does not panic, and if it did, there would be nothing left to wait for.
            let _ = thread.join();
        }
        *self.searchers.lock() = None;
    }

    fn end(&self) {
        let mut ended = self.shared.ended.lock();
        if !*ended {
            *ended = true;
            self.shared.open.fetch_sub(1, Ordering::Release);
            self.shared.wake();
        }
    }

    fn open(&self) -> Result<Open<T>, Ended> {
        let ended = self.shared.ended.lock();
        if *ended {
            return Err(Ended);
        }
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Ok(Open(Arc::clone(&self.shared)))
    }
}

impl<T: Send + 'static> Open<T> {
    fn finish(self, outcome: T) {
        self.0.done.lock().push(outcome);
        let shared = Arc::clone(&self.0);
        drop(self);
        shared.wake();
    }
}

impl<T> Shared<T> {
    /// Makes the thread look: a tick ends with any step.
    fn wake(&self) {
        self.calls.spawn(async {}).detach();
    }
}

impl Searchers {
    fn start<T: Send + 'static>(shared: &Arc<Shared<T>>) -> Self {
        let (stop, stopped): (Sender<()>, Receiver<()>) = async_channel::bounded(1);
        for _ in 0..SEARCHES {
            let (shared, stopped) = (Arc::clone(shared), stopped.clone());
            let run = move || {
                loop {
                    let search = || block_on(shared.searches.run(pin!(stopped.recv())));
                    // After a search that panicked the thread goes on.
                    if catch_unwind(AssertUnwindSafe(search)).is_ok() {
                        return;
                    }
                }
            };
            // Without a thread the searches wait for the other, or for one that starts with the next.
            let _ = thread::Builder::new().name("te-search".into()).spawn(run);
        }
        Self { _stop: stop }
    }
}

impl<T> Drop for Completions<T> {
    fn drop(&mut self) {
        let mut ended = self.shared.ended.lock();
        if !*ended {
            *ended = true;
            // What is under way is still delivered; then the thread ends.
            self.shared.open.fetch_sub(1, Ordering::Release);
            self.shared.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_done_together_is_delivered_together_and_in_order() {
        let (send, batches) = channel();
        let calls = Completions::start(move |done: Vec<u32>| send.send(done).unwrap()).unwrap();
        let (open, gate) = async_channel::bounded::<()>(1);
        for number in 0..100 {
            let gate = gate.clone();
            calls
                .begin(async move {
                    let _ = gate.recv().await;
                    number
                })
                .unwrap();
        }
        drop(open);
        calls.close();
        let batches: Vec<Vec<u32>> = batches.iter().collect();
        assert!(batches.len() < 10, "{} batches for 100 calls", batches.len());
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn closing_waits_for_calls_and_searches_and_refuses_new_ones() {
        let (send, outcomes) = channel();
        let calls = Completions::start(move |done: Vec<u32>| {
            done.into_iter().for_each(|one| send.send(one).unwrap());
        })
        .unwrap();
        for number in 0..10 {
            let slow = async move {
                thread::yield_now();
                number
            };
            calls.search(slow).unwrap();
        }
        calls.close();
        let mut seen: Vec<u32> = outcomes.try_iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!((calls.begin(async { 1 }), calls.search(async { 1 })), (Err(Ended), Err(Ended)));
    }

    #[test]
    fn a_call_that_panics_and_a_host_that_panics_cost_no_other() {
        let (send, outcomes) = channel();
        let calls = Completions::start(move |done: Vec<u32>| {
            for one in done {
                assert_ne!(one, 13);
                send.send(one).unwrap();
            }
        })
        .unwrap();
        let (open, gate) = async_channel::bounded::<()>(1);
        let wait = async move {
            let _ = gate.recv().await;
            panic!("a call that fails");
        };
        calls.begin(wait).unwrap();
        drop(open);
        calls.submit(async { 13 }).unwrap();
        // Another delivery than that of 13.
        while calls.shared.done.lock().contains(&13) {
            thread::yield_now();
        }
        calls.submit(async { 7 }).unwrap();
        calls.close();
        assert_eq!(outcomes.try_iter().last(), Some(7));
    }

    #[test]
    fn one_that_is_dropped_delivers_what_is_under_way() {
        let (send, outcomes) = channel();
        let calls = Completions::start(move |done: Vec<u32>| {
            done.into_iter().for_each(|one| send.send(one).unwrap());
        })
        .unwrap();
        let (open, gate) = async_channel::bounded::<()>(1);
        calls
            .begin(async move {
                let _ = gate.recv().await;
                7
            })
            .unwrap();
        drop(calls);
        drop(open);
        assert_eq!(outcomes.recv(), Ok(7));
    }
}
