//! Redis in front of the durable counters, on real servers: the contract, opening, and what becomes of Redis.
//! The server is `TRUST_ENGINE_TEST_REDIS_URL`, or the one on 127.0.0.1:6379; those that are broken are private ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/redis.rs"]
mod server;
#[path = "support/postgres.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use pollster::block_on;
use server::Server;
use support::Schema;
use trust_engine::blocking::Engine;
use trust_engine::ceiling::{Charged, CounterKey, LeaseAnswer, LeaseRequest, LeaseRequests, Unspent, Window};
use trust_engine::storage::{self, Change, CounterStore, DocumentKey, DocumentKind, LeaseCallback, Redis};
use trust_engine::{
    CeilingRequest, Clock, ErrorKind, GateRequest, NewAgent, Options, OrganizationId, Result, SystemClock,
    TimeRange, WindowKind,
};

/// Counters in memory that stand for a durable authority which several engines share.
struct Durable(Arc<dyn CounterStore>);

fn durable() -> Arc<dyn CounterStore> {
    Arc::new(Durable(storage::memory_counters(Arc::new(SystemClock))))
}

#[async_trait::async_trait]
impl CounterStore for Durable {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn is_local(&self) -> bool {
        false
    }

    async fn lineage(&self) -> Result<Option<String>> {
        Ok(Some("test".into()))
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        self.0.lease(requests, answer);
    }

    fn give_back(&self, unspent: Unspent) {
        self.0.give_back(unspent);
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        self.0.charged(counters).await
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        self.0.reset(counters).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }
}

/// So long that none of these tests sees its end.
fn window() -> Window {
    Window::new(WindowKind::Fixed, 86_400 * 365)
}

fn key() -> CounterKey {
    CounterKey::fleet("API")
}

fn lease(counters: &Arc<dyn CounterStore>, limit: u64, need: u64, spare: u64) -> Result<LeaseAnswer> {
    let (answer, answered) = channel();
    let request =
        LeaseRequest { key: key(), window: window(), limit, need, spare, ahead: true, unspent: None };
    counters.lease(LeaseRequests::from_iter([request]), Box::new(move |leased| answer.send(leased).unwrap()));
    answered.recv_timeout(Duration::from_secs(30)).unwrap()
}

/// The amount that is granted; 0 if the lease is refused.
fn granted(counters: &Arc<dyn CounterStore>, limit: u64, need: u64) -> u64 {
    match lease(counters, limit, need, 0).unwrap() {
        LeaseAnswer::Granted(grants) => grants.iter().map(|grant| grant.amount).sum(),
        LeaseAnswer::Refused { .. } => 0,
    }
}

fn charged(counters: &Arc<dyn CounterStore>) -> u64 {
    block_on(counters.charged(&[(key(), window())])).unwrap()[0].amount
}

fn over(settings: &Redis, durable: &Arc<dyn CounterStore>) -> Arc<dyn CounterStore> {
    block_on(storage::redis(settings, Arc::clone(durable))).unwrap().0
}

fn open_error(settings: &Redis) -> trust_engine::Error {
    match block_on(storage::redis(settings, durable())) {
        Err(error) => error,
        Ok((counters, _)) => panic!("opened: {:?}", counters.warnings()),
    }
}

#[test]
fn the_counters_keep_the_contract_in_front_of_postgresql() {
    let schemas = std::cell::RefCell::new(Vec::new());
    storage::counter_conformance::run(|clock: Arc<dyn Clock>| {
        let schema = Schema::new();
        let postgres = block_on(storage::postgres_at(&schema.database(), Arc::clone(&clock))).unwrap().1;
        schemas.borrow_mut().push(schema);
        block_on(storage::redis_at(&server::shared(), postgres, clock)).unwrap().0
    });
    writeln!(std::io::stderr(), "conformance of counters: ran on redis and postgres ({})", server::url())
        .unwrap();
}

