//! The command, as a shell sees it: what it prints with `--json`, and its exit codes (0 yes, 1 no, 2 error).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod support;

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
fn a_valid_policy_is_warned_of_what_it_does_not_mean() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let mut policy = trust_engine::PolicyDocument::published_default().unwrap();
    let rule = r#"{"id":"odd","effect":"DENY","when":{"resources":["payroll/{a,b}"]}}"#;
    policy.rules.insert(0, serde_json::from_str(rule).unwrap());
    std::fs::write(&file, serde_json::to_string(&policy).unwrap()).unwrap();
    let (code, json) = run(&["policy", "check", text(&file)]);
    let paths: Vec<&str> = json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["path"].as_str().unwrap())
        .collect();
    assert_eq!((code, &json["valid"]), (0, &Value::Bool(true)), "{json}");
    assert_eq!(paths, ["rules[0].when.resources[0]", "rules[0].when.resources"]);
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

/// Records what the demo's agents may do, so that a store has more in it.
fn gates(store: &Path, times: usize) {
    for _ in 0..times {
        run(&["gate", "--store", text(store), "--agent", "agent_trusted", "--role", "DATA_ANALYST"]);
    }
}

#[test]
fn a_backup_is_restored_verified_and_goes_on_in_a_shard_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (backup, restored) = (at("backup"), at("restored"));
    let kept = at("kept");
    let checkpoint = |store: &Path| {
        let engine = trust_engine::blocking::Engine::open(trust_engine::Options::embedded(store)).unwrap();
        let checkpoint = engine.log().checkpoint().unwrap().unwrap();
        engine.close();
        checkpoint
    };
    std::fs::write(&kept, checkpoint(&store).note.to_string()).unwrap();
    let (code, json) = run(&["backup", "--store", text(&store), "--to", text(&backup)]);
    assert_eq!(code, 0, "{json}");
    assert_eq!(run(&["log", "verify", text(&backup), "--since", text(&kept)]).0, 0);
    // Nobody goes on in a backup.
    let (code, json) = run(&["gate", "--store", text(&backup), "--agent", "a", "--role", "READER"]);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("restore"), "{json}");
    // Records after the backup are lost by the restore; what was signed for them is never signed over.
    gates(&store, 2);
    let later = at("later");
    std::fs::write(&later, checkpoint(&store).note.to_string()).unwrap();
    let restore = |to: &Path, since: &Path| {
        run(&["restore", "--from", text(&backup), "--to", text(to), "--since", text(since)])
    };
    let (code, json) = restore(&restored, &later);
    assert_eq!((code, &json["clean"]), (1, &Value::Bool(false)), "a checkpoint that it lacks: {json}");
    assert!(!restored.exists(), "nothing is made of a backup that is not the log");
    let (code, json) = restore(&restored, &kept);
    assert_eq!((code, &json["clean"]), (0, &Value::Bool(true)), "{json}");
    let shard = json["shard"].as_u64().unwrap();
    assert!(shard > 0);
    // Restored again from what was restored and never opened: again another shard.
    let (second, third) = (at("second"), at("third"));
    assert_eq!(run(&["backup", "--store", text(&restored), "--to", text(&second)]).0, 0);
    let (code, again) = run(&["restore", "--from", text(&second), "--to", text(&third)]);
    assert!(code == 0 && again["shard"].as_u64().unwrap() > shard, "{again}");
    gates(&restored, 1);
    let engine = trust_engine::blocking::Engine::open(trust_engine::Options::embedded(&restored)).unwrap();
    assert_eq!(u64::from(engine.shard()), shard);
    assert!(engine.agents().get("agent_trusted").is_ok());
    let report = engine.log().shard(0).verify(None).unwrap();
    assert!(report.is_clean() && report.entries == json["entries"].as_u64().unwrap(), "{report}");
    engine.close();
    drop(engine);
    let verified = Command::new(env!("CARGO_BIN_EXE_trust-engine"))
        .args(["log", "verify", text(&restored)])
        .output()
        .unwrap();
    assert!(verified.status.success() && verified.stdout.iter().filter(|byte| **byte == b'\n').count() >= 2);
    // Each refusal names what is wrong, and leaves the rest alone.
    for arguments in [
        ["backup", "--store", text(&store), "--to", text(&backup)],
        ["restore", "--from", text(&backup), "--to", text(&restored)],
        ["backup", "--store", text(&at("nothing")), "--to", text(&at("new"))],
        ["restore", "--from", text(&at("nothing")), "--to", text(&at("new"))],
    ] {
        let (code, json) = run(&arguments);
        assert!(code == 2 && json["error"].as_str().unwrap().contains(" "), "{arguments:?}: {json}");
    }
    assert!(!at("new").exists());
}

