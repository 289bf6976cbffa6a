//! The schedule: what is broken, when, and how it is mended.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pollster::block_on;
use trust_engine::storage::{self, Store};

use super::ROLE;
use super::engine::{JOURNAL, POSTGRES, REDIS};
use super::journal::now;
use super::pgbouncer::PgBouncer;
use super::proxy::Proxy;
use super::servers::{PRIMARY, Postgres, Redis, STANDBY};

/// The result of a run: the faults, and the servers with their data.
pub(crate) struct Run {
    /// When each fault began, in milliseconds since the epoch; the last is the end.
    pub(crate) faults: Vec<(u128, String)>,
    /// When PostgreSQL hung.
    pub(crate) hole: (u128, u128),
    // In this order they go.
    _pooler: PgBouncer,
    _servers: (Postgres, Postgres),
    _folder: tempfile::TempDir,
}

impl Run {
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        block_on(storage::postgres(&storage::Postgres::new(url(PRIMARY, STANDBY)))).unwrap().0
    }
}

/// Both servers, whichever is the primary.
fn url(primary: u16, standby: u16) -> String {
    format!(
        "host=127.0.0.1,127.0.0.1 port={primary},{standby} user=postgres dbname=postgres \
         target_session_attrs=read-write"
    )
}

struct Fleet {
    folder: PathBuf,
    /// The way to PostgreSQL of each engine.
    urls: Vec<String>,
    proxies: Vec<Proxy>,
    children: Vec<Option<(Child, ChildStdin)>>,
    faults: Vec<(u128, String)>,
}

