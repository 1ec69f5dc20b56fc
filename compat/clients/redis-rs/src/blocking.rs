//! The blocking connection: strings, expiry, SCAN, transactions, pub/sub, documents, JSON.

use std::collections::{BTreeSet, HashMap};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use redis::{
    Client, Commands, Connection, ExistenceCheck, Expiry, JsonCommands, RedisResult, SetExpiry, SetOptions, ValueType,
};
use serde_json::json;

use crate::checks::{CHECK_MAX, equal, own};

type Check = fn(&Client) -> Result<()>;

/// Each check by what it checks.
pub const CHECKS: &[(&str, Check)] = &[
    ("connects, also to another database", connects),
    ("SET and GET", set_and_get),
    ("numbers and parts of strings", numbers_and_parts),
    ("expiry", expiry),
    ("the iterator of SCAN", scan),
    ("a pipeline of a thousand", pipeline),
    ("MULTI and EXEC", multi_and_exec),
    ("WATCH: somebody came between", watch),
    ("transactions lose no increment", no_lost_increment),
    ("pub/sub", pubsub),
    ("any bytes in channels and messages", pubsub_bytes),
    ("a connection is an ordinary one after pub/sub", after_pubsub),
    ("documents", documents),
    ("errors of documents", errors),
    ("JSON", json_commands),
    ("leaves nothing behind", leaves_nothing),
];

/// A connection that waits for no answer longer than a check may take.
fn connect(client: &Client) -> RedisResult<Connection> {
    let connection = client.get_connection()?;
    connection.set_read_timeout(Some(CHECK_MAX))?;
    Ok(connection)
}

fn connects(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    equal(redis::cmd("PING").query(&mut connection)?, "PONG".to_owned())?;
    let settings = client.get_connection_info().redis_settings().clone().set_db(3);
    let third = Client::open(client.get_connection_info().clone().set_redis_settings(settings))?;
    let mut third = connect(&third)?;
    let key = own("third");
    let _: () = third.set(&key, "there")?;
    equal(connection.get(&key)?, None::<String>)?;
    equal(third.get_del(&key)?, Some("there".to_owned()))
}

fn set_and_get(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let (key, other) = (own("string"), own("other"));
    equal(connection.get(&key)?, None::<String>)?;
    let every: Vec<u8> = (0..=255).collect();
    let _: () = connection.set(&key, every.as_slice())?;
    equal(connection.get(&key)?, every)?;
    let only_new = SetOptions::default().conditional_set(ExistenceCheck::NX);
    equal(connection.set_options(&key, "b", only_new)?, None::<String>)?;
    let _: () = connection.mset(&[(&key, "b"), (&other, "c")])?;
    equal(connection.mget(&[&key, &own("nothing"), &other])?, vec![Some("b".to_owned()), None, Some("c".to_owned())])?;
    equal(connection.key_type(&key)?, ValueType::String)?;
    let _: () = connection.rename(&other, &key)?;
    equal(connection.get_del(&key)?, Some("c".to_owned()))?;
    equal(connection.exists(&key)?, false)
}

fn numbers_and_parts(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let key = own("number");
    equal(connection.incr(&key, 40)?, 40_i64)?;
    equal(connection.decr(&key, -2)?, 42_i64)?;
    equal(connection.incr(&key, 0.5)?, 42.5_f64)?;
    let _: () = connection.set(&key, "Hello")?;
    equal(connection.append(&key, " World")?, 11_i64)?;
    equal(connection.getrange(&key, -5, -1)?, "World".to_owned())?;
    equal(connection.setrange(&key, 6, "Redis")?, 11_i64)?;
    equal(connection.strlen(&key)?, 11_i64)?;
    equal(connection.get_del(&key)?, "Hello Redis".to_owned())
}

fn expiry(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let key = own("expiry");
    let seconds = SetOptions::default().with_expiration(SetExpiry::EX(100));
    let _: () = connection.set_options(&key, "a", seconds)?;
    let left: i64 = connection.pttl(&key)?;
    ensure!(left > 90_000 && left <= 100_000, "PTTL is {left}");
    equal(connection.persist(&key)?, true)?;
    equal(connection.ttl(&key)?, -1_i64)?;
    equal(connection.expire(&key, 50)?, true)?;
    equal(connection.get_ex(&key, Expiry::PX(20))?, "a".to_owned())?;
    while connection.get::<_, Option<String>>(&key)?.is_some() {
        thread::sleep(Duration::from_millis(1));
    }
    equal(connection.ttl(&key)?, -2_i64)
}

