//! One engine process: a mixed load that never stops for an error, and a journal of what it was told.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{Postgres, Redis};
use trust_engine::{
    AgentChange, CeilingRequest, Clock, Decision, Error, ErrorKind, GateRequest, Level, Moment, NewAgent,
    NewRecord, Options, OrganizationId, PolicyDocument, Query, RecordType, SystemClock, Timestamp,
};
use uuid::Uuid;

use super::checker::Ceiling;
use super::journal::Pen;

pub(crate) const DEPLOYMENT: &str = "nemesis.example.com/fleet";
pub(crate) const POSTGRES: &str = "TRUST_ENGINE_NEMESIS_POSTGRES";
pub(crate) const REDIS: &str = "TRUST_ENGINE_NEMESIS_REDIS";
pub(crate) const JOURNAL: &str = "TRUST_ENGINE_NEMESIS_JOURNAL";

pub(crate) fn signer() -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::from_seed(&[9; 32]))
}

const AGENTS: u64 = 4;

/// Windows so short that there are many, and ceilings so low that they are reached.
const POLICY: &str = "\
policyFormat: 1
name: nemesis
tiers: [{name: LOW}, {name: HIGH}]
roles: [{name: READER, minimumTier: LOW}, {name: WRITER, minimumTier: HIGH}]
defaultEffect: ALLOW
agents: {unregistered: LOWEST_TIER}
resources: [API, CPU, DISK, GPU, NET]
recording:
  ceilings: {mode: NONE}
ceilings:
  agent:
    - {tier: LOW, resource: API, limit: 400, windowSeconds: 5}
    - {tier: LOW, resource: NET, limit: 400, windowSeconds: 20}
    - {tier: LOW, resource: CPU, limit: 300, windowSeconds: 16, window: SLIDING}
    - {tier: LOW, resource: GPU, limit: 1000000, windowSeconds: 7}
    - {tier: LOW, resource: DISK, limit: 60, windowSeconds: 10}
    - {tier: HIGH, resource: API, limit: 400, windowSeconds: 5}
    - {tier: HIGH, resource: NET, limit: 400, windowSeconds: 20}
    - {tier: HIGH, resource: CPU, limit: 300, windowSeconds: 16, window: SLIDING}
    - {tier: HIGH, resource: GPU, limit: 1000000, windowSeconds: 7}
    - {tier: HIGH, resource: DISK, limit: 60, windowSeconds: 10}
  fleet:
    - {resource: GPU, limit: 200, windowSeconds: 7, precision: EXACT}
";

/// The ceilings of the policy, as the checker needs them.
pub(crate) fn ceilings() -> BTreeMap<String, Ceiling> {
    let ceiling = |limit, seconds: i64, sliding| Ceiling { limit, micros: seconds * 1_000_000, sliding };
    BTreeMap::from([
        ("API".into(), ceiling(400, 5, false)),
        ("NET".into(), ceiling(400, 20, false)),
        ("CPU".into(), ceiling(300, 16, true)),
        ("GPU".into(), ceiling(200, 7, false)),
        ("DISK".into(), ceiling(60, 10, false)),
    ])
}

/// The limit of a statement, and the time in which a database that hangs is noticed.
const STATEMENT: Duration = Duration::from_secs(5);
pub(crate) const NOTICED: Duration = Duration::from_secs(10);

/// The machine's clock, which can be set; the steady one goes on.
#[derive(Default)]
struct JumpingClock {
    /// Seconds by which it is set ahead.
    ahead: AtomicI64,
}

impl JumpingClock {
    fn set(&self, time: Timestamp) -> Timestamp {
        Timestamp::from_micros(time.micros() + 1_000_000 * self.ahead.load(Ordering::SeqCst))
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.set(SystemClock.now())
    }

    fn coarse(&self) -> Moment {
        let moment = SystemClock.coarse();
        Moment { wall: self.set(moment.wall), ..moment }
    }
}

