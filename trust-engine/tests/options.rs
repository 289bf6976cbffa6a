//! Every option of an engine matters: each is set by itself, and an answer changes with it. An option without a case here
//! fails the first test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use trust_engine::blocking::Engine;
use trust_engine::provenance::{Ed25519Signer, Signer};
use trust_engine::storage::{self, FailingStore, Store};
use trust_engine::{
    CeilingRequest, Clock as _, Entropy, ErrorKind, GateRequest, ManualClock, Options, PolicyDocument,
    TimeRange,
};

/// The answer with the option at its default, and with another value.
type Answers = fn() -> (String, String);

const CASES: &[(&str, Answers)] = &[
    ("memory", place),
    ("embedded", place),
    ("postgres", postgres),
    ("store", place),
    ("counters", counters),
    ("redis", redis),
    ("policy", policy),
    ("clock", clock),
    ("entropy", entropy),
    ("signer", signer),
    ("deployment", deployment),
    ("tier_authority", tier_authority),
    ("queue", queue),
    ("max_batch", max_batch),
    ("linger", linger),
    ("cached_agents", cached_agents),
    ("shard", shard),
    ("takeover_after", takeover_after),
    ("max_clock_jump", max_clock_jump),
];

fn request() -> GateRequest {
    GateRequest::new("agent", "READER")
}

/// The kind of the error that opening gives.
fn refusal(options: Options) -> String {
    Engine::open(options).map_or_else(|error| format!("{:?}", error.kind()), |_| "open".into())
}

/// Another store has another name in its messages, and only a folder is still there after it was closed.
fn place() -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let records = |options: fn(&std::path::Path) -> Options| {
        let count = || {
            let engine = Engine::open(options(folder.path())).unwrap();
            engine.evaluate_gate(&request()).unwrap();
            engine.stats(TimeRange::All, None).unwrap().role_gates.total
        };
        format!("{} {}", count(), count())
    };
    let of_store = refusal(Options::store(storage::memory()));
    assert_eq!(of_store, "InvalidInput", "a store of the host needs a signer");
    (records(|_| Options::memory()), records(|folder| Options::embedded(folder.join("store"))))
}

fn postgres() -> (String, String) {
    let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
    // Nothing listens on this port.
    let database = storage::Postgres::new("postgres://nobody@127.0.0.1:1/none");
    let postgres = Options::postgres(database).signer(signer).deployment("options");
    (refusal(Options::memory()), refusal(postgres))
}

fn redis() -> (String, String) {
    let redis = storage::Redis::new("redis://127.0.0.1:1").best_effort();
    (refusal(Options::memory()), refusal(Options::memory().redis(redis)))
}

fn host_store() -> Options {
    Options::store(storage::memory())
        .signer(Arc::new(Ed25519Signer::from_seed(&[1; 32])))
        .deployment("options")
}

fn counters() -> (String, String) {
    let check = |options| {
        let checked =
            Engine::open(options).unwrap().check_ceiling(&CeilingRequest::new("agent", "API_CALLS", 1));
        checked.map_or_else(|error| format!("{:?}", error.kind()), |verdict| verdict.to_string())
    };
    let clock = Arc::new(ManualClock::new("2026-01-05T09:00:00Z".parse().unwrap()));
    (check(host_store()), check(host_store().counters(storage::memory_counters(clock))))
}

fn policy() -> (String, String) {
    let gate = |options| Engine::open(options).unwrap().evaluate_gate(&request()).unwrap().to_string();
    let mut policy = PolicyDocument::published_default().unwrap();
    policy.roles.retain(|role| role.name != "READER");
    (gate(Options::memory()), gate(Options::memory().policy(policy)))
}

fn clock() -> (String, String) {
    let at = |options| {
        Engine::open(options).unwrap().evaluate_gate(&request()).unwrap().evaluated_at().to_string()
    };
    let clock = Arc::new(ManualClock::new("2026-01-05T09:00:00Z".parse().unwrap()));
    let set = at(Options::memory().clock(clock.clone()));
    assert_eq!(set, clock.now().to_string());
    (at(Options::memory()), set)
}

/// All bits set.
struct Ones;

impl Entropy for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xFF);
    }
}

