//! The PostgreSQL adapter on a real server: the contracts, opening, failures.
//! The server is `TRUST_ENGINE_TEST_POSTGRES_URL`, or the one on 127.0.0.1:5432. Each test has a schema of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/postgres.rs"]
mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pollster::block_on;
use support::{Schema, signer, sql, url};
use trust_engine::provenance::{Ed25519Signer, Entry, Payload, Source};
use trust_engine::storage::{
    self, After, Append, Batch, Committed, CounterStore, Document, DocumentChange, DocumentFilter,
    DocumentKey, DocumentKind, Head, Postgres, Store, Tag,
};
use trust_engine::{
    AgentId, CeilingRequest, Decision, Engine, ErrorKind, GateRequest, NewAgent, Options, OrganizationId,
    Query, RecordType, TimeRange, Timestamp,
};

/// The server's certificate, where it speaks TLS and runs on this machine.
fn certificate() -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let shown = "select current_setting('ssl'), current_setting('ssl_cert_file')";
        client.query_one(shown, &[]).await.unwrap()
    });
    let (ssl, file): (String, String) = (settings.get(0), settings.get(1));
    (ssl == "on" && std::path::Path::new(&file).is_file()).then_some(file)
}

#[test]
fn the_store_keeps_the_contract() {
    let schemas = std::cell::RefCell::new(Vec::new());
    storage::conformance::run(|| {
        let schema = Schema::new();
        let store: Arc<dyn Store> = block_on(storage::postgres(&schema.database())).unwrap().0;
        schemas.borrow_mut().push(schema);
        store
    });
    writeln!(std::io::stderr(), "conformance: ran on postgres ({})", url()).unwrap();
}

#[test]
fn the_counters_keep_the_contract() {
    let schemas = std::cell::RefCell::new(Vec::new());
    storage::counter_conformance::run(|clock| {
        let schema = Schema::new();
        let counters: Arc<dyn CounterStore> =
            block_on(storage::postgres_at(&schema.database(), clock)).unwrap().1;
        schemas.borrow_mut().push(schema);
        counters
    });
    writeln!(std::io::stderr(), "conformance of counters: ran on postgres ({})", url()).unwrap();
}

#[test]
fn an_engine_records_counts_and_proves_and_finds_it_all_again() {
    let schema = Schema::new();
    let engine = block_on(Engine::open(schema.options())).unwrap();
    block_on(async {
        engine.agents().register(NewAgent::new("agent_001").tier("VERIFIED")).await.unwrap();
        let gate = GateRequest::new("agent_001", "DATA_ANALYST").resource("dataset_001").action("read");
        let verdict = engine.evaluate_gate(&gate).await.unwrap();
        assert!(verdict.allowed(), "{verdict}");
        let check = CeilingRequest::new("agent_001", "API_CALLS", 3);
        assert!(engine.check_ceiling(&check).await.unwrap().allowed());
        let found = engine.log().query(&Query::new().agent("agent_001")).await.unwrap();
        assert!(found.records.len() >= 2);
        let proof = engine.log().prove(found.records[0].receipt().id()).await.unwrap();
        assert!(proof.to_string().contains("test.example.com/fleet/prov/0"));
        engine.close().await;
    });
    drop(engine);
    let engine = block_on(Engine::open(schema.options())).unwrap();
    block_on(async {
        assert_eq!(engine.agents().get("agent_001").await.unwrap().tier, "VERIFIED");
        let report = engine.log().verify(None).await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(engine.stats(TimeRange::All, None).await.unwrap().role_gates.allowed, 1);
        let usage = engine.quotas().usage("agent_001").await.unwrap();
        assert!(usage.iter().any(|usage| usage.measure.current_usage() == 3), "{usage:?}");
    });
}

