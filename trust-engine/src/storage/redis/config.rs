//! The address of Redis and the settings of its use.

use std::path::PathBuf;
use std::time::Duration;

use redis::{Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, TlsCertificates};

use super::error::from_driver;
use crate::error::{Error, Result};

/// Longest prefix of keys.
const MAX_PREFIX: usize = 100;

/// A Redis server (7.0 or later, or Valkey).
///
/// ```
/// use trust_engine::storage::Redis;
///
/// let redis = Redis::new("rediss://trust:secret@cache.example.com:6379/0");
/// ```
#[derive(Clone)]
pub struct Redis {
    url: String,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) stats_ttl: Duration,
    root_certificates: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) best_effort: bool,
}

impl Redis {
    /// The server at a URL: `redis://user:password@host:port/database`, `rediss://` for TLS, or `unix:///path`.
    ///
    /// With TLS the server's certificate and host name are always verified.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "trust_engine".into(),
            timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(2),
            stats_ttl: Duration::ZERO,
            root_certificates: None,
            client_certificate: None,
            best_effort: false,
        }
    }

    /// The beginning of all keys and channels; `trust_engine` by default. The identity of the durable authority
    /// follows, so that deployments can share a server.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The time that a call may take before the durable authority is asked instead; 250 ms by default.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The time that opening a connection may take; 2 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// A file of PEM certificates to trust instead of the machine's own.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// Files with the PEM certificate and key to show to the server.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// The time for which statistics may be answered from a copy that the engines share, up to 1 h; zero, and no copy,
    /// by default.
    #[must_use]
    pub fn stats_ttl(mut self, time: Duration) -> Self {
        self.stats_ttl = time;
        self
    }

    /// Lets Redis count by itself, without a durable authority: for engines with a store each that share ceilings.
    ///
    /// An amount that Redis forgets is granted again: after a restart, a flush or a failover up to a whole ceiling
    /// more. With PostgreSQL this is not needed and not allowed.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Checks everything that can be checked without connecting.
    pub(super) fn client(&self) -> Result<Client> {
        if self.prefix.is_empty()
            || self.prefix.len() > MAX_PREFIX
            || !self.prefix.chars().all(|c| c.is_ascii_graphic())
            || self.prefix.contains(['{', '}', '*'])
        {
            let issue = format!(
                "is {:?}; it takes 1 to {MAX_PREFIX} visible ASCII characters without '{{', '}}' and '*'",
                self.prefix
            );
            return Err(Error::invalid("prefix", issue));
        }
        let hour = Duration::from_secs(3600);
        for (field, time, least) in [
            ("timeout", self.timeout, Duration::from_millis(1)),
            ("connectTimeout", self.connect_timeout, Duration::from_millis(1)),
            ("statsTtl", self.stats_ttl, Duration::ZERO),
        ] {
            if !(least..=hour).contains(&time) {
                return Err(Error::invalid(field, format!("is {time:?}; it must be {least:?} to 1h")));
            }
        }
        // The message names the faulty part, never the password.
        let url = |error: redis::RedisError| {
            Error::invalid(
                "redis",
                format!("is not a Redis URL: {}", error.detail().unwrap_or("see the manual")),
            )
        };
        let info = self.url.as_str().into_connection_info().map_err(url)?;
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Client::open(info).map_err(from_driver);
        }
        // The driver takes the process's provider; a host that has set one keeps it.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let root_cert =
            self.root_certificates.as_ref().map(|file| read("rootCertificates", file)).transpose()?;
        let client_tls = match &self.client_certificate {
            Some((certificate, key)) => Some(ClientTlsConfig {
                client_cert: read("clientCertificate", certificate)?,
                client_key: read("clientCertificate", key)?,
            }),
            None => None,
        };
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
            .map_err(|error| Error::invalid("rootCertificates", format!("cannot be used: {error}")))
    }
}

fn read(field: &'static str, file: &std::path::Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Error::invalid(field, format!("{}: {error}", file.display())))
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl From<&str> for Redis {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Redis {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_bounds_are_refused_with_their_field() {
        let good = || Redis::new("redis://u:secret@127.0.0.1/1");
        assert!(good().client().is_ok());
        for (settings, field) in [
            (good().prefix(""), "prefix"),
            (good().prefix("a{b}"), "prefix"),
            (good().prefix("x".repeat(101)), "prefix"),
            (good().timeout(Duration::ZERO), "timeout"),
            (good().connect_timeout(Duration::from_secs(3601)), "connectTimeout"),
            (good().stats_ttl(Duration::from_secs(3601)), "statsTtl"),
            (Redis::new("http://u:secret@h/"), "redis"),
            (Redis::new("redis://u:secret@h/x"), "redis"),
            (Redis::new("rediss://u:secret@h/").root_certificates("/nowhere"), "rootCertificates"),
        ] {
            let error = settings.client().err().unwrap();
            assert_eq!(error.field(), Some(field), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        assert!(!format!("{:?}", good()).contains("secret"));
    }
}
