//! `trust-engine demo`: the main job, on a fresh embedded store with real keys.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use trust_engine::blocking::Engine;
use trust_engine::log::check_export;
use trust_engine::provenance::{push_bundled, split_bundle};
use trust_engine::{
    AgentChange, AgentStatus, CeilingRequest, GateRequest, NewAgent, Options, PolicyDocument, TimeRange,
    Verdict, verify,
};

use crate::{Failure, output};

const TIERS: [&str; 5] = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED", "PRIVILEGED"];
const REQUESTS: usize = 400;

/// Runs the demo; true if everything came out as it must.
pub(crate) fn run(folder: Option<PathBuf>, as_json: bool) -> Result<bool, Failure> {
    let kept = folder.is_some();
    let folder = match folder {
        Some(folder) => folder,
        None => std::env::temp_dir().join(format!("trust-engine-demo-{}", uuid::Uuid::now_v7())),
    };
    let result = demo(&folder, as_json);
    if !kept {
        // The demo's own temporary folder; if it cannot be removed, the system's cleaner will.
        let _ = std::fs::remove_dir_all(&folder);
    }
    result
}

fn demo(folder: &Path, as_json: bool) -> Result<bool, Failure> {
    let say = |text: &str| {
        if !as_json {
            output::line(text);
        }
    };
    let store = folder.join("store");
    say(&format!("1. A new embedded store in {}; its signing key is made beside it.", store.display()));
    let engine = Engine::open(Options::embedded(&store).tier_authority("demo-gateway"))?;

    say("2. Agents, one per tier, and one that is suspended.");
    for tier in TIERS {
        engine.agents().register(NewAgent::new(agent_of(tier)).tier(tier).created_by("demo"))?;
    }
    engine.agents().register(NewAgent::new("agent_suspended").tier("PRIVILEGED").created_by("demo"))?;
    let suspend = AgentChange::of_version(1).status(AgentStatus::Suspended).changed_by("demo");
    engine.agents().change("agent_suspended", suspend)?;

    say("3. The published sample: first asked by a tier authority, then by anyone else.\n");
    let sample = GateRequest::new("agent_benchmark_001", "DATA_ANALYST")
        .tier("VERIFIED")
        .resource("dataset_001")
        .action("read");
    let mut shown = vec![
        engine.evaluate_gate(&sample.clone().caller("demo-gateway"))?,
        engine.evaluate_gate(&sample.caller("anyone"))?,
    ];
    let published = shown.first().is_some_and(|v| v.allowed()) && shown.get(1).is_some_and(|v| !v.allowed());
    for verdict in &shown {
        say(&format!("{verdict}\n{}\n", verdict.trace()));
    }

    say(&format!("4. {REQUESTS} mixed requests, each signed and committed."));
    let started = Instant::now();
    let roles: Vec<String> =
        PolicyDocument::published_default()?.roles.into_iter().map(|role| role.name).collect();
    let mut tickets = Vec::new();
    for (n, role) in (0..REQUESTS).zip(roles.iter().cycle()) {
        let agent = match n % 7 {
            5 => "agent_suspended".to_owned(),
            6 => format!("agent_unregistered_{n}"),
            _ => agent_of(TIERS.iter().cycle().nth(n).copied().unwrap_or("BASIC")),
        };
        let request = GateRequest::new(agent, role).resource(format!("dataset_{:03}", n % 20)).action("read");
        let (verdict, ticket) = engine.decide_gate(&request)?;
        tickets.push(ticket);
        if n < 8 {
            shown.push(verdict);
        }
    }
    let mut committed = 0;
    for ticket in tickets {
        committed += usize::from(ticket.wait()?.is_some());
    }
    say(&format!(
        "   {committed} committed in {:.1} ms; the first of them:\n",
        started.elapsed().as_secs_f64() * 1e3
    ));
    if !as_json {
        let row = |verdict: &Verdict| {
            vec![verdict.decision().to_string(), verdict.reason_code().to_string(), verdict.reason()]
        };
        output::table(&["decision", "code", "reason"], shown.iter().map(row));
    }

    say("\n5. The published ceiling sample, 10 API calls at a time, until the ceiling of 500 is reached.");
    let sample =
        CeilingRequest::new("agent_benchmark_001", "API_CALLS", 10).tier("VERIFIED").caller("demo-gateway");
    let mut checks = Vec::new();
    for n in 0..52 {
        let verdict = engine.check_ceiling(&sample)?;
        if [0, 39, 49, 50].contains(&n) {
            say(&format!("   check {:2}: {verdict}", n + 1));
        }
        checks.push(verdict);
    }
    let admitted = checks.iter().filter(|verdict| verdict.allowed()).count();
    let ceiling_held = admitted == 50;

    say("\n6. A proof for an outsider: entry, tlog-proof and the log's public key, nothing else.");
    let sample = shown.first().ok_or("the demo made no verdict")?;
    let (record, proof) = (engine.log().get(sample.id())?, engine.log().prove(sample.id())?.to_string());
    let key = engine.verifier_key();
    let proved = verify::record(record.entry_bytes(), &proof, &key)?;
    say(&format!("   verified: entry {} of {}", proved.index, proved.checkpoint.origin));

    say("7. Someone turns a DENY into an ALLOW in a copy of the log.");
    let copy = folder.join("export");
    engine.log().export(&copy)?;
    let tampered = tamper(&copy)?;
    let caught = check_export(&copy, &key, None)?;
    say(&format!("   {caught}"));
    let caught = caught.first_bad_index() == Some(tampered);

    say("8. The real log, verified from its first entry.");
    let report = engine.log().verify(None)?;
    say(&format!("   {report}"));
    let stats = engine.stats(TimeRange::All, None)?;
    let gates = &stats.role_gates;
    say(&format!("   {} gates: {} allowed, {} denied", gates.total, gates.allowed, gates.denied));
    let ceiling = &stats.ceiling;
    say(&format!(
        "   {} ceiling checks: {} admitted, {} of them near the ceiling, {} refused",
        ceiling.total_checks, ceiling.admitted, ceiling.near_limit, ceiling.exceeded
    ));
    engine.close();
    let passed = published && ceiling_held && caught && report.is_clean() && committed == REQUESTS;
    if as_json {
        output::json(&json!({
            "passed": passed,
            "ceiling": checks.last().map(crate::ceiling::to_json),
            "stats": stats,
            "entries": report.entries,
            "logVerified": report.is_clean(),
            "tamperingCaughtAt": tampered,
        }));
    }
    Ok(passed)
}

fn agent_of(tier: &str) -> String {
    format!("agent_{}", tier.to_lowercase())
}

/// Rewrites the first denial in the exported entries, and gives its index.
fn tamper(folder: &Path) -> Result<u64, Failure> {
    let bundle = folder.join("tile/entries/000");
    let bytes = std::fs::read(&bundle)?;
    let entries = split_bundle(&bytes).ok_or("the bundle is cut off")?;
    let denial = r#""decision":"DENY""#;
    let place = entries.iter().position(|entry| String::from_utf8_lossy(entry).contains(denial));
    let place = place.ok_or("there is no denial in the first bundle")?;
    let mut forged = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let text = std::str::from_utf8(entry)?;
        let text = if at == place { text.replace(denial, r#""decision":"ALLOW""#) } else { text.to_owned() };
        if !push_bundled(&mut forged, text.as_bytes()) {
            return Err("the forged entry is too long".into());
        }
    }
    std::fs::write(&bundle, forged)?;
    Ok(place as u64)
}
