//! The console's port over plain sockets: who gets in, what is run, and what is refused. What a person sees is `tests/console`'s.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::http::Answer;
use veddb_tests::{Client, Options, Server, until};

const PASSWORD: &str = "correct horse";

/// A server with a console, and whom one logs in as.
struct Console {
    server: Server,
    http: u16,
}

impl Console {
    fn start(options: Options) -> Result<Console> {
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let options = options.password(PASSWORD).set("http-port", http.to_string()).set("http-console", "yes");
        Ok(Console { server: options.start()?, http })
    }

    /// Sends a request with these lines in its head.
    fn ask(&self, method: &str, path: &str, head: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        self.ask_as(&format!("127.0.0.1:{}", self.http), method, path, head, body)
    }

    /// The same by another name.
    fn ask_as(&self, host: &str, method: &str, path: &str, head: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.http))?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        head.iter().for_each(|(name, value)| bytes.push_str(&format!("{name}: {value}\r\n")));
        bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        socket.write_all(bytes.as_bytes())?;
        // What is too long may be refused before all of it was sent.
        let _ = socket.write_all(body);
        let mut bytes = Vec::new();
        let read = socket.read_to_end(&mut bytes);
        ensure!(read.is_ok() || !bytes.is_empty(), "no answer: {read:?}");
        let text = String::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head")?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?.parse()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Ok(Answer { status, headers, body: body.to_owned() })
    }

    fn post(&self, path: &str, cookie: &str, body: &Json) -> Result<Answer> {
        let head = [("Content-Type", "application/json"), ("Cookie", cookie)];
        self.ask("POST", path, &head, body.to_string().as_bytes())
    }

    fn login(&self, user: &str, password: &str) -> Result<Answer> {
        self.post("/console/login", "", &json!({ "user": user, "password": password }))
    }

    /// Logs in; the cookie.
    fn enter(&self, user: &str, password: &str) -> Result<String> {
        let answer = self.login(user, password)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        let cookie = answer.headers.get("set-cookie").context("no cookie")?;
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    /// Runs a command; what came.
    fn run(&self, cookie: &str, words: &[&str]) -> Result<(u16, Json)> {
        let answer = self.post("/console/run", cookie, &json!(words))?;
        Ok((answer.status, serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?))
    }

    /// Runs a command whose reply is no error.
    fn ok(&self, cookie: &str, words: &[&str]) -> Result<Json> {
        match self.run(cookie, words)? {
            (200, mut answer) if answer.get("ok").is_some() => Ok(answer["ok"].take()),
            other => bail!("{words:?}: {other:?}"),
        }
    }

    fn admin(&self) -> Result<Client> {
        self.server.client()
    }
}

fn says(answer: &(u16, Json), status: u16, text: &str) -> Result<()> {
    let error = answer.1["error"].as_str().unwrap_or_default();
    ensure!(answer.0 == status && error.contains(text), "{answer:?} is not {status} with {text}");
    Ok(())
}

#[test]
fn it_is_off_unless_set() -> Result<()> {
    let console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    console.admin()?.ask(&["CONFIG", "SET", "http-console", "no"])?;
    for path in ["/", "/console", "/console/", "/console/app.js", "/console/session"] {
        let answer = console.ask("GET", path, &[], b"")?;
        ensure!(answer.status == 404, "{path}: {}", answer.status);
    }
    let answer = console.post("/console/run", &cookie, &json!(["PING"]))?;
    ensure!(answer.status == 404 || answer.status == 405, "{}", answer.status);
    // Sessions end with it, within about a second, and are not there again when it comes back.
    until("no session's connection", || {
        Ok(!console.admin()?.ask(&["CLIENT", "LIST"])?.to_string().contains("name=console"))
    })?;
    console.admin()?.ask(&["CONFIG", "SET", "http-console", "yes"])?;
    says(&console.run(&cookie, &["PING"])?, 401, "no session")?;
    let plain = Options::new().start()?;
    let shown = plain.client()?.ask(&["CONFIG", "GET", "http-console"])?;
    ensure!(shown.expect_array()[1].text() == Some("no"), "{shown}");
    Ok(())
}