fn entropy() -> (String, String) {
    let salt = |options| {
        let engine = Engine::open(options).unwrap();
        let id = engine.evaluate_gate(&request()).unwrap().id();
        format!("{:?}", engine.log().get(id).unwrap().payload().unwrap().salt)
    };
    let set = salt(Options::memory().entropy(Arc::new(Ones)));
    assert_eq!(set, format!("{:?}", [0xFF; 32]));
    (salt(Options::memory()), set)
}

fn signer() -> (String, String) {
    let key = |options| format!("{:?}", Engine::open(options).unwrap().verifier_key().public_key());
    let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
    let set = key(Options::memory().signer(signer.clone()));
    assert_eq!(set, format!("{:?}", signer.public_key()));
    (key(Options::memory()), set)
}

fn deployment() -> (String, String) {
    let name = |options| Engine::open(options).unwrap().verifier_key().name().to_owned();
    let set = name(Options::memory().deployment("example.com/fleet"));
    assert_eq!(set, "example.com/fleet/prov/0");
    (name(Options::memory()), set)
}

fn tier_authority() -> (String, String) {
    let gate = |options| {
        let request = GateRequest::new("agent", "SYSTEM_ADMIN").tier("PRIVILEGED").caller("gateway");
        Engine::open(options).unwrap().evaluate_gate(&request).unwrap().to_string()
    };
    (gate(Options::memory()), gate(Options::memory().tier_authority("gateway")))
}

/// Signs once a test lets it, and counts its signatures.
struct HeldSigner {
    key: Ed25519Signer,
    gate: Mutex<()>,
    waiting: AtomicBool,
    signatures: AtomicU64,
}

impl HeldSigner {
    fn new() -> Arc<Self> {
        let key = Ed25519Signer::from_seed(&[1; 32]);
        Arc::new(Self {
            key,
            gate: Mutex::new(()),
            waiting: AtomicBool::new(false),
            signatures: AtomicU64::new(0),
        })
    }

    /// Begins a commit that waits for the gate: later submissions stay in the queue.
    fn hold(&self, engine: &Engine) -> MutexGuard<'_, ()> {
        let gate = self.gate.lock();
        self.waiting.store(false, Ordering::SeqCst);
        let _ = engine.decide_gate(&request()).unwrap();
        while !self.waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        gate
    }
}

impl Signer for HeldSigner {
    fn public_key(&self) -> [u8; 32] {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> trust_engine::Result<[u8; 64]> {
        self.waiting.store(true, Ordering::SeqCst);
        let _gate = self.gate.lock();
        self.signatures.fetch_add(1, Ordering::SeqCst);
        self.key.sign(message)
    }
}

fn queue() -> (String, String) {
    let taken = |options: Options| {
        let signer = HeldSigner::new();
        let engine = Engine::open(options.signer(signer.clone())).unwrap();
        let gate = signer.hold(&engine);
        let decided: Vec<_> = (0..20).map(|_| engine.decide_gate(&request())).collect();
        drop(gate);
        let refused = decided.iter().filter_map(|decided| decided.as_ref().err());
        assert!(refused.clone().all(|error| error.kind() == ErrorKind::Overloaded));
        refused.count().to_string()
    };
    let set = taken(Options::memory().queue(5));
    assert_eq!(set, "15");
    (taken(Options::memory()), set)
}

/// Commits that twenty waiting verdicts take.
fn max_batch() -> (String, String) {
    let commits = |options: Options| {
        let signer = HeldSigner::new();
        let engine = Engine::open(options.signer(signer.clone())).unwrap();
        let gate = signer.hold(&engine);
        let tickets: Vec<_> = (0..20).map(|_| engine.decide_gate(&request()).unwrap().1).collect();
        let before = signer.signatures.load(Ordering::SeqCst);
        drop(gate);
        tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
        // The commit that was held is one of them.
        (signer.signatures.load(Ordering::SeqCst) - before - 1).to_string()
    };
    let set = commits(Options::memory().max_batch(4));
    assert_eq!(set, "5");
    (commits(Options::memory()), set)
}

/// Whether a verdict shares the commit of the one before, which is held back from the moment that it is signed. By default that
/// moment comes at once, and the second verdict after it. With a linger of a second it comes later, unless this thread
/// stands still for longer than that, which it does not three times in a row.
fn linger() -> (String, String) {
    let share = |options: Options, begun: bool| {
        let signer = HeldSigner::new();
        let engine = Engine::open(options.signer(signer.clone())).unwrap();
        let gate = signer.gate.lock();
        signer.waiting.store(false, Ordering::SeqCst);
        let first = engine.decide_gate(&request()).unwrap().1;
        while begun && !signer.waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let second = engine.decide_gate(&request()).unwrap().1;
        drop(gate);
        first.wait().unwrap().unwrap().tree_size() == second.wait().unwrap().unwrap().tree_size()
    };
    let set = (0..3).any(|_| share(Options::memory().linger(Duration::from_secs(1)), false));
    (share(Options::memory(), true).to_string(), set.to_string())
}

/// Whether an agent is ever still known after a hundred others were asked for. The follower's first look lets all agents be
/// read again, so one attempt is not enough.
fn cached_agents() -> (String, String) {
    let known = |set: fn(Options) -> Options| {
        let store = Arc::new(FailingStore::new(storage::memory()));
        let clock = Arc::new(ManualClock::new("2026-01-05T09:00:00Z".parse().unwrap()));
        let options = set(Options::store(Arc::clone(&store) as Arc<dyn Store>)).clock(clock);
        let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
        let engine = Engine::open(options.signer(signer).deployment("options")).unwrap();
        let attempt = |_| {
            engine.evaluate_gate(&request()).unwrap();
            for n in 0..100 {
                engine.evaluate_gate(&GateRequest::new(format!("agent_{n}"), "READER")).unwrap();
            }
            let read = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&read);
            store.on_document_read(move || seen.store(true, Ordering::SeqCst));
            engine.evaluate_gate(&request()).unwrap();
            !read.load(Ordering::SeqCst)
        };
        (0..5).any(attempt).to_string()
    };
    (known(|options| options), known(|options| options.cached_agents(1)))
}

