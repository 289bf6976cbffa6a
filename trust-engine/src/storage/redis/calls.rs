//! Calls of one script that wait together travel together: while one is under way, the next one gathers.

use std::sync::Arc;

use futures_channel::oneshot;
use redis::Script;
use tokio::sync::mpsc;

use super::error::not_sent;
use super::link::{Connection, Link};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::coalescer::closed;

/// Calls that travel together: so many that the server is not kept from others for longer than about a millisecond.
const MAX_TOGETHER: usize = 128;

/// What the script is asked for one key.
struct Call {
    connection: Connection,
    key: Vec<u8>,
    arguments: Vec<String>,
    answer: oneshot::Sender<Result<Vec<i64>>>,
}

/// A script for one key, which takes as many keys as there are.
pub(super) struct Calls(mpsc::UnboundedSender<Call>);

impl Calls {
    /// `head` makes the arguments before those of the keys.
    pub(super) fn new(
        link: &Arc<Link>,
        script: Script,
        head: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Call>();
        let sender = Arc::clone(link);
        link.spawn(async move {
            let mut calls = Vec::new();
            while !calls.is_empty() || waiting.recv_many(&mut calls, MAX_TOGETHER).await > 0 {
                // A call belongs to the connection that it was made for: another server's time means nothing to it.
                let Some(connection) = calls.first().map(|call| call.connection.clone()) else { continue };
                let other =
                    calls.iter().position(|call| !call.connection.is(&connection)).unwrap_or(calls.len());
                let later = calls.split_off(other);
                send(&sender, &connection, &script, head(), std::mem::replace(&mut calls, later)).await;
            }
        });
        Self(queue)
    }

    /// Runs the script on a key.
    pub(super) async fn call(
        &self,
        connection: &Connection,
        key: Vec<u8>,
        arguments: Vec<String>,
    ) -> Result<Vec<i64>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Call { connection: connection.clone(), key, arguments, answer }).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

async fn send(link: &Link, connection: &Connection, script: &Script, head: String, calls: Vec<Call>) {
    let answers: Result<Vec<Vec<i64>>> = match link.is_up(connection) {
        true => {
            let mut invocation = script.prepare_invoke();
            invocation.arg(head);
            for call in &calls {
                invocation.key(&call.key).arg(&call.arguments);
            }
            link.invoke(connection, &invocation).await
        }
        false => Err(not_sent()),
    };
    let mut answers = answers.map(Vec::into_iter);
    for call in calls {
        let answer = match &mut answers {
            Ok(all) => {
                all.next().ok_or_else(|| Error::new(ErrorKind::Corrupt, "Redis has left out an answer"))
            }
            Err(error) => Err(error.clone()),
        };
        // Whoever waited may have given up.
        let _ = call.answer.send(answer);
    }
}
