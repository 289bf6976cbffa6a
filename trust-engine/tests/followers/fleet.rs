//! Owned followers on PostgreSQL: shards that are idle, dead, slow or sealed, and owners that are killed or paused.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pollster::block_on;
use trust_engine::blocking::Engine;
use trust_engine::log::Report;
use trust_engine::storage::{self, Store};
use trust_engine::{Clock, Moment, Options, Query, Record, RecordType, SystemClock, Timestamp};
use uuid::Uuid;

use crate::counter::{Counter, FOLLOWER, escalate, folded, folded_in_order, seen, soon};
use crate::support::{Schema, sql};

const TAKEOVER: Duration = Duration::from_secs(2);

fn options(schema: &Schema) -> Options {
    schema.options().takeover_after(TAKEOVER)
}

fn store(schema: &Schema) -> Arc<dyn Store> {
    block_on(storage::postgres(&schema.database())).unwrap().0
}

/// The records of a type in the order of (time, shard, index): what a search over all shards gives.
fn recorded(engine: &Engine, kind: RecordType) -> Vec<Record> {
    let mut query = Query::new().kind(kind).oldest_first().limit(100);
    let mut found = Vec::new();
    loop {
        let page = engine.log().query(&query).unwrap();
        found.extend(page.records);
        let Some(next) = page.next else { return found };
        query = Query::new().kind(kind).oldest_first().limit(100).after(next);
    }
}

/// Waits until everything is folded, and checks that it was in order and that each effect happened once.
fn check(engine: &Engine, store: &dyn Store) {
    let events: Vec<Record> = recorded(engine, RecordType::Escalation);
    let ids: Vec<Uuid> = events.iter().map(Record::id).collect();
    soon("everything is folded", || folded(store).0 >= ids.len() as u64);
    assert_eq!(folded(store), folded_in_order(&ids), "{} events", ids.len());
    let mut due = Vec::new();
    for agent in 0..16 {
        let agent = format!("a{agent}");
        let of_agent: Vec<Uuid> = events
            .iter()
            .filter(|event| event.entry().agent.as_ref().is_some_and(|id| id.as_str() == agent))
            .map(Record::id)
            .collect();
        assert_eq!(seen(store, &agent), of_agent, "{agent}");
        due.extend(of_agent.chunks_exact(3).map(|three| three[2]));
    }
    let effects = recorded(engine, RecordType::Alert);
    let mut happened: Vec<Uuid> = effects.iter().map(|effect| effect.entry().parent.unwrap().id).collect();
    happened.sort();
    due.sort();
    assert_eq!(happened, due, "each effect happens once");
    assert!(engine.log().verify_all().unwrap().iter().all(Report::is_clean));
}

/// A clock that is an hour behind.
struct SlowClock;

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().minus(Duration::from_secs(3600))
    }

    fn coarse(&self) -> Moment {
        let moment = SystemClock.coarse();
        Moment { wall: moment.wall.minus(Duration::from_secs(3600)), ..moment }
    }
}

#[test]
fn shards_that_are_idle_dead_slow_or_sealed_hold_nobody_up() {
    let schema = Schema::new();
    let store = store(&schema);
    // Shard 0 is sealed with records in it.
    let sealed = Engine::open(options(&schema)).unwrap();
    escalate(&sealed, "a0");
    let head = block_on(store.head(sealed.shard())).unwrap();
    sealed.close();
    assert!(block_on(store.seal(head.shard, head.epoch)).unwrap());
    let first = Engine::open(options(&schema)).unwrap();
    let _idle = Engine::open(options(&schema)).unwrap();
    let slow = Engine::open(options(&schema).clock(Arc::new(SlowClock))).unwrap();
    assert_ne!(first.shard(), head.shard);
    // Claimed by an owner that never gives a sign.
    let dead = block_on(store.claim_free(Uuid::from_u128(5), TAKEOVER, &[])).unwrap();
    let _following = first.as_async().follow(Counter).unwrap();
    for n in 0..20 {
        escalate(&first, &format!("a{}", n % 4));
        escalate(&slow, &format!("a{}", n % 3));
    }
    let started = Instant::now();
    check(&first, &*store);
    assert!(started.elapsed() > TAKEOVER / 2, "the dead shard was not waited for");
    assert!(block_on(store.head(dead.shard)).unwrap().time > dead.time, "it was raised");
    // By now the slow engine has learnt that it is slow.
    std::thread::sleep(Duration::from_millis(1100));
    let id = escalate(&slow, "a1");
    let time = first.log().get(id).unwrap().entry().time;
    let age = SystemClock.now().micros() - time.micros();
    assert!(age.abs() < 60_000_000, "its records are stamped with the store's time, {age} us ago");
    // An owner that comes back after its shard was raised is fenced by the time, and goes on.
    sql(&format!("update {}.heads set time = time + 1000000 where shard = {}", schema.0, first.shard()));
    escalate(&first, "a2");
    check(&first, &*store);
}

