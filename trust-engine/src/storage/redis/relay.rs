//! The messages that engines send each other through Redis. Nothing relies on them: if a message is lost, the engine
//! finds the change by looking.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::link::Link;
use crate::storage::{Change, Listener, Relay};

/// Pause before a subscription that was lost is made again.
const RESUBSCRIBE: Duration = Duration::from_millis(500);

pub(super) struct RedisRelay {
    link: Arc<Link>,
    channel: String,
    stats: String,
    stats_ttl: Duration,
}

impl RedisRelay {
    pub(super) fn new(link: Arc<Link>, namespace: &str, stats_ttl: Duration) -> Self {
        let (channel, stats) = (format!("{namespace}:changes"), format!("{namespace}:stats:"));
        Self { link, channel, stats, stats_ttl }
    }
}

#[async_trait]
impl Relay for RedisRelay {
    fn tell(&self, change: &Change) {
        let (link, channel, message) = (Arc::clone(&self.link), self.channel.clone(), change.to_message());
        let Some(connection) = link.connection() else { return };
        self.link.spawn(async move {
            let _ = link.call::<u64>(&connection, redis::cmd("PUBLISH").arg(channel).arg(message)).await;
        });
    }

    fn listen(&self, on_change: Listener) {
        let (link, channel) = (Arc::downgrade(&self.link), self.channel.clone());
        self.link.spawn(async move {
            // The loop ends with the link, whose runtime is gone then.
            while let Some(link) = link.upgrade() {
                let pubsub = link.pubsub().await;
                drop(link);
                if let Ok(pubsub) = pubsub {
                    let _ = listen_once(pubsub, &channel, &on_change).await;
                }
                tokio::time::sleep(RESUBSCRIBE).await;
            }
        });
    }

    async fn cached(&self, name: &str) -> Option<Vec<u8>> {
        if self.stats_ttl.is_zero() {
            return None;
        }
        let (link, key) = (Arc::clone(&self.link), format!("{}{name}", self.stats));
        let connection = link.connection()?;
        let read = async move { link.call::<Option<Vec<u8>>>(&connection, redis::cmd("GET").arg(key)).await };
        self.link.run(read).await.ok().flatten()
    }

    fn cache(&self, name: &str, value: Vec<u8>) {
        if self.stats_ttl.is_zero() {
            return;
        }
        let (link, key) = (Arc::clone(&self.link), format!("{}{name}", self.stats));
        let ttl = u64::try_from(self.stats_ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let Some(connection) = link.connection() else { return };
        self.link.spawn(async move {
            let set = redis::cmd("SET").arg(key).arg(value).arg("PX").arg(ttl).to_owned();
            let _ = link.call::<()>(&connection, &set).await;
        });
    }

    async fn is_up(&self) -> bool {
        let link = Arc::clone(&self.link);
        let Some(connection) = link.connection() else { return false };
        let ping = async move { link.call::<String>(&connection, &redis::cmd("PING")).await };
        self.link.run(ping).await.is_ok()
    }
}

async fn listen_once(
    mut pubsub: redis::aio::PubSub,
    channel: &str,
    on_change: &Listener,
) -> redis::RedisResult<()> {
    pubsub.subscribe(channel).await?;
    // Changes before the subscription are not told, so there may be any.
    on_change(Change::Anything);
    let mut messages = pubsub.on_message();
    while let Some(message) = messages.next().await {
        on_change(Change::parse(&String::from_utf8_lossy(message.get_payload_bytes())));
    }
    Ok(())
}