#[test]
fn the_counters_keep_the_contract_in_redis_best_effort() {
    storage::counter_conformance::run(|clock| {
        block_on(storage::redis_best_effort_at(&server::shared().best_effort(), clock)).unwrap().0
    });
    writeln!(std::io::stderr(), "conformance of counters: ran on redis alone ({})", server::url()).unwrap();
}

#[test]
fn engines_share_a_grant_and_the_whole_ceiling_can_be_used() {
    let server = Server::start(&[]);
    let durable = durable();
    let engines = [over(&server.settings(), &durable), over(&server.settings(), &durable)];
    let sum: u64 = std::thread::scope(|scope| {
        let take = |engine: usize| {
            let counters = &engines[engine % 2];
            scope.spawn(move || (0..300).map(|_| granted(counters, 1000, 1)).sum::<u64>())
        };
        let threads: Vec<_> = (0..8).map(take).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, 1000, "of 2400 that were asked for");
    assert_eq!(charged(&engines[0]), 1000);
    let calls = server.command::<String>(&["info", "commandstats"]);
    assert!(calls.contains("cmdstat_evalsha"), "{calls}");
}

#[test]
fn calls_that_wait_together_share_scripts_and_each_has_its_own_answer() {
    const AGENTS: u64 = 500;
    let server = Server::start(&[]);
    let counters = over(&server.settings(), &durable());
    // How many calls of scripts the server has counted.
    let scripts = || {
        let stats: String = server.command(&["info", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let lease_all = |need: u64| {
        let (answer, answers) = channel();
        for n in 1..=AGENTS {
            let (key, answer) = (CounterKey::fleet(&format!("R{n}")), answer.clone());
            let limit = 10 * n;
            let request =
                LeaseRequest { key, window: window(), limit, need, spare: 0, ahead: true, unspent: None };
            counters.lease(
                LeaseRequests::from_iter([request]),
                Box::new(move |leased| answer.send((n, leased.unwrap())).unwrap()),
            );
        }
        drop(answer);
        answers.iter().collect::<Vec<_>>()
    };
    assert_eq!(lease_all(1).len() as u64, AGENTS);
    let before = scripts();
    // The ceiling of each is another, so an answer that reached another asker would be seen.
    for (n, leased) in lease_all(2000) {
        match leased {
            LeaseAnswer::Granted(grants) => {
                assert!(10 * n > 2000 && grants[0].amount == 2000, "{n}: {grants:?}")
            }
            LeaseAnswer::Refused { charged, .. } => assert_eq!((10 * n <= 2000, charged), (true, 1), "{n}"),
        }
    }
    let calls = scripts() - before;
    assert!(calls < AGENTS, "{calls} calls of scripts for {AGENTS} askers");
}

/// A command that a script is refused in its middle undoes nothing of what the script has done for others before.
#[test]
fn a_permission_that_is_lost_gives_nothing_back_twice() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings().timeout(Duration::from_secs(5)), &durable);
    let (first, second) = (CounterKey::fleet("FIRST"), CounterKey::fleet("SECOND"));
    let lease = |key: &CounterKey, window, unspent| {
        let (answer, answered) = channel();
        let request =
            LeaseRequest { key: key.clone(), window, limit: 800, need: 1, spare: 0, ahead: true, unspent };
        counters
            .lease(LeaseRequests::from_iter([request]), Box::new(move |leased| answer.send(leased).unwrap()));
        answered
    };
    let granted = |leased: Result<LeaseAnswer>| match leased.unwrap() {
        LeaseAnswer::Granted(grants) => grants[0],
        refused => panic!("{refused:?}"),
    };
    let held = granted(lease(&first, window(), None).recv().unwrap());
    granted(lease(&second, window(), None).recv().unwrap());
    let charged = || block_on(durable.charged(&[(first.clone(), window())])).unwrap()[0].amount;
    let before = charged();
    server.command::<()>(&["acl", "setuser", "default", "-del"]);
    // While one call is under way, the next two gather.
    server.command::<()>(&["client", "pause", "300", "write"]);
    let other = Window::new(WindowKind::Fixed, 86_400 * 364);
    let waiting = [
        lease(&CounterKey::fleet("THIRD"), window(), None),
        lease(&first, window(), Some((held.slice, held.amount))),
        // Its chunk is of another window, and would be deleted.
        lease(&second, other, None),
    ];
    for answered in waiting {
        granted(answered.recv().unwrap());
    }
    assert_eq!(charged(), before + 1, "what came back is in Redis, and not here too");
}

/// A refill that is cut off after its first write leaves the asker's part in no chunk that others are served from.
#[test]
fn a_refill_that_is_cut_off_grants_nothing_twice() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings(), &durable);
    server.command::<()>(&["acl", "setuser", "default", "-pexpire"]);
    let mut admitted = 0;
    for _ in 0..200 {
        if let LeaseAnswer::Granted(grants) = lease(&counters, 100, 1, 0).unwrap() {
            admitted += grants[0].amount;
        }
        // The connection is made again after a pause.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(admitted <= 100, "{admitted} of 100 were admitted");
    assert!(charged(&durable) <= 100);
}

#[test]
fn what_comes_back_is_used_by_the_other_engine() {
    let server = Server::start(&[]);
    let durable = durable();
    let (one, other) = (over(&server.settings(), &durable), over(&server.settings(), &durable));
    let LeaseAnswer::Granted(grants) = lease(&one, 1000, 10, 60).unwrap() else { panic!("refused") };
    let before = block_on(durable.charged(&[(key(), window())])).unwrap()[0].amount;
    let unspent = grants[0].amount - 10;
    one.give_back(Unspent { key: key(), window: window(), slice: grants[0].slice, amount: unspent });
    block_on(one.flush()).unwrap();
    assert_eq!(charged(&other), 10);
    assert_eq!(granted(&other, 1000, unspent), unspent);
    assert_eq!(
        block_on(durable.charged(&[(key(), window())])).unwrap()[0].amount,
        before,
        "nothing more was charged"
    );
}

/// The sum of all grants; `happens` is called after the first of them.
fn granted_around(
    counters: &Arc<dyn CounterStore>,
    durable: &Arc<dyn CounterStore>,
    happens: impl FnOnce() -> Arc<dyn CounterStore>,
) -> u64 {
    const LIMIT: u64 = 800;
    // A chunk of 100 is in Redis, and one is handed out.
    let before = granted(counters, LIMIT, 1);
    let after = happens();
    let mut sum = before;
    loop {
        match granted(&after, LIMIT, 1) {
            0 => break,
            more => sum += more,
        }
    }
    // Forfeited amounts stay charged.
    assert_eq!(block_on(durable.charged(&[(key(), window())])).unwrap()[0].amount, LIMIT);
    sum
}

#[test]
fn a_flush_forfeits_what_was_there_and_grants_nothing_twice() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings(), &durable);
    let sum = granted_around(&counters, &durable, || {
        server.command::<()>(&["flushall"]);
        server.command::<()>(&["script", "flush"]);
        Arc::clone(&counters)
    });
    assert!((690..800).contains(&sum), "{sum}");
}