impl Fleet {
    fn spawn(&mut self, number: usize) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["whatever_breaks_no_acknowledged_record_is_lost_and_no_ceiling_is_exceeded", "--exact"])
            .env(ROLE, "engine")
            .env(POSTGRES, &self.urls[number])
            .env(REDIS, format!("redis://127.0.0.1:{}", self.proxies[number].port))
            .env(JOURNAL, self.folder.join(format!("engine-{number}.journal")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        self.children[number] = Some((child, stdin));
    }

    fn kill(&mut self, number: usize) {
        let (mut child, _) = self.children[number].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sets the clock of a process, by how many seconds it is ahead of the right time.
    fn set_clock(&mut self, number: usize, ahead: i64) {
        let (_, stdin) = self.children[number].as_mut().unwrap();
        writeln!(stdin, "{ahead}").unwrap();
        stdin.flush().unwrap();
    }

    fn signal(&self, number: usize, signal: &str) {
        let pid = self.children[number].as_ref().unwrap().0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Ends all of them as a host does, within a bounded time.
    fn close(&mut self) {
        let children: Vec<Child> =
            self.children.iter_mut().filter_map(|child| Some(child.take()?.0)).collect();
        let started = Instant::now();
        for mut child in children {
            while child.try_wait().unwrap().is_none() {
                assert!(started.elapsed() < Duration::from_secs(60), "a process does not end");
                std::thread::sleep(Duration::from_millis(50));
            }
            assert!(child.wait().unwrap().success(), "a process did not end well");
        }
    }

    fn fault(&mut self, what: &str) {
        println!("nemesis: {what}");
        self.faults.push((now(), what.to_owned()));
    }
}

fn wait(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

pub(crate) fn run(folder: &Path, time: Duration) -> Run {
    let started = Instant::now();
    let home = tempfile::Builder::new().prefix("nemesis-").tempdir().unwrap();
    let servers = home.path().to_owned();
    let primary = Postgres::create(&servers, PRIMARY, "");
    let standby = primary.with_standby(&servers);
    let mut master = Redis::start(&servers, 7211);
    let mut replica = Redis::start(&servers, 7212);
    let link = Proxy::to(master.port);
    replica.follow(&link);
    let proxies = (0..4).map(|_| Proxy::to(master.port)).collect();
    let children = (0..4).map(|_| None).collect();
    // Two engines know both servers; two go through a pooler, which knows the primary.
    let direct = [Proxy::to(PRIMARY), Proxy::to(STANDBY)];
    let pooled = Proxy::to(PRIMARY);
    let behind = format!("postgres://postgres@127.0.0.1:{}/postgres", pooled.port);
    let pooler =
        PgBouncer::start(&behind, "pool_mode = session\ndefault_pool_size = 60\nserver_login_retry = 1");
    let through = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", pooler.port);
    let urls = vec![
        url(direct[0].port, direct[1].port),
        url(direct[0].port, direct[1].port),
        through.clone(),
        through,
    ];
    let faults = Vec::new();
    let mut fleet = Fleet { folder: folder.to_owned(), urls, proxies, children, faults };
    (0..4).for_each(|number| fleet.spawn(number));
    let loaded = Instant::now();
    println!("nemesis: servers were ready after {:.1?}", loaded - started);
    fleet.fault("nothing (4 engines start)");
    wait(5.0);
    fleet.fault("an engine is killed and started again");
    fleet.kill(0);
    wait(0.5);
    fleet.spawn(0);
    wait(3.0);
    fleet.fault("an engine is stopped for longer than its shard is kept for it");
    fleet.signal(1, "-STOP");
    wait(2.0);
    // Its shard is taken by this one.
    fleet.kill(2);
    wait(2.5);
    fleet.spawn(2);
    wait(2.0);
    fleet.signal(1, "-CONT");
    wait(2.0);
    fleet.fault("one engine's clock jumps a day ahead, and another's a day back");
    fleet.set_clock(0, 86_400);
    fleet.set_clock(3, -86_400);
    wait(4.0);
    fleet.fault("both clocks are set right again");
    fleet.set_clock(0, 0);
    fleet.set_clock(3, 0);
    wait(3.0);
    fleet.fault("PostgreSQL hangs: connections stay open, and nothing comes through");
    let hang = |hangs| [&direct[0], &direct[1], &pooled].iter().for_each(|proxy| proxy.hang(hangs));
    let hung = now();
    hang(true);
    wait(13.0);
    hang(false);
    let hole = (hung, now());
    fleet.fault("PostgreSQL answers again");
    wait(6.0);
    fleet.fault("PostgreSQL is restarted");
    primary.restart();
    wait(4.0);
    fleet.fault("PostgreSQL crashes and is started again");
    primary.crash();
    wait(0.5);
    primary.start();
    wait(4.0);
    fleet.fault("Redis is killed and comes back empty");
    master.kill();
    wait(1.0);
    master.revive();
    replica.follow(&link);
    wait(4.0);
    fleet.fault("Redis loses its replica, which is promoted with what it had; both serve");
    link.aim(None);
    master.command(&["client", "kill", "type", "replica"]);
    // The replica does not learn of amounts that are handed out now.
    wait(1.5);
    replica.command(&["replicaof", "no", "one"]);
    fleet.proxies[..2].iter().for_each(|proxy| proxy.aim(Some(replica.port)));
    wait(3.0);
    fleet.fault("the old Redis is gone, all engines go to the promoted one");
    fleet.proxies[2..].iter().for_each(|proxy| proxy.aim(Some(replica.port)));
    master.kill();
    wait(3.0);
    fleet.fault("Redis hangs");
    let pid = replica.command(&["info", "server"]);
    let pid = pid.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().to_owned();
    Command::new("kill").args(["-STOP", &pid]).status().unwrap();
    wait(3.0);
    Command::new("kill").args(["-CONT", &pid]).status().unwrap();
    wait(2.0);
    fleet.fault("all engines are killed at once and started again");
    (0..4).for_each(|number| fleet.kill(number));
    (0..4).for_each(|number| fleet.spawn(number));
    wait(5.0);
    fleet.fault("the PostgreSQL primary is lost, its synchronous standby is promoted");
    primary.crash();
    pooled.aim(Some(STANDBY));
    standby.promote();
    wait(6.0);
    fleet.fault("engines are killed in turn, and Redis is flushed");
    let mut number = 0;
    while loaded.elapsed() < time {
        fleet.kill(number);
        replica.command(&["flushall"]);
        fleet.spawn(number);
        number = (number + 1) % 4;
        wait(1.5);
    }
    fleet.fault("the end");
    fleet.close();
    println!("nemesis: {:.0?} of load and faults", loaded.elapsed());
    replica.kill();
    Run { faults: fleet.faults, hole, _pooler: pooler, _servers: (primary, standby), _folder: home }
}