#[test]
fn of_two_owners_one_works_and_the_other_takes_over() {
    let schema = Schema::new();
    let store = store(&schema);
    let engines: Vec<Engine> = (0..2).map(|_| Engine::open(options(&schema)).unwrap()).collect();
    let record = || {
        for n in 0..9 {
            escalate(&engines[n % 2], &format!("a{}", n % 3));
        }
    };
    let mut following: Vec<_> =
        engines.iter().map(|engine| engine.as_async().follow(Counter).unwrap()).collect();
    record();
    check(&engines[0], &*store);
    let epoch = || block_on(store.claim_follower(FOLLOWER, Uuid::from_u128(9), TAKEOVER)).unwrap();
    assert_eq!(epoch(), None, "it has an owner");
    // The one that has it lets go of it; the other needs no takeover time then.
    drop(following.remove(0));
    record();
    check(&engines[0], &*store);
    // The claim is taken from it behind its back; it notices and claims again.
    sql(&format!("update {}.followers set epoch = epoch + 1, owner = null", schema.0));
    record();
    check(&engines[0], &*store);
}

const SCHEMA: &str = "TRUST_ENGINE_FOLLOWERS_SCHEMA";

/// An engine in a process of its own, which records events and follows.
fn child(schema: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--nocapture"])
        .env(SCHEMA, schema)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

const CHILD: &str = "fleet::killed_and_paused_at_any_step_each_effect_happens_once";

fn record_until_killed(schema: &str) -> ! {
    let schema = Schema(schema.to_owned());
    let engine = Engine::open(options(&schema)).unwrap();
    let following = engine.as_async().follow(Counter).unwrap();
    let mut n = std::process::id();
    loop {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let record = trust_engine::NewRecord::new(
            RecordType::Escalation,
            format!("a{}", n >> 28),
            trust_engine::Decision::Escalate,
        );
        // A paused engine has lost its shard, and goes on in another one.
        if let Ok(receipt) = engine.log().record(record) {
            println!("ack {}.", receipt.id());
        }
        std::thread::sleep(Duration::from_millis(5));
        let _ = &following;
    }
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn killed_and_paused_at_any_step_each_effect_happens_once() {
    if let Ok(schema) = std::env::var(SCHEMA) {
        record_until_killed(&schema);
    }
    let kills = if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 100 } else { 6 };
    let schema = Schema::new();
    let store = store(&schema);
    let mut children: Vec<Child> = (0..3).map(|_| child(&schema.0)).collect();
    let mut acknowledged: Vec<std::thread::JoinHandle<Vec<Uuid>>> = Vec::new();
    let mut listen = |child: &mut Child| {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let of = |line: String| line.strip_prefix("ack ")?.strip_suffix('.')?.parse().ok();
        acknowledged.push(std::thread::spawn(move || lines.map_while(Result::ok).filter_map(of).collect()));
    };
    children.iter_mut().for_each(&mut listen);
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(200 + (kill * 7919) % 700));
        let at = (kill % 3) as usize;
        // Every fourth is paused past its takeover and goes on with what it was about to do.
        if kill % 4 == 3 {
            signal(&children[at], "-STOP");
            std::thread::sleep(TAKEOVER + Duration::from_millis(700));
            signal(&children[at], "-CONT");
            continue;
        }
        children[at].kill().unwrap();
        children[at].wait().unwrap();
        children[at] = child(&schema.0);
        listen(&mut children[at]);
    }
    std::thread::sleep(Duration::from_secs(1));
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let engine = Engine::open(options(&schema)).unwrap();
    let _following = engine.as_async().follow(Counter).unwrap();
    check(&engine, &*store);
    let events = folded(&*store).0;
    let acknowledged: Vec<Uuid> =
        acknowledged.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
    acknowledged.iter().for_each(|id| drop(engine.log().get(*id).unwrap()));
    assert!(!acknowledged.is_empty() && events >= acknowledged.len() as u64);
    let shards = engine.log().shards().unwrap().len();
    println!("{kills} kills and pauses, {events} events in {shards} shards, each folded once");
}
