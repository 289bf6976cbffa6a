//! How fast an engine writes and reads, and how much disk and memory it takes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Args,
    engine::{Fallible, Kind, Tuning},
    workload::{self, Batch},
};

/// Loads and reads each engine in two processes of its own, and prints what they measured.
pub(crate) fn run(args: &Args) -> Fallible<()> {
    let (records, batch) = (args.number("records", 1_000_000)?, args.number("batch", 1024)?);
    println!("{records} records in batches of {batch}, {}\n", args.tuning);
    let columns = [
        "records/s",
        "of the wall clock",
        "commit p50 ms",
        "p99 ms",
        "max ms",
        "fsync p50 ms",
        "bytes/record",
        "settled",
        "load RSS MB",
        "open after kill ms",
        "read RSS MB",
        "id->entry p50 us",
        "p95",
        "newest 20 p50 us",
        "p95",
        "records/s by tenth of the run",
    ];
    println!("| engine | {} |", columns.join(" | "));
    println!("|---{}|", "|--:".repeat(columns.len()));
    for kind in args.engines()? {
        let dir = args.fresh_dir(kind)?;
        let measured = measure(kind, &dir, &args.tuning, records, batch);
        fs::remove_dir_all(&dir)?;
        let measured = measured?;
        let cells: Vec<&str> = measured.values().map(String::as_str).collect();
        println!("| {kind} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// The values that the two children print, by the number of their column.
fn measure(
    kind: Kind,
    dir: &Path,
    tuning: &Tuning,
    records: u64,
    batch: u64,
) -> Fallible<BTreeMap<u8, String>> {
    let mut measured = BTreeMap::new();
    for part in ["load-part", "read-part"] {
        let mut command = Args::child(part, kind, dir, tuning)?;
        command.args(["--records", &records.to_string(), "--batch", &batch.to_string()]);
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{part} of {kind} failed: {}", output.status).into());
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            let (column, value) = line.split_once(' ').ok_or("a child printed something else")?;
            measured.insert(column.parse()?, value.to_owned());
        }
    }
    Ok(measured)
}

/// Fills a folder, and exits without closing it, as if the process had been killed.
pub(crate) fn load(args: &Args) -> Fallible<()> {
    let (kind, dir) = args.part()?;
    let (records, step) = (args.number("records", 0)?, args.number("batch", 1)?);
    let fsync = raw_fsync(dir)?;
    let mut engine = kind.open(dir, &args.tuning)?;
    let mut batch = Batch::default();
    let mut commits = Vec::new();
    let mut tenths = Vec::new();
    let mut tenth = Duration::ZERO;
    let start = Instant::now();
    let (mut size, mut tenth_start) = (0, 0);
    while size < records {
        let len = step.min(records - size);
        batch.fill(size, len)?;
        let before = Instant::now();
        engine.commit(&batch)?;
        let took = before.elapsed();
        commits.push(took);
        tenth += took;
        size += len;
        if (size - tenth_start) * 10 >= records || size == records {
            tenths.push(per_second(size - tenth_start, tenth));
            (tenth_start, tenth) = (size, Duration::ZERO);
        }
    }
    let wall = start.elapsed();
    println!("0 {}", per_second(records, commits.iter().sum()));
    println!("1 {}", per_second(records, wall));
    println!("2 {:.2}", millis(percentile(&mut commits, 50)));
    println!("3 {:.2}", millis(percentile(&mut commits, 99)));
    println!("4 {:.0}", millis(percentile(&mut commits, 100)));
    println!("5 {:.2}", millis(fsync));
    println!("6 {}", disk(dir)? / records.max(1));
    println!("8 {}", peak_rss()?);
    println!("15 {}", tenths.join(" "));
    // Without running the destructors.
    std::process::exit(0);
}

/// Opens what `load` left, and reads random records.
pub(crate) fn read(args: &Args) -> Fallible<()> {
    let (kind, dir) = args.part()?;
    let records = args.number("records", 1)?;
    let start = Instant::now();
    let engine = kind.open(dir, &args.tuning)?;
    println!("9 {:.0}", millis(start.elapsed()));
    engine.settle();
    println!("7 {}", disk(dir)? / records.max(1));
    let mut rng = fastrand::Rng::with_seed(7);
    let mut points = Vec::new();
    let mut text = Vec::new();
    for _ in 0..20_000 {
        let index = rng.u64(..records);
        let start = Instant::now();
        let entry = engine.entry_of(&workload::id(index))?;
        points.push(start.elapsed());
        if entry.as_deref() != Some(workload::entry(index, &mut text)?) {
            return Err("a wrong entry".into());
        }
    }
    let mut newest = Vec::new();
    for _ in 0..5_000 {
        let agent = workload::agent_prefix(workload::agent_of(rng.u64(..records)));
        let start = Instant::now();
        let found = engine.newest(&agent, 20)?.len();
        newest.push(start.elapsed());
        if found == 0 {
            return Err("an agent without records".into());
        }
    }
    println!("10 {}", peak_rss()?);
    println!("11 {:.1}", micros(percentile(&mut points, 50)));
    println!("12 {:.1}", micros(percentile(&mut points, 95)));
    println!("13 {:.0}", micros(percentile(&mut newest, 50)));
    println!("14 {:.0}", micros(percentile(&mut newest, 95)));
    Ok(())
}

/// The median time of appending 4 KiB to a file and making it durable.
fn raw_fsync(dir: &Path) -> Fallible<Duration> {
    let path = dir.join("fsync-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(path)?;
    Ok(percentile(&mut times, 50))
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

fn per_second(records: u64, time: Duration) -> String {
    format!("{:.0}", records as f64 / time.as_secs_f64())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The bytes that a folder takes on the disk, without the holes in its files.
fn disk(dir: &Path) -> Fallible<u64> {
    let mut sum = 0;
    for item in fs::read_dir(dir)? {
        let item = item?;
        let Ok(metadata) = item.metadata() else { continue };
        sum += if metadata.is_dir() { disk(&item.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

/// The most memory that this process has had, in megabytes.
fn peak_rss() -> Fallible<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