fn options(clock: &Arc<JumpingClock>) -> Options {
    let variable = |name| std::env::var(name).unwrap();
    let postgres = Postgres::new(variable(POSTGRES))
        .connect_timeout(Duration::from_secs(2))
        .statement_timeout(STATEMENT);
    Options::postgres(postgres)
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .redis(Redis::new(variable(REDIS)))
        .signer(signer())
        .deployment(DEPLOYMENT)
        .takeover_after(Duration::from_secs(3))
}

/// Until standard input ends; each line of it sets the clock, by how many seconds it is ahead.
pub(crate) fn run() {
    let pen = Arc::new(Pen::new(&PathBuf::from(std::env::var(JOURNAL).unwrap())));
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Arc::<JumpingClock>::default();
    let (stopping, set) = (Arc::clone(&stop), Arc::clone(&clock));
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            set.ahead.store(line.parse().unwrap(), Ordering::SeqCst);
        }
        stopping.store(true, Ordering::SeqCst);
    });
    let policy = PolicyDocument::parse(POLICY).unwrap();
    let engine = loop {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        match Engine::open(options(&clock).policy(policy.clone())) {
            Ok(engine) => break engine,
            Err(error) => failed(&pen, &error),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    pen.line("opened");
    let load = Load { engine, pen, stop, turn: AtomicU64::new(0), known: Mutex::default() };
    std::thread::scope(|scope| {
        let load = &load;
        for _ in 0..4 {
            scope.spawn(|| load.repeat(Load::gate));
        }
        for _ in 0..4 {
            scope.spawn(|| load.repeat(Load::check));
        }
        for _ in 0..2 {
            scope.spawn(|| load.repeat(Load::check_with_id));
            scope.spawn(|| load.repeat(Load::attack));
        }
        scope.spawn(|| load.repeat(Load::record_until_acknowledged));
        scope.spawn(|| load.repeat(Load::change_agents));
        scope.spawn(|| load.repeat(Load::search));
    });
    load.engine.close();
}

fn failed(pen: &Pen, error: &Error) {
    if error.is_retryable() {
        pen.line("retry");
    } else {
        pen.line(&format!("error\t{}", format!("{error:?}").replace(['\n', '\t'], " ")));
    }
}

struct Load {
    engine: Engine,
    pen: Arc<Pen>,
    stop: Arc<AtomicBool>,
    turn: AtomicU64,
    /// Ids of records that were acknowledged lately, for those who take them.
    known: Mutex<VecDeque<Uuid>>,
}

type Done = Result<(), Error>;

impl Load {
    fn repeat(&self, act: fn(&Self, u64) -> Done) {
        while !self.stop.load(Ordering::SeqCst) {
            let turn = self.turn.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = act(self, turn) {
                failed(&self.pen, &error);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn gate(&self, turn: u64) -> Done {
        let request =
            GateRequest::new(format!("agent_{}", turn % AGENTS), "READER").resource("r").action("read");
        let verdict = self.engine.evaluate_gate(&request)?;
        let receipt = verdict.receipt().expect("gates are recorded");
        self.pen.record(receipt);
        let mut known = self.known.lock();
        known.push_back(receipt.id());
        if known.len() > 100 {
            known.pop_front();
        }
        Ok(())
    }

    fn check(&self, turn: u64) -> Done {
        let (resource, amount) = [("API", 3), ("CPU", 1), ("NET", 1), ("GPU", 1)][turn as usize % 4];
        let agent = format!("agent_{}", turn / 4 % AGENTS);
        let verdict = self.engine.check_ceiling(&CeilingRequest::new(&agent, resource, amount))?;
        if !verdict.allowed() {
            self.pen.line("refused");
            std::thread::sleep(Duration::from_millis(2));
            return Ok(());
        }
        for measure in verdict.measures() {
            let key = match (resource, measure.level()) {
                ("GPU", Level::Fleet) => "fleet",
                ("API" | "CPU" | "NET", Level::Agent) => agent.as_str(),
                _ => continue,
            };
            let start = measure.window_start().micros();
            self.pen.line(&format!("admit\t{resource}\t{key}\t{start}\t{amount}"));
        }
        Ok(())
    }

    /// With an id that the other processes use at the same time: one of them is charged.
    fn check_with_id(&self, turn: u64) -> Done {
        let agent = format!("agent_{}", turn % AGENTS);
        let id = format!("{agent}-{}", super::journal::now() / 40);
        let verdict = self.engine.check_ceiling(&CeilingRequest::new(&agent, "DISK", 1).request_id(&id))?;
        if verdict.allowed() {
            let start = verdict.measure().unwrap().window_start().micros();
            let record = verdict.id().unwrap();
            self.pen.line(&format!("admit\tDISK\t{agent}\t{start}\t1\t{id}\t{record}"));
            self.pen.record(verdict.receipt().expect("it is committed before it is answered"));
        }
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }

    /// An organization with a valid key that wants to harm others: it takes ids that it has seen, fills the memory of request
    /// ids, records as much as a record may hold, and asks for more than there is.
    fn attack(&self, turn: u64) -> Done {
        let hostile = OrganizationId::parse("hostile").unwrap();
        let stolen = self.known.lock().get(turn as usize % 100).copied();
        let done = match (turn % 4, stolen) {
            (0, Some(id)) => {
                let record = NewRecord::new(RecordType::Alert, "thief", Decision::Deny).id(id);
                // In its own organization it is free; in the other one it is a conflict, with whoever is first.
                let log =
                    if turn.is_multiple_of(8) { self.engine.log() } else { self.engine.log().of(hostile) };
                log.record(record).map(drop)
            }
            (1, _) => {
                let request = CeilingRequest::new("thief", "API", 1)
                    .request_id(format!("{turn}-{}", std::process::id()));
                self.engine.check_ceiling(&request.organization(hostile)).map(drop)
            }
            (2, _) => {
                let large = "x".repeat(900_000);
                let record = NewRecord::new(RecordType::Alert, "thief", Decision::Deny);
                std::thread::sleep(Duration::from_millis(200));
                self.engine.log().of(hostile).record(record.reason(large)).map(drop)
            }
            _ => {
                let request = CeilingRequest::new("agent_0", "GPU", (1 << 40) - 1).organization(hostile);
                self.engine.check_ceiling(&request).map(drop)
            }
        };
        std::thread::sleep(Duration::from_millis(5));
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::InvalidInput) => Ok(()),
            done => done,
        }
    }

    /// With an id of its own, again and again until it is acknowledged: it must then be there once.
    fn record_until_acknowledged(&self, turn: u64) -> Done {
        let id = Uuid::now_v7();
        let agent = format!("agent_{}", turn % AGENTS);
        while !self.stop.load(Ordering::SeqCst) {
            let record = NewRecord::new(RecordType::Alert, &agent, Decision::Deny).id(id);
            match self.engine.log().record(record) {
                Ok(receipt) => {
                    self.pen.record(&receipt);
                    return Ok(());
                }
                Err(error) => failed(&self.pen, &error),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn change_agents(&self, turn: u64) -> Done {
        let id = format!("agent_{}", turn % AGENTS);
        let tier = ["LOW", "HIGH"][turn as usize / 7 % 2];
        let changed = match self.engine.agents().change(&id, AgentChange::of_current().tier(tier)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.engine.agents().register(NewAgent::new(&id).tier(tier))
            }
            changed => changed,
        };
        match changed {
            Ok(changed) => {
                self.pen.record(&changed.receipt);
                self.pen.line(&format!("agent\t{id}\t{}", changed.agent.version));
            }
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(Duration::from_millis(25));
        Ok(())
    }

    fn search(&self, turn: u64) -> Done {
        let query = Query::new().agent(format!("agent_{}", turn % AGENTS)).limit(50);
        let page = self.engine.log().query(&query)?;
        if let Some(record) = page.records.last() {
            self.engine.log().prove(record.receipt().id())?;
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}
