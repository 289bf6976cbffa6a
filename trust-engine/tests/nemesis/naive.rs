//! The control: four processes that read a counter, compare it with the ceiling, and then increment it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::checker::Ceiling;
use super::engine::{JOURNAL, REDIS};
use super::journal::Pen;
use super::{ROLE, servers};

const PORT: u16 = 7213;
const LIMIT: u64 = 200;
const SECONDS: i64 = 1;

pub(crate) fn ceiling() -> Ceiling {
    Ceiling { limit: LIMIT, micros: SECONDS * 1_000_000, sliding: false }
}

/// Runs them on a Redis of their own.
pub(crate) fn four_processes(folder: &Path, time: Duration) {
    let redis = servers::Redis::start(folder, PORT);
    let children: Vec<_> = (0..4)
        .map(|number| {
            let test = "the_checker_catches_check_then_increment";
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "whatever_breaks_no_acknowledged_record_is_lost_and_no_ceiling_is_exceeded",
                    "--exact",
                ])
                .env(ROLE, "naive")
                .env(REDIS, format!("redis://127.0.0.1:{}", redis.port))
                .env(JOURNAL, folder.join(format!("naive-{number}.journal")))
                .env("TRUST_ENGINE_NEMESIS_SECONDS", time.as_secs().to_string())
                .env("TRUST_ENGINE_NEMESIS_TEST", test)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

pub(crate) fn run() {
    let pen = Pen::new(&PathBuf::from(std::env::var(JOURNAL).unwrap()));
    let mut redis = redis::Client::open(std::env::var(REDIS).unwrap()).unwrap().get_connection().unwrap();
    let seconds: u64 = std::env::var("TRUST_ENGINE_NEMESIS_SECONDS").unwrap().parse().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let window = i64::try_from(super::journal::now() / 1000).unwrap() / SECONDS * SECONDS;
        let key = format!("naive:{window}");
        let used: Option<u64> = redis::cmd("GET").arg(&key).query(&mut redis).unwrap();
        if used.unwrap_or(0) < LIMIT {
            let _: u64 = redis::cmd("INCRBY").arg(&key).arg(1).query(&mut redis).unwrap();
            pen.line(&format!("admit\tAPI\tagent\t{}\t1", window * 1_000_000));
        }
    }
}
