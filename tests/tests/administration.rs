//! What administrators' commands do to connections that transcripts cannot show: who is held, who is cut off, and when.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Server, Value, request, until};

/// How long what has to happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn until_blocked(client: &mut Client, count: usize) -> Result<()> {
    let count = count.to_string();
    until(&format!("{count} blocked clients"), || Ok(client.figure("clients", "blocked_clients")? == count))
}

/// The text that the server sends until it closes, and how long that took.
fn rest(client: &mut Client) -> Result<(String, Duration)> {
    let began = Instant::now();
    let bytes = client.read_to_end()?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), began.elapsed()))
}

fn ids(client: &mut Client) -> Result<Vec<String>> {
    let list = client.ask(&["CLIENT", "LIST"])?.expect_text().to_owned();
    Ok(list.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("id=")).map(str::to_owned).collect())
}

fn id(client: &mut Client) -> Result<String> {
    Ok(client.ask(&["CLIENT", "ID"])?.to_string().trim_start_matches(':').to_owned())
}

#[test]
fn a_monitor_that_does_not_read_is_cut_off_and_slows_nobody() -> Result<()> {
    let server = Options::new().set("client-output-buffer-limit", "pubsub 1mb 0 0").start()?;
    let (mut slow, mut quick, mut other) = (server.client()?, server.client()?, server.client()?);
    let slow_id = id(&mut slow)?;
    for monitor in [&mut slow, &mut quick] {
        ensure!(monitor.ask(&["MONITOR"])? == Value::Simple("OK".into()), "MONITOR");
    }
    let text = "x".repeat(1000);
    let mut sent = 0;
    // The sockets between take some megabytes before anything waits in the server.
    until("the slow monitor is gone", || {
        let requests: Vec<_> = (0..200).map(|_| vec!["ECHO", &text]).collect();
        other.pipeline(&requests)?;
        sent += requests.len();
        for _ in 0..requests.len() {
            let line = quick.read()?.expect_text().to_owned();
            ensure!(line.ends_with(&format!("\"ECHO\" \"{text}\"")), "the quick monitor heard {line}");
        }
        Ok(!ids(&mut other)?.contains(&slow_id))
    })?;
    ensure!(sent > 1000, "it was cut off after {sent} commands, which is below its limit");
    ensure!(
        other.figure("stats", "client_output_buffer_limit_disconnections")? == "1",
        "the disconnection is not counted"
    );
    Ok(())
}

#[test]
fn monitors_hear_what_others_do_in_its_order_and_no_secret() -> Result<()> {
    let server = Options::new().password("hunter2").start()?;
    let (mut monitor, mut other) = (server.client()?, Client::connect(server.port())?);
    monitor.ask(&["MONITOR"])?;
    other.run(&["AUTH", "default", "hunter2"])?;
    other.run(&["HELLO", "3", "AUTH", "default", "hunter2"])?;
    other.run(&["CONFIG", "SET", "requirepass", "hunter3"])?;
    other.run(&["HELLO", "2", "AUHT", "default", "hunter3"])?;
    other.run(&["ECHO", "end"])?;
    let mut heard = Vec::new();
    loop {
        let line = monitor.read()?.expect_text().to_owned();
        let is_end = line.ends_with("\"ECHO\" \"end\"");
        heard.push(line);
        if is_end {
            break;
        }
    }
    ensure!(heard.len() == 4, "{heard:?}");
    ensure!(!heard.concat().contains("hunter"), "{heard:?}");
    Ok(())
}

#[test]
fn a_pause_holds_writes_and_lets_reads_go_on() -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut writer, mut publisher) = (server.client()?, server.client()?, server.client()?);
    let (mut transaction, mut reader, mut leaver) = (server.client()?, server.client()?, server.client()?);
    transaction.ask(&["MULTI"])?;
    transaction.ask(&["DOC.SET", "c", "b", "{}"])?;
    admin.ask(&["CLIENT", "PAUSE", "600000", "WRITE"])?;
    // What stands before it in the pipeline is answered at once.
    writer.send(&[request(&["PING"]), request(&["DOC.SET", "c", "a", "{}"]), request(&["PING", "after"])].concat())?;
    ensure!(writer.read()? == Value::Simple("PONG".into()), "the PING before the write");
    publisher.send(&request(&["PUBLISH", "news", "x"]))?;
    transaction.send(&request(&["EXEC"]))?;
    leaver.send(&request(&["DOC.SET", "c", "z", "{}"]))?;
    until_blocked(&mut admin, 4)?;
    drop(leaver);
    until_blocked(&mut admin, 3)?;
    ensure!(reader.ask(&["DOC.GET", "c", "a"])? == Value::Null, "it was written in the pause");
    reader.ask(&["MULTI"])?;
    reader.ask(&["DOC.GET", "c", "a"])?;
    reader.ask(&["EXEC"])?;
    admin.ask(&["CLIENT", "UNPAUSE"])?;
    ensure!(writer.read()? == Value::Integer(1), "the write");
    ensure!(writer.read()?.expect_text() == "after", "the PING after the write");
    ensure!(publisher.read()? == Value::Integer(0), "the message");
    ensure!(transaction.read()? == Value::Array(vec![Value::Integer(1)]), "the transaction");
    ensure!(reader.ask(&["DOC.EXISTS", "c", "a", "b", "z"])? == Value::Integer(2), "who left must not have written");
    until_blocked(&mut admin, 0)
}

