//! The section stats: connections, requests and bytes, what queries and expiry have done, and what CONFIG RESETSTAT takes back.

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, request, until};

use crate::Check;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[
    ("traffic", traffic),
    ("errors and limits", errors),
    ("expiry", expiry),
    ("lookups", lookups),
    ("queries", queries),
    ("reset", reset),
];

fn traffic(seen: &mut Seen) -> Result<()> {
    let server = Options::new().set("appendfsync", "no").start()?;
    let mut client = server.client()?;
    // The start was waited for by another connection.
    seen.comes(&mut client, "connected_clients", 1)?;
    let (asked, ping) = (request(&["INFO", "everything"]).len() as u64, request(&["PING"]).len() as u64);
    let before = seen.look(&mut client)?;
    for _ in 0..100 {
        client.ask(&["PING"])?;
    }
    let after = seen.look(&mut client)?;
    // A command is counted, and its reply, once it is over: of the two INFO the first.
    seen.grew_by(&before, &after, "total_commands_processed", 101)?;
    seen.grew_by(&before, &after, "total_net_input_bytes", 100 * ping + asked)?;
    seen.grew_by(&before, &after, "total_net_output_bytes", 100 * "+PONG\r\n".len() as u64 + before.reply_bytes)?;
    seen.grew_by(&before, &after, "total_reads_processed", 101)?;
    seen.grew_by(&before, &after, "total_writes_processed", 101)?;

    // A pipeline is read and answered at once, and counted one by one.
    let pings: Vec<_> = (0..50).map(|_| vec!["PING"]).collect();
    client.pipeline(&pings)?;
    let last = seen.look(&mut client)?;
    seen.grew_by(&after, &last, "total_commands_processed", 51)?;
    seen.grew(&after, &last, "total_writes_processed", 2.0..=51.0)?;

    let others: Vec<Client> = (0..10).map(|_| server.client()).collect::<Result<_>>()?;
    let info = seen.comes(&mut client, "connected_clients", 11)?;
    seen.grew_by(&last, &info, "total_connections_received", 10)?;
    drop(others);

    // What was sent of a reply counts also where its client leaves in the midst of it.
    client.ask(&["SET", "large", &"x".repeat(16 << 20)])?;
    let mut leaver = server.client()?;
    let before = seen.look(&mut client)?;
    leaver.send(&request(&["GET", "large"]))?;
    let mut some = vec![0; 1 << 20];
    leaver.read_exact(&mut some)?;
    let seen_bytes = some.len() as f64;
    drop(leaver);
    seen.comes(&mut client, "connected_clients", 1)?;
    let after = seen.look(&mut client)?;
    seen.grew(&before, &after, "total_net_output_bytes", seen_bytes..=(16 << 20) as f64)
}

fn errors(seen: &mut Seen) -> Result<()> {
    let options = Options::new().set("client-query-buffer-limit", "1mb").set("proto-max-bulk-len", "1mb");
    let server = options.set("client-output-buffer-limit", "normal 100000 0 0").start()?;
    let (mut admin, mut other) = (server.client()?, server.client()?);
    for _ in 0..3 {
        other.run(&["NOSUCH"])?;
    }
    admin.ask(&["SET", "text", "x"])?;
    other.run(&["INCR", "text"])?;
    other.run(&["GET"])?;
    admin.run(&["EXEC"])?;
    other.send(b"*x\r\n")?;
    other.read_to_end()?;
    let info = seen.look(&mut admin)?;
    seen.is(&info, "total_error_replies", 7)?;
    seen.part_is(&info, "errorstat_ERR", "count", 7)?;
    admin.run(&["AUTH", "nobody", "wrong"])?;
    let info = seen.look(&mut admin)?;
    seen.part_is(&info, "errorstat_WRONGPASS", "count", 1)?;
    seen.is(&info, "total_error_replies", 8)?;

    for _ in 0..2 {
        let mut large = server.client()?;
        large.ask(&["MULTI"])?;
        // What is over the limit ends the connection, wherever it is with that.
        let half = "x".repeat(600_000);
        let _ = large.send(&[request(&["SET", "a", &half]), request(&["SET", "b", &half])].concat());
        let _ = large.read_to_end();
    }
    seen.comes(&mut admin, "client_query_buffer_limit_disconnections", 2)?;
    admin.ask(&["SET", "large", &"x".repeat(200_000)])?;
    for _ in 0..3 {
        let mut reader = server.client()?;
        reader.send(&request(&["GET", "large"]))?;
        ensure!(reader.read_to_end()?.is_empty(), "a reply over the limit was sent");
    }
    seen.comes(&mut admin, "client_output_buffer_limit_disconnections", 3)?;
    Ok(())
}

fn expiry(seen: &mut Seen) -> Result<()> {
    let server = Options::new().set("ttl-sweep-seconds", "1").start()?;
    let mut client = server.client()?;
    let before = seen.look(&mut client)?;
    let begun = std::time::Instant::now();
    for at in 0..5 {
        client.ask(&["SET", &format!("k{at}"), "x", "PX", "1"])?;
    }
    client.ask(&["SET", "stays", "x", "EX", "10000"])?;
    for at in 0..7 {
        client.ask(&["DOC.SET", "c", &format!("d{at}"), "{}", "PX", "1"])?;
    }
    client.ask(&["DOC.SET", "c", "stays", "{}"])?;
    seen.comes(&mut client, "expired_keys", 5)?;
    // Keys are documents as well, and are swept with them where nobody came across them.
    let info = seen.comes_within(&mut client, "expired_ttl_documents", 7.0..=12.0)?;
    seen.is(&info, "documents", 1)?;
    let most = begun.elapsed().as_secs_f64() + 2.0;
    seen.comes_within(&mut client, "ttl_sweeps", before.number("ttl_sweeps")? + 1.0..=f64::MAX)?;
    let later = seen.look(&mut client)?;
    let swept = later.number("ttl_sweeps")? - before.number("ttl_sweeps")?;
    ensure!(swept <= most + begun.elapsed().as_secs_f64(), "{swept} sweeps in {:?}", begun.elapsed());
    Ok(())
}