fn scan(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let names: BTreeSet<String> = (0..300).map(|at| own(&format!("scan:{at}"))).collect();
    let pairs: Vec<(&String, i64)> = names.iter().map(|name| (name, 1)).collect();
    let _: () = connection.mset(&pairs)?;
    let seen = connection.scan_match::<_, String>(own("scan:*"))?.collect::<RedisResult<BTreeSet<String>>>()?;
    ensure!(seen == names, "SCAN brought {} names of {}", seen.len(), names.len());
    let all: Vec<&String> = names.iter().collect();
    equal(connection.del(all)?, 300_i64)
}

fn pipeline(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let key = own("pipeline");
    let mut pipeline = redis::pipe();
    for _ in 0..1000 {
        pipeline.incr(&key, 1);
    }
    equal(pipeline.query(&mut connection)?, (1..=1000).collect::<Vec<i64>>())?;
    equal(connection.del(&key)?, 1_i64)
}

fn multi_and_exec(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let key = own("multi");
    let answers: (i64, String, i64) =
        redis::pipe().atomic().set(&key, 1).ignore().incr(&key, 1).get(&key).del(&key).query(&mut connection)?;
    equal(answers, (2, "2".to_owned(), 1))?;
    let failed = redis::pipe().atomic().set(&key, "text").cmd("NO.SUCH").query::<()>(&mut connection);
    ensure!(failed.is_err(), "EXEC went through");
    equal(connection.exists(&key)?, false)
}

fn watch(client: &Client) -> Result<()> {
    let (mut mine, mut other) = (connect(client)?, connect(client)?);
    let key = own("watch");
    redis::cmd("WATCH").arg(&key).exec(&mut mine)?;
    let _: () = other.set(&key, "theirs")?;
    let answer: Option<(String,)> = redis::pipe().atomic().set(&key, "mine").ignore().get(&key).query(&mut mine)?;
    equal(answer, None)?;
    equal(other.get_del(&key)?, "theirs".to_owned())
}

fn no_lost_increment(client: &Client) -> Result<()> {
    let key = own("increments");
    let work = || -> Result<()> {
        let mut connection = connect(client)?;
        for _ in 0..20 {
            let (_,): (i64,) = redis::transaction(&mut connection, &[&key], |connection, pipeline| {
                let value: Option<i64> = connection.get(&key)?;
                pipeline.set(&key, value.unwrap_or(0) + 1).ignore().get(&key).query(connection)
            })?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(anyhow!("a worker panicked"))))
    })?;
    equal(connect(client)?.get_del(&key)?, 60_i64)
}

