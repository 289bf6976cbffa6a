//! PostgreSQL with a synchronous standby, and Redis with a replica, on ports of their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::proxy::Proxy;

pub(crate) const PRIMARY: u16 = 54401;
pub(crate) const STANDBY: u16 = 54402;

/// A PostgreSQL cluster of one folder.
pub(crate) struct Postgres {
    binaries: PathBuf,
    data: PathBuf,
    port: u16,
    options: String,
}

impl Postgres {
    /// A new cluster, running.
    pub(crate) fn create(folder: &Path, port: u16, options: &str) -> Self {
        let new = Self::at(folder.join("primary"), port, options);
        own(folder);
        new.run("initdb", &["--username=postgres", "--auth=trust", "--no-sync"]);
        new.start();
        new
    }

    fn at(data: PathBuf, port: u16, options: &str) -> Self {
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
             -c wal_retrieve_retry_interval=200ms -c max_wal_senders=4 {options}"
        );
        Self { binaries: binaries(), data, port, options }
    }

    /// Copies it to a standby, which every commit waits for from then on.
    pub(crate) fn with_standby(&self, folder: &Path) -> Self {
        let standby = self.with_asynchronous_standby(folder, STANDBY);
        self.sql("alter system set synchronous_standby_names = 'standby'");
        self.sql("select pg_reload_conf()");
        self.until_standby_is("sync");
        standby
    }

    /// Copies it to a standby, which no commit waits for.
    pub(crate) fn with_asynchronous_standby(&self, folder: &Path, port: u16) -> Self {
        // When it is the primary it has no standby to wait for.
        let standby = Self::at(folder.join("standby"), port, "-c synchronous_standby_names=");
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        let arguments = ["-D", standby.data.to_str().unwrap(), "-d", &from, "-R", "--checkpoint=fast"];
        as_owner(&self.binaries.join("pg_basebackup"), &arguments);
        standby.start();
        self.until_standby_is("async");
        standby
    }

    fn until_standby_is(&self, state: &str) {
        let started = Instant::now();
        while self.sql("select sync_state from pg_stat_replication").trim() != state {
            assert!(started.elapsed() < Duration::from_secs(30), "the standby does not follow");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn start(&self) {
        let log = self.data.with_extension("log");
        let arguments = ["-l", log.to_str().unwrap(), "-o", &self.options, "--wait", "start"];
        self.run("pg_ctl", &arguments);
    }

    /// As an operator does it.
    pub(crate) fn restart(&self) {
        self.run("pg_ctl", &["-m", "fast", "stop"]);
        self.start();
    }

    /// As a power cut does it.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }

    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["--wait", "promote"]);
    }

    pub(crate) fn sql(&self, statement: &str) -> String {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let output = Command::new("psql").args(["-XAtc", statement, &url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let data = format!("--pgdata={}", self.data.display());
        let all: Vec<&str> = [data.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        as_owner(&self.binaries.join(program), &all);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
        }
    }
}

/// The newest that is installed.
fn binaries() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = found.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.pop().expect("PostgreSQL is not installed in /usr/lib/postgresql")
}

fn is_root() -> bool {
    String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

/// PostgreSQL does not run as root.
fn own(folder: &Path) {
    if is_root() {
        assert!(Command::new("chown").arg("postgres").arg(folder).status().unwrap().success());
    }
}

fn as_owner(program: &Path, arguments: &[&str]) {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().unwrap();
    assert!(status.success(), "{} {arguments:?} failed", program.display());
}

/// A Redis server without persistence.
pub(crate) struct Redis {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Redis {
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        let folder = folder.join(format!("redis-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut new = Self { folder, port, child: None };
        new.revive();
        new
    }

    /// Starts it again, empty.
    pub(crate) fn revive(&mut self) {
        let port = self.port.to_string();
        let arguments =
            ["--port", &port, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
        let mut command = Command::new("redis-server");
        command.args(arguments).arg("--dir").arg(&self.folder).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let started = Instant::now();
        while !self.command(&["ping"]).contains("PONG") {
            assert!(started.elapsed() < Duration::from_secs(10), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn command(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Follows another server through `link`, so that it can be cut off.
    pub(crate) fn follow(&self, link: &Proxy) {
        self.command(&["replicaof", "127.0.0.1", &link.port.to_string()]);
        let started = Instant::now();
        while !self.command(&["info", "replication"]).contains("master_link_status:up") {
            assert!(started.elapsed() < Duration::from_secs(10), "the replica does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