#[test]
fn a_restart_forfeits_even_what_was_saved() {
    // Every change is on disk and comes back.
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let durable = durable();
    let counters = over(&server.settings(), &durable);
    let sum = granted_around(&counters, &durable, || {
        server.kill();
        server.revive();
        assert!(server.command::<u64>(&["dbsize"]) > 0, "the chunk came back");
        over(&server.settings(), &durable)
    });
    assert!((690..800).contains(&sum), "{sum}");
}

/// A replica that was cut off from its primary, and is promoted with what it had then.
fn stale_replica(primary: &Server) -> Server {
    let replica = Server::start(&[]);
    replica.command::<()>(&["replicaof", "127.0.0.1", &primary.port.to_string()]);
    replica.soon(&["info", "replication"], "master_link_status:up");
    replica
}

#[test]
fn a_stale_replica_that_is_promoted_forfeits_what_it_has() {
    let primary = Server::start(&[]);
    let durable = durable();
    let counters = over(&primary.settings(), &durable);
    assert_eq!(granted(&counters, 800, 1), 1);
    let replica = stale_replica(&primary);
    assert!(replica.command::<u64>(&["dbsize"]) > 0, "the chunk is there");
    // The primary hands out all that it has, and the replica does not learn of it.
    replica.command::<()>(&["replicaof", "no", "one"]);
    let mut sum = 1;
    for _ in 0..90 {
        sum += granted(&counters, 800, 1);
    }
    // From now on both serve: a split brain.
    let promoted = over(&replica.settings(), &durable);
    loop {
        let more = granted(&promoted, 800, 1) + granted(&counters, 800, 1);
        if more == 0 {
            break;
        }
        sum += more;
    }
    assert!((680..=800).contains(&sum), "{sum} of 800");
}

