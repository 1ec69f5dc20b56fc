//! Strings and keys: the answers of redis-server to the same commands, what a restart leaves, and what SCAN promises.
//!
//! `VEDDB_SEED` repeats a run, `VEDDB_KEY_STEPS` makes it longer.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use veddb_tests::{Client, Options, Random, Redis, Value, seed, setting};

const KEYS: [&str; 8] = ["a", "b", "counter", "", "{tag}x", "weird \u{1}\"\\\n", "long", "other"];
const VALUES: [&str; 15] = [
    "",
    "0",
    "5",
    "-17",
    "3.0e3",
    "hello",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    " 5",
    "05",
    "1.50",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "binary \0\r\n\u{7f}",
];
const INTEGERS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "3",
    "-4",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "nonsense",
    "1.5",
    "",
    "+1",
    "9223372036854775808",
];
/// Far enough from the end of the test, or gone.
const SECONDS: [&str; 8] = ["900", "100000", "-1", "0", "9223372036854775807", "x", "-9223372036854775808", "3000"];
/// Sums of halves and quarters are the same in decimals and in Redis's long doubles.
const FLOATS: [&str; 10] = ["1", "0.25", "-1.5", "1e3", "-0", "abc", "3.0e3", "", "100000", " 1"];

fn pick(random: &mut Random, from: &[&str]) -> String {
    (*random.pick(from)).to_owned()
}

fn key(random: &mut Random) -> String {
    if random.one_in(20) { "k".repeat(500 + random.below(20)) } else { pick(random, &KEYS) }
}

