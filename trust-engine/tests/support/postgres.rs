//! A PostgreSQL to test on: `TRUST_ENGINE_TEST_POSTGRES_URL`, or the one on 127.0.0.1:5432. Each test has a schema of its own.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests, and each uses some of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trust_engine::Options;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::Postgres;

pub fn url() -> String {
    std::env::var("TRUST_ENGINE_TEST_POSTGRES_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into())
}

pub fn signer() -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::from_seed(&[7; 32]))
}

/// Runs statements as the test itself.
pub fn sql(statements: &str) {
    try_sql(statements).unwrap();
}

pub fn try_sql(statements: &str) -> Result<(), tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(statements).await
    })
}

/// The row that a statement gives.
pub fn one_row(statement: &str) -> tokio_postgres::Row {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(statement, &[]).await.unwrap()
    })
}

/// A schema that is dropped with it.
pub struct Schema(pub String);

impl Schema {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        Self(format!("te_test_{}_{number}", std::process::id()))
    }

    pub fn database(&self) -> Postgres {
        Postgres::new(url()).schema(&self.0).connections(4)
    }

    pub fn options(&self) -> Options {
        Options::postgres(self.database()).signer(signer()).deployment("test.example.com/fleet")
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A second panic would hide the first.
        let _ = try_sql(&format!("drop schema if exists {} cascade", self.0));
    }
}