#[test]
fn the_page_is_there_and_guarded() -> Result<()> {
    let console = Console::start(Options::new())?;
    for (path, location) in [("/", "/console/"), ("/console", "/console/")] {
        let answer = console.ask("GET", path, &[], b"")?;
        ensure!(answer.status == 302 && answer.headers["location"] == location, "{path}: {}", answer.status);
    }
    for (path, kind) in [
        ("/console/", "text/html; charset=utf-8"),
        ("/console/style.css", "text/css; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
        ("/console/session", "application/json"),
    ] {
        let answer = console.ask("GET", path, &[], b"")?;
        ensure!(answer.status == 200 && answer.headers["content-type"] == kind, "{path}: {answer:?}");
        let policy = &answer.headers["content-security-policy"];
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
            ensure!(policy.contains(rule), "{path}: {policy}");
        }
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")]
        {
            ensure!(answer.headers[name] == value, "{path}: {name}");
        }
    }
    for path in ["/console/../Cargo.toml", "/console/nothing", "/console/run", "/consoles"] {
        ensure!(console.ask("GET", path, &[], b"")?.status == 404, "{path}");
    }
    ensure!(console.ask("PUT", "/console/run", &[], b"")?.status == 405, "PUT");
    Ok(())
}

#[test]
fn a_user_gets_in_by_its_password() -> Result<()> {
    let console = Console::start(Options::new())?;
    let answer = console.login("default", PASSWORD)?;
    let cookie = &answer.headers["set-cookie"];
    for part in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
        ensure!(cookie.contains(part), "{cookie}");
    }
    let cookie = console.enter("default", PASSWORD)?;
    ensure!(console.ok(&cookie, &["ACL", "WHOAMI"])? == json!("default"), "who");
    let list = console.admin()?.ask(&["CLIENT", "LIST"])?;
    ensure!(list.expect_text().contains("name=console"), "it is a client: {list}");
    let session = console.ask("GET", "/console/session", &[("Cookie", &format!("a=b; {cookie}; c=d"))], b"")?;
    ensure!(session.body.contains("\"user\":\"default\""), "{}", session.body);
    ensure!(console.ask("GET", "/console/session", &[], b"")?.body == "{\"user\":null}", "nobody");

    for (user, password) in [("default", "wrong"), ("nobody", PASSWORD), ("default", "")] {
        let answer = console.login(user, password)?;
        ensure!(answer.status == 401 && !answer.headers.contains_key("set-cookie"), "{user}: {answer:?}");
        ensure!(answer.body.contains("WRONGPASS"), "{}", answer.body);
    }
    until("strangers leave no connection", || {
        let list = console.admin()?.ask(&["CLIENT", "LIST"])?;
        Ok(list.expect_text().matches("laddr=127.0.0.1:").count() == 3)
    })
}

#[test]
fn wrong_passwords_are_held_up_as_everywhere() -> Result<()> {
    let console = Console::start(Options::new().set("limit-auth-failures", "3"))?;
    for _ in 0..3 {
        ensure!(console.login("default", "wrong")?.body.contains("WRONGPASS"), "the first are looked at");
    }
    let answer = console.login("default", "wrong")?;
    ensure!(answer.status == 401 && answer.body.contains("RATELIMIT"), "{}", answer.body);
    Ok(())
}

