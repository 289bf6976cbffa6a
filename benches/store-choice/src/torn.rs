//! Whether a log survives a power cut: of the pages that the last commit wrote before its fsync
//! returned, any may have reached the disk, in any order.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    Args,
    crash::check,
    engine::{Fallible, Kind, Tuning},
    workload::Batch,
};

const PAGE: usize = 4096;
/// How many subsets of the pages are tried for each commit.
const MIXES: u64 = 10;

/// False if a log could not be opened, or was in neither of the two right states.
pub(crate) fn run(args: &Args) -> Fallible<bool> {
    let rounds = args.number("rounds", 20)?;
    let mut good = true;
    for kind in args.engines()? {
        let dir = args.fresh_dir(kind)?;
        let mut outcomes = BTreeMap::<String, u64>::new();
        for round in 0..rounds {
            cut_one(kind, &dir, &args.tuning, round, &mut outcomes)?;
        }
        fs::remove_dir_all(&dir)?;
        println!("{kind}: {} power cuts", rounds * MIXES);
        for (outcome, count) in outcomes {
            println!("  {count:4} {outcome}");
            good &= outcome.starts_with("fine");
        }
    }
    Ok(good)
}

fn cut_one(
    kind: Kind,
    dir: &Path,
    tuning: &Tuning,
    round: u64,
    outcomes: &mut BTreeMap<String, u64>,
) -> Fallible<()> {
    let mut rng = fastrand::Rng::with_seed(round);
    let (live, cut) = (dir.join("live"), dir.join("cut"));
    fs::create_dir_all(&live)?;
    let mut engine = kind.open(&live, tuning)?;
    let mut batch = Batch::default();
    let mut size = 0;
    for _ in 0..rng.u8(1..10) {
        let len = rng.u64(1..300);
        batch.fill(size, len)?;
        engine.commit(&batch)?;
        size += len;
    }
    let before = files(&live)?;
    batch.fill(size, rng.u64(1..1000))?;
    engine.commit(&batch)?;
    let after = files(&live)?;
    drop(engine);
    fs::remove_dir_all(&live)?;

    let changed: Vec<(&String, usize)> = after
        .iter()
        .flat_map(|(name, new)| {
            let old = before.get(name).map_or(&[][..], Vec::as_slice);
            let same = move |at: usize| new.chunks(PAGE).nth(at) == old.chunks(PAGE).nth(at);
            (0..new.len().div_ceil(PAGE)).filter(move |at| !same(*at)).map(move |at| (name, at))
        })
        .collect();
    for mix in 0..MIXES {
        // Either only one page is lost, or a random part of them.
        let written = if mix % 2 == 0 { 1.0 } else { rng.f64() };
        let one = rng.usize(..changed.len());
        let is_lost = |at: usize, rng: &mut fastrand::Rng| at == one || rng.f64() >= written;
        let mut mixed = after.clone();
        for (_, (name, page)) in changed.iter().enumerate().filter(|(at, _)| is_lost(*at, &mut rng)) {
            let old = before.get(*name).and_then(|old| old.chunks(PAGE).nth(*page)).unwrap_or_default();
            if let Some(new) = mixed.get_mut(*name).and_then(|new| new.chunks_mut(PAGE).nth(*page)) {
                let zeros = std::iter::repeat(&0);
                new.iter_mut().zip(old.iter().chain(zeros)).for_each(|(new, old)| *new = *old);
            }
        }
        for (name, bytes) in mixed {
            let path = cut.join(name);
            fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
            fs::write(path, bytes)?;
        }
        let outcome = match kind.open(&cut, tuning) {
            Err(error) => format!("cannot be opened: {error}"),
            Ok(engine) => match check(engine.as_ref(), Some(size)) {
                Err(error) => format!("cannot be read: {error}"),
                Ok(found) if found.violations.is_empty() && found.size == size => "fine, without it".into(),
                Ok(found) if found.violations.is_empty() => "fine, with the last commit".into(),
                Ok(_) => "is torn".into(),
            },
        };
        *outcomes.entry(outcome).or_default() += 1;
        fs::remove_dir_all(&cut)?;
    }
    Ok(())
}

/// The contents of all the files in a folder, by their names in it.
fn files(dir: &Path) -> Fallible<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for item in fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name().to_string_lossy().into_owned();
        if item.file_type()?.is_dir() {
            let inner = files(&item.path())?;
            found.extend(inner.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, fs::read(item.path())?);
        }
    }
    Ok(found)
}
