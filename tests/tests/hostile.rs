//! Bytes that no client should send: the server lives, stays within its memory, and answers everybody else.
//!
//! `VEDDB_HOSTILE_REQUESTS` (20,000; by hand 1,000,000) random and mutated requests; `VEDDB_SEED` repeats them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use veddb_tests::{Client, Options, Random, Server, Value, seed, setting};

/// What the server may use with the budgets below; it needs about a tenth of it when nothing happens.
const RESIDENT_MAX: u64 = 300 << 20;
const ANSWER_MAX: Duration = Duration::from_secs(1);

fn server() -> Result<Server> {
    Options::new().set("maxmemory-cache", "16mb").set("maxmemory-index", "16mb").start()
}

/// Runs `attack` while another connection sends PING all the time: each is answered in time, and the memory is bounded.
fn besiege(server: &Server, attack: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    /// Ends the bystander also when the attack ends with a panic.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let over = &over;
    thread::scope(|scope| {
        let ends = Ends(over);
        let bystander = scope.spawn(move || -> Result<(Duration, u64)> {
            let mut client = server.client()?;
            let (mut slowest, mut largest) = (Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client.ask(&["PING"])?;
                slowest = slowest.max(asked.elapsed());
                largest = largest.max(server.resident()?);
                thread::sleep(Duration::from_millis(5));
            }
            Ok((slowest, largest))
        });
        let outcome = attack();
        drop(ends);
        let (slowest, largest) = bystander.join().expect("the bystander does not panic")?;
        outcome?;
        println!("slowest PING {slowest:?}, resident at most {} MiB", largest >> 20);
        assert!(slowest < ANSWER_MAX, "a PING waited {slowest:?}");
        assert!(largest < RESIDENT_MAX, "resident memory reached {} MiB", largest >> 20);
        Ok(())
    })
}

/// Sends bytes, says that no more will come, and returns what the server said until it closed. That the server closes
/// in the middle is its right.
fn send_and_hear(server: &Server, bytes: &[u8]) -> Result<String> {
    let mut client = Client::connect(server.port())?;
    let sent = client.send(bytes);
    if sent.is_ok() {
        // Fails when the server has closed already.
        let _ = client.finish_sending();
    }
    Ok(String::from_utf8_lossy(&client.read_to_end()?).into_owned())
}

#[test]
fn impossible_requests_are_refused_at_once() -> Result<()> {
    let server = server()?;
    besiege(&server, || {
        let refused = [
            ("*1\r\n".repeat(100_000), "-ERR Protocol error: expected '$', got '*'"),
            ("*2147483647\r\n".to_owned(), "-ERR Protocol error: invalid multibulk length"),
            ("*1\r\n$1073741824\r\n".to_owned(), "-ERR Protocol error: invalid bulk length"),
            ("*1\r\n$-5\r\n".to_owned(), "-ERR Protocol error: invalid bulk length"),
            ("*99999999999999999999\r\n".to_owned(), "-ERR Protocol error: invalid multibulk length"),
            ("*1\r\nPING\r\n".to_owned(), "-ERR Protocol error: expected '$', got 'P'"),
            ("GET \"unbalanced\r\n".to_owned(), "-ERR Protocol error: unbalanced quotes in request"),
            ("x".repeat(200_000), "-ERR Protocol error: too big inline request"),
        ];
        for (bytes, expected) in refused {
            let said = send_and_hear(&server, bytes.as_bytes())?;
            assert!(said.starts_with(expected), "{:.40}.. -> {said}", bytes.escape_debug().to_string());
        }
        for http in ["POST / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n"] {
            let said = send_and_hear(&server, http.as_bytes())?;
            assert!(!said.contains("PONG"), "{http:?} was taken for a client: {said}");
        }
        Ok(())
    })
}

#[test]
fn before_auth_little_is_taken() -> Result<()> {
    let server = Options::new().password("secret").start()?;
    besiege(&server, || {
        let refused = [
            ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length"),
            ("*1\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length"),
        ];
        for (bytes, expected) in refused {
            let said = send_and_hear(&server, bytes.as_bytes())?;
            assert!(said.starts_with(expected), "{bytes:?} -> {said}");
        }
        // Each holds as much as it may without asking for anything; all of them together must not matter.
        let mut held = Vec::new();
        for _ in 0..500 {
            let mut client = Client::connect(server.port())?;
            client.send(format!("*10\r\n{}", format!("$16384\r\n{}\r\n", "x".repeat(16384)).repeat(9)).as_bytes())?;
            held.push(client);
        }
        Ok(())
    })
}

