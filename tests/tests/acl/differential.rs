//! Random rules, given to redis-server and to this one: the same answers, the same users, the same rights.

use anyhow::Result;
use veddb_tests::{Client, Options, Random, Redis, Value, seed, setting};

const COMMANDS: &[&str] = &[
    "get",
    "set",
    "mget",
    "mset",
    "del",
    "exists",
    "expire",
    "ttl",
    "incr",
    "append",
    "getdel",
    "copy",
    "rename",
    "type",
    "touch",
    "strlen",
    "setex",
    "subscribe",
    "psubscribe",
    "publish",
    "spublish",
    "unsubscribe",
    "select",
    "config|get",
    "config|set",
    "config",
    "client",
    "client|id",
    "client|kill",
    "acl|whoami",
    "acl|list",
    "acl",
    "ping",
    "multi",
    "exec",
    "info",
    "flushall",
    "keys",
    "scan",
    "object|encoding",
    "object",
    "nope",
    "config|nope",
    "get|",
    "select|1",
    "ECHO|x",
    "config|get|x",
    "memory|usage",
    "slowlog|get",
];
const CATEGORIES: &[&str] = &[
    "all",
    "read",
    "write",
    "string",
    "keyspace",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "hash",
    "nope",
    "READ",
];
const PATTERNS: &[&str] = &["*", "a*", "b?", "[ab]c", "a\\*", "", "key", "a*b*"];
const REQUESTS: &[&str] = &[
    "GET key",
    "GET abc",
    "GET bc",
    "SET key v",
    "SET key v GET",
    "MGET key abc",
    "MSET key 1 abc 2",
    "DEL key",
    "EXISTS key",
    "EXPIRE key 1",
    "TTL key",
    "INCR abc",
    "APPEND abc x",
    "GETDEL abc",
    "COPY abc key",
    "RENAME abc key",
    "TYPE abc",
    "TOUCH abc",
    "STRLEN abc",
    "SETEX abc 1 x",
    "SUBSCRIBE abc key",
    "PSUBSCRIBE a*",
    "PUBLISH abc x",
    "SPUBLISH bc x",
    "UNSUBSCRIBE abc",
    "SELECT 1",
    "SELECT 0",
    "CONFIG GET x",
    "CONFIG SET a b",
    "CLIENT ID",
    "CLIENT KILL x",
    "ACL WHOAMI",
    "ACL LIST",
    "PING",
    "MULTI",
    "EXEC",
    "INFO",
    "FLUSHALL",
    "KEYS a",
    "SCAN 0",
    "OBJECT ENCODING abc",
    "OBJECT HELP",
    "ECHO x",
    "ECHO y",
    "AUTH x",
    "HELLO",
    "MEMORY USAGE abc",
    "SLOWLOG GET",
    "EVAL s 1 abc",
    "DBSIZE",
    "TIME",
];

fn rule(random: &mut Random, within: bool) -> String {
    let sha = [
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    ];
    match random.below(if within { 14 } else { 22 }) {
        0..=3 => format!("{}{}", random.pick(&["+", "-"]), random.pick(COMMANDS)),
        4..=6 => format!("{}@{}", random.pick(&["+", "-"]), random.pick(CATEGORIES)),
        7..=9 => format!("{}{}", random.pick(&["~", "%R~", "%W~", "%RW~", "%w~", "%X~", "%~"]), random.pick(PATTERNS)),
        10 => format!("&{}", random.pick(PATTERNS)),
        11 => (*random.pick(&["allkeys", "resetkeys", "RESETKEYS"])).to_owned(),
        12 => (*random.pick(&["allchannels", "resetchannels"])).to_owned(),
        13 => (*random.pick(&["allcommands", "nocommands"])).to_owned(),
        14 => (*random.pick(&["on", "off", "ON"])).to_owned(),
        15 => (*random.pick(&["nopass", "resetpass"])).to_owned(),
        16 => format!("#{}", random.pick(&sha)),
        17 => format!("!{}", random.pick(&sha)),
        18 => (*random.pick(&[
            "reset",
            "clearselectors",
            "sanitize-payload",
            "skip-sanitize-payload",
            "",
            "#x",
            "foo",
            "(",
            "()",
        ]))
        .to_owned(),
        _ => {
            let rules: Vec<String> = (0..random.below(4)).map(|_| rule(random, true)).collect();
            format!("({})", rules.join(" "))
        }
    }
}

/// What is compared of ACL GETUSER: before Redis 7.2 rules about commands are spelled otherwise, and a flag is not shown.
fn shown(client: &mut Client, user: &str, is_new: bool) -> Result<String> {
    let reply = client.ask(&["ACL", "GETUSER", user])?;
    let of = |value: &Value| {
        let mut text = String::new();
        for name in ["flags", "passwords", "commands", "keys", "channels"] {
            match value.get(name) {
                Some(part) if name != "commands" || is_new => text.push_str(&format!("{name} {part}\n")),
                _ => {}
            }
        }
        text
    };
    let selectors = reply.get("selectors").map(|all| all.expect_array().iter().map(of).collect::<String>());
    let text = format!("{}selectors {}", of(&reply), selectors.unwrap_or_default());
    Ok(if is_new { text } else { text.replace("  $ sanitize-payload\n", "") })
}

/// What ACL DRYRUN says, whose words have changed since Redis 7.0: what is refused, and of which name.
fn dry(reply: &Value) -> String {
    let Some(text) = reply.text() else { return reply.to_string() };
    match text.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')) {
        Some((name, kind)) => format!("{name}{kind}"),
        None => text.to_owned(),
    }
}

#[test]
fn rules_mean_what_they_mean_in_redis() -> Result<()> {
    let rounds = setting("VEDDB_ACL_ROUNDS", 400);
    let redis = Redis::start()?;
    let server = Options::new().set("appendfsync", "no").start()?;
    let (mut theirs, mut ours) = (redis.client(3)?, server.client_speaking(3)?);
    let version = theirs.figure("server", "redis_version")?;
    let is_new = !version.starts_with("7.0");
    let seed = seed();
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let user = format!("user{}", random.below(6));
        let rules: Vec<String> = (0..1 + random.below(5)).map(|_| rule(&mut random, false)).collect();
        if !is_new && rules.iter().filter(|rule| *rule == "(").count() > 1 {
            // Before Redis 7.2 a second parenthesis forgets the first.
            continue;
        }
        let mut request = vec!["ACL".to_owned(), "SETUSER".to_owned(), user.clone()];
        request.extend(rules.iter().cloned());
        let context = format!("seed {seed}, round {round}, Redis {version}: {}", request.join(" "));
        let (a, b) = (theirs.run(&request)?, ours.run(&request)?);
        assert_eq!(b.to_string(), a.to_string(), "{context}");
        if ours.run(&["ACL", "GETUSER", &user])? == Value::Null {
            continue;
        }
        assert_eq!(shown(&mut ours, &user, is_new)?, shown(&mut theirs, &user, is_new)?, "{context}");
        for _ in 0..12 {
            let mut request = vec!["ACL", "DRYRUN", &user];
            let asked = random.pick(REQUESTS);
            request.extend(asked.split(' '));
            let (a, b) = (theirs.run(&request)?, ours.run(&request)?);
            assert_eq!(dry(&b), dry(&a), "{context}\n{asked}");
        }
    }
    Ok(())
}
