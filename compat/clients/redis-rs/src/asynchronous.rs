//! The asynchronous connections: one that many tasks share, pub/sub as a stream, and one that connects again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use redis::aio::{ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncCommands, Client, PushInfo, PushKind, RedisResult};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::checks::{CHECK_MAX, equal, own, report};

/// Does the checks of one protocol, one after the other.
pub async fn checks(title: &str, client: &Client, protocol: i64) {
    limited(title, "many tasks on one connection", many_tasks(client)).await;
    limited(title, "a stream of messages", stream(client)).await;
    if protocol == 3 {
        limited(title, "messages on the connection of commands", pushes(client)).await;
        limited(title, "a connection that was killed subscribes again", killed(client)).await;
    }
}

async fn limited(title: &str, what: &str, check: impl Future<Output = Result<()>>) {
    let result = timeout(CHECK_MAX, check).await.context("no end in ten seconds");
    report(title, what, result.flatten());
}

async fn many_tasks(client: &Client) -> Result<()> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    let key = own("tasks");
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let (mut shared, key) = (connection.clone(), key.clone());
            tokio::spawn(async move {
                let count: RedisResult<i64> = shared.incr(key, 1).await;
                count
            })
        })
        .collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await??);
    }
    counts.sort_unstable();
    equal(counts, (1..=500).collect())?;
    let last: i64 = connection.get_del(&key).await?;
    equal(last, 500)
}

/// How many subscribe to a channel.
async fn subscribers(connection: &mut MultiplexedConnection, channel: &str) -> RedisResult<i64> {
    let (_, count): (String, i64) = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query_async(connection).await?;
    Ok(count)
}

async fn stream(client: &Client) -> Result<()> {
    let mut publisher = client.get_multiplexed_async_connection().await?;
    let (mut sink, mut messages) = client.get_async_pubsub().await?.split();
    let channel = own("stream");
    sink.subscribe(&channel).await?;
    sink.psubscribe(own("str*")).await?;
    for at in 0..100 {
        let count: i64 = publisher.publish(&channel, at).await?;
        equal(count, 2)?;
    }
    for at in 0..200 {
        let message = messages.next().await.context("the stream ended")?;
        equal((message.get_channel_name(), message.get_payload()?), (channel.as_str(), at / 2))?;
    }
    sink.unsubscribe(&channel).await?;
    let count: i64 = publisher.publish(&channel, "to the pattern").await?;
    equal(count, 1)
}

/// The next message that was pushed, as channel and text; other pushes are passed over.
async fn next_message(pushed: &mut mpsc::UnboundedReceiver<PushInfo>) -> Result<(String, String)> {
    loop {
        let push = pushed.recv().await.context("no more pushes")?;
        if push.kind == PushKind::Message {
            let [channel, text] = <[redis::Value; 2]>::try_from(push.data).ok().context("not two parts")?;
            return Ok((redis::from_redis_value(channel)?, redis::from_redis_value(text)?));
        }
    }
}

async fn pushes(client: &Client) -> Result<()> {
    let (sender, mut pushed) = mpsc::unbounded_channel();
    let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let channel = own("pushes");
    connection.subscribe(&channel).await?;
    let count: i64 = connection.publish(&channel, "to itself").await?;
    equal(count, 1)?;
    equal(next_message(&mut pushed).await?, (channel.clone(), "to itself".to_owned()))?;
    connection.unsubscribe(&channel).await?;
    let count: i64 = connection.publish(&channel, "nobody listens").await?;
    equal(count, 0)
}

async fn killed(client: &Client) -> Result<()> {
    let mut other = client.get_multiplexed_async_connection().await?;
    let (sender, mut pushed) = mpsc::unbounded_channel();
    let config = ConnectionManagerConfig::new()
        .set_push_sender(sender)
        .set_automatic_resubscription()
        .set_max_delay(Duration::from_millis(20));
    let mut manager = client.get_connection_manager_with_config(config).await?;
    let channel = own("again");
    manager.subscribe(&channel).await?;
    let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut manager).await?;
    let gone: i64 = redis::cmd("CLIENT").arg(&["KILL", "ID"]).arg(id).query_async(&mut other).await?;
    equal(gone, 1)?;
    // The call that meets the broken connection may fail; the one after it has another.
    for _ in 0..500 {
        let now: RedisResult<i64> = redis::cmd("CLIENT").arg("ID").query_async(&mut manager).await;
        if now.is_ok_and(|now| now != id) && subscribers(&mut other, &channel).await? == 1 {
            let count: i64 = other.publish(&channel, "again").await?;
            equal(count, 1)?;
            return equal(next_message(&mut pushed).await?, (channel.clone(), "again".to_owned()));
        }
        sleep(Duration::from_millis(10)).await;
    }
    bail!("it did not subscribe again")
}