#[test]
fn commands_are_run_and_answered_as_json() -> Result<()> {
    let console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    ensure!(console.ok(&cookie, &["DOC.SET", "c", "1", "{\"a\":1}"])? == json!(1), "a number");
    ensure!(console.ok(&cookie, &["DOC.GET", "c", "2"])?.is_null(), "null");
    ensure!(console.ok(&cookie, &["DOC.STATS", "c"])?["count"] == json!(1), "a map");
    says(&console.run(&cookie, &["DOC.FIND", "c", "{"])?, 200, "")?;
    says(&console.run(&cookie, &["NO.SUCH"])?, 200, "unknown command")?;
    says(&console.run(&cookie, &[])?, 200, "there is no command")?;
    for words in
        [&["SUBSCRIBE", "a"][..], &["MULTI"], &["monitor"], &["CLIENT", "reply", "OFF"], &["HELLO", "2"], &["quit"]]
    {
        says(&console.run(&cookie, words)?, 200, "not for the console")?;
    }
    let answer =
        console.post("/console/run", &cookie, &json!({ "db": 3, "command": ["DOC.SET", "there", "1", "{}"] }))?;
    ensure!(answer.body == "{\"ok\":1}", "{}", answer.body);
    ensure!(console.ok(&cookie, &["DOC.COLLECTIONS"])? == json!(["there"]), "the database is kept");
    let answer = console.post("/console/run", &cookie, &json!({ "db": 200, "command": ["PING"] }))?;
    ensure!(answer.body.contains("DB index"), "{}", answer.body);
    let answer = console.post("/console/run", &cookie, &json!(["SET", "k", { "base64": "/wA=" }]))?;
    ensure!(answer.body == "{\"ok\":\"OK\"}", "{}", answer.body);
    ensure!(console.ok(&cookie, &["GET", "k"])? == json!({ "base64": "/wA=" }), "bytes");
    for body in ["", "{", "[1]", "\"PING\"", "[\"PING\", {\"base64\": \"?\"}]", "{\"db\": -1, \"command\": []}"] {
        let head = [("Content-Type", "application/json"), ("Cookie", cookie.as_str())];
        let answer = console.ask("POST", "/console/run", &head, body.as_bytes())?;
        ensure!(answer.status == 400, "{body:?}: {}", answer.status);
    }
    Ok(())
}

#[test]
fn hostile_texts_come_back_as_json_alone() -> Result<()> {
    let console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    let hostile = "</script><img src=x onerror=alert(1)>\u{202e}\u{2028}\r\n\r\nHTTP/1.1 200 OK\0\u{1b}[31m\"\\";
    console.ok(&cookie, &["DOC.SET", "c", hostile, &json!({ "a": hostile, (hostile): 1 }).to_string()])?;
    let answer = console.post("/console/run", &cookie, &json!(["DOC.GET", "c", hostile]))?;
    ensure!(answer.headers["content-type"] == "application/json", "{answer:?}");
    let read: Json = serde_json::from_str(&answer.body)?;
    let document: Json = serde_json::from_str(read["ok"].as_str().context("a text")?)?;
    ensure!(document["a"] == json!(hostile) && document[hostile] == json!(1), "{document}");
    let answer = console.post("/console/run", &cookie, &json!([hostile]))?;
    ensure!(
        answer.headers["content-type"] == "application/json" && answer.body.contains("unknown command"),
        "{answer:?}"
    );
    Ok(())
}

