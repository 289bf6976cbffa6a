//! One connection that all calls share. When a call on it fails, the connection is given up, and for a while no call
//! waits for Redis. The driver sends calls that are made at the same time together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, RedisError, Script, ScriptInvocation,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Redis;
use super::error::from_driver;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::runtime::AdapterRuntime;

/// The time for which no call waits for a server that failed.
const PAUSE: Duration = Duration::from_millis(250);
/// The oldest major version that can be used.
const OLDEST_SERVER: u32 = 7;

/// The link to the server.
pub(super) struct Link {
    // The fields are dropped in this order: the connection before the runtime that drives it.
    /// Guards the choice of the connection, not its use: it is locked only to read or replace the state, never over an
    /// await.
    state: Mutex<State>,
    runtime: AdapterRuntime,
    client: Client,
    connect: AsyncConnectionConfig,
    connect_timeout: Duration,
    /// Number of attempts to connect, which numbers the connections.
    connected: AtomicU64,
}

/// The state of a link. `Down` becomes `Connecting` under the lock, so only one task connects at a time.
enum State {
    Up(Connection),
    Connecting,
    Down { since: Instant },
}

/// A connection, and the number that tells it from those before and after it.
#[derive(Clone)]
pub(super) struct Connection {
    number: u64,
    connection: MultiplexedConnection,
}

impl Connection {
    /// Whether this is the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Link {
    pub(super) fn new(settings: &Redis) -> Result<Arc<Self>> {
        let connect = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.timeout))
            // Most calls that may wait to be sent.
            .set_pipeline_buffer_size(1024);
        Ok(Arc::new(Self {
            state: Mutex::new(State::Connecting),
            runtime: AdapterRuntime::new("trust-engine-redis")?,
            client: settings.client()?,
            connect,
            connect_timeout: settings.connect_timeout,
            connected: AtomicU64::new(0),
        }))
    }

    /// Connects for the first time, and checks that the server is one that can be used. A server that cannot be reached
    /// is tried again later.
    pub(super) async fn open(self: &Arc<Self>) -> Result<()> {
        let link = Arc::clone(self);
        self.runtime.run(async move { link.connect().await }).await
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.runtime.run(call).await
    }

    /// The connection, if there is one now. Otherwise one is on its way, or a call after the pause starts to connect; a
    /// failed attempt is not fatal, it begins a new pause.
    pub(super) fn connection(self: &Arc<Self>) -> Option<Connection> {
        let mut state = self.state.lock();
        match &*state {
            State::Up(connection) => return Some(connection.clone()),
            State::Connecting => {}
            State::Down { since } if since.elapsed() < PAUSE => {}
            State::Down { .. } => {
                *state = State::Connecting;
                let link = Arc::clone(self);
                self.runtime.spawn(async move {
                    let _ = link.connect().await;
                });
            }
        }
        None
    }

    async fn connect(&self) -> Result<()> {
        let connected = self.try_connect().await;
        let number = self.connected.fetch_add(1, Ordering::Relaxed);
        let up = |connection: &MultiplexedConnection| {
            State::Up(Connection { number, connection: connection.clone() })
        };
        *self.state.lock() = connected.as_ref().map_or_else(|_| State::Down { since: Instant::now() }, up);
        connected.map(drop)
    }

    async fn try_connect(&self) -> Result<MultiplexedConnection> {
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.connect).await;
        let mut connection = match connecting {
            Ok(connection) => connection,
            Err(error) if error.is_timeout() && self.speaks_plain_text().await => {
                let issue =
                    "Redis: the server does not speak TLS on this port; use redis://, or its port for TLS";
                return Err(Error::new(ErrorKind::PermissionDenied, issue).caused_by(error));
            }
            Err(error) => return Err(from_driver(error)),
        };
        let info: String =
            redis::cmd("INFO").arg("server").query_async(&mut connection).await.map_err(from_driver)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST_SERVER) {
            let issue =
                format!("the server is Redis {version}; this version needs {OLDEST_SERVER}.0 or later");
            return Err(Error::new(ErrorKind::Unsupported, issue));
        }
        Ok(connection)
    }

    /// Whether a server that should speak TLS answers to plain text: such a server waits for the rest of a TLS greeting
    /// for ever.
    async fn speaks_plain_text(&self) -> bool {
        let ConnectionAddr::TcpTls { host, port, .. } = self.client.get_connection_info().addr() else {
            return false;
        };
        let request = async {
            let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.write_all(b"PING\r\n").await?;
            stream.read_u8().await
        };
        let answered = tokio::time::timeout(self.connect_timeout, request).await;
        matches!(answered, Ok(Ok(b'+' | b'-')))
    }

    /// Whether a connection is still the one in use.
    pub(super) fn is_up(&self, connection: &Connection) -> bool {
        matches!(&*self.state.lock(), State::Up(up) if up.is(connection))
    }

    /// Runs a script on several keys.
    pub(super) async fn eval_many<T: FromRedisValue>(
        &self,
        connection: &Connection,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
    ) -> Result<T> {
        let mut invocation = script.prepare_invoke();
        invocation.key(keys).arg(arguments);
        self.invoke(connection, &invocation).await
    }

    /// Runs a script.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        connection: &Connection,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        // Loads the script where the server has forgotten it.
        let called = script.invoke_async(&mut connection.connection.clone()).await;
        called.map_err(|error| self.failed(connection, error))
    }

    /// Runs a command.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        connection: &Connection,
        command: &redis::Cmd,
    ) -> Result<T> {
        let called = command.query_async(&mut connection.connection.clone()).await;
        called.map_err(|error| self.failed(connection, error))
    }

    /// A connection of its own for messages.
    pub(super) async fn pubsub(&self) -> Result<redis::aio::PubSub> {
        let connecting = tokio::time::timeout(self.connect_timeout, self.client.get_async_pubsub()).await;
        let late = || Error::new(ErrorKind::Unavailable, "Redis did not answer within the connect timeout");
        connecting.map_err(|_| late())?.map_err(from_driver)
    }

    /// Gives up the connection of a call that failed, after any error: a server that does not answer may be gone
    /// without having closed its connections, and one that has become a replica is not the one to ask. A newer
    /// connection stays.
    fn failed(&self, connection: &Connection, error: RedisError) -> Error {
        let mut state = self.state.lock();
        if matches!(&*state, State::Up(up) if up.is(connection)) {
            *state = State::Down { since: Instant::now() };
        }
        from_driver(error)
    }
}