#[test]
fn engines_that_start_together_make_one_schema() {
    let schema = Schema::new();
    let database = schema.database();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let database = database.clone();
            std::thread::spawn(move || block_on(storage::postgres(&database)).map(drop))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn two_authorities_on_one_database_never_grant_more_than_the_ceiling() {
    use trust_engine::ceiling::{CounterKey, LeaseAnswer, LeaseRequest, Window};
    let schema = Schema::new();
    let key = CounterKey::fleet("API");
    let window = Window::new(trust_engine::WindowKind::Fixed, 86_400 * 365);
    let granted: u64 = std::thread::scope(|scope| {
        let grab = |_| {
            let (database, key) = (schema.database(), key.clone());
            scope.spawn(move || {
                let counters = block_on(storage::postgres(&database)).unwrap().1;
                let mut sum = 0;
                for _ in 0..100 {
                    let request = LeaseRequest {
                        key: key.clone(),
                        window,
                        limit: 300,
                        need: 1,
                        spare: 3,
                        ahead: true,
                        unspent: None,
                    };
                    let (answer, answered) = std::sync::mpsc::channel();
                    counters.lease(
                        [request].into_iter().collect(),
                        Box::new(move |leased| answer.send(leased).unwrap()),
                    );
                    match answered.recv().unwrap().unwrap() {
                        LeaseAnswer::Granted(grants) => sum += grants[0].amount,
                        LeaseAnswer::Refused { .. } => {}
                    }
                }
                sum
            })
        };
        (0..4).map(grab).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 300, "all of it was asked for, and not one more may be granted");
    let counters = block_on(storage::postgres(&schema.database())).unwrap().1;
    assert_eq!(block_on(counters.charged(&[(key, window)])).unwrap()[0].amount, 300);
}

#[test]
fn what_is_wrong_with_a_database_is_said_in_time() {
    let error = |database: Postgres| {
        let started = Instant::now();
        let error =
            block_on(storage::postgres(&database.connect_timeout(Duration::from_secs(2)))).err().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{error} took {:?}", started.elapsed());
        error
    };
    let known = url();
    let server = known.split_once("://").unwrap().1.split_once('/').unwrap().0;
    let no_database = error(Postgres::new(format!("postgres://{server}/no_such_database")));
    assert_eq!(no_database.kind(), ErrorKind::NotFound, "{no_database}");
    let at = |port: u16| Postgres::new(format!("postgres://postgres@127.0.0.1:{port}/test"));
    assert_eq!(error(at(1)).kind(), ErrorKind::Unavailable);
    // The port is open, but no server answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    let silent = error(at(port));
    assert_eq!(silent.kind(), ErrorKind::Unavailable, "{silent}");
    assert!(silent.is_retryable());

    let schema = Schema::new();
    drop(block_on(storage::postgres(&schema.database())).unwrap());
    sql(&format!("insert into {}.migrations (version) values (999)", schema.0));
    let newer = error(schema.database());
    assert_eq!(newer.kind(), ErrorKind::Unsupported);
    assert!(newer.to_string().contains("version 999"), "{newer}");
    sql(&format!("truncate {0}.migrations; insert into {0}.migrations (version) values (1)", schema.0));
    let older = error(schema.database());
    assert_eq!(older.kind(), ErrorKind::Unsupported);
    assert!(older.to_string().contains("version 1, which no release had"), "{older}");
}

#[test]
fn a_role_without_permission_and_a_wrong_password_are_told_apart_from_an_outage() {
    let role = format!("te_role_{}", std::process::id());
    sql(&format!("drop role if exists {role}; create role {role} login password 'right'"));
    let schema = Schema::new();
    let database = url().replacen("postgres://postgres@", &format!("postgres://{role}@"), 1);
    let error = block_on(storage::postgres(&Postgres::new(database).schema(&schema.0))).err().unwrap();
    sql(&format!("drop role {role}"));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(!error.is_retryable());
    let nobody = url().replacen("postgres://postgres@", "postgres://nobody_here@", 1);
    let error = block_on(storage::postgres(&Postgres::new(nobody).schema(&schema.0))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
}

#[test]
fn a_server_that_cannot_prove_who_it_is_is_refused_where_tls_is_asked_for() {
    let sign = if url().contains('?') { '&' } else { '?' };
    for mode in ["require", "verify-full"] {
        let database = Postgres::new(format!("{}{sign}sslmode={mode}", url()));
        let error = block_on(storage::postgres(&database)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        let told = error.to_string();
        assert!(told.contains("TLS") || told.contains("certificate"), "{told}");
    }
    match certificate() {
        Some(file) => {
            let at = |host: &str| {
                let named = url().replacen("127.0.0.1", host, 1);
                let schema = Schema::new();
                let database = Postgres::new(format!("{named}{sign}sslmode=verify-full"));
                block_on(storage::postgres(&database.root_certificates(&file).schema(&schema.0))).map(drop)
            };
            // Debian's own certificate, and that of `.ci/with-postgres`, are for this name only.
            at("localhost").unwrap();
            assert_eq!(at("127.0.0.1").unwrap_err().kind(), ErrorKind::PermissionDenied);
            writeln!(std::io::stderr(), "postgres: TLS ran, with {file}").unwrap();
        }
        None => writeln!(std::io::stderr(), "NOT RUN: TLS to a server that speaks it").unwrap(),
    }
    let missing = Postgres::new(url()).root_certificates("/no/such/file.pem");
    let error = block_on(storage::postgres(&missing)).err().unwrap();
    assert_eq!(error.field(), Some("rootCertificates"), "{error:?}");
}

#[test]
fn connections_that_the_server_cuts_lose_no_acknowledged_record() {
    let schema = Schema::new();
    // A name of its own, so that only its connections are cut.
    let sign = if url().contains('?') { '&' } else { '?' };
    let named = Postgres::new(format!("{}{sign}application_name={}", url(), schema.0)).schema(&schema.0);
    let options = Options::postgres(named).signer(signer()).deployment("test.example.com/fleet");
    let engine = block_on(Engine::open(options)).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let acknowledged: Vec<uuid::Uuid> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (engine, stop) = (engine.clone(), Arc::clone(&stop));
                scope.spawn(move || {
                    let request = GateRequest::new(format!("agent_{worker}"), "DATA_ANALYST");
                    let mut ids = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        match block_on(engine.evaluate_gate(&request)) {
                            Ok(verdict) => ids.push(verdict.receipt().unwrap().id()),
                            Err(error) => {
                                assert!(error.is_retryable(), "{error:?}");
                                std::thread::sleep(Duration::from_millis(5));
                            }
                        }
                    }
                    ids
                })
            })
            .collect();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(60));
            sql(&format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{}'",
                schema.0
            ));
        }
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::SeqCst);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 100, "only {} verdicts were given", acknowledged.len());
    for id in &acknowledged {
        block_on(engine.log().get(*id)).unwrap();
    }
    let report = block_on(engine.log().verify(None)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    writeln!(std::io::stderr(), "{} acknowledged records, none lost", acknowledged.len()).unwrap();
}