#[test]
fn other_sites_are_refused() -> Result<()> {
    let console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    let own = format!("http://127.0.0.1:{}", console.http);
    let json = ("Content-Type", "application/json");
    for head in [
        vec![("Content-Type", "text/plain")],
        vec![("Content-Type", "application/x-www-form-urlencoded")],
        vec![],
        vec![json, ("Origin", "http://evil.example")],
        vec![json, ("Origin", "http://127.0.0.1:1")],
        vec![json, ("Origin", "null")],
        vec![json, ("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")],
    ] {
        for path in ["/console/run", "/console/login", "/console/logout"] {
            let head = [head.as_slice(), &[("Cookie", cookie.as_str())]].concat();
            let answer = console.ask("POST", path, &head, b"[\"SET\",\"k\",\"v\"]")?;
            ensure!(answer.status == 403, "{path} {head:?}: {}", answer.status);
            ensure!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
        }
    }
    let asked = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = console.ask("OPTIONS", "/console/run", &asked, b"")?;
    ensure!(answer.status == 405 && !answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
    ensure!(console.ok(&cookie, &["GET", "k"])?.is_null(), "it was done");
    let head = [json, ("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Cookie", cookie.as_str())];
    ensure!(console.ask("POST", "/console/run", &head, b"[\"PING\"]")?.body == "{\"ok\":\"PONG\"}", "the own page may");
    Ok(())
}

/// A proxy passes on the name that it is asked by. While there is no password, a page of a name that was made to lead here would be let in.
#[test]
fn another_name_is_answered_where_there_is_a_password() -> Result<()> {
    let console = Console::start(Options::new())?;
    let head = [("Content-Type", "application/json"), ("Origin", "https://db.example")];
    let body = json!({ "user": "default", "password": PASSWORD }).to_string();
    let answer = console.ask_as("db.example", "POST", "/console/login", &head, body.as_bytes())?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    ensure!(console.ask_as("db.example", "GET", "/metrics", &[], b"")?.status == 421, "the rest is not");
    console.admin()?.ask(&["ACL", "SETUSER", "default", "nopass"])?;
    for (method, path) in [("POST", "/console/login"), ("GET", "/console/"), ("GET", "/")] {
        let answer = console.ask_as("db.example", method, path, &head, body.as_bytes())?;
        ensure!(answer.status == 421, "{path}: {}", answer.status);
    }
    ensure!(console.login("default", "")?.status == 200, "by a number it is");
    Ok(())
}

#[test]
fn without_a_session_nothing_is_run() -> Result<()> {
    let console = Console::start(Options::new())?;
    let good = console.enter("default", PASSWORD)?;
    let (name, _) = good.split_once('=').context("a cookie has a name")?;
    let (other, none) = (format!("{name}={}", "0".repeat(64)), format!("{name}="));
    for cookie in ["", none.as_str(), other.as_str(), "other=1", &good.to_uppercase()] {
        says(&console.run(cookie, &["PING"])?, 401, "log in")?;
    }
    let answer = console.post("/console/logout", &good, &json!({}))?;
    ensure!(answer.status == 200 && answer.headers["set-cookie"].contains("Max-Age=0"), "{answer:?}");
    says(&console.run(&good, &["PING"])?, 401, "log in")?;
    until("its connection is gone", || {
        Ok(!console.admin()?.ask(&["CLIENT", "LIST"])?.expect_text().contains("name=console"))
    })
}

#[test]
fn the_acl_is_the_users() -> Result<()> {
    let console = Console::start(Options::new())?;
    let mut admin = console.admin()?;
    admin.ask(&["ACL", "SETUSER", "reader", "on", ">pw", "~open", "+doc.get", "+doc.set"])?;
    let cookie = console.enter("reader", "pw")?;
    console.ok(&cookie, &["DOC.SET", "open", "1", "{}"])?;
    says(&console.run(&cookie, &["DOC.SET", "shut", "1", "{}"])?, 200, "NOPERM")?;
    says(&console.run(&cookie, &["KEY.ROTATE"])?, 200, "NOPERM")?;
    // In another database only where it may send SELECT.
    let answer = console.post("/console/run", &cookie, &json!({ "db": 1, "command": ["DOC.GET", "open", "1"] }))?;
    ensure!(answer.body.contains("NOPERM"), "{}", answer.body);
    let log = admin.ask(&["ACL", "LOG"])?.to_string();
    ensure!(log.contains("key.rotate") && log.contains("name=console"), "{log}");
    admin.ask(&["ACL", "SETUSER", "reader", "-doc.set"])?;
    says(&console.run(&cookie, &["DOC.SET", "open", "1", "{}"])?, 200, "NOPERM")?;
    admin.ask(&["ACL", "DELUSER", "reader"])?;
    says(&console.run(&cookie, &["DOC.GET", "open", "1"])?, 401, "log in")
}

#[test]
fn a_session_ends_with_its_token() -> Result<()> {
    let console = Console::start(Options::new())?;
    let mut admin = console.admin()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">pw", "~*", "+@all"])?;
    let issue = |admin: &mut Client, seconds: &str| -> Result<String> {
        Ok(admin.ask(&["TOKEN.ISSUE", "USER", "ada", "EX", seconds])?.expect_text().to_owned())
    };
    let token = issue(&mut admin, "600")?;
    let cookie = console.enter("ada", &token)?;
    ensure!(console.ok(&cookie, &["ACL", "WHOAMI"])? == json!("ada"), "who");
    admin.ask(&["TOKEN.REVOKE", "USER", "ada"])?;
    says(&console.run(&cookie, &["PING"])?, 401, "log in")?;
    ensure!(console.login("ada", &token)?.status == 401, "a revoked token lets nobody in");
    let token = issue(&mut admin, "2")?;
    let cookie = console.enter("ada", &token)?;
    console.ok(&cookie, &["PING"])?;
    until("the token has expired", || Ok(console.run(&cookie, &["PING"])?.0 == 401))?;
    let cookie = console.enter("ada", "pw")?;
    admin.ask(&["CLIENT", "KILL", "USER", "ada"])?;
    says(&console.run(&cookie, &["PING"])?, 401, "log in")
}