#[cfg(unix)]
#[test]
fn a_store_that_is_written_is_backed_up_by_the_process_that_has_it() {
    use trust_engine::{Decision, NewRecord, Options, RecordType};
    let folder = tempfile::tempdir().unwrap();
    let (store, stop) = (folder.path().join("store"), std::sync::atomic::AtomicBool::new(false));
    let engine = trust_engine::blocking::Engine::open(Options::embedded(&store)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0u32.. {
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                let agent = trust_engine::NewAgent::new(format!("a{n}"));
                engine.agents().register(agent).unwrap();
                engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap();
            }
        });
        let mut kept = None;
        for n in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let backup = folder.path().join(format!("backup{n}"));
            let before = engine.log().checkpoint().unwrap().unwrap();
            let (code, json) = run(&["backup", "--store", text(&store), "--to", text(&backup)]);
            assert_eq!(code, 0, "{json}");
            let file = folder.path().join(format!("kept{n}"));
            std::fs::write(&file, before.note.to_string()).unwrap();
            // Documents and records are of one instant: verification compares them both ways.
            let (code, json) = run(&["log", "verify", text(&backup), "--since", text(&file)]);
            assert!(code == 0 && json["entries"].as_u64().unwrap() >= before.checkpoint.size, "{json}");
            kept = Some(backup);
        }
        let (code, json) = run(&["backup", "--store", text(&store), "--to", text(&kept.unwrap())]);
        assert!(code == 2 && json["error"].as_str().unwrap().contains("not empty"), "{json}");
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    engine.close();
    drop(engine);
    assert!(!store.join("control").exists());
}

#[cfg(feature = "postgres")]
#[test]
fn a_store_is_copied_into_postgresql_with_its_checkpoints() {
    use trust_engine::{CeilingRequest, Options};
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let schema = support::Schema::new();
    let open = |options: Options| trust_engine::blocking::Engine::open(options).unwrap();
    let engine = open(Options::embedded(&store));
    let check = |engine: &trust_engine::blocking::Engine| {
        engine.check_ceiling(&CeilingRequest::new("agent_trusted", "API_CALLS", 3)).unwrap()
    };
    check(&engine);
    let usage = check(&engine).measure().unwrap().current_usage();
    engine.close();
    drop(engine);
    // What was enqueued is in the log now.
    let engine = open(Options::embedded(&store));
    let kept = engine.log().checkpoint().unwrap().unwrap();
    let stats = engine.stats(trust_engine::TimeRange::All, None).unwrap();
    engine.close();
    drop(engine);
    let copy = || run(&["copy", "--store", text(&store), "--to", &support::url(), "--schema", &schema.0]);
    let (code, json) = copy();
    assert_eq!((code, &json["clean"]), (0, &Value::Bool(true)), "{json}");
    assert!(json["entries"].as_u64().unwrap() > 400 && json["counters"].as_u64().unwrap() > 0, "{json}");
    let (code, json) = copy();
    assert!(code == 2 && json["error"].as_str().unwrap().contains("copied there already"), "{json}");
    // Neither what was copied nor a backup is copied into another store, which would sign the same shard.
    let again = support::Schema::new();
    let arguments = ["copy", "--store", text(&store), "--to", &support::url(), "--schema", &again.0];
    let (code, json) = run(&arguments);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("only to be read"), "{json}");
    // The old store would sign the same shard: it is only to be read from now on.
    assert_eq!(run(&["log", "verify", text(&store)]).0, 0);
    let (code, json) = run(&["gate", "--store", text(&store), "--agent", "a", "--role", "READER"]);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("copied to PostgreSQL"), "{json}");
    let key = std::fs::read_to_string(store.join("signing.key")).unwrap();
    let signer = trust_engine::provenance::Ed25519Signer::parse(&key).unwrap();
    let deployment = kept.checkpoint.origin.strip_suffix("/prov/0").unwrap().to_owned();
    let options =
        Options::postgres(schema.database()).signer(std::sync::Arc::new(signer)).deployment(deployment);
    let engine = open(options);
    assert!(engine.log().shard(0).verify(Some(&kept)).unwrap().is_clean());
    assert!(engine.agents().get("agent_trusted").is_ok());
    let after = engine.stats(trust_engine::TimeRange::All, None).unwrap();
    let counts = |stats| {
        let mut counts = serde_json::to_value(stats).unwrap();
        counts.as_object_mut().unwrap().remove("timestamp");
        counts
    };
    assert_eq!(counts(after), counts(stats));
    assert_eq!(check(&engine).measure().unwrap().current_usage(), usage + 3, "what was used stays used");
    engine.close();
}

