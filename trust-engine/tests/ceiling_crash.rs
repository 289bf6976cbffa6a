//! Killed with leases outstanding, the embedded store never grants over the ceiling; the amount that the
//! dead engine held is wasted.
//!
//! The test runs itself as a child that uses a ceiling from several threads and writes down every admission; the parent
//! kills it, starts it again, and adds up. 10 kills by default, 100 with `TRUST_ENGINE_HEAVY=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::{CeilingRequest, Options, PolicyDocument};

const STORE: &str = "TRUST_ENGINE_CRASH_STORE";
const THREADS: usize = 4;
/// A day, and a ceiling that the children reach only together.
const LIMITS: [(&str, u64); 2] = [("API", 2_000_000), ("CPU", 300)];

fn policy() -> PolicyDocument {
    let row = |(resource, limit): &(&str, u64)| {
        format!("    - {{tier: LOW, resource: {resource}, limit: {limit}, windowSeconds: 864000}}\n")
    };
    let rows: String = LIMITS.iter().map(row).collect();
    let text = format!(
        "policyFormat: 1\nname: crash\ntiers: [{{name: LOW}}]\nroles: [{{name: READER, minimumTier: LOW}}]\n\
         defaultEffect: DENY\nresources: [API, CPU]\nrecording:\n  ceilings: {{mode: NONE}}\nceilings:\n  agent:\n{rows}"
    );
    PolicyDocument::parse(&text).unwrap()
}

/// Admitted amounts by resource and beginning of the window.
type Admitted = BTreeMap<(String, String), u64>;

/// Adds up what a child wrote down.
fn read(lines: impl Iterator<Item = std::io::Result<String>>) -> Admitted {
    let mut admitted = Admitted::new();
    for line in lines.map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        // A line that the kill cut off lacks its full stop.
        if let ["took", resource, window, amount, "."] = words[..] {
            let key = (resource.to_owned(), window.to_owned());
            *admitted.entry(key).or_default() += amount.parse::<u64>().unwrap();
        }
    }
    admitted
}

#[test]
fn a_killed_engine_wastes_what_it_held_and_never_overspends() {
    if let Ok(folder) = std::env::var(STORE) {
        use_until_killed(&folder);
    }
    let kills = if std::env::var("TRUST_ENGINE_HEAVY").is_ok() { 100 } else { 10 };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut sum = Admitted::new();
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_killed_engine_wastes_what_it_held_and_never_overspends", "--exact", "--nocapture"])
            .env(STORE, &store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || read(lines));
        std::thread::sleep(Duration::from_millis(60 + (kill * 7919) % 240));
        child.kill().unwrap();
        child.wait().unwrap();
        for (key, amount) in reader.join().unwrap() {
            *sum.entry(key).or_default() += amount;
        }
        for ((resource, window), amount) in &sum {
            let limit = LIMITS.iter().find(|(name, _)| name == resource).unwrap().1;
            assert!(*amount <= limit, "{resource} in {window}: {amount} admitted, the ceiling is {limit}");
        }
    }
    // The waste is the charged amount that was not admitted.
    let engine = Engine::open(Options::embedded(&store)).unwrap();
    for usage in engine.quotas().usage("agent_0").unwrap() {
        let start = usage.measure.window_start().to_string();
        let admitted = sum.get(&(usage.resource.clone(), start)).copied().unwrap_or(0);
        let (charged, ceiling) = (usage.measure.current_usage(), usage.measure.ceiling());
        assert!(charged >= admitted, "{}: {admitted} admitted, {charged} charged", usage.resource);
        let waste = charged - admitted;
        println!("{}: {kills} kills, {admitted} admitted, {waste} of {ceiling} wasted", usage.resource);
        assert!(admitted > 0);
    }
    assert!(engine.log().verify(None).unwrap().is_clean());
}

fn use_until_killed(folder: &str) -> ! {
    let engine = Engine::open(Options::embedded(folder).policy(policy())).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let engine = &engine;
            scope.spawn(move || {
                let mut out = std::io::stdout();
                for n in 0u64.. {
                    let (resource, amount) = if n % 50 == 0 { ("CPU", 1) } else { ("API", 1 + n % 7) };
                    // Some of it is reserved and given back.
                    if n % 20 == thread as u64 {
                        let request = CeilingRequest::new("agent_0", resource, amount);
                        if let (_, Some(mut reservation)) = engine.quotas().reserve(&request).unwrap() {
                            reservation.void().unwrap();
                        }
                    }
                    let request = CeilingRequest::new("agent_0", resource, amount);
                    let verdict = engine.check_ceiling_now(&request).unwrap().0;
                    if verdict.allowed() {
                        let start = verdict.measure().unwrap().window_start();
                        // One write per line, so that a kill loses at most a line per thread.
                        let line = format!("took {resource} {start} {amount} .\n");
                        out.write_all(line.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    std::process::exit(0)
}