fn queries(seen: &mut Seen) -> Result<()> {
    const DOCUMENTS: usize = 100;
    const BYTES: usize = 100_000;
    let options = Options::new().set("query-memory-limit", "4mb").set("query-memory-total", "64mb");
    let server = options.set("appendfsync", "no").start()?;
    let mut client = server.client()?;
    let fill = "x".repeat(BYTES);
    for at in 0..DOCUMENTS {
        let body = format!(r#"{{"n":{},"fill":"{fill}"}}"#, DOCUMENTS - at);
        client.ask(&["DOC.SET", "c", &at.to_string(), &body])?;
    }
    client.ask(&["DOC.CREATE", "empty"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "collections", 2)?;
    seen.is(&info, "documents", DOCUMENTS)?;
    seen.is(&info, "query_spilled_bytes", 0)?;

    // Ten megabytes are sorted in four: what does not fit is written to files, some of it more than once.
    let sort = r#"[{"$sort":{"n":-1}}]"#;
    let mut cursors = Vec::new();
    for _ in 0..3 {
        let reply = client.ask(&["DOC.AGGREGATE", "c", sort, "CURSOR", "1"])?;
        cursors.push(reply.expect_array()[0].expect_integer().to_string());
    }
    let all = (DOCUMENTS * BYTES) as f64;
    let info = seen.look(&mut client)?;
    seen.within(&info, "query_spilled_bytes", 3.0 * (all - 4e6)..=3.0 * 3.0 * all)?;
    seen.is(&info, "open_cursors", 3)?;
    // A cursor holds at least the document that comes next, and at most what a query may.
    seen.within(&info, "query_memory_bytes", 3.0 * BYTES as f64..=3.0 * 4.2e6)?;
    for cursor in &cursors {
        client.ask(&["DOC.CURSOR", "DEL", cursor])?;
    }
    let info = seen.comes(&mut client, "query_memory_bytes", 0)?;
    seen.is(&info, "open_cursors", 0)
}

/// As many as redis-server 7.0 counts of each of these.
fn lookups(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let counts: &[(&str, u64, u64)] = &[
        ("SET k v", 0, 0),
        ("GET k", 1, 0),
        ("GET gone", 0, 1),
        ("MGET k gone k", 2, 1),
        ("EXISTS k gone", 1, 1),
        ("TYPE k", 1, 0),
        ("TTL gone", 0, 1),
        ("STRLEN k", 1, 0),
        ("GETRANGE k 0 1", 1, 0),
        ("OBJECT ENCODING k", 1, 0),
        ("TOUCH k gone", 1, 1),
        ("LCS k gone", 1, 1),
        ("GETEX k EX 100", 1, 0),
        ("GETDEL gone", 0, 1),
        ("GETSET k v", 1, 0),
        ("SET k v GET", 1, 0),
        ("COPY k other", 1, 0),
        ("APPEND k v", 0, 0),
        ("EXPIRE k 100", 0, 0),
        ("SET k v NX", 0, 0),
        ("RENAME other third", 0, 0),
        ("DEL third gone", 0, 0),
        ("MEMORY USAGE k", 0, 0),
    ];
    let mut before = seen.look(&mut client)?;
    for (command, hits, misses) in counts {
        client.ask(&command.split(' ').collect::<Vec<_>>())?;
        let after = seen.look(&mut client)?;
        seen.grew_by(&before, &after, "keyspace_hits", *hits).context(*command)?;
        seen.grew_by(&before, &after, "keyspace_misses", *misses).context(*command)?;
        before = after;
    }
    // Of a transaction as well, and a read that is begun anew elsewhere is counted once.
    client.ask(&["MULTI"])?;
    client.ask(&["GET", "k"])?;
    client.ask(&["EXEC"])?;
    let large = format!("\"{}\"", "x".repeat(4 << 20));
    client.ask(&["JSON.SET", "large", "$", &large])?;
    client.ask(&["JSON.STRLEN", "large", "$"])?;
    let after = seen.look(&mut client)?;
    seen.grew_by(&before, &after, "keyspace_hits", 2)?;
    client.ask(&["CONFIG", "RESETSTAT"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "keyspace_hits", 0)?;
    seen.is(&info, "keyspace_misses", 0)
}

/// CONFIG RESETSTAT takes back what it takes back in Redis.
fn reset(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["SET", "a", "x", "PX", "1"])?;
    until("the key's end", || Ok(client.figure("stats", "expired_keys")? == "1"))?;
    client.run(&["NOSUCH"])?;
    client.ask(&["CONFIG", "RESETSTAT"])?;
    let info = seen.look(&mut client)?;
    for name in ["expired_keys", "total_connections_received", "total_error_replies", "rejected_connections"] {
        seen.is(&info, name, 0)?;
    }
    // What came since: RESETSTAT itself is over after it has done that.
    seen.is(&info, "total_commands_processed", 1)?;
    seen.is(&info, "total_net_input_bytes", request(&["INFO", "everything"]).len())?;
    seen.is(&info, "total_net_output_bytes", "+OK\r\n".len())
}
