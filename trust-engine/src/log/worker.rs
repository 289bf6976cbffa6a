//! A background thread: it runs a round again and again, with a pause between two unless it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::{Result, from_io};

/// A running thread. It ends soon after a stop or the drop; only [`ended`](Self::ended) waits for that.
pub(crate) struct Worker {
    wake: Wake,
    /// Set before the thread is woken, and read by the thread each time that it wakes up.
    stopped: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    ended: async_channel::Receiver<()>,
}

/// Wakes a worker. The channel holds one message, because one is enough to wake it.
#[derive(Clone)]
pub(crate) struct Wake(SyncSender<()>);

impl Wake {
    pub(crate) fn now(&self) {
        // If the channel is full, the worker wakes up anyway.
        let _ = self.0.try_send(());
    }
}

impl Worker {
    /// Starts the thread. Its first round comes after a pause, or when it is woken; a round that gives `true` is
    /// followed by the next at once. `last` runs when it has been stopped.
    pub(crate) fn start(
        name: &str,
        pause: Duration,
        mut round: impl FnMut() -> bool + Send + 'static,
        last: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let (wake, woken) = sync_channel(1);
        let stopped = Arc::new(AtomicBool::new(false));
        let (ending, ended) = async_channel::bounded(1);
        let is_stopped = Arc::clone(&stopped);
        let run = move || {
            loop {
                let woken = woken.recv_timeout(pause);
                if woken == Err(RecvTimeoutError::Disconnected) {
                    break;
                }
                while !is_stopped.load(Ordering::Acquire) && round() {}
                if is_stopped.load(Ordering::Acquire) {
                    break;
                }
            }
            // Nothing that the thread held is held any more when its end is told.
            drop(round);
            last();
            drop(ending);
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| from_io(error, format!("the thread {name} cannot be started")))?;
        Ok(Self { wake: Wake(wake), stopped, ended })
    }

    pub(crate) fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Whether the thread was told to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether the thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_closed()
    }

    /// Lets the thread end, without waiting for it.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake.now();
    }

    /// Waits until the thread has ended.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent: this waits until the thread lets go of the sender.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