#[test]
fn sessions_are_bounded_and_end_when_nobody_uses_them() -> Result<()> {
    let console = Console::start(Options::new().set("http-sessions-max", "2").set("http-session-timeout", "1000"))?;
    let first = console.enter("default", PASSWORD)?;
    let second = console.enter("default", PASSWORD)?;
    let answer = console.login("default", PASSWORD)?;
    ensure!(answer.status == 503 && answer.body.contains("http-sessions-max"), "{answer:?}");
    // One whose connection is gone makes room.
    console.admin()?.ask(&["CLIENT", "KILL", "ID", &console.ok(&first, &["CLIENT", "ID"])?.to_string()])?;
    console.enter("default", PASSWORD)?;
    console.admin()?.ask(&["CONFIG", "SET", "http-session-timeout", "1"])?;
    until("it ends", || {
        thread::sleep(Duration::from_millis(1500));
        Ok(!console.admin()?.ask(&["CLIENT", "LIST"])?.expect_text().contains("name=console"))
    })?;
    says(&console.run(&second, &["PING"])?, 401, "log in")
}

#[test]
fn what_is_too_long_is_refused() -> Result<()> {
    let console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    let long = "x".repeat(5 << 20);
    let answer = console.post("/console/run", &cookie, &json!(["ECHO", long]))?;
    ensure!(answer.status == 413, "{}", answer.status);
    let answer = console.login("default", &"x".repeat(20 << 10))?;
    ensure!(answer.status == 413, "{}", answer.status);
    // A stranger's is not even read.
    let answer = console.post("/console/run", "", &json!(["ECHO", long]))?;
    ensure!(answer.status == 401, "{}", answer.status);
    let mut client = console.admin()?;
    for n in 0..6 {
        client.ask(&["DOC.SET", "long", &n.to_string(), &json!({ "a": "y".repeat(1 << 20) }).to_string()])?;
    }
    for words in [&["DOC.FIND", "long", "{}"][..], &["DOC.FIND", "long", "{}", "WITHVER"]] {
        says(&console.run(&cookie, words)?, 200, "longer than 4194304 bytes")?;
        // The session goes on, and no answer is another's.
        ensure!(console.ok(&cookie, &["ECHO", "next"])? == json!("next"), "the next");
    }
    ensure!(console.ok(&cookie, &["DOC.FIND", "long", "{}", "LIMIT", "3"])?[2].is_string(), "three of them");
    Ok(())
}

#[test]
fn sessions_do_not_mix_and_leaving_early_loses_none() -> Result<()> {
    let console = Console::start(Options::new().set("enable-debug-command", "yes"))?;
    let cookies: Vec<String> = (0..4).map(|_| console.enter("default", PASSWORD)).collect::<Result<_>>()?;
    thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|n| {
                let (console, cookie) = (&console, &cookies[n % 4]);
                scope.spawn(move || -> Result<()> {
                    for at in 0..25 {
                        let word = format!("{n}-{at}");
                        ensure!(console.ok(cookie, &["ECHO", &word])? == json!(word), "another's answer");
                    }
                    Ok(())
                })
            })
            .collect();
        all.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    // A browser that goes away while a command runs.
    let body = json!(["DEBUG", "SLEEP", "0.3"]).to_string();
    let mut socket = TcpStream::connect(("127.0.0.1", console.http))?;
    write!(
        socket,
        "POST /console/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nCookie: {}\r\nContent-Length: {}\r\n\r\n{body}",
        cookies[0],
        body.len()
    )?;
    thread::sleep(Duration::from_millis(100));
    drop(socket);
    ensure!(console.ok(&cookies[0], &["ECHO", "after"])? == json!("after"), "the answer of the one before");
    Ok(())
}

#[test]
fn the_server_stops_with_sessions_open() -> Result<()> {
    let mut console = Console::start(Options::new())?;
    let cookie = console.enter("default", PASSWORD)?;
    console.ok(&cookie, &["PING"])?;
    let before = Instant::now();
    console.server.stop()?;
    ensure!(before.elapsed() < Duration::from_secs(5), "it waited for the console: {:?}", before.elapsed());
    Ok(())
}
