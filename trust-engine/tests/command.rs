//! The command, as a shell sees it: what it prints with `--json`, and its exit codes (0 yes, 1 no, 2 error).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Exit code and the JSON that was printed.
fn run(arguments: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_trust-engine")).arg("--json").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {output:?}"));
    (output.status.code().unwrap(), json)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The store that a demo leaves behind.
fn demo_store(folder: &Path) -> PathBuf {
    let kept = folder.join("demo");
    let (code, json) = run(&["demo", "--folder", text(&kept)]);
    assert_eq!((code, &json["passed"]), (0, &Value::Bool(true)), "{json}");
    assert!(json["entries"].as_u64().unwrap() > 400 && json["logVerified"] == true, "{json}");
    kept.join("store")
}

#[test]
fn a_gate_answers_by_exit_code_and_its_record_is_proved_exported_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let gate = |agent: &str, more: &[&str]| {
        run(&[&["gate", "--store", text(&store), "--agent", agent, "--role", "DATA_ANALYST"], more].concat())
    };
    let (code, allowed) = gate("agent_trusted", &["--resource", "dataset_001", "--action", "read"]);
    assert_eq!((code, allowed["decision"].as_str()), (0, Some("ALLOW")), "{allowed}");
    let (code, denied) = gate("agent_unknown", &[]);
    assert_eq!((code, denied["decision"].as_str()), (1, Some("DENY")), "{denied}");
    assert_eq!(gate("new", &["--tier", "VERIFIED"]).0, 1, "a mere claim was believed");
    assert_eq!(gate("new", &["--tier", "VERIFIED", "--assert"]).0, 0);
    let (code, refused) = gate("a\u{7}", &[]);
    assert!(code == 2 && refused["error"].as_str().unwrap().contains("control character"), "{refused}");

    let id = denied["provenanceId"].as_str().unwrap();
    let (code, proved) = run(&["log", "prove", text(&store), id]);
    let key: trust_engine::VerifierKey =
        std::fs::read_to_string(store.join("verifier.key")).unwrap().parse().unwrap();
    let (entry, proof) = (proved["entry"].as_str().unwrap(), proved["proof"].as_str().unwrap());
    assert_eq!(code, 0);
    trust_engine::verify::record(entry.as_bytes(), proof, &key).unwrap();
    assert_eq!(run(&["log", "prove", text(&store), &uuid::Uuid::nil().to_string()]).0, 2);

    let out = folder.path().join("out");
    let (code, exported) = run(&["log", "export", text(&store), text(&out)]);
    assert_eq!(code, 0, "{exported}");
    let kept = folder.path().join("kept");
    std::fs::copy(out.join("checkpoint"), &kept).unwrap();
    for folder in [&store, &out] {
        let (code, report) = run(&["log", "verify", text(folder), "--since", text(&kept)]);
        assert_eq!(
            (code, &report["clean"], &report["entries"]),
            (0, &Value::Bool(true), &exported["entries"])
        );
    }
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let stranger = std::fs::read_to_string(demo_store(&other).join("verifier.key")).unwrap();
    assert_ne!(
        run(&["log", "verify", text(&out), "--key", stranger.trim()]).0,
        0,
        "any key verifies the log"
    );

    let bundle = out.join("tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    // In the entry 0: two bytes of length, then its JSON.
    bytes[40] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let (code, report) = run(&["log", "verify", text(&out)]);
    assert_eq!((code, &report["firstBadIndex"]), (1, &Value::from(0)), "{report}");
}

#[test]
fn a_ceiling_is_checked_until_it_refuses_and_its_usage_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let check = |amount: &str, more: &[&str]| {
        let whom = ["ceiling", "check", "--store", text(&store), "--agent", "agent_basic"];
        run(&[&whom[..], &["--resource", "DATA_ACCESS", "--amount", amount], more].concat())
    };
    let (code, peeked) = check("10", &["--peek"]);
    assert_eq!((code, &peeked["currentUsage"], &peeked["provenanceId"]), (0, &Value::from(0), &Value::Null));
    let (code, admitted) = check("8", &[]);
    assert_eq!(
        (code, &admitted["remaining"], &admitted["nearLimit"]),
        (0, &Value::from(2), &Value::Bool(true))
    );
    let (code, refused) = check("3", &[]);
    assert_eq!((code, refused["reasonCode"].as_str()), (1, Some("CEILING_EXCEEDED")), "{refused}");
    assert_eq!(refused["refusedBy"], "AGENT");
    assert_eq!(check("3", &["--tier", "VERIFIED"]).0, 1, "a mere claim was believed");
    assert_eq!(check("3", &["--tier", "VERIFIED", "--assert"]).0, 0);
    let (code, error) = check("0", &[]);
    assert!(code == 2 && error["error"].as_str().unwrap().contains("must be 1 to 1099511627775"), "{error}");
    let (code, usage) = run(&["ceiling", "usage", "--store", text(&store), "--agent", "agent_basic"]);
    let row = usage["usage"].as_array().unwrap().iter().find(|row| row["resourceType"] == "DATA_ACCESS");
    assert_eq!((code, &row.unwrap()["currentUsage"]), (0, &Value::from(11)), "{usage}");
    assert_eq!(run(&["log", "verify", text(&store)]).0, 0);
}

