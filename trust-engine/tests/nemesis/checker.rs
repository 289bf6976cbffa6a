//! Proves from journals and log that nothing was broken that was promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use trust_engine::log::check_shards;
use trust_engine::provenance::{Entry, Hash, SignedCheckpoint, Signer as _};
use trust_engine::storage::{DocumentKey, DocumentKind, Head, Store};
use trust_engine::{OrganizationId, VerifierKey};

use super::engine::{DEPLOYMENT, signer};
use super::journal::Journal;

/// A ceiling as the checker knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceiling {
    pub(crate) limit: u64,
    pub(crate) micros: i64,
    pub(crate) sliding: bool,
}

/// The counts of a check, and the problems that it found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    records: usize,
    shards: usize,
    entries: usize,
    windows: usize,
    admitted: u64,
    fullest: u64,
    pub(crate) problems: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, shards, entries, windows, admitted, fullest, problems } = self;
        write!(
            f,
            "{records} acknowledged records are in the log of {shards} shards and {entries} entries; \
             {admitted} admitted in {windows} windows, the fullest of them at {fullest} % of its ceiling"
        )?;
        problems.iter().take(20).try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The contents of the log at the end, read once.
pub(crate) struct Log {
    store: Arc<dyn Store>,
    heads: Vec<Head>,
    /// Id and leaf by place.
    entries: HashMap<(u32, u64), (uuid::Uuid, String)>,
    /// Roots by shard and size.
    roots: HashMap<(u32, u64), String>,
}

impl Log {
    pub(crate) fn read(store: Arc<dyn Store>) -> Self {
        let heads = block_on(store.heads()).unwrap();
        let (mut entries, mut roots) = (HashMap::new(), HashMap::new());
        for head in &heads {
            let mut next = 0;
            while next < head.size {
                let records = block_on(store.records(head.shard, next, 1000)).unwrap();
                let Some(last) = records.last() else { break };
                next = last.index + 1;
                for record in &records {
                    let id = Entry::parse(&record.bytes).unwrap().id;
                    entries.insert((record.shard, record.index), (id, Hash::leaf(&record.bytes).to_string()));
                }
            }
            let mut size = 0;
            loop {
                let page = block_on(store.checkpoints(head.shard, size, 1000)).unwrap();
                let Some((last, _)) = page.last() else { break };
                size = last + 1;
                for (size, note) in &page {
                    let root = SignedCheckpoint::parse(note).unwrap().checkpoint.root;
                    roots.insert((head.shard, *size), root.to_string());
                }
            }
        }
        Self { store, heads, entries, roots }
    }

    /// The problems of the log itself.
    pub(crate) fn verify(&self) -> Vec<String> {
        let key = |head: &Head| {
            let name = format!("{DEPLOYMENT}/prov/{}", head.shard);
            (head.shard, VerifierKey::new(&name, &signer().public_key()).unwrap())
        };
        let keys: Vec<_> = self.heads.iter().map(key).collect();
        let reports = block_on(check_shards(&*self.store, &keys, None, &mut |_, _| {})).unwrap();
        reports.iter().filter(|report| !report.is_clean()).map(ToString::to_string).collect()
    }
}

/// Compares what was told with what is there.
pub(crate) fn check(journals: &[Journal], log: &Log, ceilings: &BTreeMap<String, Ceiling>) -> Verdict {
    let (shards, entries) = (log.heads.len(), log.entries.len());
    let mut verdict = Verdict { shards, entries, ..Verdict::default() };
    for journal in journals {
        for error in &journal.errors {
            verdict.problems.push(format!("{}: not retryable: {error}", journal.name));
        }
    }
    check_records(journals, log, &mut verdict);
    check_times(journals, &mut verdict.problems);
    check_request_ids(journals, &mut verdict.problems);
    check_agents(journals, &*log.store, &mut verdict.problems);
    (verdict.windows, verdict.admitted, verdict.fullest) =
        check_ceilings(journals, ceilings, &mut verdict.problems);
    verdict
}

fn shard_of(origin: &str) -> u32 {
    origin.rsplit('/').next().unwrap().parse().unwrap()
}

/// Every acknowledged record is where its receipt says, under the root that its receipt says.
fn check_records(journals: &[Journal], log: &Log, verdict: &mut Verdict) {
    let mut places: BTreeMap<uuid::Uuid, (u32, u64)> = BTreeMap::new();
    for (journal, record) in
        journals.iter().flat_map(|journal| journal.records.iter().map(move |r| (journal, r)))
    {
        verdict.records += 1;
        let place = (shard_of(&record.origin), record.index);
        let mut wrong = |what: &str| verdict.problems.push(format!("{}: {what}: {record:?}", journal.name));
        if log.entries.get(&place) != Some(&(record.id, record.leaf.clone())) {
            wrong("an acknowledged record is not in the log");
        }
        if log.roots.get(&(place.0, record.size)) != Some(&record.root) {
            wrong("a checkpoint that was given out is not one of the log: a fork");
        }
        if *places.entry(record.id).or_insert(place) != place {
            wrong("a record is in the log twice");
        }
    }
}

/// Entries have the time of the database's clock, whatever those of the engines do.
fn check_times(journals: &[Journal], problems: &mut Vec<String>) {
    for journal in journals {
        let wrong = journal.records.iter().filter(|record| record.time.abs_diff(record.at) > 60_000);
        problems.extend(wrong.map(|record| format!("{}: has another time: {record:?}", journal.name)));
    }
}

