//! One engine process: a mixed load that never stops for an error, and a journal of what it was told.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{Postgres, Redis};
use trust_engine::{
    AgentChange, CeilingRequest, Decision, Error, ErrorKind, GateRequest, Level, NewAgent, NewRecord,
    Options, PolicyDocument, Query, RecordType,
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
resources: [API, CPU, GPU, NET]
recording:
  ceilings: {mode: NONE}
ceilings:
  agent:
    - {tier: LOW, resource: API, limit: 400, windowSeconds: 5}
    - {tier: LOW, resource: NET, limit: 400, windowSeconds: 20}
    - {tier: LOW, resource: CPU, limit: 300, windowSeconds: 16, window: SLIDING}
    - {tier: LOW, resource: GPU, limit: 1000000, windowSeconds: 7}
    - {tier: HIGH, resource: API, limit: 400, windowSeconds: 5}
    - {tier: HIGH, resource: NET, limit: 400, windowSeconds: 20}
    - {tier: HIGH, resource: CPU, limit: 300, windowSeconds: 16, window: SLIDING}
    - {tier: HIGH, resource: GPU, limit: 1000000, windowSeconds: 7}
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
    ])
}

fn options() -> Options {
    let variable = |name| std::env::var(name).unwrap();
    let postgres = Postgres::new(variable(POSTGRES))
        .connect_timeout(Duration::from_secs(2))
        .statement_timeout(Duration::from_secs(5));
    Options::postgres(postgres)
        .redis(Redis::new(variable(REDIS)))
        .signer(signer())
        .deployment(DEPLOYMENT)
        .takeover_after(Duration::from_secs(3))
}

/// Until standard input ends.
pub(crate) fn run() {
    let pen = Arc::new(Pen::new(&PathBuf::from(std::env::var(JOURNAL).unwrap())));
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopping.store(true, Ordering::SeqCst);
    });
    let policy = PolicyDocument::parse(POLICY).unwrap();
    let engine = loop {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        match Engine::open(options().policy(policy.clone())) {
            Ok(engine) => break engine,
            Err(error) => failed(&pen, &error),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    pen.line("opened");
    let load = Load { engine, pen, stop, turn: AtomicU64::new(0) };
    std::thread::scope(|scope| {
        let load = &load;
        for _ in 0..4 {
            scope.spawn(|| load.repeat(Load::gate));
        }
        for _ in 0..4 {
            scope.spawn(|| load.repeat(Load::check));
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
        self.pen.record(verdict.receipt().expect("gates are recorded"));
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
