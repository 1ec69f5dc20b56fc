//! Pub/sub: channels, patterns, sharded channels, any bytes, reconnecting, and keyspace notifications.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use fred::prelude::*;
use fred::types::client::ClientKillFilter;
use fred::types::{Message, MessageKind};
use tokio::time::sleep;

use crate::Target;
use crate::checks::{equal, own};

/// Does the checks of one protocol.
pub async fn checks(target: &Target) {
    target.check("SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE", three_kinds(target)).await;
    target.check("any bytes, and a thousand messages in order", bytes_and_order(target)).await;
    target.check("a connection that was killed subscribes again", killed(target)).await;
    target.check("keyspace notifications", notifications(target)).await;
}

/// Waits until so many subscribe to a channel: fred does not wait for the answer to SUBSCRIBE.
async fn subscribed(client: &Client, channel: &str, count: i64) -> Result<()> {
    loop {
        let counts: HashMap<String, i64> = client.pubsub_numsub(channel).await?;
        if counts.get(channel) == Some(&count) {
            return Ok(());
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// The same for a sharded channel.
async fn subscribed_shard(client: &Client, channel: &str, count: i64) -> Result<()> {
    loop {
        let counts: HashMap<String, i64> = client.pubsub_shardnumsub(channel).await?;
        if counts.get(channel) == Some(&count) {
            return Ok(());
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn said(message: Message) -> Result<(MessageKind, String, String)> {
    Ok((message.kind, message.channel.to_string(), message.value.convert()?))
}

async fn three_kinds(target: &Target) -> Result<()> {
    let (client, subscriber) = (target.connect().await?, target.connect_subscriber().await?);
    let channel = own("news");
    let mut messages = subscriber.message_rx();
    equal(client.publish::<i64, _, _>(channel.clone(), "nobody listens").await?, 0)?;
    subscriber.psubscribe(own("n?ws")).await?;
    subscriber.subscribe(&channel).await?;
    subscriber.ssubscribe(&channel).await?;
    subscribed(&client, &channel, 1).await?;
    subscribed_shard(&client, &channel, 1).await?;
    equal(client.publish::<i64, _, _>(channel.clone(), "both").await?, 2)?;
    equal(client.spublish::<i64, _, _>(channel.clone(), "sharded").await?, 1)?;
    let expected =
        [(MessageKind::Message, "both"), (MessageKind::PMessage, "both"), (MessageKind::SMessage, "sharded")];
    for (kind, text) in expected {
        equal(said(messages.recv().await?)?, (kind, channel.clone(), text.to_owned()))?;
    }
    subscriber.unsubscribe(&channel).await?;
    subscriber.sunsubscribe(&channel).await?;
    subscribed(&client, &channel, 0).await?;
    subscribed_shard(&client, &channel, 0).await?;
    equal(client.publish::<i64, _, _>(channel, "to the pattern").await?, 1)?;
    subscriber.quit().await?;
    Ok(())
}

async fn bytes_and_order(target: &Target) -> Result<()> {
    let (client, subscriber) = (target.connect().await?, target.connect_subscriber().await?);
    let channel = own("bytes");
    let every: Vec<u8> = (0..=255).collect();
    let mut messages = subscriber.message_rx();
    subscriber.subscribe(&channel).await?;
    subscribed(&client, &channel, 1).await?;
    equal(client.publish::<i64, _, _>(channel.clone(), every.as_slice()).await?, 1)?;
    equal(messages.recv().await?.value.as_bytes(), Some(every.as_slice()))?;
    for at in 0..1000_i64 {
        let _: () = client.publish(channel.clone(), at).await?;
    }
    for at in 0..1000_i64 {
        equal(messages.recv().await?.value.convert::<i64>()?, at)?;
    }
    subscriber.quit().await?;
    Ok(())
}

async fn killed(target: &Target) -> Result<()> {
    let (client, subscriber) = (target.connect().await?, target.connect_subscriber().await?);
    let channel = own("again");
    let mut messages = subscriber.message_rx();
    let mut connected_again = subscriber.reconnect_rx();
    let managing = subscriber.manage_subscriptions();
    let id: i64 = subscriber.client_id().await?;
    subscriber.subscribe(&channel).await?;
    subscribed(&client, &channel, 1).await?;
    equal(client.client_kill::<i64>(vec![ClientKillFilter::ID(id.to_string())]).await?, 1)?;
    connected_again.recv().await?;
    subscribed(&client, &channel, 1).await?;
    equal(client.publish::<i64, _, _>(channel.clone(), "again").await?, 1)?;
    equal(said(messages.recv().await?)?, (MessageKind::Message, channel, "again".to_owned()))?;
    managing.abort();
    subscriber.quit().await?;
    Ok(())
}

async fn notifications(target: &Target) -> Result<()> {
    let (client, subscriber) = (target.connect().await?, target.connect_subscriber().await?);
    let setting = "notify-keyspace-events";
    let before: HashMap<String, String> = client.config_get(setting).await?;
    client.config_set(setting, "KEA").await?;
    let key = own("watched");
    let channel = format!("__keyspace@0__:{key}");
    let mut events = subscriber.keyspace_event_rx();
    subscriber.subscribe(&channel).await?;
    subscribed(&client, &channel, 1).await?;
    let _: () = client.set(&key, 1_i64, None, None, false).await?;
    let _: () = client.incr(&key).await?;
    let _: () = client.del(&key).await?;
    for operation in ["set", "incrby", "del"] {
        let event = events.recv().await?;
        equal((event.operation.as_str(), event.key.into_string()), (operation, Some(key.clone())))?;
    }
    client.config_set(setting, before.get(setting).cloned().unwrap_or_default()).await?;
    subscriber.quit().await?;
    Ok(())
}