/// A request id has one verdict, whichever engines were asked.
fn check_request_ids(journals: &[Journal], problems: &mut Vec<String>) {
    let mut verdicts: BTreeMap<&str, uuid::Uuid> = BTreeMap::new();
    for admission in journals.iter().flat_map(|journal| &journal.admissions) {
        let Some((request, verdict)) = &admission.keyed else { continue };
        if verdicts.entry(request).or_insert(*verdict) != verdict {
            problems.push(format!("the request {request} was admitted twice"));
        }
    }
}

/// While the database hangs an engine gives nothing, once it had twice the time of a statement to notice.
pub(crate) fn check_black_hole(
    journals: &[Journal],
    (from, to): (u128, u128),
    noticed: Duration,
    problems: &mut Vec<String>,
) {
    let from = from + noticed.as_millis();
    assert!(from + 1000 < to, "the hole is not deep enough");
    for journal in journals {
        let within = |at: &u128| (from..to).contains(at);
        let records = journal.records.iter().map(|record| record.at).filter(within).count();
        let checks = journal.admissions.iter().map(|admission| admission.at).filter(within).count();
        if records + checks > 0 {
            problems.push(format!(
                "{}: {records} records and {checks} admissions from a database that hangs",
                journal.name
            ));
        }
    }
}

fn check_agents(journals: &[Journal], store: &dyn Store, problems: &mut Vec<String>) {
    let acknowledged: BTreeSet<&(String, u64)> =
        journals.iter().flat_map(|journal| &journal.agents).collect();
    for (id, version) in acknowledged {
        let key = DocumentKey {
            kind: DocumentKind::Agent,
            organization: OrganizationId::default(),
            id: id.clone(),
        };
        if block_on(store.document_version(&key)).unwrap() < *version {
            problems.push(format!("version {version} of {id} was acknowledged and is gone"));
        }
    }
}

/// Adds up what was admitted; gives the number of windows, the sum, and how full the fullest was, in per cent.
pub(crate) fn check_ceilings(
    journals: &[Journal],
    ceilings: &BTreeMap<String, Ceiling>,
    problems: &mut Vec<String>,
) -> (usize, u64, u64) {
    let mut sums: BTreeMap<(&str, &str), BTreeMap<i64, u64>> = BTreeMap::new();
    let mut total = 0;
    let mut retried = BTreeSet::new();
    for admission in journals.iter().flat_map(|journal| &journal.admissions) {
        // Of the answers to one request only the first was charged.
        if let Some((request, _)) = &admission.keyed
            && !retried.insert(request)
        {
            continue;
        }
        let windows = sums.entry((&admission.resource, &admission.key)).or_default();
        *windows.entry(admission.window_start).or_default() += admission.amount;
        total += admission.amount;
    }
    let (mut windows, mut fullest) = (0, 0);
    for ((resource, key), by_start) in &sums {
        let ceiling = ceilings[*resource];
        for start in by_start.keys() {
            // A sliding window counts the sixteen slices before the one that is running.
            let span = if ceiling.sliding { ceiling.micros } else { 0 };
            let sum: u64 = by_start.range(start - span..=*start).map(|(_, amount)| amount).sum();
            windows += 1;
            fullest = fullest.max(sum * 100 / ceiling.limit);
            if sum > ceiling.limit {
                problems.push(format!(
                    "{resource} of {key}: {sum} were admitted in the window from {start}, the ceiling is {}",
                    ceiling.limit
                ));
            }
        }
    }
    (windows, total, fullest)
}

pub(crate) fn summary(journals: &[Journal]) -> String {
    let line = |journal: &Journal| {
        format!(
            "{}: opened {} times, {} records acknowledged, {} checks admitted, {} refused, {} errors to retry",
            journal.name,
            journal.opened,
            journal.records.len(),
            journal.admissions.len(),
            journal.refused,
            journal.retryable
        )
    };
    journals.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// For each fault, how long it took until the fleet, and until every process, was told something again.
pub(crate) fn recovery(journals: &[Journal], faults: &[(u128, String)]) -> Vec<String> {
    let silence = |times: &mut Vec<u128>, from: u128, to: u128| {
        times.sort_unstable();
        let within = times.iter().copied().filter(|at| (from..to).contains(at));
        let points: Vec<u128> = [from].into_iter().chain(within).chain([to]).collect();
        let longest = points.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        Duration::from_millis(u64::try_from(longest).unwrap())
    };
    let records = |journal: &Journal| journal.records.iter().map(|record| record.at).collect::<Vec<_>>();
    let checks =
        |journal: &Journal| journal.admissions.iter().map(|admission| admission.at).collect::<Vec<_>>();
    let ends = faults.iter().skip(1).map(|fault| fault.0);
    faults
        .iter()
        .zip(ends)
        .map(|((from, what), to)| {
            let mut all: Vec<u128> = journals.iter().flat_map(records).collect();
            let fleet = silence(&mut all, *from, to);
            let worst = journals.iter().map(|journal| silence(&mut records(journal), *from, to)).max();
            let mut admitted: Vec<u128> = journals.iter().flat_map(checks).collect();
            let admitted = silence(&mut admitted, *from, to);
            format!(
                "{what}: longest silence of the log {fleet:.1?} (of one process {:.1?}), of checks {admitted:.1?}",
                worst.unwrap_or_default()
            )
        })
        .collect()
}
