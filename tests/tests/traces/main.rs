//! Traces where the collector fails: nobody who asks the server notices, and what is lost is counted. What is sent to one that does not is
//! looked at by OpenTelemetry's own packages, in `compat/clients/opentelemetry`.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value as Json;
use veddb_tests::http::Scrape;
use veddb_tests::server::binary;
use veddb_tests::{Client, Collector, Manner, Options, Server, Value, until};

/// A server that traces everything, with this many spans in its queue at most.
fn traced(endpoint: &str, queue: usize) -> Options {
    let options = Options::new().http().set("trace-endpoint", endpoint).set("trace-sample", "1");
    options.set("trace-queue", queue.to_string())
}

/// What became of spans.
fn spans(server: &Server, result: &str) -> Result<u64> {
    Ok(Scrape::of(server.http_port())?.get("veddb_trace_spans_total", &[("result", result)]).unwrap_or(0.0) as u64)
}

fn pings(client: &mut Client, count: usize) -> Result<Duration> {
    let began = Instant::now();
    for _ in 0..count {
        client.ask(&["PING"])?;
    }
    Ok(began.elapsed())
}

#[test]
fn a_collector_that_is_not_there_is_said_once_and_found_when_it_comes() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?;
    let address = free.local_addr()?;
    drop(free);
    let server = traced(&format!("http://{address}"), 100_000).start()?;
    let mut client = server.client()?;
    pings(&mut client, 1000)?;
    until("spans are counted as failed", || Ok(spans(&server, "failed")? >= 1000))?;
    pings(&mut client, 1000)?;
    until("and those after them", || Ok(spans(&server, "failed")? >= 2000))?;
    let said = server.log().matches("traces are not taken by the collector").count();
    ensure!(said == 1, "it was said {said} times:\n{}", server.log());
    let collector = Collector::on(TcpListener::bind(address)?, Manner::Take)?;
    pings(&mut client, 1000)?;
    until("spans are taken", || Ok(spans(&server, "exported")? >= 1000))?;
    ensure!(collector.requests() > 0);
    ensure!(server.log().contains("traces are taken again"), "{}", server.log());
    Ok(())
}

#[test]
fn a_collector_that_hangs_holds_up_nobody() -> Result<()> {
    let collector = Collector::start(Manner::Hang)?;
    let mut server = traced(&collector.endpoint(), 100).start()?;
    let mut client = server.client()?;
    let took = pings(&mut client, 5000)?;
    ensure!(took < Duration::from_secs(20), "5000 commands took {took:?}");
    until("the queue is full", || Ok(spans(&server, "dropped")? > 4000))?;
    let scrape = Scrape::of(server.http_port())?;
    let queued = scrape.get("veddb_queue_length", &[("queue", "traces")]).unwrap_or(-1.0);
    ensure!((1.0..=100.0).contains(&queued), "{queued} spans wait");
    ensure!(server.log().matches("trace-queue is full").count() == 1, "{}", server.log());
    ensure!(scrape.get("veddb_queue_limit", &[("queue", "traces")]) == Some(100.0));
    // A stop does not wait for it either, but for the two seconds that the last spans have.
    let began = Instant::now();
    server.stop()?;
    ensure!(began.elapsed() < Duration::from_secs(10), "the stop took {:?}", began.elapsed());
    ensure!(server.log().contains("the last traces could not be sent"), "{}", server.log());
    Ok(())
}

#[test]
fn whatever_a_collector_answers_the_server_goes_on() -> Result<()> {
    let collector = Collector::start(Manner::Take)?;
    let elsewhere = Collector::start(Manner::Take)?;
    let location: &'static str = format!("location: {}/v1/traces\r\n", elsewhere.endpoint()).leak();
    let server = traced(&collector.endpoint(), 100_000).start()?;
    let mut client = server.client()?;
    for manner in [
        Manner::Answer(400, ""),
        Manner::Answer(404, ""),
        Manner::Answer(500, ""),
        Manner::Answer(307, location),
        Manner::Flood,
        Manner::Slam,
        Manner::Babble,
    ] {
        collector.behave(manner);
        let before = spans(&server, "failed")?;
        pings(&mut client, 10)?;
        until(&format!("{manner:?} is a failure"), || Ok(spans(&server, "failed")? >= before + 10))?;
    }
    ensure!(elsewhere.requests() == 0, "it followed to where it was sent");
    // One that is away for a moment is asked again, and so is one that is busy.
    collector.behave(Manner::Slam);
    let (failed, exported) = (spans(&server, "failed")?, spans(&server, "exported")?);
    let asked = collector.requests();
    pings(&mut client, 10)?;
    until("it is asked a few times", || Ok(collector.requests() > asked + 4))?;
    collector.behave(Manner::Take);
    until("it takes them then", || Ok(spans(&server, "exported")? >= exported + 10))?;
    ensure!(spans(&server, "failed")? == failed, "some were given up");

    collector.behave(Manner::Answer(429, "retry-after: 1\r\n"));
    let (failed, exported) = (spans(&server, "failed")?, spans(&server, "exported")?);
    let asked = collector.requests();
    pings(&mut client, 10)?;
    until("it is asked", || Ok(collector.requests() > asked))?;
    collector.behave(Manner::Take);
    until("it takes them after all", || Ok(spans(&server, "exported")? >= exported + 10))?;
    ensure!(spans(&server, "failed")? == failed, "some were given up");
    Ok(())
}

