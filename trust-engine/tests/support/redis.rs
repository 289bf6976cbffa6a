//! A Redis to test on: `TRUST_ENGINE_TEST_REDIS_URL`, or the one on 127.0.0.1:6379, with keys of a prefix per test; and
//! private servers, for tests that break them.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, and each uses some of it")]

#[path = "ports.rs"]
mod ports;

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use trust_engine::storage::Redis;

pub fn url() -> String {
    std::env::var("TRUST_ENGINE_TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into())
}

/// The shared server, with a prefix of its own for every call.
pub fn shared() -> Redis {
    Redis::new(url()).prefix(prefix()).timeout(Duration::from_secs(5))
}

pub fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("te_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// A server of one test's own.
pub struct Server {
    pub port: u16,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let port = ports::free_port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port, folder: tempfile::tempdir().unwrap(), arguments, child: None };
        server.revive();
        server
    }

    /// Starts it again; data that it did not save is gone.
    pub fn revive(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]);
        command.args(&self.arguments).arg("--dir").arg(self.folder.path()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is not installed"));
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() || self.is_loading() {
            assert!(started.elapsed() < Duration::from_secs(10), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_loading(&self) -> bool {
        self.try_command::<()>(&["ping"]).is_err_and(|error| error.code() == Some("LOADING"))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn settings(&self) -> Redis {
        Redis::new(self.url()).connect_timeout(Duration::from_secs(2))
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name, for example `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).unwrap()
    }

    pub fn try_command<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut connection)
    }

    /// Waits until the server says so.
    pub fn soon(&self, words: &[&str], wanted: &str) {
        let started = Instant::now();
        while !self.command::<String>(words).contains(wanted) {
            assert!(started.elapsed() < Duration::from_secs(10), "{words:?} never says {wanted}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