#[test]
fn slow_and_broken_clients_hurt_nobody() -> Result<()> {
    let server = server()?;
    besiege(&server, || {
        // A large request in drips: it must not be parsed from its first byte at each of them.
        let document = format!(r#"{{"_id":"drip","text":"{}"}}"#, "y".repeat(60_000));
        let bytes = veddb_tests::client::request(&["DOC.INSERT", "drips", &document]);
        let mut client = Client::connect(server.port())?;
        for drip in bytes.chunks(8) {
            client.send(drip)?;
        }
        assert_eq!(client.read()?.to_string(), "[\n  $ drip\n]");
        // Requests that never come to their end.
        let mut held = Vec::new();
        for at in 0..1000 {
            let mut client = Client::connect(server.port())?;
            client.send(&bytes[..at.min(bytes.len() - 1)])?;
            if at % 2 == 0 {
                held.push(client);
            }
        }
        // Bulks that are announced and not sent.
        for _ in 0..200 {
            let mut client = Client::connect(server.port())?;
            client.send(b"*3\r\n$7\r\nDOC.SET\r\n$1\r\nx\r\n$60000000\r\n")?;
            held.push(client);
        }
        Ok(())
    })
}

#[test]
fn a_client_that_does_not_read_is_not_served_without_end() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    let document = format!(r#"{{"_id":"big","text":"{}"}}"#, "z".repeat(1 << 20));
    client.ask(&["DOC.SET", "c", "big", &document])?;
    besiege(&server, || {
        let mut deaf = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect(server.port())?;
            let requests = veddb_tests::client::request(&["DOC.GET", "c", "big"]).repeat(1000);
            client.send(&requests)?;
            deaf.push(client);
        }
        // Long enough for a server that buffers replies to hold all 4 GB of them.
        thread::sleep(Duration::from_secs(2));
        Ok(())
    })
}

