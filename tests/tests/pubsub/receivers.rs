//! What receivers can rely on, and what they cannot do to others.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use veddb_tests::{Client, Options, Server, Value, request, setting};

/// A connection that listens to these channels.
fn listener(server: &Server, channels: &[&str]) -> Result<Client> {
    let mut client = Client::connect(server.port())?;
    client.send(&request(&[&["SUBSCRIBE"], channels].concat()))?;
    for _ in channels {
        client.read()?;
    }
    Ok(client)
}

/// The text of a message.
fn text(message: &Value) -> &str {
    message.expect_array().last().map_or("", Value::expect_text)
}

fn resident_kib(server: &Server) -> Result<usize> {
    let pid = server.pid().context("the server is not running")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[test]
fn all_receivers_hear_one_order() -> Result<()> {
    const PUBLISHERS: usize = 3;
    const MESSAGES: usize = 2000;
    let server = Options::new().set("io-threads", "4").start()?;
    let mut listeners = (0..5).map(|_| listener(&server, &["c"])).collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let publish = |publisher: usize| -> Result<()> {
            let requests: Vec<Vec<String>> = (0..MESSAGES)
                .map(|number| vec!["PUBLISH".to_owned(), "c".to_owned(), format!("{publisher} {number}")])
                .collect();
            for counts in requests.chunks(100).map(|some| Client::connect(server.port())?.pipeline(some)) {
                ensure!(counts?.iter().all(|count| *count == Value::Integer(5)), "not delivered to all");
            }
            Ok(())
        };
        let all: Vec<_> = (0..PUBLISHERS).map(|publisher| scope.spawn(move || publish(publisher))).collect();
        all.into_iter().try_for_each(|one| one.join().expect("a publisher panicked"))
    })?;
    let mut orders = Vec::new();
    for listener in &mut listeners {
        let messages = (0..PUBLISHERS * MESSAGES).map(|_| Ok(text(&listener.read()?).to_owned()));
        orders.push(messages.collect::<Result<Vec<String>>>()?);
    }
    ensure!(orders.iter().all(|order| *order == orders[0]), "two receivers heard two orders");
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher} ");
        let numbers = orders[0].iter().filter_map(|text| text.strip_prefix(&prefix)?.parse::<usize>().ok());
        ensure!(numbers.eq(0..MESSAGES), "publisher {publisher}'s messages changed their order");
    }
    Ok(())
}

#[test]
fn nothing_comes_after_an_unsubscription() -> Result<()> {
    let server = Options::new().set("io-threads", "4").start()?;
    let ended = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| -> Result<()> {
            let mut client = Client::connect(server.port())?;
            let some = vec![vec!["PUBLISH", "c", "x"]; 20];
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                client.pipeline(&some)?;
            }
            Ok(())
        });
        let outcome = (|| -> Result<usize> {
            let mut client = Client::connect(server.port())?;
            let mut heard = 0;
            for _ in 0..300 {
                client.run(&["SUBSCRIBE", "c"])?;
                client.send(&request(&["UNSUBSCRIBE", "c"]))?;
                while client.read()?.expect_array()[0] != Value::Bulk("unsubscribe".into()) {
                    heard += 1;
                }
                ensure!(client.run(&["PING"])? == Value::Simple("PONG".into()), "a message came after the end");
            }
            Ok(heard)
        })();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        publisher.join().expect("the publisher panicked")?;
        ensure!(outcome? > 0, "nothing was heard at all");
        Ok(())
    })
}