#[test]
fn while_redis_does_not_answer_the_durable_authority_is_asked() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings().timeout(Duration::from_millis(100)), &durable);
    assert_eq!(granted(&counters, 1000, 1), 1);
    server.signal("STOP");
    let started = Instant::now();
    let sum: u64 = (0..50).map(|_| granted(&counters, 1000, 1)).sum();
    assert_eq!(sum, 50);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.signal("CONT");
    let calls = || {
        let stats = server.command::<String>(&["info", "commandstats"]);
        stats.lines().find(|line| line.contains("evalsha")).map(str::to_owned)
    };
    let before = calls();
    // It is asked again as soon as it answers.
    let started = Instant::now();
    while calls() == before {
        assert_eq!(granted(&counters, 1_000_000, 1), 1);
        assert!(started.elapsed() < Duration::from_secs(10), "Redis is not asked any more");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_has_no_room_to_write_costs_nothing() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings(), &durable);
    server.command::<()>(&["config", "set", "maxmemory-policy", "noeviction"]);
    server.command::<()>(&["config", "set", "maxmemory", "1"]);
    for _ in 0..40 {
        assert_eq!(granted(&counters, 1000, 1), 1);
        // Redis is tried again every quarter of a second.
        std::thread::sleep(Duration::from_millis(50));
    }
    block_on(counters.flush()).unwrap();
    assert_eq!(charged(&counters), 40, "nothing was brought to a server that could not take it");
}

#[test]
fn a_server_that_is_a_replica_now_is_not_asked() {
    let server = Server::start(&[]);
    let durable = durable();
    let counters = over(&server.settings(), &durable);
    assert_eq!(granted(&counters, 1000, 1), 1);
    server.command::<()>(&["replicaof", "127.0.0.1", "1"]);
    assert_eq!((0..20).map(|_| granted(&counters, 1000, 1)).sum::<u64>(), 20);
}

