//! Tokens that the server issues: what they say, what they may do, and when they end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use veddb_tests::{Client, Options, Server, Value, until};

use super::jwt::{Key, gets_in, now, part};

fn issue(admin: &mut Client, words: &[&str]) -> Result<String> {
    let request: Vec<&str> = ["TOKEN.ISSUE"].iter().chain(words).copied().collect();
    Ok(admin.ask(&request)?.expect_text().to_owned())
}

fn jti(token: &str) -> Result<String> {
    Ok(part(token, 1)?["jti"].as_str().context("no jti")?.to_owned())
}

fn start() -> Result<(Server, Client)> {
    let server = Options::new().set("enable-debug-command", "yes").start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all", "~*", "&*"])?;
    Ok((server, admin))
}

/// A connection that is in with a token.
fn inside(server: &Server, token: &str) -> Result<Client> {
    let mut client = Client::connect(server.port())?;
    client.ask(&["AUTH", "ada", token])?;
    Ok(client)
}

#[test]
fn a_token_says_what_it_should_and_gets_its_user_in() -> Result<()> {
    let (server, mut admin) = start()?;
    let before = now();
    let token = issue(&mut admin, &["USER", "ada", "EX", "600", "CLAIMS", r#"{"team":"blue"}"#])?;
    let header = part(&token, 0)?;
    ensure!(header["alg"] == "EdDSA" && header["typ"] == "JWT" && header["kid"].is_string(), "{header}");
    let said = part(&token, 1)?;
    for (name, value) in [("iss", "veddb"), ("aud", "veddb"), ("sub", "ada"), ("team", "blue")] {
        ensure!(said[name] == value, "{said}");
    }
    let at = said["iat"].as_u64().context("iat")?;
    ensure!((before..=now()).contains(&at) && said["nbf"] == at && said["exp"] == at + 600, "{said}");

    ensure!(gets_in(server.port(), "ada", &token)?, "log:\n{}", server.log());
    ensure!(gets_in(server.port(), "ada", "secret")?, "the password is not good any more");
    for user in ["default", "ADA", "nobody"] {
        ensure!(!gets_in(server.port(), user, &token)?, "{user} got in with the token of another");
    }
    let mut client = Client::connect(server.port())?;
    let greeting = client.ask(&["HELLO", "3", "AUTH", "ada", &token, "SETNAME", "me"])?;
    ensure!(greeting.get("proto") == Some(&Value::Integer(3)), "{greeting}");
    ensure!(client.ask(&["ACL", "WHOAMI"])?.expect_text() == "ada", "HELLO did not get in");
    // A token is given as a whole, and for the user that it is of.
    ensure!(matches!(client.run(&["AUTH", &token])?, Value::Error(_)), "a token of ada is good for default");
    ensure!(client.ask(&["ACL", "WHOAMI"])?.expect_text() == "ada", "a failed AUTH changed the user");
    ensure!(client.run(&["TOKEN.ISSUE"])?.is_error("NOPERM"), "a token makes tokens");
    ensure!(client.run(&["TOKEN.ROTATE"])?.is_error("NOPERM"), "a token makes keys");
    client.ask(&["AUTH", "ada", "secret"])?;
    client.ask(&["TOKEN.ISSUE"])?;

    // The same key under its number, but another signature; another key under that number.
    let thief = Key::new(header["kid"].as_str().context("kid")?)?;
    let forged = [thief.sign(&said), thief.sign_with(&header, &said)];
    let (signed, _) = token.rsplit_once('.').context("dots")?;
    let cut = [&token[..token.len() - 2], signed, &format!("{signed}.")];
    for bad in forged.iter().map(String::as_str).chain(cut) {
        ensure!(!gets_in(server.port(), "ada", bad)?, "{bad}");
    }
    // Who names another issuer or audience later does not take those of before.
    for (name, value) in [("token-issuer", "other"), ("token-audience", "other")] {
        admin.ask(&["CONFIG", "SET", name, value])?;
        ensure!(!gets_in(server.port(), "ada", &token)?, "{name} is not asked");
        admin.ask(&["CONFIG", "SET", name, "veddb"])?;
    }
    ensure!(gets_in(server.port(), "ada", &token)?, "it is not good again");
    Ok(())
}

#[test]
fn rules_of_a_token_narrow_and_never_widen() -> Result<()> {
    let (server, mut admin) = start()?;
    admin.ask(&["MSET", "a1", "1", "b1", "1"])?;
    admin.ask(&["DOC.SET", "a_people", "1", r#"{"n":1}"#])?;
    let narrow =
        r#"{"acl":["+get","+set","+keys","+subscribe","+multi","+exec","+doc.get","+doc.collections","~a*","&news"]}"#;
    let token = issue(&mut admin, &["USER", "ada", "CLAIMS", narrow])?;
    let mut client = inside(&server, &token)?;
    let refused: [&[&str]; 9] = [
        &["GET", "b1"],
        &["SET", "b1", "2"],
        &["DEL", "a1"],
        &["DOC.GET", "b", "1"],
        &["DOC.SET", "a_people", "1", "{}"],
        &["CONFIG", "GET", "port"],
        &["TOKEN.LIST"],
        &["ACL", "SETUSER", "ada", "+@all"],
        &["SUBSCRIBE", "old"],
    ];
    for request in refused {
        ensure!(client.run(request)?.is_error("NOPERM"), "{request:?}");
    }
    ensure!(client.ask(&["GET", "a1"])?.expect_text() == "1", "what it may is refused");
    client.ask(&["DOC.GET", "a_people", "1"])?;
    ensure!(client.ask(&["KEYS", "*"])?.expect_array().len() == 1, "names are listed that it may not touch");
    client.ask(&["MULTI"])?;
    ensure!(client.run(&["SET", "b1", "2"])?.is_error("NOPERM"), "MULTI widens");
    ensure!(client.run(&["EXEC"])?.is_error("EXECABORT"), "a transaction with what is refused was carried out");

    // Changes of anybody's rights leave the bounds in place, and what the user loses the token loses.
    admin.ask(&["ACL", "SETUSER", "eve", "on"])?;
    ensure!(client.run(&["GET", "b1"])?.is_error("NOPERM"), "a change of another user widens");
    admin.ask(&["ACL", "SETUSER", "ada", "-get"])?;
    ensure!(client.run(&["GET", "a1"])?.is_error("NOPERM"), "what the user may not, the token may");
    admin.ask(&["ACL", "SETUSER", "ada", "+get"])?;
    ensure!(client.ask(&["GET", "a1"])?.expect_text() == "1", "what the user may again, the token may not");

    // More than the user may is no more than that.
    admin.ask(&["ACL", "SETUSER", "ada", "resetkeys", "~a*", "-config"])?;
    let wide = issue(&mut admin, &["USER", "ada", "CLAIMS", r#"{"acl":["+@all","~*","&*"]}"#])?;
    let mut client = inside(&server, &wide)?;
    ensure!(client.run(&["GET", "b1"])?.is_error("NOPERM"), "a token widens keys");
    ensure!(client.run(&["CONFIG", "GET", "port"])?.is_error("NOPERM"), "a token widens commands");
    let nothing = issue(&mut admin, &["USER", "ada", "CLAIMS", r#"{"acl":[]}"#])?;
    let mut client = inside(&server, &nothing)?;
    ensure!(client.run(&["PING"])?.is_error("NOPERM"), "no rules allow something");
    // The next who gets in over the connection is not held to it, and RESET makes it a stranger.
    client.ask(&["AUTH", "ada", "secret"])?;
    client.ask(&["PING"])?;
    client.ask(&["AUTH", "ada", &nothing])?;
    client.ask(&["RESET"])?;
    ensure!(client.ask(&["ACL", "WHOAMI"])?.expect_text() == "default", "RESET keeps the user");
    client.ask(&["TOKEN.ISSUE"])?;
    Ok(())
}

#[test]
fn a_token_narrows_what_is_waited_for_too() -> Result<()> {
    let (server, mut admin) = start()?;
    let token = issue(&mut admin, &["USER", "ada", "CLAIMS", r#"{"acl":["+doc.changes","~a*"]}"#])?;
    let mut client = inside(&server, &token)?;
    client.send(&veddb_tests::request(&["DOC.CHANGES", "*", "BLOCK", "0"]))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !admin.ask(&["CLIENT", "LIST"])?.expect_text().contains(" flags=b") {
        ensure!(Instant::now() < deadline, "it does not wait");
        thread::sleep(Duration::from_millis(10));
    }
    // Users change, so it is looked again who it is.
    admin.ask(&["ACL", "SETUSER", "other", "on"])?;
    admin.ask(&["DOC.SET", "b_people", "1", "{}"])?;
    admin.ask(&["DOC.SET", "a_people", "1", "{}"])?;
    let reply = client.read()?;
    let [_, events] = reply.expect_array() else { bail!("{reply}") };
    let [event] = events.expect_array() else { bail!("{reply}") };
    ensure!(event.expect_text().contains(r#""coll":"a_people""#), "it is told what the token keeps from it: {event}");
    // Nor without waiting, nor under the name that a collection comes to have.
    admin.ask(&["DOC.RENAME", "a_people", "b_others"])?;
    let all = client.ask(&["DOC.CHANGES", "*", "EARLIEST"])?.to_string();
    ensure!(all.contains("a_people") && !all.contains("b_people"), "{all}");
    Ok(())
}

#[test]
fn a_cursor_is_only_for_the_same_rights() -> Result<()> {
    let (server, mut admin) = start()?;
    for id in 0..20 {
        admin.ask(&["DOC.SET", "people", &id.to_string(), "{}"])?;
    }
    let narrow = issue(&mut admin, &["USER", "ada", "CLAIMS", r#"{"acl":["+doc.cursor","~x*"]}"#])?;
    let rules = r#"{"acl":["+doc.cursor","+doc.find","~people"]}"#;
    let (first, second) =
        (issue(&mut admin, &["USER", "ada", "CLAIMS", rules])?, issue(&mut admin, &["USER", "ada", "CLAIMS", rules])?);
    let mut client = inside(&server, &first)?;
    let begun = client.ask(&["DOC.FIND", "people", "{}", "CURSOR", "5"])?;
    let cursor = begun.expect_array()[0].to_string();
    let cursor = cursor.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    ensure!(
        inside(&server, &narrow)?.run(&["DOC.CURSOR", "READ", &cursor])?.is_error("NOCURSOR"),
        "a narrower token reads on"
    );
    inside(&server, &second)?.ask(&["DOC.CURSOR", "READ", &cursor, "COUNT", "5"])?;
    Ok(())
}

#[test]
fn who_is_in_by_a_token_is_out_when_it_is_revoked() -> Result<()> {
    let (mut server, mut admin) = start()?;
    let (token, other) = (issue(&mut admin, &["USER", "ada"])?, issue(&mut admin, &["USER", "ada"])?);
    let number = jti(&token)?;
    let mut idle = inside(&server, &token)?;
    let mut listener = inside(&server, &token)?;
    listener.ask(&["SUBSCRIBE", "news"])?;
    let mut waiting = inside(&server, &token)?;
    waiting.send(&veddb_tests::request(&["WAIT", "5", "0"]))?;
    let mut amid = inside(&server, &token)?;
    amid.ask(&["MULTI"])?;
    amid.ask(&["SET", "k", "v"])?;
    let mut stays = inside(&server, &other)?;
    let mut with_password = Client::connect(server.port())?;
    with_password.ask(&["AUTH", "ada", "secret"])?;
    ensure!(admin.ask(&["TOKEN.REVOKE", &number])?.expect_integer() == 1, "nothing was revoked");
    // A request that is under way is not carried out either.
    drop(amid.send(&veddb_tests::request(&["EXEC"])));
    for client in [&mut idle, &mut listener, &mut waiting, &mut amid] {
        ensure!(client.read_to_end()?.is_empty(), "a connection of a revoked token was answered");
    }
    ensure!(admin.ask(&["EXISTS", "k"])?.expect_integer() == 0, "its transaction was carried out");
    stays.ask(&["PING"])?;
    with_password.ask(&["PING"])?;
    ensure!(admin.ask(&["TOKEN.REVOKE", &number])?.expect_integer() == 0, "revoked twice");
    ensure!(admin.ask(&["TOKEN.REVOKE", "no-such"])?.expect_integer() == 0, "what is not there was revoked");
    ensure!(!gets_in(server.port(), "ada", &token)?, "a revoked token is good");

    let listed = |client: &mut Client| -> Result<String> {
        let shown = client.ask(&["TOKEN.LIST"])?;
        Ok(shown.to_string())
    };
    admin.ask(&["FLUSHALL"])?;
    let before = listed(&mut admin)?;
    for orderly in [false, true] {
        if orderly {
            server.stop()?
        } else {
            server.kill()?
        }
        server.restart()?;
        admin = server.client()?;
        ensure!(!gets_in(server.port(), "ada", &token)?, "a revoked token is good after a restart");
        ensure!(gets_in(server.port(), "ada", &other)?, "a good token is not after a restart");
        ensure!(listed(&mut admin)? == before, "{} is not {before}", listed(&mut admin)?);
    }

    // All of a user.
    let third = issue(&mut admin, &["USER", "ada"])?;
    let mine = issue(&mut admin, &[])?;
    let mut stays = inside(&server, &third)?;
    ensure!(admin.ask(&["TOKEN.REVOKE", "USER", "ada"])?.expect_integer() == 2, "not all, or too many");
    ensure!(stays.read_to_end()?.is_empty(), "a connection stays");
    ensure!(gets_in(server.port(), "default", &mine)?, "tokens of another user were revoked");
    Ok(())
}

/// Connections that get in and ask for something, all the time: none is answered to what it asked after the answer to a revocation.
#[test]
fn nobody_is_served_after_a_revocation_was_answered() -> Result<()> {
    let (server, mut admin) = start()?;
    for round in 0..12 {
        let token = issue(&mut admin, &["USER", "ada"])?;
        let (revoked, at_it) = (AtomicBool::new(false), AtomicUsize::new(0));
        let port = server.port();
        let attempts = |revoked: &AtomicBool| -> Result<(u32, u32)> {
            let (mut before, mut after) = (0, 0);
            loop {
                let mut client = Client::connect(port)?;
                let mut is_in = false;
                for _ in 0..5 {
                    let is_late = revoked.load(SeqCst);
                    let request: &[&str] = if is_in { &["INCR", "served"] } else { &["AUTH", "ada", &token] };
                    let Ok(answer) = client.run(request) else { break };
                    let served = !matches!(answer, Value::Error(_));
                    ensure!(!(is_late && served), "{request:?} was answered by {answer} after the revocation");
                    if served && before == 0 {
                        at_it.fetch_add(1, SeqCst);
                    }
                    before += u32::from(served);
                    is_in |= served;
                    if is_late {
                        after += 1;
                        break;
                    }
                }
                if after >= 3 {
                    return Ok((before, after));
                }
            }
        };
        thread::scope(|scope| -> Result<()> {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| attempts(&revoked))).collect();
            until("all of them are served", || Ok(at_it.load(SeqCst) == 4))?;
            match round % 3 {
                0 => drop(admin.ask(&["TOKEN.REVOKE", &jti(&token)?])),
                1 => drop(admin.ask(&["TOKEN.ROTATE", "NOW"])),
                _ => drop(admin.ask(&["ACL", "SETUSER", "ada", "off"])),
            }
            revoked.store(true, SeqCst);
            for worker in workers {
                let (before, _) = worker.join().expect("a worker")?;
                ensure!(before > 0, "nobody was served before");
            }
            Ok(())
        })?;
        admin.ask(&["ACL", "SETUSER", "ada", "on"])?;
        admin.ask(&["DEL", "served"])?;
    }
    Ok(())
}

#[test]
fn a_token_is_worth_what_its_user_and_its_key_are() -> Result<()> {
    let (server, mut admin) = start()?;
    let token = issue(&mut admin, &["USER", "ada"])?;
    let mut client = inside(&server, &token)?;
    admin.ask(&["ACL", "SETUSER", "ada", "off"])?;
    ensure!(client.read_to_end()?.is_empty(), "who is off stays in by a token");
    ensure!(!gets_in(server.port(), "ada", &token)?, "who is off gets in");
    ensure!(admin.run(&["TOKEN.ISSUE", "USER", "ada"])?.is_error("ERR"), "a token for who is off");
    admin.ask(&["ACL", "SETUSER", "ada", "on"])?;
    let mut client = inside(&server, &token)?;
    // Another user of that name is another one.
    admin.ask(&["ACL", "DELUSER", "ada"])?;
    ensure!(client.read_to_end()?.is_empty(), "who is gone stays in by a token");
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all", "~*"])?;
    ensure!(!gets_in(server.port(), "ada", &token)?, "a token of one who was removed is good for a new one");

    let first = issue(&mut admin, &["USER", "ada"])?;
    let kid = |token: &str| part(token, 0).map(|header| header["kid"].clone());
    let new = admin.ask(&["TOKEN.ROTATE"])?.expect_text().to_owned();
    let second = issue(&mut admin, &["USER", "ada"])?;
    ensure!(kid(&second)? == json!(new) && kid(&first)? != json!(new), "the key is not another one");
    for token in [&first, &second] {
        ensure!(gets_in(server.port(), "ada", token)?, "a rotation has ended a token");
    }
    let mut client = inside(&server, &second)?;
    admin.ask(&["TOKEN.ROTATE", "NOW"])?;
    ensure!(client.read_to_end()?.is_empty(), "who came with a key that is dead stays");
    for token in [&first, &second] {
        ensure!(!gets_in(server.port(), "ada", token)?, "a dead key is good");
    }
    ensure!(gets_in(server.port(), "ada", &issue(&mut admin, &["USER", "ada"])?)?, "the new key is not good");
    ensure!(admin.ask(&["TOKEN.REVOKE", "USER", "ada"])?.expect_integer() == 1, "what was good is counted");
    Ok(())
}

#[test]
fn a_token_ends_with_its_time_and_is_forgotten() -> Result<()> {
    let (server, mut admin) = start()?;
    let count = |client: &mut Client| -> Result<usize> { Ok(client.ask(&["TOKEN.LIST"])?.expect_array().len()) };
    let token = issue(&mut admin, &["USER", "ada", "EX", "3"])?;
    let mut silent = inside(&server, &token)?;
    let mut busy = inside(&server, &token)?;
    ensure!(count(&mut admin)? == 1, "it is not listed");
    let expires = part(&token, 1)?["exp"].as_u64().context("exp")?;
    loop {
        let was = now();
        match busy.run(&["PING"]) {
            Ok(Value::Simple(_)) => ensure!(was < expires + 1, "it was good {} s too long", now() - expires),
            Ok(refused) if refused.is_error("NOAUTH") => break,
            Ok(other) => bail!("{other}"),
            // The look that is taken once a second came first.
            Err(_) => break,
        }
    }
    ensure!(now() >= expires, "it ended too soon");
    ensure!(busy.read_to_end()?.is_empty(), "it stays open");
    ensure!(silent.read_to_end()?.is_empty(), "a silent connection was answered");
    ensure!(now() <= expires + 3, "a silent connection stays for {} s", now() - expires);
    ensure!(!gets_in(server.port(), "ada", &token)?, "an expired token is good");
    ensure!(count(&mut admin)? == 0, "an expired token is listed");

    // So there is always room again.
    admin.ask(&["CONFIG", "SET", "token-max-records", "2", "token-max-lifetime", "100"])?;
    ensure!(admin.run(&["TOKEN.ISSUE", "EX", "101"])?.is_error("ERR"), "it may last longer than it may");
    issue(&mut admin, &["EX", "1"])?;
    let kept = issue(&mut admin, &[])?;
    ensure!(admin.run(&["TOKEN.ISSUE"])?.is_error("TOOBIG"), "more tokens than there may be");
    admin.ask(&["TOKEN.REVOKE", &jti(&kept)?])?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while admin.run(&["TOKEN.ISSUE"])?.is_error("TOOBIG") {
        ensure!(Instant::now() < deadline, "an expired token takes room");
    }
    ensure!(admin.run(&["TOKEN.ISSUE"])?.is_error("TOOBIG"), "a revoked token takes no room");
    Ok(())
}

#[test]
fn no_token_is_shown_anywhere() -> Result<()> {
    let (server, mut admin) = start()?;
    admin.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "loglevel", "debug"])?;
    let mut watcher = server.client()?;
    watcher.ask(&["MONITOR"])?;
    let claim = "a-claim-of-somebody";
    let token = issue(&mut admin, &["USER", "ada", "CLAIMS", &format!(r#"{{"note":"{claim}"}}"#)])?;
    let mut client = inside(&server, &token)?;
    client.ask(&["HELLO", "2", "AUTH", "ada", &token])?;
    client.ask(&["SET", "last", "one"])?;
    drop(admin.run(&["AUTH", "ada", &token[..token.len() - 3]])?);
    drop(admin.run(&["TOKEN.REVOKE", &token])?);
    drop(admin.run(&["TOKEN.ISSUE", "CLAIMS", &token])?);
    drop(admin.run(&["AUTH", "eve", &token])?);
    let mut seen =
        vec![server.log(), admin.ask(&["SLOWLOG", "GET", "100"])?.to_string(), admin.ask(&["ACL", "LOG"])?.to_string()];
    loop {
        let line = watcher.read()?.to_string();
        let is_last = line.contains("last");
        seen.push(line);
        if is_last {
            break;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let audited = loop {
        let audited = admin.ask(&["AUDIT.TAIL", "1000"])?.to_string();
        if audited.contains("token.revoke") {
            break audited;
        }
        ensure!(Instant::now() < deadline, "TOKEN.REVOKE is not audited: {audited}");
    };
    ensure!(audited.contains("token.issue") && audited.contains(&jti(&token)?), "{audited}");
    seen.push(audited);
    let parts: Vec<&str> = token.split('.').collect();
    for text in &seen {
        for secret in [&parts[1][..40], &parts[2][..40], claim] {
            ensure!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }
    Ok(())
}