#[test]
fn a_key_is_rotated_and_the_log_verifies_by_both_keys() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let rotate =
        |more: &[&str]| run(&[&["deployment", "rotate-key", "--store", text(&store)], more].concat());
    let (code, keys) = run(&["deployment", "keys", "--store", text(&store)]);
    assert_eq!((code, keys["verifierKeys"].as_array().unwrap().len()), (0, 1), "{keys}");
    let first = keys["verifierKeys"][0].as_str().unwrap().to_owned();
    let signing_key = store.join("signing.key");
    for (more, said) in [
        (&["--new-signing-key", "k"][..], "made now"),
        (&["--signing-key", text(&signing_key)], "leave --signing-key out"),
        (&["--actor", ""], "actor"),
        (&["--schema", "x"], "names a folder"),
    ] {
        let (code, refused) = rotate(more);
        assert!(code == 2 && refused["error"].as_str().unwrap().contains(said), "{refused}");
    }
    assert!(!store.join("signing-next.key").exists());
    let early = folder.path().join("early");
    assert_eq!(run(&["backup", "--store", text(&store), "--to", text(&early)]).0, 0);
    let (code, keys) = rotate(&["--actor", "ann"]);
    assert_eq!(code, 0, "{keys}");
    let second = keys["verifierKeys"][1].as_str().unwrap().to_owned();
    assert!(keys["verifierKeys"][0] == *first && second.contains("/prov/1+"), "{keys}");
    assert_eq!(run(&["gate", "--store", text(&store), "--agent", "agent_trusted", "--role", "READER"]).0, 0);
    // In lines of JSON, one for each shard.
    let verify = |keys: &[&str]| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_trust-engine"))
            .args(["--json", "log", "verify", text(&store)])
            .args(keys)
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let clean: Vec<bool> =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["clean"] == true).collect();
        (output.status.code().unwrap(), clean)
    };
    assert_eq!(verify(&[]), (0, vec![true, true]));
    assert_eq!(verify(&[&first, &second]), (0, vec![true, true]));
    assert_eq!(verify(&[&first]), (1, vec![true, false]), "the old key signs nothing that came later");
    assert_eq!(verify(&[&second]), (1, vec![false, true]));
    // An exported shard is verified by the key of that shard.
    for shard in ["0", "1"] {
        let export = folder.path().join(format!("export-{shard}"));
        assert_eq!(run(&["log", "export", text(&store), text(&export), "--shard", shard]).0, 0);
        assert_eq!(run(&["log", "verify", text(&export), "--key", &first, "--key", &second]).0, 0);
    }
    // A backup of the whole is restored by both keys.
    let (backup, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    assert_eq!(run(&["backup", "--store", text(&store), "--to", text(&backup)]).0, 0);
    let arguments = ["restore", "--from", text(&backup), "--to", text(&restored), "--key", &first];
    assert_eq!(run(&arguments).0, 1);
    let (code, json) = run(&[&arguments[..], &["--key", &second]].concat());
    assert_eq!(code, 0, "{json}");
    assert_eq!(
        run(&["gate", "--store", text(&restored), "--agent", "agent_trusted", "--role", "READER"]).0,
        0
    );
    // A backup of before would be signed with the key that was rotated out.
    let again = folder.path().join("again");
    let arguments = ["restore", "--from", text(&early), "--to", text(&again), "--key", &first];
    let (code, json) = run(&[&arguments[..], &["--key", &second]].concat());
    assert!(code == 2 && json["error"].as_str().unwrap().contains("before the key was rotated"), "{json}");
    assert!(!again.exists());
    assert_eq!(run(&arguments).0, 0);
    let verified =
        Command::new(env!("CARGO_BIN_EXE_trust-engine")).args(["log", "verify", text(&restored)]).status();
    assert_eq!(verified.unwrap().code(), Some(0));
}

