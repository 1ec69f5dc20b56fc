//! One client's long work does not hold up the others' writes: what expressions ask for is done before the unit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use veddb_tests::{Client, Options, Value};

const DOCUMENTS: usize = 1000;

/// How long one SET may wait: to evaluate the expression on all documents takes seconds.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// An expression of some seventy thousand steps, whose value is 49995000.
const LONG: &str = r#"{"$reduce":{"input":{"$range":[0,10000]},"initialValue":0,"in":{"$add":["$$value","$$this"]}}}"#;

/// Runs a request beside a client that goes on writing; answers the longest that one of its writes took.
fn beside(client: &mut Client, other: &mut Client, request: &[String]) -> Result<(Value, Duration)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<Duration> {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Acquire) {
                let begun = Instant::now();
                other.ask(&["DOC.SET", "other", "k", r#"{"a":1}"#])?;
                longest = longest.max(begun.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            Ok(longest)
        });
        let reply = client.ask(request);
        done.store(true, Ordering::Release);
        let longest = writer.join().unwrap_or_else(|_| anyhow::bail!("the writer panicked"))?;
        Ok((reply?, longest))
    })
}

#[test]
fn expressions_of_many_documents_do_not_hold_up_other_writes() -> Result<()> {
    let server = Options::new().set("appendfsync", "everysec").start()?;
    let (mut client, mut other) = (server.client()?, server.client()?);
    client.set_timeout(Duration::from_secs(120))?;
    let mut insert = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
    insert.extend((0..DOCUMENTS).map(|n| format!(r#"{{"_id":{n}}}"#)));
    client.ask(&insert)?;
    let ids = (0..DOCUMENTS).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for (filter, update) in [
        ("{}".to_owned(), format!(r#"[{{"$set":{{"a":{LONG}}}}}]"#)),
        (format!(r#"{{"_id":{{"$in":[{ids}]}}}}"#), format!(r#"[{{"$set":{{"b":{LONG}}}}}]"#)),
        (format!(r#"{{"$expr":{{"$eq":[49995000,{LONG}]}}}}"#), r#"{"$set":{"c":49995000}}"#.to_owned()),
    ] {
        let request = ["DOC.UPDATE".to_owned(), "c".to_owned(), filter, update];
        let (_, longest) = beside(&mut client, &mut other, &request)?;
        assert!(longest < WAIT_MAX, "a write waited {longest:?}");
    }
    let all = client.ask(&["DOC.COUNT", "c", r#"{"a":49995000,"b":49995000,"c":49995000}"#])?;
    assert_eq!(all.expect_integer(), DOCUMENTS as i64);
    Ok(())
}