#[test]
fn opening_says_what_is_wrong_and_goes_without_a_server_that_is_away() {
    let server = Server::start(&["--requirepass", "right"]);
    let at = |user: &str| Redis::new(format!("redis://{user}@127.0.0.1:{}", server.port));
    assert_eq!(open_error(&at(":wrong")).kind(), ErrorKind::PermissionDenied);
    assert_eq!(open_error(&server.settings()).kind(), ErrorKind::PermissionDenied);
    assert!(block_on(storage::redis(&at(":right"), durable())).is_ok());
    let own = |words: &[&str]| {
        let mut connection = redis::Client::open(format!("redis://:right@127.0.0.1:{}", server.port))
            .unwrap()
            .get_connection()
            .unwrap();
        let mut command = redis::cmd("acl");
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query::<()>(&mut connection).unwrap();
    };
    // No key of ours.
    own(&["setuser", "narrow", "on", ">pw", "~other:*", "&*", "+@all"]);
    let error = open_error(&at("narrow:pw"));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    // The permissions that are enough, as the manual says.
    own(&[
        "setuser",
        "engine",
        "on",
        ">pw",
        "~trust_engine:*",
        "&trust_engine:*",
        "+evalsha",
        "+script|load",
        "+info",
        "+time",
        "+hmget",
        "+hset",
        "+pexpire",
        "+del",
        "+get",
        "+set",
        "+publish",
        "+subscribe",
        "+ping",
    ]);
    let counters = over(&at("engine:pw"), &durable());
    assert!(counters.warnings().is_empty());
    assert_eq!(granted(&counters, 10, 1), 1);
    // TLS where the server does not speak it.
    let error = open_error(&Redis::new(format!("rediss://:right@127.0.0.1:{}", server.port)));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    // A database that it does not have.
    let error = open_error(&Redis::new(format!("redis://:right@127.0.0.1:{}/99", server.port)));
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let started = Instant::now();
    let nobody = Redis::new("redis://127.0.0.1:1").connect_timeout(Duration::from_millis(500));
    let counters = over(&nobody, &durable());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(counters.warnings()[0].contains("until it answers"), "{:?}", counters.warnings());
    assert_eq!(granted(&counters, 10, 1), 1);
    // Counters that no other engine shares have no use for Redis.
    let alone = storage::memory_counters(Arc::new(SystemClock));
    let error = block_on(storage::redis(&at(":right"), alone)).err().unwrap();
    assert_eq!(error.field(), Some("redis"), "{error}");
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines =
                BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::io::Result::ok);
            // Arrays of strings: `*2`, `$4`, `INFO`, `$6`, `server`.
            while let Some(count) = lines.next() {
                let count: usize = count[1..].parse().unwrap();
                let words: Vec<String> = (0..count).map(|_| lines.by_ref().nth(1).unwrap()).collect();
                let info = "redis_version:6.2.14\r\n";
                let answer = match words[0].to_lowercase().as_str() {
                    "info" => format!("${}\r\n{info}\r\n", info.len()),
                    _ => "+OK\r\n".to_owned(),
                };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    let error = open_error(&Redis::new(format!("redis://127.0.0.1:{port}")));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("6.2.14"), "{error}");
}

#[test]
fn tls_is_spoken_with_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (key, file) = (key.display().to_string(), certificate.display().to_string());
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &file, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", &file, "--tls-auth-clients", "no"];
    let _server = Server::start(&[&tls[..], &more[..]].concat());
    let settings = || Redis::new(format!("rediss://localhost:{port}"));
    let error = open_error(&settings());
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let counters = over(&settings().root_certificates(&certificate), &durable());
    assert!(counters.warnings().is_empty(), "{:?}", counters.warnings());
    assert_eq!(granted(&counters, 10, 1), 1);
    // Plain text where the server speaks TLS.
    let plain = Redis::new(format!("redis://localhost:{port}"));
    assert!(over(&plain, &durable()).warnings()[0].contains("until it answers"));
    // The name in the certificate counts too.
    let other = Redis::new(format!("rediss://127.0.0.1:{port}")).root_certificates(&certificate);
    assert_eq!(open_error(&other).kind(), ErrorKind::PermissionDenied);
}

