//! Whether a log survives that its process is killed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Args,
    engine::{Engine, Fallible, Kind, Table, Tuning},
    workload::{self, Batch},
};

/// A log grows over this many kills, and then a new one is begun.
const KILLS_PER_LOG: u64 = 20;

/// Kills a writer again and again, and checks what it left. False if anything was wrong.
pub(crate) fn run(args: &Args) -> Fallible<bool> {
    let kills = args.number("kills", 100)?;
    // Small tables in memory, so that flushes and compactions are interrupted, too.
    let tuning = args.tuning.clone().with_default("memtable", "1");
    let mut good = true;
    for kind in args.engines()? {
        let dir = args.fresh_dir(kind)?;
        let (mut violations, mut acknowledged, mut unacknowledged) = (Vec::new(), 0, 0);
        let mut open_times = Vec::new();
        for kill in 0..kills {
            if kill % KILLS_PER_LOG == 0 {
                fs::remove_dir_all(&dir)?;
                fs::create_dir_all(&dir)?;
            }
            let acked = kill_a_writer(kind, &dir, &tuning, kill)?;
            let start = Instant::now();
            let engine = kind.open(&dir, &tuning)?;
            open_times.push(start.elapsed());
            let found = check(engine.as_ref(), acked)?;
            acknowledged += acked.unwrap_or(0);
            unacknowledged += u64::from(acked.is_some_and(|acked| found.size > acked));
            violations.extend(found.violations.into_iter().map(|text| format!("kill {kill}: {text}")));
        }
        open_times.sort_unstable();
        println!(
            "{kind}: {kills} kills, {} violations; the logs had {} records on average; {unacknowledged} \
             commits were whole but not yet acknowledged; open after a kill: median {:?}, longest {:?}",
            violations.len(),
            acknowledged / kills.max(1),
            open_times.get(open_times.len() / 2).copied().unwrap_or_default(),
            open_times.last().copied().unwrap_or_default(),
        );
        violations.iter().for_each(|text| println!("  {text}"));
        good &= violations.is_empty();
        open_twice(kind, &dir, &tuning)?;
        fs::remove_dir_all(&dir)?;
    }
    Ok(good)
}

/// Returns the size of the log that the writer acknowledged last, if it came that far.
fn kill_a_writer(kind: Kind, dir: &std::path::Path, tuning: &Tuning, seed: u64) -> Fallible<Option<u64>> {
    let mut command = Args::child("crash-part", kind, dir, tuning)?;
    let mut child = command.args(["--seed", &seed.to_string()]).stdout(Stdio::piped()).spawn()?;
    let pipe = child.stdout.take().ok_or("no pipe")?;
    let (sender, sizes) = mpsc::channel::<u64>();
    let reader = thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
            // A line without its end is not an acknowledgement.
            if let Some(size) = line.strip_suffix('\n').and_then(|text| text.parse().ok()) {
                // Nobody listens any more after an error, which is reported already.
                let _ = sender.send(size);
            }
            line.clear();
        }
    });
    // The first line says that the log is open. One kill in four does not wait for it, so that the
    // recovery from the kill before is interrupted as well.
    let mut last = None;
    if seed % 4 != 3 {
        last = Some(sizes.recv()?);
    }
    thread::sleep(Duration::from_millis(fastrand::u64(20..400)));
    child.kill()?;
    child.wait()?;
    reader.join().map_err(|_| "the reader of the pipe panicked")?;
    Ok(sizes.try_iter().last().or(last))
}

/// The child: prints the size of the log when it is open and after each commit, until it is killed.
pub(crate) fn write(args: &Args) -> Fallible<()> {
    let (kind, dir) = args.part()?;
    let mut rng = fastrand::Rng::with_seed(args.number("seed", 0)?);
    let mut engine = kind.open(dir, &args.tuning)?;
    let mut size = size(engine.as_ref())?;
    let mut batch = Batch::default();
    let mut out = std::io::stdout().lock();
    loop {
        out.write_all(format!("{size}\n").as_bytes())?;
        out.flush()?;
        let most = *rng.choice(&[1, 10, 100, 2000]).unwrap_or(&1);
        let len = rng.u64(1..=most);
        batch.fill(size, len)?;
        engine.commit(&batch)?;
        size += len;
    }
}