/// Waits until so many subscribe to a channel: an answer to SUBSCRIBE need not have come when the call returns.
fn subscribed(connection: &mut Connection, channel: &str, count: i64) -> Result<()> {
    loop {
        let (_, subscribers): (String, i64) = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(connection)?;
        if subscribers == count {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn pubsub(client: &Client) -> Result<()> {
    let (mut publisher, mut subscriber) = (connect(client)?, connect(client)?);
    let (channel, pattern) = (own("news"), own("n?ws"));
    equal(publisher.publish(&channel, "nobody listens")?, 0_i64)?;
    let mut messages = subscriber.as_pubsub();
    messages.psubscribe(&pattern)?;
    messages.subscribe(&[&channel, &own("second")])?;
    subscribed(&mut publisher, &own("second"), 1)?;
    equal(publisher.publish(&channel, "é")?, 2_i64)?;
    let (first, second) = (messages.get_message()?, messages.get_message()?);
    equal((first.get_channel_name(), first.from_pattern()), (channel.as_str(), false))?;
    equal(first.get_payload()?, "é".to_owned())?;
    equal((second.get_channel_name(), second.get_pattern()?), (channel.as_str(), pattern.clone()))?;
    messages.punsubscribe(&pattern)?;
    for at in 0..1000 {
        let _: i64 = publisher.publish(own("second"), at)?;
    }
    for at in 0..1000 {
        equal(messages.get_message()?.get_payload()?, at)?;
    }
    messages.unsubscribe(&channel)?;
    subscribed(&mut publisher, &channel, 0)
}

fn pubsub_bytes(client: &Client) -> Result<()> {
    let (mut publisher, mut subscriber) = (connect(client)?, connect(client)?);
    let every: Vec<u8> = (0..=255).collect();
    let channel = [own("bytes:").as_bytes(), every.as_slice()].concat();
    let mut messages = subscriber.as_pubsub();
    messages.subscribe(channel.as_slice())?;
    while publisher.publish::<_, _, i64>(channel.as_slice(), "")? == 0 {}
    let _: i64 = publisher.publish(channel.as_slice(), every.as_slice())?;
    equal(messages.get_message()?.get_payload_bytes(), &[])?;
    let message = messages.get_message()?;
    equal(message.get_channel::<Vec<u8>>()?, channel)?;
    equal(message.get_payload_bytes(), every.as_slice())
}

fn after_pubsub(client: &Client) -> Result<()> {
    let (mut publisher, mut connection) = (connect(client)?, connect(client)?);
    let channel = own("left");
    for _ in 0..3 {
        let mut messages = connection.as_pubsub();
        messages.subscribe(&channel)?;
        messages.psubscribe(&channel)?;
        drop(messages);
        equal(redis::cmd("PING").query(&mut connection)?, "PONG".to_owned())?;
        equal(publisher.publish(&channel, "nobody listens")?, 0_i64)?;
    }
    Ok(())
}

fn documents(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let name = format!("compat_redis_rs_{}", std::process::id());
    let with = |command: &str, words: &[&str]| {
        let mut built = redis::cmd(command);
        built.arg(&name).arg(words);
        built
    };
    equal(with("DOC.INSERT", &[r#"{"_id":"a","n":1}"#]).query(&mut connection)?, vec!["a".to_owned()])?;
    equal(with("DOC.SET", &["a", r#"{"n":2}"#, "IFVER", "1"]).query(&mut connection)?, 2_i64)?;
    equal(with("DOC.GET", &["a", "WITHVER"]).query(&mut connection)?, (2_i64, r#"{"_id":"a","n":2}"#.to_owned()))?;
    equal(with("DOC.GET", &["none"]).query(&mut connection)?, None::<String>)?;
    let updated: HashMap<String, Option<i64>> =
        with("DOC.UPDATE", &["{}", r#"{"$inc":{"n":5}}"#]).query(&mut connection)?;
    let expected = [("matched", Some(1)), ("modified", Some(1)), ("upserted", None)];
    equal(updated, expected.map(|(name, count)| (name.to_owned(), count)).into())?;
    equal(with("DOC.FIND", &[r#"{"n":7}"#]).query(&mut connection)?, vec![r#"{"_id":"a","n":7}"#.to_owned()])?;
    equal(with("DOC.DROP", &[]).query(&mut connection)?, 1_i64)
}

fn errors(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    for (code, words) in [
        ("BADFILTER", ["DOC.FIND", "compat_redis_rs", r#"{"a":{"$no":1}}"#]),
        ("BADDOC", ["DOC.INSERT", "compat_redis_rs", "not json"]),
    ] {
        let answer: RedisResult<()> = redis::cmd(words[0]).arg(&words[1..]).query(&mut connection);
        let error = answer.err().context("no error")?;
        equal(error.code(), Some(code))?;
    }
    equal(redis::cmd("PING").query(&mut connection)?, "PONG".to_owned())
}

fn json_commands(client: &Client) -> Result<()> {
    let mut connection = connect(client)?;
    let key = own("json");
    equal(connection.json_get(&key, "$")?, None::<String>)?;
    let _: () = connection.json_set(&key, "$", &json!({"name": "Ada", "list": [1, 2], "n": 1}))?;
    equal(connection.json_get(&key, "$.name")?, r#"["Ada"]"#.to_owned())?;
    equal(connection.json_arr_append(&key, "$.list", &3)?, vec![3_i64])?;
    equal(connection.json_arr_len(&key, "$.list")?, vec![3_i64])?;
    equal(connection.json_del(&key, "$.n")?, 1_i64)?;
    // serde_json has sent the names in their order.
    equal(connection.json_get(&key, "$")?, r#"[{"list":[1,2,3],"name":"Ada"}]"#.to_owned())?;
    equal(connection.del(&key)?, 1_i64)
}

fn leaves_nothing(client: &Client) -> Result<()> {
    equal(connect(client)?.keys(own("*"))?, Vec::<String>::new())
}
