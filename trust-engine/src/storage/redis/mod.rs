//! Redis in front of a durable authority over counters, for many engines.
//!
//! A grant of the durable authority, a *chunk*, is handed out here in parts at the speed of Redis, and an amount that
//! an engine does not spend comes back here. Redis is never trusted: a chunk carries the replication id that the server
//! had when the chunk was brought there, and a server with another replication id forfeits it. A forfeited chunk stays
//! charged, so a flush, a restart, a failover or a split brain wastes a part of a ceiling and grants nothing twice.
//! While Redis does not answer, the durable authority is asked.
//!
//! Besides, engines tell each other of their changes here, and may share a copy of statistics.

mod best_effort;
mod calls;
mod chunks;
mod config;
mod counters;
mod error;
mod link;
mod relay;
mod reply;

use std::sync::Arc;
use std::time::Duration;

pub use config::Redis;

use self::chunks::Chunks;
use self::link::Link;
use super::runtime::Time;
use super::{CounterStore, Relay};
use crate::error::{Error, Result};

/// Connects to a server, and gives counters that hand out the grants of `durable` there, and a relay between the
/// engines.
///
/// A server that cannot be reached, or cannot write just now, is tried again later; the counters then say so in their
/// warnings.
///
/// # Errors
/// Within the connect timeout: [`InvalidInput`](crate::ErrorKind::InvalidInput) for the settings, and for a `durable`
/// authority that only one engine can use, [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for a wrong
/// password, a missing permission or a certificate that is not trusted,
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a server before Redis 7.
pub async fn redis(
    settings: &Redis,
    durable: Arc<dyn CounterStore>,
) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    open(settings, durable, Time::Server).await
}

/// As [`redis()`], with a clock instead of the server's.
///
/// # Errors
/// Those of [`redis()`].
#[cfg(any(test, feature = "testing"))]
pub async fn redis_at(
    settings: &Redis,
    durable: Arc<dyn CounterStore>,
    clock: Arc<dyn crate::Clock>,
) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    open(settings, durable, Time::Given(clock)).await
}

/// Counters in Redis alone, in [best-effort mode](Redis::best_effort).
///
/// # Errors
/// Those of [`redis()`], and [`Unavailable`](crate::ErrorKind::Unavailable) for a server that cannot be reached.
pub async fn redis_best_effort(settings: &Redis) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    open_best_effort(settings, Time::Server).await
}

/// As [`redis_best_effort`], with a clock instead of the server's.
///
/// # Errors
/// Those of [`redis_best_effort`].
#[cfg(any(test, feature = "testing"))]
pub async fn redis_best_effort_at(
    settings: &Redis,
    clock: Arc<dyn crate::Clock>,
) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    open_best_effort(settings, Time::Given(clock)).await
}

async fn open(
    settings: &Redis,
    durable: Arc<dyn CounterStore>,
    time: Time,
) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    if settings.best_effort {
        let issue = "goes without a durable authority, but there is one: leave it out";
        return Err(Error::invalid("bestEffort", issue));
    }
    let Some(lineage) = durable.lineage().await? else {
        let issue = format!(
            "cannot hand out what {} counters grant, which no other engine can reach; use PostgreSQL, or best_effort()",
            durable.name()
        );
        return Err(Error::invalid("redis", issue));
    };
    let link = Link::new(settings)?;
    // A cluster places keys by the text between braces.
    let namespace = format!("{}:{{{lineage}}}", settings.prefix);
    let chunks = Chunks::new(Arc::clone(&link), &namespace, time);
    let warnings = match try_out(&link, &chunks).await {
        Err(error) if error.is_retryable() => {
            vec![format!("{error}; ceilings are counted without it until it answers")]
        }
        tried => tried.map(|()| Vec::new())?,
    };
    let relay = relay::RedisRelay::new(Arc::clone(&link), &namespace, settings.stats_ttl);
    Ok((Arc::new(counters::RedisCounters::new(chunks, durable, warnings)), Arc::new(relay)))
}

async fn open_best_effort(settings: &Redis, time: Time) -> Result<(Arc<dyn CounterStore>, Arc<dyn Relay>)> {
    let link = Link::new(settings)?;
    link.open().await?;
    let counters = best_effort::RedisBestEffort::open(Arc::clone(&link), &settings.prefix, time);
    counters.probe().await?;
    // Each engine has a store of its own: there are no statistics to share.
    let relay = relay::RedisRelay::new(link, &settings.prefix, Duration::ZERO);
    Ok((Arc::new(counters), Arc::new(relay)))
}

/// Connects, and runs every script once.
async fn try_out(link: &Arc<Link>, chunks: &Arc<Chunks>) -> Result<()> {
    link.open().await?;
    let Some(connection) = link.connection() else { return Ok(()) };
    let chunks = Arc::clone(chunks);
    link.run(async move { chunks.probe(&connection).await }).await
}
