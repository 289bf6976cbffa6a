//! The news that the log may have grown, for those who wait for it.

use futures_channel::oneshot;
use parking_lot::Mutex;

/// Tells all who listen, once. Who listens first and reads the log then misses nothing.
#[derive(Default)]
pub(crate) struct News(Mutex<Vec<oneshot::Sender<()>>>);

impl News {
    pub(crate) fn listen(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut listening = self.0.lock();
        // Those who gave up would gather in a log that is idle.
        listening.retain(|tell| !tell.is_canceled());
        listening.push(tell);
        told
    }

    /// Whether anybody listens.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.lock().iter().any(|tell| !tell.is_canceled())
    }

    pub(crate) fn tell(&self) {
        // The lock is released before anybody is woken, who may listen again at once.
        let listening = std::mem::take(&mut *self.0.lock());
        for tell in listening {
            // It may have given up.
            let _ = tell.send(());
        }
    }
}
