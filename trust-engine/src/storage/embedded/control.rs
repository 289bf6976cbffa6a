//! The socket in the store's folder by which a command asks the process that has the store open for a backup.
//!
//! Only who may write into the socket, its owner, can ask. One line of JSON goes each way. Where there are no such sockets,
//! or the folder's path is too long for one, the process has to be asked by its own means.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tables::Tables;
use super::{DATABASE, SOCKET};
use crate::error::{Error, ErrorKind, Result, from_io};
use crate::storage::kv::Kv as _;

/// Longest request in bytes.
const MAX_REQUEST: u64 = 16 * 1024;
/// The time that a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    backup: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
}

/// A socket that is listened to. It is removed when this is dropped.
pub(super) struct Control {
    path: PathBuf,
    stopped: Arc<AtomicBool>,
}

impl Control {
    /// Listens in `folder`, if that is possible. The lock of the store is held, so a socket that is there is of a process
    /// that has ended.
    pub(super) fn start(folder: &Path, tables: Weak<Tables>) -> Option<Self> {
        // It is made where only the owner can look, and moved once only the owner can use it.
        let (hidden, path) = (folder.join(DATABASE).join(SOCKET), folder.join(SOCKET));
        let _ = std::fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).ok()?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600)).ok()?;
        std::fs::rename(&hidden, &path).ok()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let serve = move || {
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::Acquire) {
                    return;
                }
                // Nothing that one caller does ends the service for the others.
                let _ = stream.map(|stream| answer(&stream, &tables));
            }
        };
        std::thread::Builder::new().name("trust-engine-control".into()).spawn(serve).ok()?;
        Some(Self { path, stopped })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // The thread waits for a connection, and looks at the flag when one comes.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(mut stream: &UnixStream, tables: &Weak<Tables>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_until(b'\n', &mut line)?;
    let done = serde_json::from_slice::<Request>(&line)
        .map_err(|error| Error::invalid("request", format!("cannot be read: {error}")))
        .and_then(|request| {
            let closed = || Error::new(ErrorKind::Closed, "the store was closed");
            tables.upgrade().ok_or_else(closed)?.copy_to(&request.backup, None)
        });
    let answer = Answer { error: done.err().map(|error| error.to_string()) };
    stream.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes())
}

/// Asks the process that has the store in `folder` open to back it up into `to`.
pub(super) fn ask(folder: &Path, to: &Path) -> Result<()> {
    let alone = |error: std::io::Error| {
        let issue = format!(
            "{} is open in another process that cannot be asked for a backup ({error}); call the backup of its engine",
            folder.display()
        );
        Error::new(ErrorKind::Locked, issue).with("folder", folder.display())
    };
    let mut stream = UnixStream::connect(folder.join(SOCKET)).map_err(alone)?;
    // The other process has another working directory.
    let to = std::path::absolute(to).map_err(|error| from_io(error, to.display()))?;
    let request = serde_json::to_string(&Request { backup: to })
        .map_err(|error| Error::invalid("to", "is no path in UTF-8").caused_by(error))?;
    let mut line = String::new();
    let asked = stream
        .write_all(format!("{request}\n").as_bytes())
        .and_then(|()| BufReader::new(&stream).read_line(&mut line));
    asked.map_err(|error| from_io(error, "the process that has the store open"))?;
    let lost = |_| Error::new(ErrorKind::Unavailable, "the process that has the store open gave no answer");
    match serde_json::from_str::<Answer>(&line).map_err(lost)?.error {
        Some(error) => Err(Error::new(ErrorKind::Unavailable, format!("the other process: {error}"))),
        None => Ok(()),
    }
}
