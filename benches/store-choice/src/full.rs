//! What happens when the disk is full, and after there is room again.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Args,
    crash::{check, size},
    engine::{Engine, Fallible, Kind},
    workload::Batch,
};

/// What is deleted to make room again.
const BALLAST: usize = 24 << 20;
const BATCH: u64 = 256;
/// A child that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fills the file system of `--dir` with each engine, twice: first the handle that met the error is
/// used again, then the log is closed and opened while the disk is still full.
pub(crate) fn run(args: &Args) -> Fallible<bool> {
    let mut good = true;
    for kind in args.engines()? {
        for case in ["keep", "reopen"] {
            println!("{kind}, {case}:");
            let dir = args.fresh_dir(kind)?;
            good &= watch(args, kind, &dir, case)?;
            fs::remove_dir_all(&dir)?;
        }
    }
    Ok(good)
}

fn watch(args: &Args, kind: Kind, dir: &Path, case: &str) -> Fallible<bool> {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![7; BALLAST])?;
    let log = dir.join("log");
    let mut command = Args::child("full-part", kind, &log, &args.tuning)?;
    command.args(["--case", case, "--ballast"]).arg(&ballast);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let pipe = child.stdout.take().ok_or("no pipe")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens any more after a hang, which is reported already.
            let _ = sender.send(line);
        }
    });
    let mut acked = 0;
    let mut hung = false;
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => match line.strip_prefix("acked ") {
                Some(size) => acked = size.parse()?,
                None => println!("  {line}"),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) if ballast.exists() => {
                println!("  HANGS with {acked} records acknowledged; the ballast is deleted now");
                hung = true;
                fs::remove_file(&ballast)?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                println!("  HANGS although there is room; it is killed now");
                hung = true;
                child.kill()?;
            }
        }
    }
    let status = child.wait()?;
    println!("  the process ended: {status}");
    let engine = kind.open(&log, &args.tuning)?;
    let found = check(engine.as_ref(), Some(acked))?;
    println!("  opened at the end: {} of {acked} acknowledged, {:?}", found.size, found.violations);
    Ok(!hung && status.success() && found.violations.is_empty())
}

/// The child.
pub(crate) fn fill(args: &Args) -> Fallible<()> {
    let (kind, dir) = args.part()?;
    let ballast = args.text("ballast", "");
    let mut engine = kind.open(dir, &args.tuning)?;
    let mut size = size(engine.as_ref())?;
    let error = loop {
        match append(engine.as_mut(), &mut size) {
            Ok(()) => println!("acked {size}"),
            Err(error) => break error,
        }
    };
    println!("after {size} records: {error:?}");
    println!("the next commit: {:?}", append(engine.as_mut(), &mut size).err());
    println!("a scan while full: {:?}", count(engine.as_ref()));
    if args.text("case", "keep") == "reopen" {
        engine = reopen_while_full(kind, dir, args, engine, &mut size)?;
        fs::remove_file(ballast)?;
        println!("there is room now");
    } else {
        fs::remove_file(ballast)?;
        println!("there is room now");
    }
    let goes_on = append(engine.as_mut(), &mut size);
    println!("the open handle {}", if goes_on.is_ok() { "goes on" } else { "must be reopened" });
    if let Err(error) = goes_on {
        println!("  its error: {error:?}");
        timed_drop(engine);
        engine = kind.open(dir, &args.tuning)?;
        size = crate::crash::size(engine.as_ref())?;
    }
    println!("acked {size}");
    let found = check(engine.as_ref(), Some(size))?;
    println!("checked {} records: {:?}", found.size, found.violations);
    for _ in 0..20 {
        append(engine.as_mut(), &mut size)?;
        println!("acked {size}");
    }
    println!("20 more commits are fine");
    timed_drop(engine);
    Ok(())
}

/// Closes, opens and fills the log a few times, as a service that is restarted on every error does.
fn reopen_while_full(
    kind: Kind,
    dir: &Path,
    args: &Args,
    mut engine: Box<dyn Engine>,
    size: &mut u64,
) -> Fallible<Box<dyn Engine>> {
    for _ in 0..5 {
        timed_drop(engine);
        engine = kind
            .open(dir, &args.tuning)
            .map_err(|error| format!("cannot be opened while full, with {size} records: {error:?}"))?;
        *size = crate::crash::size(engine.as_ref())?;
        let before = *size;
        let error = loop {
            match append(engine.as_mut(), size) {
                Ok(()) => println!("acked {size}"),
                Err(error) => break error,
            }
        };
        println!("opened while full with {before} records, went on to {size}: {error:?}");
    }
    Ok(engine)
}

fn append(engine: &mut dyn Engine, size: &mut u64) -> Fallible<()> {
    let mut batch = Batch::default();
    batch.fill(*size, BATCH)?;
    engine.commit(&batch)?;
    *size += BATCH;
    Ok(())
}

fn count(engine: &dyn Engine) -> Fallible<u64> {
    let mut rows = 0;
    engine.scan(crate::engine::Table::Entries, &mut |_, _| rows += 1)?;
    Ok(rows)
}

fn timed_drop(engine: Box<dyn Engine>) {
    println!("closing..");
    let start = Instant::now();
    drop(engine);
    println!("closed in {:?}", start.elapsed());
}
