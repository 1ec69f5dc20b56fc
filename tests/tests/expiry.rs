//! Documents that expire, seen from outside: gone for every command at once, deleted soon, and kept track of through kills.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veddb_tests::{Client, Options, Value};

/// A sweep that does not come while a test runs, seconds.
const NEVER: &str = "3600";

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_so()? {
        if started.elapsed() > Duration::from_secs(60) {
            bail!("never: {what}");
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn wait_until_gone(client: &mut Client, collection: &str, id: &str) -> Result<()> {
    wait_until("a document is gone", || Ok(client.ask(&["DOC.EXISTS", collection, id])? == Value::Integer(0)))
}

#[track_caller]
fn check(client: &mut Client, request: &[&str], expected: &str) {
    let reply = client.run(request).expect("the server answers");
    assert_eq!(reply.to_string().split_whitespace().collect::<Vec<_>>().join(" "), expected, "{request:?}");
}

fn stored(client: &mut Client, collection: &str) -> Result<i64> {
    match client.ask(&["DOC.STATS", collection])?.get("count") {
        Some(Value::Integer(count)) => Ok(*count),
        other => bail!("no count: {other:?}"),
    }
}

fn check_verified(client: &mut Client, collection: &str) -> Result<()> {
    let verified = client.ask(&["IDX.VERIFY", collection])?;
    for wrong in ["missing", "dangling"] {
        assert_eq!(verified.get(wrong), Some(&Value::Integer(0)), "{collection}: {verified}");
    }
    Ok(())
}

/// `c` with `stays` and three documents that have expired and that nobody has deleted; `n` is unique.
fn expired(client: &mut Client) -> Result<()> {
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "UNIQUE", "SYNC"])?;
    client.ask(&["DOC.SET", "c", "stays", r#"{"n":1,"k":1}"#])?;
    for (id, body) in [("a", r#"{"n":2,"k":1}"#), ("b", r#"{"n":3,"k":1}"#), ("d", r#"{"n":4,"k":1}"#)] {
        client.ask(&["DOC.SET", "c", id, body, "PX", "1"])?;
    }
    for id in ["a", "b", "d"] {
        wait_until_gone(client, "c", id)?;
    }
    assert_eq!(stored(client, "c")?, 4, "nothing was swept");
    Ok(())
}

#[test]
fn no_command_sees_what_has_expired() -> Result<()> {
    let server = Options::new().set("ttl-sweep-seconds", NEVER).start()?;
    let mut client = server.client_speaking(3)?;
    let client = &mut client;
    expired(client)?;
    let stays = r#"$ {"_id":"stays","n":1,"k":1}"#;
    let one = format!("[ {stays} ]");
    check(client, &["DOC.GET", "c", "a"], "nil");
    check(client, &["DOC.MGET", "c", "a", "stays", "b"], &format!("[ nil {stays} nil ]"));
    check(client, &["DOC.EXISTS", "c", "a", "b", "stays"], ":1");
    for id in ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"] {
        check(client, &[&format!("DOC.{id}"), "c", "a"], ":-2");
    }
    for hint in ["$natural", "by_n"] {
        check(client, &["DOC.FIND", "c", r#"{"n":{"$gt":0}}"#, "HINT", hint], &one);
        check(client, &["DOC.FIND", "c", r#"{"n":{"$gt":0}}"#, "HINT", hint, "SORT", r#"{"n":-1}"#], &one);
        // An index that has all that is asked for has entries of what has expired as well.
        let project = ["PROJECT", r#"{"_id":0,"n":1}"#, "HINT", hint];
        check(client, &[&["DOC.FIND", "c", r#"{"n":{"$gt":0}}"#][..], &project].concat(), r#"[ $ {"n":1} ]"#);
        check(client, &[&["DOC.FIND", "c", r#"{"n":3}"#][..], &project].concat(), "[]");
    }
    check(client, &["DOC.FIND", "c", r#"{"_id":{"$in":["a","stays","d"]}}"#], &one);
    check(client, &["DOC.FIND", "c", r#"{"$or":[{"n":2},{"_id":"b"},{"n":1}]}"#], &one);
    for filter in ["{}", r#"{"n":{"$gt":0}}"#, r#"{"n":{"$in":[1,2,3]}}"#, r#"{"k":1}"#, r#"{"n":{"$mod":[2,1]}}"#] {
        check(client, &["DOC.COUNT", "c", filter], ":1");
    }
    check(client, &["DOC.COUNT", "c"], ":1");
    check(client, &["DOC.COUNT", "c", r#"{"n":3}"#], ":0");
    check(client, &["DOC.DISTINCT", "c", "n"], "$ [1]");
    check(client, &["DOC.DISTINCT", "c", "n", r#"{"n":{"$gt":0}}"#], "$ [1]");
    check(client, &["DOC.AGGREGATE", "c", r#"[{"$count":"n"}]"#], r#"[ $ {"n":1} ]"#);
    check(client, &["DOC.AGGREGATE", "c", r#"[{"$match":{"n":{"$gt":1}}}]"#], "[]");
    client.ask(&["DOC.INSERT", "from", r#"{"_id":1,"n":2,"k":1,"to":["a","stays"]}"#])?;
    for (local, foreign, joined) in [("n", "n", "[]"), ("k", "k", "[1]"), ("to", "_id", "[1]")] {
        let lookup = format!(
            r#"[{{"$lookup":{{"from":"c","localField":"{local}","foreignField":"{foreign}","as":"j"}}}},{{"$project":{{"_id":0,"j":"$j.n"}}}}]"#
        );
        check(client, &["DOC.AGGREGATE", "from", &lookup], &format!(r#"[ $ {{"j":{joined}}} ]"#));
    }
    let graph = r#"[{"$graphLookup":{"from":"c","startWith":"$k","connectFromField":"x","connectToField":"k","as":"j"}},{"$project":{"_id":0,"j":"$j.n"}}]"#;
    check(client, &["DOC.AGGREGATE", "from", graph], r#"[ $ {"j":[1]} ]"#);
    let union = r#"[{"$unionWith":"c"},{"$count":"n"}]"#;
    check(client, &["DOC.AGGREGATE", "from", union], r#"[ $ {"n":2} ]"#);
    for filter in [r#"{"_id":"a"}"#, r#"{"n":2}"#, r#"{"k":1,"n":{"$gt":1}}"#] {
        let nothing = "{ $ matched => :0 $ modified => :0 $ upserted => nil }";
        check(client, &["DOC.UPDATE", "c", filter, r#"{"$set":{"x":1}}"#], nothing);
        check(client, &["DOC.FINDANDMODIFY", "c", filter, "DELETE"], "nil");
        check(client, &["DOC.DELETE", "c", filter], ":0");
    }
    check(client, &["DOC.DEL", "c", "a"], ":0");
    check(client, &["DOC.EXPIRE", "c", "a", "100"], ":0");
    check(client, &["DOC.PERSIST", "c", "a"], ":0");
    check(client, &["DOC.SET", "c", "a", "{}", "XX"], "nil");
    check(client, &["DOC.SET", "c", "a", "{}", "IFVER", "1"], "-CONFLICT the version is 0, not 1");
    assert_eq!(stored(client, "c")?, 4);
    check_verified(client, "c")
}

#[test]
fn what_has_expired_is_in_nobodys_way() -> Result<()> {
    let server = Options::new().set("ttl-sweep-seconds", NEVER).start()?;
    let mut client = server.client_speaking(3)?;
    let client = &mut client;
    expired(client)?;
    // An id, and the keys of two others, one of them by an upsert.
    check(client, &["DOC.INSERT", "c", r#"{"_id":"a","n":9}"#], "[ $ a ]");
    check(client, &["DOC.GET", "c", "a", "WITHVER"], r#"[ :1 $ {"_id":"a","n":9} ]"#);
    check(client, &["DOC.TTL", "c", "a"], ":-1");
    check(client, &["DOC.SET", "c", "x", r#"{"n":3}"#], ":1");
    let upserted = "{ $ matched => :0 $ modified => :0 $ upserted => $ y }";
    check(client, &["DOC.UPDATE", "c", r#"{"_id":"y"}"#, r#"{"$set":{"n":4}}"#, "UPSERT"], upserted);
    let sixth = client.run(&["DOC.INSERT", "c", r#"{"_id":"z","n":4}"#])?;
    assert!(sixth.is_error("DUPKEY"), "{sixth}");
    assert_eq!(stored(client, "c")?, 4, "stays, a, x, y");
    check_verified(client, "c")
}

#[test]
fn expiries_outlive_kills() -> Result<()> {
    let mut server = Options::new().set("ttl-sweep-seconds", NEVER).start()?;
    let mut client = server.client()?;
    expired(&mut client)?;
    client.ask(&["DOC.SET", "c", "far", r#"{"n":5}"#, "PXAT", "4000000000001"])?;
    client.ask(&["DOC.SET", "c", "was", r#"{"n":6}"#, "PXAT", "4000000000001"])?;
    client.ask(&["DOC.PERSIST", "c", "was"])?;
    client.ask(&["DOC.PEXPIREAT", "c", "stays", "4000000000002"])?;
    // From the log, from a checkpoint, and from both.
    for round in 0..3 {
        if round == 1 {
            server.stop()?;
        } else {
            server.kill()?;
        }
        server.restart()?;
        client = server.client_speaking(3)?;
        check(&mut client, &["DOC.PEXPIRETIME", "c", "far"], ":4000000000001");
        check(&mut client, &["DOC.PEXPIRETIME", "c", "was"], ":-1");
        check(&mut client, &["DOC.PEXPIRETIME", "c", "stays"], ":4000000000002");
        check(&mut client, &["DOC.EXISTS", "c", "a", "b", "d"], ":0");
        check(&mut client, &["DOC.COUNT", "c"], &format!(":{}", 3 + round));
        check_verified(&mut client, "c")?;
        let late = format!("late{round}");
        let n = format!(r#"{{"n":{}}}"#, 10 + round);
        client.ask(&["DOC.SET", "c", &late, &n, "PXAT", "4000000000003"])?;
    }
    Ok(())
}

#[test]
fn what_has_expired_is_deleted_soon() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"])?;
    let mut requests = Vec::new();
    for n in 0..1500 {
        let (id, body) = (format!("d{n}"), format!(r#"{{"n":{n}}}"#));
        let mut request = vec!["DOC.SET".to_owned(), "c".to_owned(), id, body];
        match n % 3 {
            0 => request.extend(["PX".to_owned(), (1 + n % 50).to_string()]),
            1 => request.extend(["EX".to_owned(), "10000".to_owned()]),
            _ => {}
        }
        requests.push(request);
    }
    client.pipeline(&requests)?;
    wait_until("the sweep", || Ok(stored(&mut client, "c")? == 1000))?;
    check_verified(&mut client, "c")?;
    let verified = client.ask(&["IDX.VERIFY", "c"])?;
    // The index on _id, the one on n, and what keeps the expiries of the 500 that are still to go.
    assert_eq!(verified.get("entries"), Some(&Value::Integer(2500)), "{verified}");
    let deleted: u64 = client.figure("stats", "expired_ttl_documents")?.parse().context("a number")?;
    assert_eq!(deleted, 500);
    Ok(())
}
