//! Calls of one script that wait at the same time share an invocation: while it is under way, later calls gather for
//! the next.

use std::sync::Arc;

use futures_channel::oneshot;
use redis::Script;
use tokio::sync::mpsc;

use super::error::not_sent;
use super::link::{Connection, Link};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::coalescer::closed;

/// Most calls of one invocation: so many that the server is not kept from other clients for longer than about a
/// millisecond.
const MAX_TOGETHER: usize = 128;

/// A call of the script for one key, and the connection that it was made for.
struct Call {
    connection: Connection,
    key: Vec<u8>,
    arguments: Vec<String>,
    answer: oneshot::Sender<Result<Vec<i64>>>,
}

/// The queue of the calls of a script. One task sends them in the order of the queue, one invocation at a time; it ends
/// when the queue is dropped.
pub(super) struct Calls(mpsc::UnboundedSender<Call>);

impl Calls {
    /// Starts the task that sends the calls. `head` makes the argument before those of the keys.
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
                // A call belongs to the connection that it was made for: a time of another server means nothing to it.
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

/// Sends calls in one invocation and answers each of them. An error is not fatal: it is the answer of these calls, and
/// the queue goes on. Nothing is sent on a connection that is no longer in use.
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
        // The caller that waited may have given up.
        let _ = call.answer.send(answer);
    }
}