#[cfg(feature = "postgres")]
#[test]
fn a_deployment_in_postgresql_gets_another_key() {
    let schema = support::Schema::new();
    let engine = trust_engine::blocking::Engine::open(schema.options()).unwrap();
    engine.close();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (old, new) = (file("old", &"07".repeat(32)), file("new", &"08".repeat(32)));
    let url = support::url();
    let target = |key| {
        [
            "--store",
            &url,
            "--schema",
            &schema.0,
            "--deployment",
            "test.example.com/fleet",
            "--signing-key",
            key,
        ]
    };
    let rotate = ["deployment", "rotate-key"];
    let (code, json) = run(&[&rotate[..], &target(text(&old))].concat());
    assert!(code == 2 && json["error"].as_str().unwrap().contains("--new-signing-key is missing"), "{json}");
    let (code, json) = run(&[&rotate[..], &["--store", &url, "--new-signing-key", text(&new)]].concat());
    assert!(code == 2 && json["error"].as_str().unwrap().contains("--deployment is missing"), "{json}");
    let wrong = target(text(&old)).map(|word| if word == schema.0 { "trust_engin" } else { word });
    for command in [&rotate[..], &["log", "set-back"], &["deployment", "keys"]] {
        let (code, json) = run(&[command, &wrong].concat());
        assert!(code == 2 && json["error"].as_str().unwrap().contains("no store in the schema"), "{json}");
    }
    let made = "select exists (select from pg_namespace where nspname = 'trust_engin')";
    assert!(!support::one_row(made).get::<_, bool>(0), "a command for operators makes no store");
    let with_new = [&rotate[..], &target(text(&old)), &["--new-signing-key", text(&new)]].concat();
    let (code, json) = run(&with_new);
    assert_eq!((code, json["verifierKeys"].as_array().map(Vec::len)), (0, Some(2)), "{json}");
    let (code, json) = run(&with_new);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("rotated out"), "{json}");
    let (code, json) = run(&[&["deployment", "keys"][..], &target(text(&new))].concat());
    assert_eq!(code, 0, "{json}");
    let open = folder.path().join("open");
    std::fs::write(&open, "08").unwrap();
    let (code, json) = run(&[&["deployment", "keys"][..], &target(text(&open))].concat());
    assert!(code == 2 && json["error"].as_str().unwrap().contains("chmod 600"), "{json}");
    let short = file("short", "0808");
    let (code, json) = run(&[&["deployment", "keys"][..], &target(text(&short))].concat());
    assert!(code == 2 && json["error"].as_str().unwrap().contains("holds no signing key"), "{json}");
}

#[test]
fn a_log_and_a_counter_that_were_far_ahead_are_set_back_to_the_clock() {
    use trust_engine::{CeilingRequest, ManualClock, Options, blocking::Engine};
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let set_back = ["log", "set-back", "--store", text(&store)];
    let (code, json) = run(&set_back);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("only if it is more than"), "{json}");
    let check = [
        "ceiling",
        "check",
        "--store",
        text(&store),
        "--agent",
        "agent_trusted",
        "--resource",
        "API_CALLS",
        "--amount",
        "1",
    ];
    let reset =
        ["ceiling", "reset", "--store", text(&store), "--agent", "agent_trusted", "--resource", "API_CALLS"];
    assert_eq!(run(&check).0, 0);
    // One run in 2099.
    let clock = std::sync::Arc::new(ManualClock::new("2099-01-01T00:00:00Z".parse().unwrap()));
    let engine = Engine::open(Options::embedded(&store).clock(clock)).unwrap();
    assert!(
        engine.warnings().iter().any(|warning| warning.contains("unless nothing was recorded for so long")),
        "{:?}",
        engine.warnings()
    );
    assert!(engine.check_ceiling(&CeilingRequest::new("agent_trusted", "API_CALLS", 5)).unwrap().allowed());
    engine.close();
    drop(engine);
    let (code, json) = run(&check);
    assert_eq!((code, &json["reasonCode"]), (1, &"CLOCK_SET_BACK".into()), "{json}");
    assert_eq!(run(&set_back).0, 0);
    let (code, json) = run(&reset);
    assert_eq!((code, &json["usage"][0]["currentUsage"]), (0, &5.into()), "{json}");
    let (code, json) = run(&reset);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("ahead of the clock"), "{json}");
    let (code, json) = run(&check);
    assert_eq!((code, &json["currentUsage"]), (0, &6.into()), "{json}");
    assert_eq!(run(&set_back).0, 2, "it is not ahead any more");
    let engine = Engine::open(Options::embedded(&store)).unwrap();
    assert_eq!((engine.shard(), engine.warnings()), (1, Vec::new()));
    engine.close();
    drop(engine);
    assert_eq!(
        Command::new(env!("CARGO_BIN_EXE_trust-engine"))
            .args(["log", "verify", text(&store)])
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
}