#[test]
fn inside_a_hosts_runtime_nothing_blocks_its_only_worker() {
    let schema = Schema::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::open(schema.options()).await.unwrap();
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        let ticking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        // The row is locked by somebody else for a while.
        let locker = {
            let schema = schema.0.clone();
            std::thread::spawn(move || {
                sql(&format!("begin; select * from {schema}.heads for update; select pg_sleep(0.3); commit"));
            })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = ticks.load(Ordering::SeqCst);
        engine.evaluate_gate(&GateRequest::new("a", "DATA_ANALYST")).await.unwrap();
        let during = ticks.load(Ordering::SeqCst) - before;
        locker.join().unwrap();
        assert!(during >= 5, "the runtime stood still: {during} ticks in about 200 ms");
        ticking.abort();
        engine.close().await;
    });
}

#[test]
fn two_engines_that_change_the_same_documents_in_another_order_never_lock_each_other_out() {
    let schema = Schema::new();
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for shard in 0..2u32 {
            let (schema, done) = (&schema, &done);
            scope.spawn(move || {
                let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
                let head =
                    block_on(store.claim(shard, uuid::Uuid::from_u128(u128::from(shard) + 1))).unwrap();
                let key = |id: &str| DocumentKey {
                    kind: DocumentKind::Agent,
                    organization: OrganizationId::default(),
                    id: id.to_owned(),
                };
                let mut keys = ["x", "y", "z"].map(key);
                // One goes up, the other down.
                if shard == 1 {
                    keys.reverse();
                }
                for _ in 0..200 {
                    let change = |key: &DocumentKey| {
                        let version = block_on(store.document_version(key)).unwrap();
                        let document = Document {
                            key: key.clone(),
                            version: version + 1,
                            body: "{}".into(),
                            created: Timestamp::from_micros(1),
                            changed: Timestamp::from_micros(1),
                            tags: vec![Tag::new("of", format!("{shard}"))],
                            due: None,
                            record: uuid::Uuid::nil(),
                        };
                        let expected = Some(version).filter(|version| *version > 0);
                        DocumentChange { expected, after: After::Document(Box::new(document)) }
                    };
                    let changes = keys.iter().map(change).collect();
                    let (previous, head) = (head.clone(), head.clone());
                    let batch = Batch { head, changes, ..Batch::on(previous) };
                    // Another version is a conflict; a deadlock would be an error.
                    if block_on(store.commit(batch)).unwrap() == Committed::Yes {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let filter = DocumentFilter {
        kind: DocumentKind::Agent,
        organization: OrganizationId::default(),
        tags: Vec::new(),
    };
    let documents = block_on(store.documents(&filter, None, 10)).unwrap().documents;
    let commits = u64::from(done.load(Ordering::SeqCst));
    assert!(
        commits > 0 && documents.iter().map(|document| document.version).eq([commits; 3]),
        "{documents:?}"
    );
    let tagged: u64 = (0..2)
        .map(|shard| {
            let tags = vec![Tag::new("of", format!("{shard}"))];
            block_on(store.count_documents(&DocumentFilter { tags, ..filter.clone() }, 10)).unwrap()
        })
        .sum();
    assert_eq!(tagged, 3, "each document has the tag of its last change only");
}

/// An agent of the default organization, with one tag.
fn document(id: u32, version: u64) -> Document {
    Document {
        key: DocumentKey {
            kind: DocumentKind::Agent,
            organization: OrganizationId::default(),
            id: format!("agent_{id:05}"),
        },
        version,
        body: "{}".into(),
        created: Timestamp::from_micros(i64::from(id)),
        changed: Timestamp::from_micros(i64::from(id)),
        tags: vec![Tag::new("version", version.to_string())],
        due: None,
        record: uuid::Uuid::nil(),
    }
}

/// The planner knows nothing of a table that has just been filled, and a statement's plan may be kept from when the table
/// was small.
#[test]
fn a_store_that_has_just_been_filled_reads_no_table_from_end_to_end() {
    const DOCUMENTS: u32 = 20_000;
    let schema = Schema::new();
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    for table in ["documents", "document_tags"] {
        sql(&format!("alter table {}.{table} set (autovacuum_enabled = off)", schema.0));
    }
    let head = block_on(store.claim(0, uuid::Uuid::from_u128(1))).unwrap();
    let commit = |ids: std::ops::Range<u32>, version: u64| {
        let changes = ids.map(|id| DocumentChange {
            expected: Some(version - 1).filter(|version| *version > 0),
            after: After::Document(Box::new(document(id, version))),
        });
        let batch = Batch { changes: changes.collect(), ..Batch::on(head.clone()) };
        assert_eq!(block_on(store.commit(batch)).unwrap(), Committed::Yes);
    };
    commit(0..1, 1);
    sql(&format!("vacuum {0}.documents, {0}.document_tags", schema.0));
    (1..10).for_each(|id| commit(id..id + 1, 1));
    commit(10..1_000, 1);
    (1_000..DOCUMENTS).step_by(1_000).for_each(|first| commit(first..first + 1_000, 1));
    commit(1_000..2_000, 2);
    let filter = |versions: &[&str]| DocumentFilter {
        kind: DocumentKind::Agent,
        organization: OrganizationId::default(),
        tags: versions.iter().map(|version| Tag::new("version", *version)).collect(),
    };
    for id in (0..DOCUMENTS).step_by(200) {
        assert!(block_on(store.document(&document(id, 1).key)).unwrap().is_some());
        assert!(block_on(store.document(&document(id + DOCUMENTS, 1).key)).unwrap().is_none());
        assert_eq!(block_on(store.documents(&filter(&[]), None, 10)).unwrap().documents.len(), 10);
        assert_eq!(block_on(store.documents(&filter(&["2"]), None, 10)).unwrap().documents.len(), 10);
        assert_eq!(block_on(store.documents(&filter(&["1", "2"]), None, 10)).unwrap().documents.len(), 0);
    }
    // The server counts what a connection did when the connection ends.
    drop(store);
    let deadline = Instant::now() + Duration::from_secs(10);
    let blocks = loop {
        let counts = support::one_row(&format!(
            "select sum(n_tup_upd)::bigint, sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint
            from pg_stat_user_tables join pg_statio_user_tables using (relid)
            where pg_stat_user_tables.schemaname = '{}' and pg_stat_user_tables.relname in ('documents', 'document_tags')",
            schema.0
        ));
        if counts.get::<_, Option<i64>>(0) == Some(1_000) {
            break counts.get::<_, i64>(1);
        }
        assert!(Instant::now() < deadline, "the server's counts stay behind");
        std::thread::sleep(Duration::from_millis(50));
    };
    let per_document = blocks / i64::from(DOCUMENTS);
    assert!((1..30).contains(&per_document), "{per_document} blocks a document");
}

/// Someone else's transaction locks the same rows in another order: it goes through, and the batch after it.
#[test]
fn a_batch_that_the_server_ends_because_of_a_deadlock_is_committed_after_all() {
    let schema = Schema::new();
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let head = block_on(store.claim(0, uuid::Uuid::from_u128(1))).unwrap();
    let commit = &|version: u64| {
        let changes = (0..2).map(|id| DocumentChange {
            expected: Some(version - 1).filter(|version| *version > 0),
            after: After::Document(Box::new(document(id, version))),
        });
        block_on(store.commit(Batch { changes: changes.collect(), ..Batch::on(head.clone()) }))
    };
    assert_eq!(commit(1).unwrap(), Committed::Yes);
    let lock = |id: u32| {
        let (schema, id) = (&schema.0, document(id, 1).key.id);
        format!("select 1 from {schema}.documents where id = '{id}' for update")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The server may end the other transaction instead, if it looks late.
    let is_ended = |version: u64| {
        std::thread::scope(|scope| {
            let (committed, other) = runtime.block_on(async {
                let (other, connection) =
                    tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                other.batch_execute(&format!("begin; {}", lock(1))).await.unwrap();
                let committed = scope.spawn(move || commit(version));
                // The batch has the first row and waits for the second one.
                let waiting = "select count(*) from pg_locks
                    where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))";
                while other.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                    assert!(!committed.is_finished());
                }
                (committed, other.batch_execute(&format!("{}; commit", lock(0))).await)
            });
            assert_eq!(committed.join().unwrap().unwrap(), Committed::Yes);
            other.is_ok()
        })
    };
    assert!((2..8).any(is_ended));
}

/// Each commits a thousand records whose ids the other takes too, in the opposite order.
#[test]
fn ids_that_two_engines_take_in_opposite_orders_lock_neither_out() {
    let schema = Schema::new();
    let barrier = std::sync::Barrier::new(2);
    let outcomes = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for shard in 0..2u32 {
            let (schema, barrier, outcomes) = (&schema, &barrier, &outcomes);
            scope.spawn(move || {
                let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
                let owner = uuid::Uuid::from_u128(u128::from(shard) + 1);
                let head = block_on(store.claim(shard, owner)).unwrap();
                for round in 0..20u128 {
                    let mut ids: Vec<u128> = (1..=1000).map(|n| round * 1000 + n).collect();
                    if shard == 1 {
                        ids.reverse();
                    }
                    let appends: Vec<Append> = ids.into_iter().map(append).collect();
                    let mut batch = Batch {
                        head: head.clone(),
                        appends,
                        ..Batch::on(block_on(store.claim(shard, owner)).unwrap())
                    };
                    batch.head = Head { size: batch.previous.size + 1000, ..batch.previous.clone() };
                    barrier.wait();
                    // A deadlock would be an error; it is kept, as the other thread waits at the barrier.
                    let outcome = block_on(store.commit(batch));
                    outcomes.lock().push((round, outcome.map_err(|error| error.to_string())));
                }
            });
        }
    });
    for round in 0..20 {
        let of_round = |wanted: Committed| {
            let is = |outcome: &Result<Committed, String>| outcome.as_ref() == Ok(&wanted);
            outcomes.lock().iter().filter(|(of, outcome)| *of == round && is(outcome)).count()
        };
        assert_eq!((of_round(Committed::Yes), of_round(Committed::Duplicate)), (1, 1), "round {round}");
    }
}

fn append(id: u128) -> Append {
    let payload = Payload { salt: [0; 32], bytes: b"{}".to_vec() };
    let entry = Entry {
        agent: Some(AgentId::parse("a").unwrap()),
        decision: Some(Decision::Deny.into()),
        id: uuid::Uuid::from_u128(id),
        organization: OrganizationId::default(),
        parent: None,
        payload: payload.commitment(),
        policy: None,
        reason_code: None,
        source: Source::Host,
        time: Timestamp::from_micros(1),
        kind: RecordType::Alert,
        v: 1,
    };
    Append { bytes: entry.to_bytes(), entry, payload: Arc::new(payload) }
}

#[test]
fn an_engine_of_another_deployment_or_with_another_key_is_refused_and_claims_nothing() {
    let schema = Schema::new();
    let engine = block_on(Engine::open(schema.options())).unwrap();
    let (store, _) = block_on(storage::postgres(&schema.database())).unwrap();
    let heads = || block_on(store.heads()).unwrap();
    let before = heads();
    let other: Arc<Ed25519Signer> = Arc::new(Ed25519Signer::from_seed(&[8; 32]));
    let refused = |options: Options| block_on(Engine::open(options)).unwrap_err();
    let wrong_key = refused(schema.options().signer(other.clone()));
    assert_eq!((wrong_key.kind(), wrong_key.field()), (ErrorKind::Key, Some("signer")));
    let wrong_name = refused(schema.options().deployment("test.example.com/other"));
    assert_eq!((wrong_name.kind(), wrong_name.field()), (ErrorKind::Key, Some("deployment")));
    assert!(wrong_name.to_string().contains("test.example.com/fleet"), "{wrong_name}");
    assert_eq!(heads().len(), before.len());
    // The correct ones are not disturbed, and a new one may join.
    block_on(engine.agents().register(NewAgent::new("a"))).unwrap();
    block_on(block_on(Engine::open(schema.options())).unwrap().close());
    block_on(engine.close());
}

#[test]
fn of_two_deployments_that_begin_at_the_same_time_one_is_refused() {
    let schema = Schema::new();
    let barrier = std::sync::Barrier::new(2);
    let opened: Vec<_> = std::thread::scope(|scope| {
        let open = |name: &'static str| {
            let (schema, barrier) = (&schema, &barrier);
            scope.spawn(move || {
                barrier.wait();
                block_on(Engine::open(schema.options().deployment(name)))
            })
        };
        [open("one.example.com"), open("two.example.com")].map(|thread| thread.join().unwrap()).into()
    });
    let refused: Vec<_> = opened.iter().filter_map(|opened| opened.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "{opened:?}");
    assert_eq!(refused[0].kind(), ErrorKind::Key);
    for engine in opened.iter().flatten() {
        assert!(block_on(engine.log().verify_all()).unwrap().iter().all(trust_engine::log::Report::is_clean));
    }
}