fn shard() -> (String, String) {
    (refusal(Options::memory()), refusal(Options::memory().shard(1)))
}

/// Warnings after a jump of ten minutes.
fn max_clock_jump() -> (String, String) {
    let warnings = |set: fn(Options) -> Options| {
        let clock = Arc::new(ManualClock::new("2026-01-05T09:00:00Z".parse().unwrap()));
        let engine = Engine::open(set(Options::memory()).clock(clock.clone())).unwrap();
        engine.evaluate_gate(&request()).unwrap();
        clock.set("2026-01-05T09:10:00Z".parse().unwrap());
        engine.evaluate_gate(&request()).unwrap();
        engine.warnings().len().to_string()
    };
    (warnings(|options| options), warnings(|options| options.max_clock_jump(Duration::from_secs(3600))))
}

/// The patience that the store is asked with: its own tests show what it does with it.
fn takeover_after() -> (String, String) {
    let patience = |set: fn(Options) -> Options| {
        let store = Arc::new(FailingStore::new(storage::memory()));
        let options = set(Options::store(Arc::clone(&store) as Arc<dyn Store>));
        let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
        let engine = Engine::open(options.signer(signer).deployment("options")).unwrap();
        drop(engine);
        format!("{:?}", store.patience())
    };
    (patience(|options| options), patience(|options| options.takeover_after(Duration::from_secs(77))))
}

#[test]
fn every_option_has_a_case() {
    let source = include_str!("../src/engine/options.rs");
    let setters = source.lines().filter_map(|line| line.strip_prefix("    pub fn "));
    let setters = setters.filter(|line| line.trim_end().ends_with("-> Self {"));
    let options: BTreeSet<&str> = setters.map(|line| line.split_once('(').unwrap().0).collect();
    let cases: BTreeSet<&str> = CASES.iter().map(|(option, _)| *option).collect();
    assert_eq!(cases, options);
}

#[test]
fn an_option_that_is_set_by_itself_changes_an_answer() {
    let idle: Vec<_> = CASES
        .iter()
        .filter_map(|(option, answers)| {
            let (default, set) = answers();
            (default == set).then_some((option, set))
        })
        .collect();
    assert!(idle.is_empty(), "these change nothing: {idle:#?}");
}

#[test]
fn times_out_of_bounds_are_refused_by_name() {
    let second = Duration::from_secs(1);
    for (options, field) in [
        (Options::memory().max_clock_jump(second / 2), "maxClockJump"),
        (Options::memory().max_clock_jump(86_401 * second), "maxClockJump"),
        (Options::memory().takeover_after(second), "takeoverAfter"),
        (Options::memory().takeover_after(3601 * second), "takeoverAfter"),
        (Options::memory().linger(2 * second), "linger"),
    ] {
        assert_eq!(Engine::open(options).unwrap_err().field(), Some(field));
    }
}