#[test]
fn a_publisher_that_does_not_read_is_heard() -> Result<()> {
    let server = Options::new().start()?;
    let mut listener = listener(&server, &["c"])?;
    let mut publisher = Client::connect(server.port())?;
    publisher.ask(&["DOC.SET", "c", "large", &format!(r#"{{"t":"{}"}}"#, "x".repeat(8 << 20))])?;
    // More than the sockets hold, so that the server waits for this client.
    let mut requests = request(&["PUBLISH", "c", "first"]);
    requests.extend((0..8).flat_map(|_| request(&["DOC.GET", "c", "large"])));
    publisher.send(&requests)?;
    ensure!(text(&listener.read()?) == "first", "not the message");
    Ok(())
}

/// Messages that come right after one another are handed out together, which nobody can tell.
#[test]
fn a_pipeline_is_answered_and_heard_in_its_order() -> Result<()> {
    let server = Options::new().start()?;
    let mut exact = listener(&server, &["c", "d"])?;
    let mut both = listener(&server, &["c"])?;
    let mut publisher = Client::connect(server.port())?;
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let send =
        ["PUBLISH c 1", "publish c 2", "PUBLISH c", "PUBLISH d 3", "SET k v", "PUBLISH c 4", "GET k", "PUBLISH c 5"];
    let replies = publisher.pipeline(&send.map(words))?;
    let counts: Vec<_> = [0, 1, 3, 5, 7].iter().map(|at| replies[*at].clone()).collect();
    ensure!(counts == [2, 2, 1, 2, 2].map(Value::Integer), "{replies:?}");
    ensure!(replies[2].is_error("ERR") && replies[6].expect_text() == "v", "{replies:?}");
    for wanted in ["1", "2", "3", "4", "5"] {
        ensure!(text(&exact.read()?) == wanted, "not in the order of the pipeline");
    }
    for wanted in ["1", "2", "4", "5"] {
        ensure!(text(&both.read()?) == wanted, "not in the order of the pipeline");
    }
    // With a pattern each message comes from both before the next one.
    both.ask(&["PSUBSCRIBE", "c*"])?;
    publisher.pipeline(&["PUBLISH c 6", "PUBLISH c 7"].map(words))?;
    for wanted in [("message", "6"), ("pmessage", "6"), ("message", "7"), ("pmessage", "7")] {
        let Value::Array(parts) = both.read()? else { bail!("no message") };
        let found = (parts[0].expect_text(), parts[parts.len() - 1].expect_text());
        ensure!(found == wanted, "{found:?} came, not {wanted:?}");
    }
    Ok(())
}

#[test]
fn messages_are_sent_also_where_replies_are_not() -> Result<()> {
    let server = Options::new().start()?;
    let (mut client, mut other) = (Client::connect(server.port())?, Client::connect(server.port())?);
    client.run(&["HELLO", "3"])?;
    client.send(&[request(&["CLIENT", "REPLY", "OFF"]), request(&["PING"]), request(&["SUBSCRIBE", "c"])].concat())?;
    ensure!(client.read()?.expect_array()[0] == Value::Bulk("subscribe".into()), "not the subscription");
    other.ask(&["PUBLISH", "c", "x"])?;
    ensure!(text(&client.read()?) == "x", "not the message");
    Ok(())
}

#[test]
fn who_does_not_read_is_cut_off_alone() -> Result<()> {
    let count = setting("VEDDB_STALLED", 50) as usize;
    // With huge pages a byte more may be 2 MiB more: without them what is held is what is seen.
    let options = Options::new().environment("MIMALLOC_ALLOW_THP", "0");
    let server = options.set("client-output-buffer-limit", "pubsub 4mb 0 0").start()?;
    let mut reader = listener(&server, &["c"])?;
    let stalled = (0..count).map(|_| listener(&server, &["c"])).collect::<Result<Vec<_>>>()?;
    let (mut publisher, mut other) = (Client::connect(server.port())?, Client::connect(server.port())?);
    let (before, began) = (resident_kib(&server)?, Instant::now());
    let message = "x".repeat(1000);
    let some = vec![vec!["PUBLISH", "c", &message]; 100];
    let (mut sent, mut most, mut slowest) = (0, 0, Duration::ZERO);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let counts = publisher.pipeline(&some)?;
        sent += counts.len();
        for _ in 0..counts.len() {
            ensure!(text(&reader.read()?).len() == message.len(), "the reader got something else");
        }
        let asked = Instant::now();
        other.ask(&["PING"])?;
        slowest = slowest.max(asked.elapsed());
        most = most.max(resident_kib(&server)?);
        if *counts.last().context("no counts")? == Value::Integer(1) {
            break;
        }
        ensure!(Instant::now() < deadline, "they were not cut off");
    }
    let grown = most.saturating_sub(before);
    println!("{sent} messages in {:?}, {grown} KiB more, slowest PING {slowest:?}", began.elapsed());
    // What all of them did not read is there once, beside what is on its way to each socket.
    ensure!(grown < (12 << 10) + count * 256, "{count} receivers that do not read took {grown} KiB");
    for mut client in stalled {
        ensure!(client.read_to_end().is_ok(), "was not closed");
    }
    let cut: usize = other.figure("stats", "client_output_buffer_limit_disconnections")?.parse()?;
    ensure!(cut == count, "{cut} counted");
    Ok(())
}

/// Receivers that do not read, while messages come at a steady rate: nobody else notices, and each is cut off.
#[test]
fn a_stream_beside_stalled_receivers() -> Result<()> {
    const A_SECOND: usize = 50_000;
    const TICK: Duration = Duration::from_millis(2);
    let count = setting("VEDDB_STALLED", 50) as usize;
    let limit = format!("pubsub {}mb 0 0", setting("VEDDB_STALLED_MB", 4));
    let server = Options::new().set("client-output-buffer-limit", &limit).set("maxclients", "20000").start()?;
    let stalled = (0..count).map(|_| listener(&server, &["c"])).collect::<Result<Vec<_>>>()?;
    let before = resident_kib(&server)?;
    let message = "x".repeat(100);
    let some = vec![vec!["PUBLISH", "c", &message]; A_SECOND / 500];
    let ended = std::sync::atomic::AtomicBool::new(false);
    let (sent, took, most, mut late) = thread::scope(|scope| {
        let pinger = scope.spawn(|| -> Result<Vec<Duration>> {
            let (mut client, mut late) = (Client::connect(server.port())?, Vec::new());
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let asked = Instant::now();
                client.ask(&["PING"])?;
                late.push(asked.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            Ok(late)
        });
        let publish = || -> Result<(usize, Duration, usize)> {
            let mut publisher = Client::connect(server.port())?;
            let (began, mut sent, mut most) = (Instant::now(), 0, before);
            loop {
                let counts = publisher.pipeline(&some)?;
                sent += counts.len();
                if sent.is_multiple_of(A_SECOND / 10) {
                    most = most.max(resident_kib(&server)?);
                }
                if *counts.last().context("no counts")? == Value::Integer(0) {
                    return Ok((sent, began.elapsed(), most));
                }
                ensure!(began.elapsed() < Duration::from_secs(120), "they were not cut off");
                let due = TICK * u32::try_from(sent / some.len())?;
                thread::sleep(due.saturating_sub(began.elapsed()));
            }
        };
        let published = publish();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        let late = pinger.join().expect("the pinger panicked")?;
        let (sent, took, most) = published?;
        Ok::<_, anyhow::Error>((sent, took, most, late))
    })?;
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    println!(
        "{count} stalled, {sent} messages in {took:?}, {} KiB more, PING p99 {p99:?} of {}, slowest {:?}",
        most.saturating_sub(before),
        late.len(),
        late[late.len() - 1]
    );
    ensure!(p99 < Duration::from_millis(100), "PING took {p99:?} at the 99th percentile");
    drop(stalled);
    Ok(())
}

#[test]
fn connections_that_say_nothing_take_little() -> Result<()> {
    let count = setting("VEDDB_IDLE_CONNECTIONS", 400) as usize;
    let server = Options::new().set("maxclients", "20000").start()?;
    let before = resident_kib(&server)?;
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(server.port())?;
        client.ask(&["PING"])?;
        idle.push(client);
    }
    let grown = resident_kib(&server)?.saturating_sub(before);
    println!("{count} connections: {before} KiB before, {grown} KiB more");
    ensure!(grown < 8192 + count * 10, "{count} connections took {grown} KiB");
    Ok(())
}

#[test]
fn many_subscriptions_of_one_client() -> Result<()> {
    const MANY: usize = 10_000;
    let server = Options::new().start()?;
    let (mut client, mut other) = (Client::connect(server.port())?, Client::connect(server.port())?);
    for (command, name) in [("SUBSCRIBE", "c"), ("PSUBSCRIBE", "p"), ("SSUBSCRIBE", "s")] {
        let names: Vec<String> = (0..MANY).map(|number| format!("{name}{number}*")).collect();
        let words: Vec<&str> = std::iter::once(command).chain(names.iter().map(String::as_str)).collect();
        client.send(&request(&words))?;
        for _ in &names {
            client.read()?;
        }
    }
    let channels = other.ask(&["PUBSUB", "CHANNELS"])?;
    let channels: HashSet<&str> = channels.expect_array().iter().map(Value::expect_text).collect();
    ensure!(channels.len() == MANY, "{} channels", channels.len());
    ensure!(other.ask(&["PUBSUB", "NUMPAT"])? == Value::Integer(MANY as i64), "patterns are missing");
    // Of p1*, p12*, p123* and p1234*.
    ensure!(other.ask(&["PUBLISH", "p12345", "x"])? == Value::Integer(4), "not all that match");
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(30);
    while other.ask(&["PUBSUB", "NUMPAT"])? != Value::Integer(0) {
        ensure!(Instant::now() < deadline, "what a client that left listened to stays");
    }
    ensure!(other.ask(&["PUBSUB", "CHANNELS"])?.expect_array().is_empty(), "channels stay");
    Ok(())
}

#[test]
fn patterns_made_to_be_slow_hold_up_their_publisher_alone() -> Result<()> {
    let server = Options::new().set("io-threads", "2").start()?;
    let mut client = Client::connect(server.port())?;
    let patterns: Vec<String> = (0..1000).map(|number| format!("{}{number}", "a*".repeat(50))).collect();
    let words: Vec<&str> = std::iter::once("PSUBSCRIBE").chain(patterns.iter().map(String::as_str)).collect();
    client.send(&request(&words))?;
    for _ in &patterns {
        client.read()?;
    }
    let channel = "a".repeat(2000);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| Client::connect(server.port())?.ask(&["PUBLISH", &channel, "x"]));
        let mut other = Client::connect(server.port())?;
        let mut slowest = Duration::ZERO;
        while !publisher.is_finished() {
            let asked = Instant::now();
            other.ask(&["PSUBSCRIBE", "b"])?;
            other.ask(&["PUNSUBSCRIBE", "b"])?;
            slowest = slowest.max(asked.elapsed());
        }
        ensure!(publisher.join().expect("the publisher panicked")? == Value::Integer(0), "a pattern matches");
        println!("slowest beside it: {slowest:?}");
        ensure!(slowest < Duration::from_millis(500), "others waited {slowest:?}");
        Ok(())
    })
}