#[test]
fn hostile_json_is_an_error() -> Result<()> {
    let server = server()?;
    let deep = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let document = |inside: &str| format!(r#"{{"v":{inside}}}"#);
    let many = |count: usize| (0..count).map(|at| format!("\"f{at}\":{at}")).collect::<Vec<_>>().join(",");
    besiege(&server, || {
        let mut client = server.client()?;
        client.ask(&[
            "DOC.SET",
            "c",
            "x",
            r#"{"l":[1],"s":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}"#,
        ])?;
        let cases: Vec<(Vec<String>, &[&str])> = vec![
            (vec!["DOC.SET".into(), "c".into(), "d".into(), document(&deep("[", "]", 100_000))], &["TOOBIG"]),
            (vec!["DOC.SET".into(), "c".into(), "d".into(), document(&deep("{\"a\":", "}", 100_000))], &["TOOBIG"]),
            (vec!["DOC.SET".into(), "c".into(), "d".into(), document(&"[".repeat(1_000_000))], &["TOOBIG", "BADDOC"]),
            (
                vec!["DOC.SET".into(), "c".into(), "d".into(), document(&format!("\"{}\"", "x".repeat(17 << 20)))],
                &["TOOBIG"],
            ),
            (vec!["DOC.FIND".into(), "c".into(), deep("{\"$and\":[", "]}", 100_000)], &["BADFILTER"]),
            (vec!["DOC.FIND".into(), "c".into(), format!("{{{}}}", many(20_000))], &["BADFILTER"]),
            (
                vec!["DOC.FIND".into(), "c".into(), r#"{"s":{"$regex":"((a{1000}){1000}){1000}"}}"#.into()],
                &["BADFILTER"],
            ),
            (vec!["DOC.FIND".into(), "c".into(), r#"{"s":{"$regex":"("}}"#.into()], &["BADFILTER"]),
            (
                vec!["DOC.UPDATE".into(), "c".into(), "{}".into(), format!("{{\"$set\":{{{}}}}}", many(20_000))],
                &["BADUPDATE"],
            ),
            (
                vec!["DOC.UPDATE".into(), "c".into(), "{}".into(), document(&deep("[", "]", 100_000))],
                &["BADUPDATE", "TOOBIG"],
            ),
            (
                vec!["DOC.UPDATE".into(), "c".into(), "{}".into(), r#"{"$set":{"l.4000000000":1}}"#.into()],
                &["BADUPDATE", "TOOBIG"],
            ),
            (vec!["DOC.GET".into(), "c".into(), "x".into(), format!("${}", "[0]".repeat(100_000))], &["BADPATH"]),
            (
                vec![
                    "DOC.GET".into(),
                    "c".into(),
                    "x".into(),
                    format!("$[?{}@{}]", "(".repeat(50_000), ")".repeat(50_000)),
                ],
                &["BADPATH"],
            ),
        ];
        for (request, codes) in cases {
            let reply = client.run(&request)?;
            let shown: Vec<String> = request.iter().map(|word| word.chars().take(40).collect()).collect();
            // A path into nothing, however long, is also an answer.
            let harmless = codes == ["BADPATH"] && reply.text() == Some("[]");
            assert!(harmless || codes.iter().any(|code| reply.is_error(code)), "{shown:?}: {:.200}", reply.to_string());
        }
        // A pattern that costs backtracking engines exponential time.
        client.ask(&["DOC.FIND", "c", r#"{"s":{"$regex":"^(a+)+$"}}"#])?;
        client.ask(&["DOC.COLLECTIONS", "MATCH", &format!("{}b", "*a".repeat(2000))])?;
        Ok(())
    })
}

#[test]
fn a_deadline_is_kept() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    let document = format!(r#"{{"text":"{}"}}"#, "abcdefghij".repeat(100));
    for _ in 0..200 {
        let mut request = vec!["DOC.INSERT", "c"];
        request.extend([document.as_str(); 100]);
        client.ask(&request)?;
    }
    // Every byte of every document has to be looked at: no literal and no end to look for first.
    let slow = r#"{"text":{"$regex":"(a.*){20}[^a-j]"}}"#;
    besiege(&server, || {
        let mut client = server.client()?;
        let asked = Instant::now();
        let reply = client.run(&["DOC.FIND", "c", slow, "MAXTIME", "3"])?;
        assert!(reply.is_error("TIMEOUT"), "{:.200}", reply.to_string());
        assert!(asked.elapsed() < ANSWER_MAX, "MAXTIME 3 took {:?}", asked.elapsed());
        // What the server says counts for all who ask, unless they ask for less; it is for reads alone.
        client.ask(&["CONFIG", "SET", "query-max-time", "5"])?;
        let most: [&[&str]; 5] = [
            &["DOC.FIND", "c", slow],
            &["DOC.FIND", "c", slow, "MAXTIME", "60000"],
            &["DOC.COUNT", "c", slow],
            &["DOC.DISTINCT", "c", "text", slow],
            &["DOC.AGGREGATE", "c", &format!(r#"[{{"$match":{slow}}}]"#)],
        ];
        for request in most {
            let reply = client.run(request)?;
            assert!(reply.is_error("TIMEOUT"), "{request:?}: {:.200}", reply.to_string());
        }
        assert_eq!(client.ask(&["DOC.DELETE", "c", slow])?.expect_integer(), 0);
        client.ask(&["CONFIG", "SET", "query-max-time", "0"])?;
        // Without one the same query runs to its end.
        assert_eq!(client.ask(&["DOC.FIND", "c", slow])?.expect_array().len(), 0);
        Ok(())
    })
}

/// Requests that are right, to be made wrong. None of them may stop the server or cut off the bystander.
const TEMPLATES: [&[&str]; 24] = [
    &["PING"],
    &["HELLO", "3"],
    &["HELLO", "2", "SETNAME", "x"],
    &["SELECT", "1"],
    &["ECHO", "text"],
    &["COMMAND", "DOCS", "DOC.FIND"],
    &["COMMAND", "GETKEYS", "DOC.GET", "a", "b"],
    &["CONFIG", "GET", "max*"],
    &["CLIENT", "INFO"],
    &["CLIENT", "SETNAME", "name"],
    &["INFO", "everything"],
    &["DOC.INSERT", "fuzz", r#"{"_id":"a","n":1,"d":{"$date":"2024-01-01T00:00:00Z"}}"#],
    &["DOC.INSERT", "fuzz", r#"{"a":[1,2.5,-0.0,1e300,"é\u0000"]}"#, r#"{"b":{"$numberDecimal":"1.10"}}"#, "UNORDERED"],
    &["DOC.SET", "fuzz", "a", r#"{"x":{"$binary":{"base64":"AAAA","subType":"00"}}}"#, "IFVER", "1"],
    &["DOC.GET", "fuzz", "a", "$..x", "$[?@.n > 1]", "WITHVER"],
    &["DOC.MGET", "fuzz", "a", "b"],
    &["DOC.DEL", "fuzz", "a", "b"],
    &[
        "DOC.UPDATE",
        "fuzz",
        r#"{"n":{"$gte":1,"$lt":5}}"#,
        r#"{"$inc":{"n":1},"$push":{"l":{"$each":[1,2]}}}"#,
        "UPSERT",
    ],
    &["DOC.UPDATE", "fuzz", r#"{"_id":"a"}"#, r#"{"n":5}"#, "ONE"],
    &["DOC.DELETE", "fuzz", r#"{"$or":[{"n":9},{"l.0":{"$in":[1,null]}}]}"#, "ONE"],
    &["DOC.FIND", "fuzz", r#"{"s":{"$regex":"^a","$options":"i"}}"#, "SORT", r#"{"n":-1}"#, "LIMIT", "5"],
    &["DOC.FIND", "fuzz", r#"{"l":{"$not":{"$exists":true}}}"#, "PROJECT", r#"{"n":1,"l.x":1}"#, "SKIP", "1"],
    &["DOC.COUNT", "fuzz", r#"{"a":{"$type":"array"}}"#],
    &["DOC.BULK", "fuzz", r#"[{"insertOne":{"document":{"q":1}}},{"deleteMany":{"filter":{"q":1}}}]"#],
];

const PIECES: [&[u8]; 14] = [
    b"\r\n",
    b"*",
    b"$",
    b"*1\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"$0\r\n\r\n",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"\0",
    b"$where",
    b"\xff\xfe",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.number() as u8,
            2 => {
                let piece = *random.pick(&PIECES);
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + random.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(40)).min(bytes.len());
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.truncate(bytes.len() - random.below(bytes.len().min(8) + 1)),
        }
    }
}

/// One connection's worth of hostile bytes.
fn volley(random: &mut Random) -> (Vec<u8>, u64) {
    let count = 1 + random.below(20);
    let mut bytes = Vec::new();
    for _ in 0..count {
        if random.one_in(10) {
            let length = random.below(200);
            bytes.extend(random.bytes(length));
            continue;
        }
        let template = random.pick(&TEMPLATES);
        let mut request = if random.one_in(8) {
            [template.join(" ").as_bytes(), b"\r\n"].concat()
        } else {
            let mut words: Vec<Vec<u8>> = template.iter().map(|word| word.as_bytes().to_vec()).collect();
            // Right framing around wrong contents reaches deeper than wrong framing.
            if random.one_in(2) {
                let at = random.below(words.len());
                mutate(&mut words[at], random);
            }
            veddb_tests::client::request(&words)
        };
        if random.one_in(2) {
            mutate(&mut request, random);
        }
        bytes.extend(request);
    }
    (bytes, count as u64)
}

#[test]
fn random_and_mutated_requests_do_no_harm() -> Result<()> {
    let seed = seed();
    let total = setting("VEDDB_HOSTILE_REQUESTS", 20_000);
    let server = server()?;
    let server = &server;
    besiege(server, || {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || -> Result<()> {
                        let mut random = Random::new(seed.wrapping_add(thread));
                        let mut sent = 0;
                        while sent < total / 4 {
                            let (bytes, count) = volley(&mut random);
                            sent += count;
                            send_and_hear(server, &bytes).with_context(|| {
                                format!("seed {seed}, after {sent} of thread {thread}: {}", bytes.escape_ascii())
                            })?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("an attacker does not panic"))
        })
    })?;
    // Afterwards everything works as before.
    let mut client = server.client()?;
    assert!(matches!(client.ask(&["DOC.SET", "after", "x", "{}"])?, Value::Integer(1)));
    assert_eq!(client.ask(&["DOC.GET", "after", "x"])?.text(), Some(r#"{"_id":"x"}"#));
    Ok(())
}