/// A command whose answer depends on the data alone.
fn command(random: &mut Random) -> Vec<String> {
    let r = random;
    let words =
        |name: &str, rest: Vec<String>| -> Vec<String> { std::iter::once(name.to_owned()).chain(rest).collect() };
    match r.below(36) {
        0..4 => {
            let mut all = vec![key(r), pick(r, &VALUES)];
            for _ in 0..r.below(3) {
                match r.below(9) {
                    0 => all.push("NX".into()),
                    1 => all.push("xx".into()),
                    2 => all.push("GET".into()),
                    3 => all.push("KEEPTTL".into()),
                    4 => all.extend(["EX".into(), pick(r, &SECONDS)]),
                    5 => all.extend(["px".into(), format!("{}000", 900 + r.below(1000))]),
                    6 => all.extend(["EXAT".into(), "4000000000".into()]),
                    7 => all.extend(["PXAT".into(), "4000000000000".into()]),
                    _ => all.push("nonsense".into()),
                }
            }
            words("SET", all)
        }
        4..7 => words("GET", vec![key(r)]),
        7 => words("GETSET", vec![key(r), pick(r, &VALUES)]),
        8 => words("GETDEL", vec![key(r)]),
        9 => {
            let mut all = vec![key(r)];
            match r.below(4) {
                0 => all.push("PERSIST".into()),
                1 => all.extend(["EX".into(), pick(r, &SECONDS)]),
                2 => all.extend(["EXAT".into(), pick(r, &["1", "4000000000", "0"])]),
                _ => {}
            }
            words("GETEX", all)
        }
        10 => words(pick(r, &["MSET", "MSETNX"]).as_str(), (0..2 + r.below(4)).map(|_| key(r)).collect()),
        11 => words("MGET", (0..1 + r.below(4)).map(|_| key(r)).collect()),
        12 => words("SETNX", vec![key(r), pick(r, &VALUES)]),
        13 => words(
            pick(r, &["SETEX", "PSETEX"]).as_str(),
            vec![key(r), pick(r, &["5000000", "100000000", "0", "-5", "x"]), "v".into()],
        ),
        14 => words("APPEND", vec![key(r), pick(r, &VALUES)]),
        15 => words("STRLEN", vec![key(r)]),
        16 => words(pick(r, &["GETRANGE", "SUBSTR"]).as_str(), vec![key(r), pick(r, &INTEGERS), pick(r, &INTEGERS)]),
        17 => {
            words("SETRANGE", vec![key(r), pick(r, &["0", "1", "7", "30", "-1", "x", "600000000"]), pick(r, &VALUES)])
        }
        18 => words(pick(r, &["INCR", "DECR"]).as_str(), vec![key(r)]),
        19 | 20 => words(pick(r, &["INCRBY", "DECRBY"]).as_str(), vec![key(r), pick(r, &INTEGERS)]),
        21 if r.one_in(2) => words("INCRBYFLOAT", vec!["f".into(), pick(r, &FLOATS)]),
        21 => words("INCRBYFLOAT", vec![key(r), pick(r, &["abc", "", "1 "])]),
        22 => words(pick(r, &["DEL", "UNLINK"]).as_str(), (0..1 + r.below(2)).map(|_| key(r)).collect()),
        23 => words(pick(r, &["EXISTS", "TOUCH"]).as_str(), (0..1 + r.below(3)).map(|_| key(r)).collect()),
        24 => words("TYPE", vec![key(r)]),
        25 => words(pick(r, &["RENAME", "RENAMENX"]).as_str(), vec![key(r), key(r)]),
        26 => {
            let mut all = vec![key(r), key(r)];
            if r.one_in(3) {
                all.extend(["DB".into(), pick(r, &["0", "1", "99", "x"])]);
            }
            if r.one_in(2) {
                all.push("REPLACE".into());
            }
            words("COPY", all)
        }
        27 | 28 => {
            let mut all = vec![key(r), pick(r, &SECONDS)];
            if r.one_in(2) {
                all.push(pick(r, &["NX", "XX", "GT", "LT", "nonsense"]));
            }
            if r.one_in(6) {
                all.push(pick(r, &["NX", "XX", "GT", "LT"]));
            }
            words("EXPIRE", all)
        }
        29 => words("PEXPIRE", vec![key(r), pick(r, &["1000000", "-1", "x"])]),
        30 => words("EXPIREAT", vec![key(r), pick(r, &["4000000000", "1", "0", "-9", "9223372036854775807"])]),
        31 => words("PEXPIREAT", vec![key(r), pick(r, &["4000000000000", "1", "5000000000000"])]),
        32 => words(pick(r, &["EXPIRETIME", "PEXPIRETIME", "TTL", "PTTL"]).as_str(), vec![key(r)]),
        33 => words("PERSIST", vec![key(r)]),
        34 => words("MOVE", vec![key(r), pick(r, &["0", "1", "99"])]),
        _ => match r.below(7) {
            0 => words("DBSIZE", vec![]),
            1 => words("KEYS", vec![pick(r, &["*", "?", "[ab]", "k*", "", "*o*"])]),
            2 => words("SCAN", vec!["0".into(), "COUNT".into(), "1000".into(), "TYPE".into(), "string".into()]),
            3 => words("OBJECT", vec!["ENCODING".into(), "nobody".into()]),
            4 => words("SELECT", vec![pick(r, &["0", "1"])]),
            5 => words(pick(r, &["GET", "SET", "EXPIRE", "MSET"]).as_str(), vec![]),
            _ => words("SCAN", vec![pick(r, &["x", "0"]), pick(r, &["COUNT", "x"]), pick(r, &["0", "x"])]),
        },
    }
}

/// Names of keys come in no order.
fn comparable(command: &[String], reply: Value) -> Value {
    let sorted = |mut all: Vec<Value>| {
        all.sort_by_key(ToString::to_string);
        Value::Array(all)
    };
    match (command[0].to_ascii_uppercase().as_str(), reply) {
        ("KEYS", Value::Array(all)) => sorted(all),
        ("SCAN", Value::Array(parts)) => match <[Value; 2]>::try_from(parts) {
            Ok([cursor, Value::Array(all)]) => Value::Array(vec![cursor, sorted(all)]),
            _ => panic!("SCAN answers a cursor and keys"),
        },
        (_, reply) => reply,
    }
}

/// Times that count from now differ by what passed between two servers.
fn is_later(command: &[String], a: &Value, b: &Value) -> bool {
    let times = ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"].contains(&command[0].as_str());
    matches!((a, b), (Value::Integer(a), Value::Integer(b)) if times && *a > 0 && a.abs_diff(*b) < 2000)
}