#[test]
fn a_pause_of_all_holds_all_until_its_time_is_up() -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut other) = (server.client()?, server.client()?);
    let began = Instant::now();
    admin.ask(&["CLIENT", "PAUSE", "300"])?;
    other.ask(&["PING"])?;
    ensure!(began.elapsed() >= Duration::from_millis(300), "PING was answered after {:?}", began.elapsed());
    // A listener that is held still gets messages.
    let mut listener = server.client_speaking(3)?;
    listener.send(&request(&["SUBSCRIBE", "news"]))?;
    listener.read()?;
    other.send(&[request(&["CLIENT", "PAUSE", "600000", "WRITE"]), request(&["PUBLISH", "news", "1"])].concat())?;
    other.read()?;
    until_blocked(&mut admin, 1)?;
    admin.ask(&["CLIENT", "UNPAUSE"])?;
    ensure!(listener.read()?.expect_array().last().map(Value::expect_text) == Some("1"), "the message");
    Ok(())
}

#[test]
fn a_wait_is_ended_by_unblock_kill_and_the_end_of_its_client() -> Result<()> {
    let server = Options::new().set("appendfsync", "no").start()?;
    let (mut admin, mut waiter, mut killed, mut leaver) =
        (server.client()?, server.client()?, server.client()?, server.client()?);
    let (waiter_id, killed_id) = (id(&mut waiter)?, id(&mut killed)?);
    // What was answered before is sent before it waits.
    waiter.send(&[request(&["DOC.SET", "c", "a", "{}"]), request(&["WAIT", "1", "0"])].concat())?;
    ensure!(waiter.read()? == Value::Integer(1), "the write before WAIT");
    killed.send(&request(&["WAITAOF", "1", "1", "0"]))?;
    // The next request lies there while it waits.
    leaver.send(&[request(&["WAIT", "1", "0"]), request(&["PING"])].concat())?;
    until_blocked(&mut admin, 3)?;
    admin.ask(&["CLIENT", "UNBLOCK", &waiter_id, "ERROR"])?;
    ensure!(
        waiter.read()? == Value::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()),
        "the answer of a wait that was ended with an error"
    );
    admin.ask(&["CLIENT", "KILL", "ID", &killed_id])?;
    ensure!(rest(&mut killed)?.0.is_empty(), "a killed one is not answered");
    drop(leaver);
    until_blocked(&mut admin, 0)?;
    // In the slow log there is none of them: they took no time of the server's.
    let slow = admin.ask(&["SLOWLOG", "GET", "-1"])?.to_string();
    ensure!(!slow.contains("WAIT"), "{slow}");
    Ok(())
}

#[test]
fn debug_sleep_holds_its_own_connection() -> Result<()> {
    let server = Options::new().set("enable-debug-command", "local").start()?;
    let (mut sleeper, mut other) = (server.client()?, server.client()?);
    let began = Instant::now();
    sleeper.send(&request(&["DEBUG", "SLEEP", "0.5"]))?;
    other.ask(&["PING"])?;
    other.ask(&["DOC.SET", "c", "a", "{}"])?;
    ensure!(began.elapsed() < Duration::from_millis(500), "others waited for {:?}", began.elapsed());
    sleeper.read()?;
    ensure!(began.elapsed() >= Duration::from_millis(500), "it slept for {:?}", began.elapsed());
    let slow = other.ask(&["SLOWLOG", "GET"])?.to_string();
    ensure!(slow.contains("SLEEP"), "it is not in the slow log: {slow}");
    Ok(())
}

/// The time limit of these tests, seconds, and what a machine that is busy may take beyond it.
const LIMIT: Duration = Duration::from_secs(2);

fn check_closed_in_time(client: &mut Client, what: &str) -> Result<()> {
    let (text, took) = rest(client)?;
    ensure!(text.is_empty(), "{what}: {text}");
    ensure!(took < LIMIT + PATIENCE / 2, "{what}: closed after {took:?}");
    Ok(())
}

