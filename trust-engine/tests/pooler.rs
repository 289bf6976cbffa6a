//! A real PgBouncer between engine and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/pgbouncer.rs"]
mod pgbouncer;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/postgres.rs"]
mod support;

use std::time::Duration;

use pgbouncer::PgBouncer;
use pollster::block_on;
use support::{Schema, one_row, signer, url};
use trust_engine::storage::{self, Postgres};
use trust_engine::{CeilingRequest, Engine, ErrorKind, GateRequest, NewAgent, Options};

/// A database through the pooler.
fn database(pooler: &PgBouncer, schema: &Schema) -> Postgres {
    let server: tokio_postgres::Config = url().parse().unwrap();
    let (user, name) = (server.get_user().unwrap(), server.get_dbname().unwrap());
    let through = format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", pooler.port);
    Postgres::new(through).schema(&schema.0).connections(4).connect_timeout(Duration::from_secs(3))
}

/// A setting of a session that the pooler hands out.
fn show(pooler: &PgBouncer, setting: &str) -> String {
    let server: tokio_postgres::Config = url().parse().unwrap();
    let mut through = tokio_postgres::Config::new();
    through.host("127.0.0.1").port(pooler.port).user(server.get_user().unwrap());
    through.dbname(server.get_dbname().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let messages = runtime.block_on(async {
        let (client, connection) = through.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.simple_query(&format!("show {setting}")).await.unwrap()
    });
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.last().unwrap()
}

#[test]
fn a_pooler_by_session_keeps_schema_and_durability_whatever_its_sessions_begin_with() {
    let (schema, pooler) =
        (Schema::new(), PgBouncer::start(&url(), "pool_mode = session\ndefault_pool_size = 40"));
    let options = || {
        Options::postgres(database(&pooler, &schema)).signer(signer()).deployment("test.example.com/fleet")
    };
    let engine = block_on(Engine::open(options())).unwrap();
    block_on(engine.agents().register(NewAgent::new("agent_001").tier("TRUSTED"))).unwrap();
    let verdict = block_on(engine.evaluate_gate(&GateRequest::new("agent_001", "READER"))).unwrap();
    assert!(
        block_on(engine.check_ceiling(&CeilingRequest::new("agent_001", "API_CALLS", 1))).unwrap().allowed()
    );
    let found = format!("select count(*) from {}.entries", schema.0);
    assert!(one_row(&found).get::<_, i64>(0) >= 2, "the tables are in the schema");
    assert!(!one_row("select to_regclass('public.entries') is not null").get::<_, bool>(0));
    block_on(engine.close());
    drop(engine);
    // Sessions that the pooler hands on begin anew.
    let engine = block_on(Engine::open(options())).unwrap();
    block_on(engine.log().get(verdict.receipt().unwrap().id())).unwrap();
    assert!(block_on(engine.log().verify(None)).unwrap().is_clean());
    block_on(engine.close());
}

#[test]
fn a_pooler_by_transaction_or_statement_is_refused_before_anything_is_written() {
    for more in [
        "pool_mode = transaction",
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 5",
        // The second connection has to wait for the first one's transaction.
        "pool_mode = transaction\ndefault_pool_size = 1",
        "pool_mode = statement",
    ] {
        let (schema, pooler) = (Schema::new(), PgBouncer::start(&url(), more));
        let error = block_on(storage::postgres(&database(&pooler, &schema))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{more}: {error:?}");
        let told = error.to_string();
        assert!(told.contains("pooler") && told.contains("pool_mode = session"), "{more}: {told}");
        let made = format!("select exists (select from pg_namespace where nspname = '{}')", schema.0);
        assert!(!one_row(&made).get::<_, bool>(0), "{more}");
        assert_eq!(show(&pooler, "search_path"), "public", "the sessions of others are as they were");
    }
}

/// The pooler lets clients in by itself, and then has no server for them.
#[test]
fn a_session_that_hangs_behind_its_login_ends_the_opening() {
    let server: tokio_postgres::Config = url().parse().unwrap();
    let link = proxy::Proxy::to(server.get_ports().first().copied().unwrap_or(5432));
    let password = server.get_password().map(|word| format!(":{}", std::str::from_utf8(word).unwrap()));
    let behind = format!(
        "postgres://{}{}@127.0.0.1:{}/{}",
        server.get_user().unwrap(),
        password.unwrap_or_default(),
        link.port,
        server.get_dbname().unwrap()
    );
    let pooler =
        PgBouncer::start(&behind, "pool_mode = session\nserver_idle_timeout = 1\nserver_login_retry = 1");
    let schema = Schema::new();
    let open = || {
        let database = database(&pooler, &schema)
            .connect_timeout(Duration::from_secs(1))
            .statement_timeout(Duration::from_secs(2));
        block_on(storage::postgres(&database))
    };
    // It greets clients by itself only once it has seen the server.
    drop(open().unwrap());
    link.hang(true);
    // Connections to the server that it kept are gone.
    std::thread::sleep(Duration::from_secs(3));
    let error = open().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());
    link.hang(false);
    let started = std::time::Instant::now();
    while let Err(error) = open() {
        assert!(started.elapsed() < Duration::from_secs(30), "{error:?}");
    }
}
