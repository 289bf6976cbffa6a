//! A PgBouncer of its own, between engines and a PostgreSQL.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests, and each uses some of it"
)]

#[path = "ports.rs"]
mod ports;

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct PgBouncer {
    process: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// `server`: a URL or settings of the PostgreSQL behind it; `more`: lines of its own settings. Sessions begin with
    /// settings that lose commits and tables.
    pub fn start(server: &str, more: &str) -> Self {
        let server: tokio_postgres::Config = server.parse().unwrap();
        let password =
            server.get_password().map(|word| format!(" password={}", std::str::from_utf8(word).unwrap()));
        let port = ports::free_port();
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={} user={}{} connect_query='set synchronous_commit = off; set search_path = public'\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{more}\n",
            server.get_ports().first().unwrap_or(&5432),
            server.get_user().unwrap(),
            password.unwrap_or_default(),
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let process = as_nobody(folder.path(), &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is not installed (Debian: apt-get install pgbouncer)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, _folder: folder }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// It does not run as root.
fn as_nobody(folder: &Path, settings: &Path) -> Command {
    let root = String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0";
    if !root {
        let mut command = Command::new("pgbouncer");
        command.args(["-q"]).arg(settings);
        return command;
    }
    assert!(Command::new("chmod").arg("-R").arg("a+rX").arg(folder).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "pgbouncer", "-q"]).arg(settings);
    command
}