/// A store whose database lost its end behind what was acknowledged is not laundered by a copy of it.
#[test]
fn a_store_that_was_set_back_is_not_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let older = folder.path().join("older");
    let status = Command::new("cp").args(["-r", text(&store.join("db")), text(&older)]).status().unwrap();
    assert!(status.success());
    gates(&store, 2);
    std::fs::remove_dir_all(store.join("db")).unwrap();
    std::fs::rename(&older, store.join("db")).unwrap();
    let to = folder.path().join("backup");
    let (code, json) = run(&["backup", "--store", text(&store), "--to", text(&to)]);
    assert!(code == 2 && json["error"].as_str().unwrap().contains("acknowledged"), "{json}");
    assert!(!to.exists(), "nothing is left of it");
}

#[test]
fn an_unfinished_backup_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let backup = folder.path().join("backup");
    assert_eq!(run(&["backup", "--store", text(&store), "--to", text(&backup)]).0, 0);
    // As if it had been cut off before its end.
    std::fs::remove_file(backup.join("FORMAT")).unwrap();
    let error = trust_engine::blocking::Engine::open(trust_engine::Options::embedded(&backup)).unwrap_err();
    assert!(
        error.kind() == trust_engine::ErrorKind::Foreign && error.to_string().contains("not finished"),
        "{error}"
    );
    assert_eq!(run(&["restore", "--from", text(&backup), "--to", text(&folder.path().join("to"))]).0, 2);
}

/// Runs the command and kills it after a while; gives whether it ended well before that.
fn killed(arguments: &[&str], after: std::time::Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trust-engine"))
        .arg("--json")
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap().success()
}

#[test]
fn a_backup_or_restore_that_is_killed_leaves_a_whole_store_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let whole = folder.path().join("whole");
    assert_eq!(run(&["backup", "--store", text(&store), "--to", text(&whole)]).0, 0);
    let open = |folder: &Path| trust_engine::blocking::Engine::open(trust_engine::Options::embedded(folder));
    for (what, from, name) in [("backup", "--store", &store), ("restore", "--from", &whole)] {
        let (mut ended, mut unfinished) = (false, 0);
        for step in 0.. {
            let to = folder.path().join(format!("{what}{step}"));
            let after = std::time::Duration::from_millis(4 * step);
            ended = killed(&[what, from, text(name), "--to", text(&to)], after);
            if ended || step == 500 {
                break;
            }
            if trust_engine::storage::is_embedded_store(&to).unwrap() {
                // Killed after the work was done, or while it told of it.
                let verify = ["log", "verify", text(&to)];
                assert!(killed(&verify, std::time::Duration::from_secs(1)));
                assert_eq!(open(&to).is_ok(), what == "restore");
            } else if to.exists() && to.read_dir().unwrap().next().is_some() {
                unfinished += 1;
                let error = open(&to).unwrap_err();
                assert!(error.to_string().contains("not finished"), "{error}");
                let (code, json) = run(&[what, from, text(name), "--to", text(&to)]);
                assert!(code == 2 && json["error"].as_str().unwrap().contains("not"), "{json}");
            }
        }
        assert!(ended && unfinished > 0, "{what}: {unfinished} unfinished");
    }
    assert_eq!(run(&["log", "verify", text(&store)]).0, 0);
}

#[cfg(feature = "postgres")]
#[test]
fn a_copy_that_is_killed_is_dropped_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = demo_store(folder.path());
    let (mut ended, mut unfinished) = (false, 0);
    for step in 0.. {
        let schema = support::Schema::new();
        let arguments = ["copy", "--store", text(&store), "--to", &support::url(), "--schema", &schema.0];
        ended = killed(&arguments, std::time::Duration::from_millis(40 * step));
        let retired = store.join("READ-ONLY").exists();
        if ended || step == 200 {
            assert!(retired);
            break;
        }
        // Once more: it succeeds where nothing had been written.
        let (code, json) = run(&arguments);
        let issue = json["error"].as_str().unwrap_or_default();
        match code {
            0 => assert!(!retired),
            _ if issue.contains("not finished") => unfinished += 1,
            _ if issue.contains("copied there already") => assert!(retired),
            // Cut off before its first commit.
            _ => assert!(!retired && issue.contains("not empty"), "{json}"),
        }
        // As the page of operations says; the schema is dropped.
        if store.join("READ-ONLY").exists() {
            std::fs::remove_file(store.join("READ-ONLY")).unwrap();
        }
    }
    assert!(ended && unfinished > 0, "{unfinished} unfinished");
}
