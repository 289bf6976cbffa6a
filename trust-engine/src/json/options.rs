//! The options of an engine as JSON, for hosts that are not written in Rust.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::read;
use super::strict::Named;
use crate::engine::Options;
use crate::error::{Error, Result};
use crate::policy::PolicyDocument;
use crate::provenance::Ed25519Signer;

/// The options that an engine is opened with. Durations are milliseconds.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Options")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OptionsBody {
    storage: Named<StorageBody>,
    policy: Option<String>,
    signing_key: Option<String>,
    deployment: Option<String>,
    #[serde(default)]
    tier_authorities: Vec<String>,
    queue: Option<u32>,
    cached_agents: Option<u32>,
    shard: Option<u32>,
    takeover_after_ms: Option<u32>,
    max_clock_jump_ms: Option<u32>,
}

/// Where the log and the state live: one of memory, embedded and postgres.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "StorageOptions")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StorageBody {
    memory: Option<bool>,
    embedded: Option<String>,
    postgres: Option<Server<PostgresBody>>,
    redis: Option<Server<RedisBody>>,
}

/// A URL, or settings that have one.
enum Server<T> {
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "needs a feature")
    )]
    Url(String),
    Settings(T),
}

/// By hand, because an untagged enum does not say which field is wrong.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Server<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct UrlOrSettings<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for UrlOrSettings<T> {
            type Value = Server<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or an object with one")
            }

            fn visit_str<E>(self, url: &str) -> std::result::Result<Self::Value, E> {
                Ok(Server::Url(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Server::Settings)
            }
        }
        deserializer.deserialize_any(UrlOrSettings(PhantomData))
    }
}

/// A PostgreSQL database, 14 or later.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PostgresOptions")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "needs the feature"))]
struct PostgresBody {
    url: String,
    schema: Option<String>,
    connections: Option<u32>,
    connect_timeout_ms: Option<u32>,
    statement_timeout_ms: Option<u32>,
    root_certificates: Option<String>,
    replica: Option<String>,
}

/// A Redis server, 7.0 or later.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RedisOptions")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "needs the feature"))]
struct RedisBody {
    url: String,
    prefix: Option<String>,
    timeout_ms: Option<u32>,
    connect_timeout_ms: Option<u32>,
    stats_ttl_ms: Option<u32>,
    root_certificates: Option<String>,
    best_effort: Option<bool>,
}

impl<T: JsonSchema> JsonSchema for Server<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("UrlOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<T>()] })
    }
}