#[test]
fn engines_tell_each_other_what_changed_and_share_a_copy_of_statistics() {
    let settings = server::shared().stats_ttl(Duration::from_secs(3600));
    let relay = || block_on(storage::redis(&settings, durable())).unwrap().1;
    let (one, other) = (relay(), relay());
    let (tell, told) = channel();
    other.listen(Box::new(move |change| drop(tell.send(change))));
    let wait = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(wait(), Change::Anything, "what changed before is not told");
    let key = |kind, id: &str| DocumentKey { kind, organization: OrganizationId::default(), id: id.into() };
    for (kind, id) in [(DocumentKind::Agent, "agent_001"), (DocumentKind::Policy, "policy")] {
        let change = Change::Document(key(kind, id));
        one.tell(&change);
        assert_eq!(wait(), change);
    }
    assert!(block_on(one.is_up()));
    let schema = Schema::new();
    let open = || Engine::open(schema.options().redis(settings.clone())).unwrap();
    let engines = [open(), open()];
    let total = |engine: &Engine| engine.stats(TimeRange::Day, None).unwrap().role_gates.total;
    let request = GateRequest::new("a", "DATA_ANALYST");
    engines[0].evaluate_gate(&request).unwrap();
    assert_eq!(total(&engines[0]), 1);
    engines[0].evaluate_gate(&request).unwrap();
    let started = Instant::now();
    // The copy is on its way to Redis while the first answer is given.
    while total(&engines[1]) != 1 {
        assert!(started.elapsed() < Duration::from_secs(10), "the copy is not shared");
    }
    let fresh = Engine::open(schema.options()).unwrap();
    assert_eq!(total(&fresh), 2, "without Redis it is read from the store");
}

#[test]
fn engines_on_postgresql_and_redis_admit_a_ceiling_exactly() {
    let schema = Schema::new();
    let engines: Vec<Engine> =
        (0..2).map(|_| Engine::open(schema.options().redis(server::shared())).unwrap()).collect();
    engines[0].agents().register(NewAgent::new("agent_001").tier("VERIFIED")).unwrap();
    let check = CeilingRequest::new("agent_001", "API_CALLS", 1);
    let admitted: usize = std::thread::scope(|scope| {
        let (engines, check) = (&engines, &check);
        let request = |thread: usize| {
            let engine = &engines[thread % 2];
            scope.spawn(move || (0..150).filter(|_| engine.check_ceiling(check).unwrap().allowed()).count())
        };
        let threads: Vec<_> = (0..8).map(request).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(admitted <= 500, "{admitted} of 500");
    // For a while one engine may hold an amount that the other finds missing; in the end all 500 are used.
    let mut sum = admitted;
    let started = Instant::now();
    while sum < 500 {
        sum += usize::from(engines[sum % 2].check_ceiling(&check).unwrap().allowed());
        assert!(started.elapsed() < Duration::from_secs(20), "{sum} of 500");
    }
    assert!(!engines[0].check_ceiling(&check).unwrap().allowed());
    for engine in &engines {
        let usage = engine.quotas().usage("agent_001").unwrap();
        let api = usage.iter().find(|usage| usage.resource == "API_CALLS").unwrap();
        assert_eq!(api.measure.current_usage(), 500);
    }
}

#[test]
fn engines_with_a_store_each_share_ceilings_in_redis_best_effort() {
    let redis = server::shared();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let open = |at: usize, redis: Redis| Engine::open(Options::embedded(folders[at].path()).redis(redis));
    let error = open(0, redis.clone()).err().unwrap();
    assert_eq!(
        error.field(),
        Some("redis"),
        "a folder's counters are no durable authority for others: {error}"
    );
    let engines = [open(0, redis.clone().best_effort()).unwrap(), open(1, redis.best_effort()).unwrap()];
    assert!(engines[0].warnings().iter().any(|warning| warning.contains("granted again")));
    let mut admitted = 0;
    for engine in &engines {
        engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).unwrap();
        let check = CeilingRequest::new("agent_001", "API_CALLS", 100);
        admitted += (0..4).filter(|_| engine.check_ceiling(&check).unwrap().allowed()).count();
    }
    // An engine may hold a part of it still.
    assert!((4..=5).contains(&admitted), "{admitted} times 100, of 500 between them");
    let schema = Schema::new();
    let beside = Options::postgres(schema.database()).signer(support::signer()).deployment("d");
    let error = Engine::open(beside.redis(server::shared().best_effort())).err().unwrap();
    assert_eq!(error.field(), Some("bestEffort"), "{error}");
}