/// The size of the log according to its head row.
pub(crate) fn size(engine: &dyn Engine) -> Fallible<u64> {
    let head = engine.get(Table::Meta, b"head")?;
    Ok(head.as_deref().and_then(workload::number).unwrap_or(0))
}

pub(crate) struct Found {
    pub(crate) size: u64,
    pub(crate) violations: Vec<String>,
}

/// Compares every table with what the head row says, and the head row with what was acknowledged.
pub(crate) fn check(engine: &dyn Engine, acked: Option<u64>) -> Fallible<Found> {
    let size = size(engine)?;
    let mut found = Found { size, violations: Vec::new() };
    let mut expect = |good: bool, what: &str| {
        if !good {
            found.violations.push(format!("{what} (size {size}, acknowledged {acked:?})"));
        }
    };
    expect(size >= acked.unwrap_or(0), "acknowledged records are lost");
    if size == 0 {
        return Ok(found);
    }
    let mut text = Vec::new();
    let mut next = 0;
    let mut wrong = 0;
    engine.scan(Table::Entries, &mut |key, value| {
        let expected = workload::entry(next, &mut text).is_ok_and(|entry| entry == value);
        wrong += u64::from(!expected || workload::number(key) != Some(next));
        next += 1;
    })?;
    expect(next == size && wrong == 0, "entries");
    (next, wrong) = (0, 0);
    engine.scan(Table::Payloads, &mut |key, value| {
        let expected = workload::payload(next, &mut text).is_ok_and(|payload| payload == value);
        wrong += u64::from(!expected || workload::number(key) != Some(next));
        next += 1;
    })?;
    expect(next == size && wrong == 0, "payloads");

    let (mut leaves, mut tiles) = (0, 0);
    engine.scan(Table::Hashes, &mut |key, value| {
        *(if key.first() == Some(&0) { &mut leaves } else { &mut tiles }) += value.len() as u64;
    })?;
    expect(leaves == size * 32 && tiles == size / 256 * 32, "hashes");

    for (table, expected) in [
        (Table::Ids, size),
        (Table::Agents, size),
        (Table::Classes, size),
        (Table::Parents, (0..size).filter_map(workload::parent_key).count() as u64),
    ] {
        let mut rows = 0;
        engine.scan(table, &mut |_, _| rows += 1)?;
        expect(rows == expected, &format!("the number of rows of {}", table.name()));
    }
    for index in 0..size {
        let stored = engine.get(Table::Ids, &workload::id(index))?;
        expect(stored.as_deref() == Some(&index.to_be_bytes()[..]), "an id");
        expect(engine.get(Table::Agents, &workload::agent_key(index))?.is_some(), "an agents row");
        expect(engine.get(Table::Classes, &workload::class_key(index))?.is_some(), "a classes row");
    }
    for size in acked.into_iter().filter(|acked| *acked > 0).chain([size]) {
        expect(engine.get(Table::Checkpoints, &size.to_be_bytes())?.is_some(), "a checkpoint is missing");
    }
    let (mut checkpoints, mut times, mut highest) = (0, 0, None);
    engine.scan(Table::Checkpoints, &mut |key, _| {
        checkpoints += 1;
        highest = workload::number(key);
    })?;
    engine.scan(Table::Times, &mut |_, _| times += 1)?;
    expect(highest == Some(size) && checkpoints == times, "checkpoints and times");
    for key in Batch::STATS {
        let row = engine.get(Table::Stats, key)?;
        expect(row.as_deref().and_then(workload::number) == Some(size), "a statistics row");
    }
    Ok(found)
}

/// Prints what opening an open log says, in this process and in another.
fn open_twice(kind: Kind, dir: &std::path::Path, tuning: &Tuning) -> Fallible<()> {
    let engine = kind.open(dir, tuning)?;
    let start = Instant::now();
    let second = kind.open(dir, tuning).err();
    println!("  opened twice in one process: {second:?} after {:?}", start.elapsed());
    let output = Args::child("open-part", kind, dir, tuning)?.output()?;
    println!("  in two processes: {}", String::from_utf8_lossy(&output.stdout).trim());
    drop(engine);
    println!("  after it is closed: {}", kind.open(dir, tuning).map_or("an error", |_| "opens"));
    Ok(())
}

/// The child of `open_twice`.
pub(crate) fn open(args: &Args) -> Fallible<()> {
    let (kind, dir) = args.part()?;
    println!("{:?}", kind.open(dir, &args.tuning).err());
    Ok(())
}