#[test]
fn agents_are_listed_by_tier_and_status_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let list = |more: &[&str]| run(&[&["agent", "list", "--store", text(&store)], more].concat());
    let (code, all) = list(&[]);
    let total = all["total"].as_u64().unwrap();
    assert!(code == 0 && total > 1 && all["nextPageToken"].is_null(), "{all}");
    let (_, first) = list(&["--limit", "1"]);
    assert_eq!((&first["total"], &first["data"][0]), (&all["total"], &all["data"][0]), "{first}");
    let (_, rest) = list(&["--after", first["nextPageToken"].as_str().unwrap()]);
    assert_eq!(rest["data"].as_array().unwrap().len() as u64, total - 1);
    let tier = all["data"][0]["tier"].as_str().unwrap();
    let (_, same) = list(&["--tier", tier, "--status", "ACTIVE"]);
    let agents = same["data"].as_array().unwrap();
    assert!(!agents.is_empty() && agents.iter().all(|agent| agent["tier"] == tier), "{same}");
    assert_eq!(list(&["--tier", "NONE"]).1["total"], 0);
    assert_eq!(list(&["--organization", "other"]).1["total"], 0);
    let (code, refused) = list(&["--limit", "0"]);
    assert!(code == 2 && refused["error"].as_str().unwrap().contains("1 to 1000"), "{refused}");
}

#[test]
fn agents_are_imported_from_a_file_and_what_is_refused_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let file = folder.path().join("agents.jsonl");
    let mut lines: Vec<String> =
        (0..50).map(|n| format!("{{\"id\":\"imported_{n}\",\"tier\":\"BASIC\"}}")).collect();
    lines.insert(3, String::new());
    lines.extend(
        [
            "[\"a\"]",
            "{\"id\":\"b\",\"teir\":\"BASIC\"}",
            "{\"id\":\"c\",\"id\":\"d\"}",
            "{\"id\":\"imported_0\"}",
        ]
        .map(String::from),
    );
    let bytes = [&b"\xEF\xBB\xBF"[..], lines.join("\n").as_bytes(), b"\n\xFF\n"].concat();
    std::fs::write(&file, bytes).unwrap();
    let import = || run(&["agent", "import", "--store", text(&store), "--organization", "o", text(&file)]);
    let (code, first) = import();
    assert_eq!((code, &first["registered"], &first["refused"]), (1, &50.into(), &5.into()), "{first}");
    let told = first["refusals"].as_array().unwrap();
    for (refusal, (line, part)) in told.iter().zip([
        (52, "no JSON object"),
        (53, "teir"),
        (54, "duplicate"),
        (55, "already"),
        (56, "UTF-8"),
    ]) {
        assert!(refusal["line"] == line && refusal["issue"].as_str().unwrap().contains(part), "{refusal}");
    }
    let (_, again) = import();
    assert_eq!((&again["registered"], &again["refused"]), (&0.into(), &55.into()), "{again}");
    let (_, listed) = run(&["agent", "list", "--store", text(&store), "--organization", "o", "--limit", "2"]);
    assert_eq!((&listed["total"], &listed["data"][1]["id"]), (&50.into(), &"imported_1".into()), "{listed}");
    assert_eq!(run(&["log", "verify", text(&store)]).0, 0);
}

#[test]
fn a_policy_with_ten_mistakes_is_answered_with_all_ten_and_their_places() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (code, json) = run(&["policy", "check", text(&vectors.join("policy-mistakes.yaml"))]);
    let errors = json["errors"].as_array().unwrap();
    assert_eq!((code, json["valid"].as_bool()), (1, Some(false)));
    assert!(errors.len() >= 10, "{} mistakes", errors.len());
    assert!(
        errors.iter().all(|error| error["line"].as_u64() > Some(0) && error["column"].as_u64() > Some(0)),
        "{json}"
    );
}

#[test]
fn what_is_not_there_is_an_error_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for arguments in [
        &["gate", "--store", text(&missing), "--agent", "a", "--role", "READER"][..],
        &["ceiling", "usage", "--store", text(&missing), "--agent", "a"],
        &["log", "verify", text(&missing)],
        &["log", "prove", text(&missing), "00000000-0000-0000-0000-000000000000"],
        &["log", "export", text(&missing), text(&folder.path().join("out"))],
        &["policy", "check", text(&missing)],
    ] {
        let (code, json) = run(arguments);
        assert!(code == 2 && json["error"].as_str().unwrap().contains("missing"), "{arguments:?}: {json}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