#[test]
fn settings_that_cannot_be_are_refused() -> Result<()> {
    let home = tempfile::tempdir()?;
    let empty = home.path().join("empty.pem");
    fs::write(&empty, "")?;
    let empty = empty.display().to_string();
    for (settings, expected) in [
        (vec!["--trace-endpoint", "127.0.0.1:4318"], "http://127.0.0.1:4318"),
        (vec!["--trace-endpoint", "http://user:secret@127.0.0.1:4318"], "trace-headers"),
        (vec!["--trace-endpoint", "https://127.0.0.1:4318"], "trace-ca-cert-file is needed"),
        (vec!["--trace-endpoint", "https://127.0.0.1:4318", "--trace-ca-cert-file", &empty], "no certificate in it"),
        (vec!["--trace-endpoint", "http://127.0.0.1:4318/v1/traces"], "is added to it"),
        (vec!["--trace-endpoint", "HTTPS://127.0.0.1:4318"], "trace-ca-cert-file is needed"),
        (vec!["--trace-endpoint", "http://127.0.0.1:4318", "--trace-ca-cert-file", &empty], "is not https"),
        (vec!["--trace-headers", "secret"], "name=value"),
        (vec!["--trace-headers", "host=secret"], "not to be chosen"),
        (vec!["--trace-sample", "1.5"], "between 0 and 1"),
        (vec!["--trace-queue", "0"], "between 100 and"),
    ] {
        let mut command = Command::new(binary()?);
        command.args(["server", "--port", "0", "--dir"]).arg(home.path().join("data")).args(&settings);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(expected), "{settings:?}: {said}");
        ensure!(!said.contains("secret"), "{settings:?}: {said}");
    }
    let server = Options::new().start()?;
    let mut client = server.client()?;
    for (name, value) in [("trace-endpoint", "http://127.0.0.1:1"), ("trace-sample", "NaN"), ("trace-sample", "-1")] {
        let answer = client.run(&["CONFIG", "SET", name, value])?;
        ensure!(matches!(answer, Value::Error(_)), "CONFIG SET {name} {value}: {answer:?}");
    }
    Ok(())
}

/// What SLOWLOG calls the last slow request.
fn request_id(client: &mut Client) -> Result<String> {
    let found = client.run(&["SLOWLOG", "GET", "1", "FULL"])?;
    let Value::Array(entries) = found else { anyhow::bail!("{found:?}") };
    let Some(Value::Array(fields)) = entries.first() else { anyhow::bail!("{entries:?}") };
    let Some(Value::Array(more)) = fields.get(6) else { anyhow::bail!("{fields:?}") };
    match more.get(1) {
        Some(Value::Bulk(id)) => Ok(String::from_utf8_lossy(id).into_owned()),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Lines that a request causes have its number, also where another thread writes them for it, and those of the start have none.
#[test]
fn lines_of_the_log_have_the_number_of_their_request() -> Result<()> {
    for format in ["text", "json"] {
        let server = Options::new().set("log-format", format).set("slowlog-log-slower-than", "0").start()?;
        let mut client = server.client()?;
        client.ask(&["CONFIG", "SET", "timeout", "300"])?;
        let id = request_id(&mut client)?;
        let log = server.log();
        let changed = log.lines().find(|line| line.contains("setting changed"));
        let changed = changed.ok_or_else(|| anyhow::anyhow!("no such line in:\n{log}"))?;
        let slow = log.lines().find(|line| line.contains("slow command") && line.contains("config|set"));
        let slow = slow.ok_or_else(|| anyhow::anyhow!("no such line in:\n{log}"))?;
        for line in [changed, slow] {
            if format == "json" {
                let object: Json = serde_json::from_str(line)?;
                ensure!(object["fields"]["request"] == id.as_str(), "{id}: {line}");
            } else {
                ensure!(line.ends_with(&format!(" request={id}")), "{id}: {line}");
            }
        }
        // What was answered on the way to a command is not it.
        client.pipeline(&[vec!["SET", "a", "1"], vec!["CONFIG", "SET", "timeout", "301"]])?;
        let id = request_id(&mut client)?;
        let log = server.log();
        let changed = log.lines().rfind(|line| line.contains("setting changed")).unwrap_or_default();
        ensure!(changed.contains(&id), "{id}: {changed}");
        // The thread that changes users writes this one.
        client.ask(&["ACL", "SETUSER", "ada", "on"])?;
        let id = request_id(&mut client)?;
        let log = server.log();
        let set = log.lines().find(|line| line.contains("user set")).unwrap_or_default();
        ensure!(set.contains(&id), "{id}: {set}");
        // A pipeline's writes are answered together, and each line is of its own.
        client.pipeline(&[vec!["SETEX", "a", "9", "1"], vec!["SETEX", "b", "9", "2"]])?;
        let log = server.log();
        let numbers: Vec<&str> = log
            .lines()
            .filter(|line| {
                line.contains("slow command")
                    && (line.contains("command=\"setex\"") || line.contains("\"command\":\"setex\""))
            })
            .filter_map(|line| line.split("request").nth(1))
            .collect();
        ensure!(numbers.len() == 2 && numbers[0] != numbers[1], "{numbers:?} in:\n{log}");
        let starting = log.lines().find(|line| line.contains("Ready to accept")).unwrap_or_default();
        ensure!(!starting.contains("request"), "{starting}");
    }
    Ok(())
}
