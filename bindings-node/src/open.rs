//! Options as JavaScript gives them.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use trust_engine::provenance::Ed25519Signer;
use trust_engine::storage::{Postgres, Redis};
use trust_engine::{Error, Options, PolicyDocument, Result};

/// The options that an engine is opened with; `requests.cjs` makes them from the user's options.
#[napi(object, object_to_js = false)]
pub struct OpenInput {
    /// A store in memory.
    pub memory: Option<bool>,
    /// A folder.
    pub embedded: Option<String>,
    /// A database.
    pub postgres: Option<PostgresInput>,
    /// A server in front of the counters.
    pub redis: Option<RedisInput>,
    /// YAML or JSON.
    pub policy: Option<String>,
    /// 32 bytes.
    pub signing_key: Option<Uint8Array>,
    /// Part of every signature.
    pub deployment: Option<String>,
    /// Callers whose claims are believed.
    pub tier_authorities: Option<Vec<String>>,
    /// Submissions that may wait.
    pub queue: Option<f64>,
    /// Agents in memory.
    pub cached_agents: Option<f64>,
}

/// A PostgreSQL database.
#[napi(object, object_to_js = false)]
pub struct PostgresInput {
    /// Connection string.
    pub url: String,
    /// Of the tables.
    pub schema: Option<String>,
    /// Most of them.
    pub connections: Option<f64>,
    /// Milliseconds.
    pub connect_timeout_ms: Option<f64>,
    /// Milliseconds.
    pub statement_timeout_ms: Option<f64>,
    /// PEM file.
    pub root_certificates: Option<String>,
    /// URL.
    pub replica: Option<String>,
}

/// A Redis server.
#[napi(object, object_to_js = false)]
pub struct RedisInput {
    /// `redis://…`
    pub url: String,
    /// Of keys.
    pub prefix: Option<String>,
    /// Milliseconds.
    pub timeout_ms: Option<f64>,
    /// Milliseconds.
    pub connect_timeout_ms: Option<f64>,
    /// Milliseconds.
    pub stats_ttl_ms: Option<f64>,
    /// PEM file.
    pub root_certificates: Option<String>,
    /// Without PostgreSQL.
    pub best_effort: Option<bool>,
}

impl OpenInput {
    pub(crate) fn into_options(self) -> Result<Options> {
        let mut options = match (self.memory, self.embedded, self.postgres) {
            (Some(true), None, None) => Options::memory(),
            (None | Some(false), Some(folder), None) => Options::embedded(folder),
            (None | Some(false), None, Some(database)) => Options::postgres(database.into_settings()?),
            _ => return Err(Error::invalid("storage", "takes one of memory, embedded and postgres")),
        };
        if let Some(redis) = self.redis {
            options = options.redis(redis.into_settings()?);
        }
        if let Some(policy) = self.policy {
            options = options.policy(PolicyDocument::parse(&policy)?);
        }
        if let Some(seed) = self.signing_key {
            let seed: &[u8; 32] = seed.as_ref().try_into().map_err(|_| {
                Error::invalid(
                    "signingKey",
                    format!("has {} bytes; it takes the 32 of an Ed25519 seed", seed.len()),
                )
            })?;
            options = options.signer(Arc::new(Ed25519Signer::from_seed(seed)));
        }
        if let Some(name) = self.deployment {
            options = options.deployment(name);
        }
        for name in self.tier_authorities.into_iter().flatten() {
            options = options.tier_authority(name);
        }
        if let Some(queue) = self.queue {
            options = options.queue(whole("queue", queue)?);
        }
        if let Some(cached) = self.cached_agents {
            options = options.cached_agents(whole("cachedAgents", cached)?);
        }
        Ok(options)
    }
}

impl PostgresInput {
    fn into_settings(self) -> Result<Postgres> {
        let mut database = Postgres::new(self.url);
        if let Some(schema) = self.schema {
            database = database.schema(schema);
        }
        if let Some(connections) = self.connections {
            database = database.connections(whole("connections", connections)?);
        }
        if let Some(time) = self.connect_timeout_ms {
            database = database.connect_timeout(millis("connectTimeoutMs", time)?);
        }
        if let Some(time) = self.statement_timeout_ms {
            database = database.statement_timeout(millis("statementTimeoutMs", time)?);
        }
        if let Some(file) = self.root_certificates {
            database = database.root_certificates(file);
        }
        if let Some(url) = self.replica {
            database = database.replica(url);
        }
        Ok(database)
    }
}

impl RedisInput {
    fn into_settings(self) -> Result<Redis> {
        let mut redis = Redis::new(self.url);
        if let Some(prefix) = self.prefix {
            redis = redis.prefix(prefix);
        }
        if let Some(time) = self.timeout_ms {
            redis = redis.timeout(millis("timeoutMs", time)?);
        }
        if let Some(time) = self.connect_timeout_ms {
            redis = redis.connect_timeout(millis("connectTimeoutMs", time)?);
        }
        if let Some(time) = self.stats_ttl_ms {
            redis = redis.stats_ttl(millis("statsTtlMs", time)?);
        }
        if let Some(file) = self.root_certificates {
            redis = redis.root_certificates(file);
        }
        if self.best_effort == Some(true) {
            redis = redis.best_effort();
        }
        Ok(redis)
    }
}

/// A whole number; its bounds are the engine's.
fn whole(field: &'static str, number: f64) -> Result<usize> {
    crate::input::integer(field, number, 0, u32::MAX as usize)
}

fn millis(field: &'static str, number: f64) -> Result<Duration> {
    let millis = crate::input::integer(field, number, 0, 3_600_000)?;
    Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}