impl Options {
    /// Reads options from JSON:
    /// `{storage: {memory: true} | {embedded: folder} | {postgres: url | {url, schema?, connections?, connectTimeoutMs?,
    /// statementTimeoutMs?, rootCertificates?, replica?}}` with, in `storage`, `redis?: url | {url, prefix?, timeoutMs?,
    /// connectTimeoutMs?, statsTtlMs?, rootCertificates?, bestEffort?}`, and beside it `policy?` (YAML or JSON text),
    /// `signingKey?` (the 32 bytes of an Ed25519 seed as 64 hexadecimal digits), `deployment?`, `tierAuthorities?`, `queue?`,
    /// `cachedAgents?`, `shard?`, `takeoverAfterMs?` and `maxClockJumpMs?`.
    ///
    /// ```
    /// use trust_engine::Options;
    ///
    /// assert!(Options::from_json(r#"{"storage":{"memory":true},"queue":100}"#).is_ok());
    /// let error = Options::from_json(r#"{"storage":{"memory":true},"que":100}"#).err().unwrap();
    /// assert_eq!(error.field(), Some("que"));
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) names the field;
    /// [`ErrorKind::InvalidPolicy`](crate::ErrorKind::InvalidPolicy).
    pub fn from_json(text: &str) -> Result<Self> {
        let body: OptionsBody = read::read_as("options", text.as_bytes())?;
        let Named(storage) = body.storage;
        let mut options = match (storage.memory, storage.embedded, storage.postgres) {
            (Some(true), None, None) => Self::memory(),
            (None | Some(false), Some(folder), None) => embedded(folder)?,
            (None | Some(false), None, Some(database)) => postgres(database)?,
            _ => return Err(Error::invalid("storage", "takes one of memory, embedded and postgres")),
        };
        if let Some(redis) = storage.redis {
            options = with_redis(options, redis)?;
        }
        if let Some(policy) = body.policy {
            options = options.policy(PolicyDocument::parse(&policy)?);
        }
        if let Some(seed) = body.signing_key {
            let mut bytes = [0; 32];
            hex::decode_to_slice(&seed, &mut bytes).map_err(|_| {
                Error::invalid("signingKey", "is not an Ed25519 seed: 32 bytes as 64 hexadecimal digits")
            })?;
            options = options.signer(Arc::new(Ed25519Signer::from_seed(&bytes)));
        }
        if let Some(name) = body.deployment {
            options = options.deployment(name);
        }
        for name in body.tier_authorities {
            options = options.tier_authority(name);
        }
        if let Some(queue) = body.queue {
            options = options.queue(size(queue));
        }
        if let Some(cached) = body.cached_agents {
            options = options.cached_agents(size(cached));
        }
        if let Some(shard) = body.shard {
            options = options.shard(shard);
        }
        if let Some(time) = body.takeover_after_ms {
            options = options.takeover_after(millis(time));
        }
        if let Some(time) = body.max_clock_jump_ms {
            options = options.max_clock_jump(millis(time));
        }
        Ok(options)
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn millis(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

#[cfg(feature = "embedded")]
fn embedded(folder: String) -> Result<Options> {
    Ok(Options::embedded(folder))
}

#[cfg(not(feature = "embedded"))]
fn embedded(_: String) -> Result<Options> {
    Err(Error::invalid("storage.embedded", "needs the feature `embedded`"))
}

#[cfg(feature = "postgres")]
fn postgres(database: Server<PostgresBody>) -> Result<Options> {
    use crate::storage::Postgres;
    let settings = match database {
        Server::Url(url) => return Ok(Options::postgres(Postgres::new(url))),
        Server::Settings(settings) => settings,
    };
    let mut database = Postgres::new(settings.url);
    if let Some(schema) = settings.schema {
        database = database.schema(schema);
    }
    if let Some(connections) = settings.connections {
        database = database.connections(size(connections));
    }
    if let Some(time) = settings.connect_timeout_ms {
        database = database.connect_timeout(millis(time));
    }
    if let Some(time) = settings.statement_timeout_ms {
        database = database.statement_timeout(millis(time));
    }
    if let Some(file) = settings.root_certificates {
        database = database.root_certificates(file);
    }
    if let Some(url) = settings.replica {
        database = database.replica(url);
    }
    Ok(Options::postgres(database))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: Server<PostgresBody>) -> Result<Options> {
    Err(Error::invalid("storage.postgres", "needs the feature `postgres`"))
}

#[cfg(feature = "redis")]
fn with_redis(options: Options, redis: Server<RedisBody>) -> Result<Options> {
    use crate::storage::Redis;
    let settings = match redis {
        Server::Url(url) => return Ok(options.redis(Redis::new(url))),
        Server::Settings(settings) => settings,
    };
    let mut redis = Redis::new(settings.url);
    if let Some(prefix) = settings.prefix {
        redis = redis.prefix(prefix);
    }
    if let Some(time) = settings.timeout_ms {
        redis = redis.timeout(millis(time));
    }
    if let Some(time) = settings.connect_timeout_ms {
        redis = redis.connect_timeout(millis(time));
    }
    if let Some(time) = settings.stats_ttl_ms {
        redis = redis.stats_ttl(millis(time));
    }
    if let Some(file) = settings.root_certificates {
        redis = redis.root_certificates(file);
    }
    if settings.best_effort == Some(true) {
        redis = redis.best_effort();
    }
    Ok(options.redis(redis))
}

#[cfg(not(feature = "redis"))]
fn with_redis(_: Options, _: Server<RedisBody>) -> Result<Options> {
    Err(Error::invalid("storage.redis", "needs the feature `redis`"))
}
