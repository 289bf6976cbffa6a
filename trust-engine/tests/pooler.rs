//! A real PgBouncer between engine and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/postgres.rs"]
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pollster::block_on;
use support::{Schema, one_row, signer, url};
use trust_engine::storage::{self, Postgres};
use trust_engine::{CeilingRequest, Engine, ErrorKind, GateRequest, NewAgent, Options};

struct PgBouncer {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// `more`: lines of its settings. Sessions begin with settings that lose commits and tables.
    fn start(more: &str) -> Self {
        let server: tokio_postgres::Config = url().parse().unwrap();
        let password =
            server.get_password().map(|word| format!(" password={}", std::str::from_utf8(word).unwrap()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={} user={}{} connect_query='set synchronous_commit = off; set search_path = public'\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{more}\n",
            server.get_ports().first().unwrap_or(&5432),
            server.get_user().unwrap(),
            password.unwrap_or_default(),
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let process = as_nobody(folder.path(), &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is not installed (Debian: apt-get install pgbouncer)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, _folder: folder }
    }

    fn database(&self, schema: &Schema) -> Postgres {
        let server: tokio_postgres::Config = url().parse().unwrap();
        let (user, name) = (server.get_user().unwrap(), server.get_dbname().unwrap());
        let through = format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", self.port);
        Postgres::new(through).schema(&schema.0).connections(4).connect_timeout(Duration::from_secs(3))
    }

    /// A setting of a session that the pooler hands out.
    fn show(&self, setting: &str) -> String {
        let server: tokio_postgres::Config = url().parse().unwrap();
        let mut through = tokio_postgres::Config::new();
        through.host("127.0.0.1").port(self.port).user(server.get_user().unwrap());
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
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// It does not run as root.
fn as_nobody(folder: &Path, settings: &Path) -> Command {
    let root = String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0";
    if !root {
        let mut command = Command::new("pgbouncer");
        command.args(["-q"]).arg(settings);
        return command;
    }
    assert!(Command::new("chmod").arg("-R").arg("a+rX").arg(folder).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "pgbouncer", "-q"]).arg(settings);
    command
}

#[test]
fn a_pooler_by_session_keeps_schema_and_durability_whatever_its_sessions_begin_with() {
    let (schema, pooler) = (Schema::new(), PgBouncer::start("pool_mode = session\ndefault_pool_size = 40"));
    let options =
        || Options::postgres(pooler.database(&schema)).signer(signer()).deployment("test.example.com/fleet");
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
        let (schema, pooler) = (Schema::new(), PgBouncer::start(more));
        let error = block_on(storage::postgres(&pooler.database(&schema))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{more}: {error:?}");
        let told = error.to_string();
        assert!(told.contains("pooler") && told.contains("pool_mode = session"), "{more}: {told}");
        let made = format!("select exists (select from pg_namespace where nspname = '{}')", schema.0);
        assert!(!one_row(&made).get::<_, bool>(0), "{more}");
        assert_eq!(pooler.show("search_path"), "public", "the sessions of others are as they were");
    }
}
