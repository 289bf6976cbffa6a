//! Killed at random points, the embedded store loses nothing that was acknowledged.
//!
//! The test runs itself as a child that records and prints the id of every record after its receipt came; the parent
//! kills it, opens the store and looks for every printed id. 8 kills by default, 100 with `TRUST_ENGINE_HEAVY=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use trust_engine::blocking::Engine;
use trust_engine::{GateRequest, NewAgent, Options};

const STORE: &str = "TRUST_ENGINE_CRASH_STORE";

#[test]
fn a_killed_writer_loses_no_acknowledged_record() {
    if let Ok(folder) = std::env::var(STORE) {
        write_until_killed(&folder);
    }
    let heavy = std::env::var("TRUST_ENGINE_HEAVY").is_ok();
    let kills = if heavy { 100 } else { 8 };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut acknowledged: Vec<uuid::Uuid> = Vec::new();
    let mut kept: Option<trust_engine::provenance::SignedCheckpoint> = None;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_killed_writer_loses_no_acknowledged_record", "--exact", "--nocapture"])
            .env(STORE, &store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let mut ids = Vec::new();
            while let Some(Ok(line)) = lines.next() {
                // A line that the kill cut off was not read to its end.
                ids.extend(
                    line.strip_prefix("ack ").and_then(|id| id.strip_suffix('.')?.parse::<uuid::Uuid>().ok()),
                );
            }
            ids
        });
        // Some kills hit the opening and the recovery, most the writing.
        std::thread::sleep(Duration::from_millis(20 + (kill * 7919) % 380));
        child.kill().unwrap();
        child.wait().unwrap();
        let news = reader.join().unwrap();
        let engine = Engine::open(Options::embedded(&store)).unwrap();
        let is_there = |id: &uuid::Uuid| {
            engine
                .log()
                .get(*id)
                .unwrap_or_else(|error| panic!("after kill {kill}, {id} is missing: {error}"));
        };
        news.iter().for_each(is_there);
        acknowledged.extend(news);
        // The log still begins with what it was before; all of it is read again at the end.
        let whole = kill % 10 == 9 || kill + 1 == kills;
        if whole {
            let report = engine.log().verify(kept.as_ref()).unwrap();
            assert!(report.is_clean(), "after kill {kill}: {report}");
            acknowledged.iter().for_each(is_there);
        } else if let Some(kept) = &kept {
            let (new, proof) = engine.log().prove_consistency(kept.checkpoint.size).unwrap();
            trust_engine::verify::consistency(kept, &new, &proof, &engine.verifier_key()).unwrap();
        }
        kept = engine.log().checkpoint().unwrap();
    }
    assert!(!acknowledged.is_empty(), "the child was always killed before it recorded anything");
    println!("{kills} kills, {} acknowledged records, none missing", acknowledged.len());
}

#[test]
fn a_store_whose_first_opening_was_killed_opens() {
    if std::env::var(STORE).is_ok() {
        return;
    }
    let heavy = std::env::var("TRUST_ENGINE_HEAVY").is_ok();
    let kills = if heavy { 300 } else { 15 };
    let folder = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        let store = folder.path().join(kill.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_killed_writer_loses_no_acknowledged_record", "--exact", "--nocapture"])
            .env(STORE, &store)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(kill * 15_000 / kills + 500));
        child.kill().unwrap();
        child.wait().unwrap();
        let engine = Engine::open(Options::embedded(&store));
        let engine = engine.unwrap_or_else(|error| panic!("after kill {kill}: {error:?}"));
        assert!(engine.log().verify(None).unwrap().is_clean());
    }
}

fn write_until_killed(folder: &str) -> ! {
    let engine = Engine::open(Options::embedded(folder)).unwrap();
    // May be there from an earlier life.
    let _ = engine.agents().register(NewAgent::new("a").tier("TRUSTED"));
    loop {
        let tickets: Vec<_> =
            (0..40).map(|_| engine.decide_gate(&GateRequest::new("a", "CODE_EXECUTOR")).unwrap().1).collect();
        for ticket in tickets {
            let receipt = ticket.wait().unwrap().unwrap();
            // The full stop marks a whole line.
            println!("ack {}.", receipt.id());
        }
        std::io::stdout().flush().unwrap();
    }
}
