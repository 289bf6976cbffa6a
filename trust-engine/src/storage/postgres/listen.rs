//! Messages to other engines about changes: by NOTIFY in the transaction that makes the change, on a channel with the
//! schema's name.

use std::future::poll_fn;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::AsyncMessage;

use super::config::Checked;
use super::error::from_driver;
use crate::error::Result;
use crate::storage::{Change, DocumentChange, Listener};

/// Pause before a connection that was lost is made again.
const RECONNECT: Duration = Duration::from_millis(500);

pub(super) async fn notify(client: &impl GenericClient, changes: &[DocumentChange]) -> Result<()> {
    let told = changes.iter().map(DocumentChange::key).filter(|key| key.kind.is_told());
    let messages: Vec<String> = told.map(|key| Change::Document(key.clone()).to_message()).collect();
    if messages.is_empty() {
        return Ok(());
    }
    let notify = "select pg_notify(current_schema(), message) from unnest($1::text[]) as message";
    let statement = client.prepare_cached(notify).await.map_err(from_driver)?;
    client.execute(&statement, &[&messages]).await.map_err(from_driver)?;
    Ok(())
}

/// Listens on a connection of its own, for as long as the runtime runs.
pub(super) async fn listen(config: Checked, on_change: Listener) {
    loop {
        // A connection to a pooler that knows no LISTEN ends here too; the engine then finds changes by looking.
        let _ = listen_once(&config, &on_change).await;
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(config: &Checked, on_change: &Listener) -> Result<()> {
    let (client, mut connection) = config.driver.connect(config.tls()?).await.map_err(from_driver)?;
    let listening = async {
        client.batch_execute(&format!("listen {}", config.schema)).await.map_err(from_driver)?;
        // Changes before the LISTEN are not told, so there may be any.
        on_change(Change::Anything);
        // The client must live as long as its connection.
        std::future::pending::<Result<()>>().await
    };
    let messages = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(message))) => on_change(Change::parse(message.payload())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(from_driver(error)),
                None => return Ok(()),
            }
        }
    };
    tokio::select! {
        ended = listening => ended,
        ended = messages => ended,
    }
}