/// Nothing is refused and nothing comes back, as when a firewall begins to drop packets.
#[test]
fn while_the_server_hangs_no_verdicts_are_given_and_all_goes_on_when_it_answers_again() {
    const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
    let schema = Schema::new();
    let server: tokio_postgres::Config = url().parse().unwrap();
    let proxy = proxy::Proxy::to(server.get_ports().first().copied().unwrap_or(5432));
    let user = server.get_user().unwrap();
    let password = server.get_password().map(|word| format!(":{}", std::str::from_utf8(word).unwrap()));
    let url = format!(
        "postgres://{user}{}@127.0.0.1:{}/{}",
        password.unwrap_or_default(),
        proxy.port,
        server.get_dbname().unwrap()
    );
    let database = Postgres::new(url)
        .schema(&schema.0)
        .statement_timeout(STATEMENT_TIMEOUT)
        .connect_timeout(Duration::from_secs(1));
    let options = Options::postgres(database).signer(signer()).deployment("test.example.com/fleet");
    let engine = block_on(Engine::open(options)).unwrap();
    let request = GateRequest::new("agent_001", "READER").action("read");
    let before = block_on(engine.evaluate_gate(&request)).unwrap();
    proxy.hang(true);
    let hung = Instant::now();
    let mut given = 0u64;
    // The agent's cached state is good for a second; after that nothing can be decided anyway.
    let refused = loop {
        match engine.decide_gate(&request) {
            Ok(_) => given += 1,
            Err(error) if error.kind() == ErrorKind::Unavailable => break hung.elapsed(),
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(1));
        assert!(hung.elapsed() < 3 * STATEMENT_TIMEOUT, "the engine is still up");
    };
    assert!(refused <= 2 * STATEMENT_TIMEOUT, "{refused:?}");
    assert!(!block_on(engine.health()).store);
    proxy.hang(false);
    let deadline = Instant::now() + Duration::from_secs(30);
    let after = loop {
        match block_on(engine.evaluate_gate(&request)) {
            Ok(verdict) => break verdict,
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for verdict in [before, after] {
        block_on(engine.log().get(verdict.receipt().unwrap().id())).unwrap();
    }
    assert!(given > 0 && block_on(engine.log().verify(None)).unwrap().is_clean());
    block_on(engine.close());
}
