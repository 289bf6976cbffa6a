//! The address of the database and the settings of its use, all checked before a connection is opened.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};

use crate::error::{Error, ErrorKind, Result};

/// Most connections that a pool may be set to.
const MAX_CONNECTIONS: usize = 1000;
/// Longest name that PostgreSQL does not cut off.
const MAX_NAME: usize = 63;

/// A PostgreSQL database (14 or later).
///
/// ```
/// use trust_engine::storage::Postgres;
///
/// let database = Postgres::new("postgres://trust@db.example.com/trust?sslmode=verify-full").connections(25);
/// ```
#[derive(Clone)]
pub struct Postgres {
    url: String,
    schema: String,
    connections: usize,
    connect_timeout: Duration,
    statement_timeout: Duration,
    root_certificates: Option<PathBuf>,
    replica: Option<String>,
}

impl Postgres {
    /// The database at a URL (`postgres://user:password@host:port/database?...`) or in a `key=value` string, as libpq
    /// writes them.
    ///
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`; whenever TLS is spoken, the server's
    /// certificate and host name are verified, also with `require`. `prefer`, which is also the default, means
    /// `disable` on Unix sockets and loopback addresses and `require` elsewhere: nothing falls back to plain text.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "trust_engine".into(),
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            root_certificates: None,
            replica: None,
        }
    }

    /// The schema that holds the tables; `trust_engine` by default. Lower-case letters, digits and `_`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Most connections, 4 to 1,000; 8 by default. Two of them are for writes, half of the rest for what decisions rest on,
    /// and the other half for searches; two more listen for changes and give signs of life.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The time that opening a connection may take, and waiting for a free one; 5 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// The time that a statement may take; 10 s by default.
    #[must_use]
    pub fn statement_timeout(mut self, time: Duration) -> Self {
        self.statement_timeout = time;
        self
    }

    /// A file of PEM certificates to trust instead of the machine's own.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// The URL of a read replica. Searches of the log and statistics are read there and may be behind; everything that
    /// decides, records or proves is read from the primary.
    #[must_use]
    pub fn replica(mut self, url: impl Into<String>) -> Self {
        self.replica = Some(url.into());
        self
    }

    /// The settings of the replica: those of the primary with another URL.
    pub(super) fn of_replica(&self) -> Option<Self> {
        let url = self.replica.clone()?;
        Some(Self { url, replica: None, ..self.clone() })
    }

    /// Checks everything that can be checked without connecting.
    pub(super) fn check(&self) -> Result<Checked> {
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
        let begins = self.schema.starts_with(|c: char| matches!(c, 'a'..='z' | '_'));
        if !begins || self.schema.len() > MAX_NAME || !self.schema.chars().all(plain) {
            let issue = format!(
                "is {:?}; it takes 1 to {MAX_NAME} lower-case letters, digits and '_', not beginning with a digit",
                self.schema
            );
            return Err(Error::invalid("schema", issue));
        }
        if !(4..=MAX_CONNECTIONS).contains(&self.connections) {
            let issue = format!("is {}; it must be 4 to {MAX_CONNECTIONS}", self.connections);
            return Err(Error::invalid("connections", issue));
        }
        let hour = Duration::from_secs(3600);
        for (field, time) in
            [("connectTimeout", self.connect_timeout), ("statementTimeout", self.statement_timeout)]
        {
            if !(Duration::from_millis(10)..=hour).contains(&time) {
                return Err(Error::invalid(field, format!("is {time:?}; it must be 10ms to 1h")));
            }
        }
        let mut driver = self.parse_url()?;
        driver.connect_timeout(self.connect_timeout);
        driver.keepalives_idle(Duration::from_secs(10));
        if driver.get_application_name().is_none() {
            driver.application_name("trust-engine");
        }
        Ok(Checked {
            driver,
            schema: self.schema.clone(),
            connections: self.connections,
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
            // The server ends a statement first; this is for a server that does not answer at all.
            answer_timeout: self.statement_timeout + Duration::from_secs(1),
            root_certificates: self.root_certificates.clone(),
        })
    }

    fn parse_url(&self) -> Result<tokio_postgres::Config> {
        // The driver knows only three modes, and a certificate is verified in all of them.
        let url = self.url.replace("sslmode=verify-full", "sslmode=require");
        let url = url.replace("sslmode=verify-ca", "sslmode=require");
        let mut driver = tokio_postgres::Config::from_str(&url).map_err(|error| {
            // The message names the faulty part, never the password.
            let issue = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            Error::invalid("url", format!("is not a PostgreSQL connection string: {issue}"))
        })?;
        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            return Err(Error::invalid("url", "names no host"));
        }
        if driver.get_ssl_mode() == SslMode::Prefer {
            let local = driver.get_hosts().iter().all(is_local);
            driver.ssl_mode(if local { SslMode::Disable } else { SslMode::Require });
        }
        Ok(driver)
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Postgres").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl From<&str> for Postgres {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

/// Settings that passed the checks.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) driver: tokio_postgres::Config,
    pub(super) schema: String,
    pub(super) connections: usize,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) answer_timeout: Duration,
    root_certificates: Option<PathBuf>,
}

impl Checked {
    /// The settings of TLS, with the certificates that are trusted.
    pub(super) fn tls(&self) -> Result<tokio_postgres_rustls::MakeRustlsConnect> {
        let mut roots = rustls::RootCertStore::empty();
        match &self.root_certificates {
            Some(file) => {
                use rustls::pki_types::CertificateDer;
                use rustls::pki_types::pem::PemObject as _;
                let issue = |issue: String| {
                    Error::invalid("rootCertificates", format!("{}: {issue}", file.display()))
                };
                let certificates =
                    CertificateDer::pem_file_iter(file).map_err(|error| issue(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| issue(error.to_string()))?;
                    roots.add(certificate).map_err(|error| issue(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(issue("holds no certificate".into()));
                }
            }
            None if self.driver.get_ssl_mode() == SslMode::Disable => {}
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Unsupported, "TLS cannot be set up").caused_by(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_bounds_are_refused_with_their_field() {
        let good = || Postgres::new("postgres://u:secret@127.0.0.1/d");
        assert!(good().check().is_ok());
        for (settings, field) in [
            (good().schema("a; drop"), "schema"),
            (good().schema(""), "schema"),
            (good().schema("x".repeat(64)), "schema"),
            (good().connections(3), "connections"),
            (good().connect_timeout(Duration::ZERO), "connectTimeout"),
            (good().statement_timeout(Duration::from_secs(3601)), "statementTimeout"),
            (Postgres::new("postgres://u:secret@h/d?color=red"), "url"),
            (Postgres::new("dbname=x"), "url"),
        ] {
            let error = settings.check().err().unwrap();
            assert_eq!(error.field(), Some(field), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        assert!(!format!("{:?}", good()).contains("secret"));
    }

    #[test]
    fn tls_is_required_except_on_this_machine() {
        let mode = |url: &str| Postgres::new(url).check().unwrap().driver.get_ssl_mode();
        assert_eq!(mode("postgres://u@127.0.0.1/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@localhost/d"), SslMode::Disable);
        assert_eq!(mode("host=/run/postgresql user=u"), SslMode::Disable);
        assert_eq!(mode("postgres://u@db.example.com/d"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example.com/d?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgres://u:sslmode@db.example.com/d"), SslMode::Require);
        assert_eq!(mode("postgres://u@127.0.0.1,db.example.com/d"), SslMode::Require);
        assert_eq!(mode("postgres://u@127.0.0.1/d?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example.com/d?sslmode=disable"), SslMode::Disable);
    }
}