#[test]
fn who_does_not_get_in_is_closed() -> Result<()> {
    let server = Options::new().password("hunter2").set("handshake-timeout", "2").start()?;
    let connect = || Client::connect(server.port());
    let began = Instant::now();
    let (mut silent, mut half, mut wrong, mut greeted) = (connect()?, connect()?, connect()?, server.client()?);
    half.send(b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunt")?;
    wrong.run(&["AUTH", "hunter3"])?;
    wrong.run(&["PING"])?;
    for (client, what) in [(&mut silent, "silent"), (&mut half, "half a request"), (&mut wrong, "a wrong password")] {
        check_closed_in_time(client, what)?;
    }
    ensure!(began.elapsed() >= LIMIT, "closed after {:?}", began.elapsed());
    // Who was let in may be silent for as long as it likes.
    greeted.ask(&["PING"])?;
    // It is no limit where it is 0, and it counts for those that are connected already.
    greeted.ask(&["CONFIG", "SET", "handshake-timeout", "0"])?;
    let mut silent = connect()?;
    silent.set_timeout(LIMIT + Duration::from_secs(2))?;
    ensure!(silent.read_to_end().is_err(), "closed without a limit");
    greeted.ask(&["CONFIG", "SET", "handshake-timeout", "1"])?;
    silent.set_timeout(PATIENCE)?;
    check_closed_in_time(&mut silent, "silent, by a limit that came later")
}

#[test]
fn half_a_request_does_not_get_in_without_a_password() -> Result<()> {
    let server = Options::new().set("handshake-timeout", "2").start()?;
    let (mut half, mut unknown) = (Client::connect(server.port())?, Client::connect(server.port())?);
    half.send(b"*1\r\n$4\r\nPI")?;
    // What is refused is no command that was carried out.
    unknown.run(&["NOSUCH"])?;
    check_closed_in_time(&mut half, "half a request")?;
    check_closed_in_time(&mut unknown, "a command that is none")
}

#[test]
fn the_idle_are_closed_and_those_who_listen_or_wait_are_not() -> Result<()> {
    let server = Options::new().set("enable-debug-command", "local").start()?;
    let (mut admin, mut idle, mut listener) = (server.client()?, server.client()?, server.client()?);
    let (mut monitor, mut waiter, mut sleeper) = (server.client()?, server.client()?, server.client()?);
    idle.ask(&["PING"])?;
    listener.ask(&["SUBSCRIBE", "news"])?;
    monitor.ask(&["MONITOR"])?;
    let waiter_id = id(&mut waiter)?;
    waiter.send(&request(&["WAIT", "1", "0"]))?;
    sleeper.send(&request(&["DEBUG", "SLEEP", "4"]))?;
    until_blocked(&mut admin, 2)?;
    // It counts for connections that wait already, as in Redis.
    admin.ask(&["CONFIG", "SET", "timeout", "1"])?;
    check_closed_in_time(&mut idle, "idle")?;
    ensure!(sleeper.read()? == Value::Simple("OK".into()), "what runs is not idle");
    let mut admin = server.client()?;
    ensure!(admin.ask(&["PUBLISH", "news", "x"])? == Value::Integer(1), "the listener is gone");
    listener.read()?;
    ensure!(admin.ask(&["CLIENT", "UNBLOCK", &waiter_id])? == Value::Integer(1), "who waited is gone");
    monitor.read().map(drop).context("the monitor is gone")
}

#[test]
fn the_soft_limit_passes_while_nothing_is_published() -> Result<()> {
    let server = Options::new().set("client-output-buffer-limit", "pubsub 0 1mb 2").start()?;
    let (mut publisher, mut slow) = (server.client()?, server.client()?);
    let slow_id = id(&mut slow)?;
    slow.ask(&["SUBSCRIBE", "news"])?;
    let message = "x".repeat(100_000);
    let held = |publisher: &mut Client| -> Result<usize> {
        let list = publisher.ask(&["CLIENT", "LIST", "ID", &slow_id])?.expect_text().to_owned();
        let held = list.split(' ').find_map(|field| field.strip_prefix("omem=")).context("it is gone")?;
        Ok(held.parse()?)
    };
    until("more than the soft limit waits", || {
        publisher.ask(&["PUBLISH", "news", &message])?;
        Ok(held(&mut publisher)? > 2 << 20)
    })?;
    let over = Instant::now();
    // Nobody publishes any more: only the clock is left to end it.
    until("the slow listener is gone", || Ok(!ids(&mut publisher)?.contains(&slow_id)))?;
    ensure!(over.elapsed() > Duration::from_millis(500), "cut off after {:?}, before its time", over.elapsed());
    ensure!(
        publisher.figure("stats", "client_output_buffer_limit_disconnections")? == "1",
        "the disconnection is not counted"
    );
    Ok(())
}

#[test]
fn many_slow_commands_are_kept_within_bounds() -> Result<()> {
    let server: Server = Options::new().set("slowlog-log-slower-than", "0").set("slowlog-max-len", "50").start()?;
    let mut client = server.client()?;
    let large = "x".repeat(1 << 20);
    for _ in 0..60 {
        client.ask(&["ECHO", &large])?;
    }
    ensure!(client.ask(&["SLOWLOG", "LEN"])? == Value::Integer(50), "SLOWLOG LEN");
    let before = server.resident()?;
    (0..200).try_for_each(|_| client.ask(&["ECHO", &large]).map(drop))?;
    let grown = server.resident()?.saturating_sub(before);
    ensure!(grown < 30 << 20, "it grew by {grown} bytes");
    Ok(())
}

/// The map at the end of an entry of SLOWLOG GET .. FULL, of the latest command of this name.
fn more(client: &mut Client, command: &str) -> Result<Value> {
    let entries = client.ask(&["SLOWLOG", "GET", "-1", "FULL"])?;
    let of = |entry: &&Value| entry.expect_array()[3].expect_array()[0].expect_text().eq_ignore_ascii_case(command);
    let found = entries.expect_array().iter().find(of).with_context(|| format!("no {command} in the slow log"))?;
    Ok(found.expect_array()[6].clone())
}

#[test]
fn a_slow_query_says_how_it_was_answered() -> Result<()> {
    let server = Options::new().set("slowlog-log-slower-than", "0").set("loglevel", "verbose").start()?;
    let mut client = server.client()?;
    client.ask(&["HELLO", "3"])?;
    for number in 0..300 {
        client.ask(&["DOC.INSERT", "people", &format!(r#"{{"_id":{number},"age":{},"name":"x"}}"#, number % 100)])?;
    }
    client.ask(&["IDX.CREATE", "people", "by_age", r#"{"age":1}"#])?;
    until("the index is built", || Ok(client.ask(&["IDX.LIST", "people"])?.to_string().contains("ready")))?;
    let cases: [(&[&str], &str, i64, i64); 9] = [
        (&["DOC.FIND", "people", r#"{"name":"x"}"#], "COLLSCAN", 0, 300),
        (&["DOC.FIND", "people", r#"{"age":7}"#], "IXSCAN by_age", 3, 3),
        // An integer has two forms among ids.
        (&["DOC.FIND", "people", r#"{"_id":7}"#], "IDLOOKUP", 2, 1),
        (&["DOC.FIND", "people", r#"{"$or":[{"age":7},{"_id":8}]}"#], "IXSCAN by_age,_id_", 5, 4),
        (&["DOC.COUNT", "people", r#"{"name":"x"}"#], "COLLSCAN", 0, 300),
        (&["DOC.AGGREGATE", "people", r#"[{"$match":{"age":7}},{"$count":"n"}]"#], "IXSCAN by_age", 3, 3),
        (&["DOC.DISTINCT", "people", "name", r#"{"age":7}"#], "IXSCAN by_age", 3, 3),
        (&["DOC.UPDATE", "people", r#"{"name":"x"}"#, r#"{"$set":{"name":"x"}}"#], "COLLSCAN", 0, 300),
        (&["DOC.DELETE", "people", r#"{"name":"y"}"#], "COLLSCAN", 0, 300),
    ];
    for (request, plan, keys, documents) in cases {
        client.ask(request)?;
        let more = more(&mut client, request[0])?;
        let figure = |name: &str| more.get(name).map(Value::expect_integer);
        ensure!(more.get("plan").map(Value::expect_text) == Some(plan), "{request:?}: {more}");
        ensure!(
            figure("keys-examined") == Some(keys) && figure("docs-examined") == Some(documents),
            "{request:?}: {more}"
        );
        // The server's log has the same request under the same name.
        let id = more.get("request-id").context("request-id")?.expect_text().to_owned();
        let log = server.log();
        let line = log.lines().find(|line| line.contains(&id)).with_context(|| format!("{id} is not in the log"))?;
        ensure!(line.contains(plan), "{line}");
    }
    // A cursor that goes on says what it looked at; what is no query says nothing.
    let opened = client.ask(&["DOC.FIND", "people", r#"{"name":"x"}"#, "CURSOR", "10"])?;
    client.ask(&["DOC.CURSOR", "READ", opened.expect_array()[0].to_string().trim_matches(['$', ' ', ':'])])?;
    ensure!(more(&mut client, "DOC.FIND")?.get("docs-examined").map(Value::expect_integer) < Some(300), "all at once");
    client.ask(&["PING"])?;
    ensure!(more(&mut client, "PING")?.get("plan").is_none(), "PING has a plan");
    // Who does not ask for more gets Redis's six.
    let plain = client.ask(&["SLOWLOG", "GET", "1"])?;
    ensure!(plain.expect_array()[0].expect_array().len() == 6, "{plain}");
    Ok(())
}
