//! Nanoseconds per check that is granted, as the calling thread sees them.
//!
//! Its own loop instead of criterion's, which measures one thread. Every contender is called through the same `dyn`,
//! which costs each a nanosecond or two. They take turns, so that a slow moment of the machine meets all of them.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use ceiling_peers::{ALL, Ceiling, Contender, Result};

const KEYS: u32 = 100_000;
const THREADS: [usize; 2] = [1, 2];
const REPETITIONS: usize = 7;
const REPETITION: Duration = Duration::from_millis(300);
/// Checks between two looks at the clock.
const CHUNK: usize = 256;
/// The order of keys repeats after so many checks; much more than the keys, so that no cache learns it.
const ORDER: usize = 1 << 19;

/// So much that nothing is refused, and little enough that a token bucket's step is still whole microseconds.
const CEILING: Ceiling = Ceiling { limit: 1_000_000_000, seconds: 3600, keys: KEYS };

pub(crate) fn run() -> Result<()> {
    let keys: Vec<String> = (0..KEYS).map(|n| format!("agent_{n:06}")).collect();
    let random = order(&keys);
    let hot = vec!["agent_000000"; ORDER];
    let mut contenders = Vec::new();
    for make in ALL {
        let contender = make(CEILING)?;
        // The first use of a key makes its counter; that is not what is measured.
        for key in &keys {
            contender.check(key, 1);
        }
        contenders.push(contender);
    }

    let mut header = "| ns per check, median (least to most)".to_owned();
    let mut rows: Vec<String> = contenders.iter().map(|one| format!("| {}", one.name())).collect();
    for threads in THREADS {
        for (keys, order) in [("one key", &hot), ("100,000 keys", &random)] {
            header += &format!(" | {threads} × {keys}");
            let mut times = vec![Vec::new(); contenders.len()];
            // One repetition more, which is not counted: it warms up.
            for repetition in 0..=REPETITIONS {
                for (contender, times) in contenders.iter().zip(&mut times) {
                    let time = measure(contender.as_ref(), order, threads)?;
                    if repetition > 0 {
                        times.push(time);
                    }
                }
            }
            for (row, times) in rows.iter_mut().zip(times) {
                *row += &format!(" | {}", summary(times));
            }
        }
    }
    println!("{header} |\n|---|--:|--:|--:|--:|");
    for row in rows {
        println!("{row} |");
    }
    Ok(())
}

/// Keys uniformly at random, and the same ones in every run.
fn order(keys: &[String]) -> Vec<&str> {
    let mut state = 1_u64;
    let next = || {
        // Knuth's generator; its high bits are good enough.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap_or_default() % keys.len();
        keys.get(at).map(String::as_str).unwrap_or_default()
    };
    std::iter::repeat_with(next).take(ORDER).collect()
}

/// One repetition: the time of all threads together over the checks of all threads together.
fn measure(contender: &dyn Contender, order: &[&str], threads: usize) -> Result<f64> {
    let barrier = Barrier::new(threads);
    let barrier = &barrier;
    let parts: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|thread| {
                // Each thread begins somewhere else in the order.
                let first = ORDER / CHUNK * thread / threads;
                scope.spawn(move || {
                    barrier.wait();
                    work(contender, order, first)
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join()).collect()
    });
    let (mut nanoseconds, mut checks) = (0.0, 0.0);
    for part in parts {
        let part = part.map_err(|_| "a thread panicked")?;
        if part.refused > 0 {
            return Err(format!("{} refused {} checks", contender.name(), part.refused).into());
        }
        nanoseconds += part.time.as_secs_f64() * 1e9;
        checks += f64::from(part.checks);
    }
    Ok(nanoseconds / checks)
}

struct Work {
    time: Duration,
    checks: u32,
    refused: u32,
}

fn work(contender: &dyn Contender, order: &[&str], first: usize) -> Work {
    let (mut checks, mut refused) = (0, 0);
    let start = Instant::now();
    for chunk in order.chunks(CHUNK).cycle().skip(first) {
        for key in chunk {
            checks += 1;
            refused += u32::from(!contender.check(key, 1));
        }
        if start.elapsed() >= REPETITION {
            break;
        }
    }
    Work { time: start.elapsed(), checks, refused }
}

fn summary(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |place: usize| times.get(place).copied().unwrap_or(f64::NAN);
    format!("{:.0} ({:.0} to {:.0})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)))
}