/// Answers to be known apart: which bytes of which keys are there in the end.
fn contents(client: &mut Client) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for db in ["0", "1"] {
        client.ask(&["SELECT", db])?;
        let keys = client.ask(&["KEYS", "*"])?;
        for key in keys.expect_array() {
            let Value::Bulk(name) = key else { panic!("a key is a string") };
            let value = client.ask(&[b"GET".as_slice(), name])?;
            all.push(format!("{db} {key} {value}"));
        }
    }
    client.ask(&["SELECT", "0"])?;
    all.sort();
    Ok(all)
}

#[test]
fn the_answers_are_those_of_redis() -> Result<()> {
    let seed = seed();
    let steps = setting("VEDDB_KEY_STEPS", 20_000);
    for protocol in [2, 3] {
        let mut random = Random::new(seed.wrapping_add(protocol));
        let redis = Redis::start()?;
        let mut server = Options::new().set("appendfsync", "no").start()?;
        let (mut theirs, mut ours) = (redis.client(protocol as u8)?, server.client_speaking(protocol as u8)?);
        for step in 0..steps {
            let command = command(&mut random);
            let wanted = comparable(&command, theirs.run(&command)?);
            let found = comparable(&command, ours.run(&command)?);
            ensure!(
                wanted == found || is_later(&command, &wanted, &found),
                "seed {seed}, protocol {protocol}, step {step}: {command:?}\nredis-server: {wanted}\nveddb:        {found}"
            );
        }
        let wanted = contents(&mut theirs)?;
        ensure!(wanted == contents(&mut ours)?, "seed {seed}: other keys are left");
        drop(ours);
        server.kill()?;
        server.restart()?;
        ensure!(wanted == contents(&mut server.client()?)?, "seed {seed}: other keys are there after kill -9");
    }
    Ok(())
}

#[test]
fn scan_returns_what_is_there_all_the_time() -> Result<()> {
    let server = Options::new().set("appendfsync", "no").start()?;
    let mut client = server.client()?;
    let mut random = Random::new(seed());
    for n in 0..2000 {
        client.ask(&["SET", &format!("stays:{n}"), "1"])?;
        client.ask(&["SET", &format!("goes:{n}"), "1"])?;
    }
    let mut seen = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.ask(&["SCAN", &cursor, "COUNT", "37"])?;
        let [next, keys] = reply.expect_array() else { panic!("SCAN answers a cursor and keys") };
        seen.extend(keys.expect_array().iter().map(|key| key.expect_text().to_owned()));
        cursor = next.expect_text().to_owned();
        if cursor == "0" {
            break;
        }
        for _ in 0..10 {
            client.ask(&["DEL", &format!("goes:{}", random.below(2000))])?;
            client.ask(&["SET", &format!("stays:{}", random.below(2000)), "2"])?;
        }
    }
    let missing: Vec<_> = (0..2000).map(|n| format!("stays:{n}")).filter(|key| !seen.contains(key)).collect();
    ensure!(missing.is_empty(), "SCAN left out {missing:?}");
    Ok(())
}

/// Each of these writes the whole value again: together they are far more than one frame of the log may hold.
#[test]
fn a_pipeline_of_large_writes_is_committed_in_groups() -> Result<()> {
    let mut server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&[b"SET".as_slice(), b"k", &vec![b'x'; 5 << 20]])?;
    let groups = |client: &mut Client| -> Result<u64> { Ok(client.figure("persistence", "commit_groups")?.parse()?) };
    let before = groups(&mut client)?;
    let requests: Vec<Vec<String>> =
        (0..10).map(|n| vec!["EXPIRE".into(), "k".into(), (10_000 + n).to_string()]).collect();
    for reply in client.pipeline(&requests)? {
        ensure!(reply == Value::Integer(1), "{reply}");
    }
    let made = groups(&mut client)? - before;
    ensure!(made >= 8, "10 writes of 5 MB were {made} groups");
    drop(client);
    server.kill()?;
    server.restart()?;
    let ttl = server.client()?.ask(&["TTL", "k"])?.expect_integer();
    ensure!((9_900..=10_009).contains(&ttl), "the expiry is {ttl} s away");
    Ok(())
}
