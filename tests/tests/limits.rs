//! Limits of addresses and users: who asks for too much, or guesses too often, is told when to come back, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Server, Value, request};

/// The milliseconds after which a refusal says that it may be tried again.
fn wait(value: &Value, limit: &str) -> Result<u64> {
    let text = value.to_string();
    let text = text.trim_start_matches('-');
    let rest = text.strip_prefix(&format!("RATELIMIT {limit} is reached, try again in "));
    let words = rest.with_context(|| format!("not a refusal of {limit}: {text}"))?;
    Ok(words.split(' ').next().unwrap_or_default().parse()?)
}

#[test]
fn commands_of_an_address_are_bounded_and_the_time_told_is_right() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "limit-address-commands", "100"])?;
    let begun = Instant::now();
    let mut served = 0_u64;
    while begun.elapsed() < Duration::from_secs(2) {
        match client.run(&["PING"])? {
            Value::Simple(_) => served += 1,
            refused => thread::sleep(Duration::from_millis(wait(&refused, "limit-address-commands")?)),
        }
    }
    // A whole bucket and two seconds of filling; what a busy machine takes longer fills it further.
    let most = 100 + (begun.elapsed().as_secs_f64() * 100.0).ceil() as u64;
    ensure!((200..=most).contains(&served), "{served} commands in {:?}", begun.elapsed());

    // A pipeline: what is over is refused one by one, in its turn, and a transaction that lost a command is none.
    client.ask_when_let(&["CONFIG", "SET", "limit-address-commands", "10"])?;
    let pings: Vec<Vec<&str>> = (0..50).map(|_| vec!["PING"]).collect();
    let answers = client.pipeline(&pings)?;
    let refused = answers.iter().filter(|answer| answer.is_error("RATELIMIT")).count();
    ensure!((35..=45).contains(&refused), "{refused} of 50 were refused");
    ensure!(matches!(client.run(&["RESET"])?, Value::Simple(_)), "RESET was refused");
    client.ask_when_let(&["CONFIG", "SET", "limit-address-commands", "0"])?;
    for _ in 0..1000 {
        client.ask(&["PING"])?;
    }
    let counted: u64 = client.figure("stats", "rate_limited_requests")?.parse()?;
    ensure!(counted >= refused as u64, "{counted} are counted");
    Ok(())
}

#[test]
fn a_transaction_that_lost_a_command_is_none() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "limit-user-commands", "20"])?;
    client.ask(&["MULTI"])?;
    let sets: Vec<Vec<&str>> = (0..40).map(|_| vec!["INCR", "n"]).collect();
    let answers = client.pipeline(&sets)?;
    ensure!(answers.iter().any(|answer| answer.is_error("RATELIMIT")), "nothing was refused");
    let outcome = client.until_let(&["EXEC"])?;
    ensure!(outcome.is_error("EXECABORT"), "{outcome}");
    ensure!(client.ask_when_let(&["EXISTS", "n"])?.expect_integer() == 0, "a part of the transaction was done");
    Ok(())
}

#[test]
fn bytes_of_a_user_are_bounded_over_all_connections() -> Result<()> {
    let server = Options::new().set("limit-user-bytes", "100000").start()?;
    let (mut one, mut other) = (server.client()?, server.client()?);
    let text = "x".repeat(60_000);
    one.ask_when_let(&["SET", "a", &text])?;
    let refused = other.run(&["SET", "b", &text])?;
    let wait_ms = wait(&refused, "limit-user-bytes")?;
    ensure!((50..=1000).contains(&wait_ms), "{wait_ms} ms");
    thread::sleep(Duration::from_millis(wait_ms));
    other.ask_when_let(&["SET", "b", &text])?;
    Ok(())
}

#[test]
fn bytes_of_an_address_are_bounded_whoever_sends_them() -> Result<()> {
    let server = Options::new().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", "nopass", "allkeys", "+@all"])?;
    admin.ask(&["CONFIG", "SET", "limit-address-bytes", "100000"])?;
    let mut other = server.client()?;
    other.ask_when_let(&["AUTH", "ada", "x"])?;
    let text = "x".repeat(60_000);
    admin.ask_when_let(&["SET", "a", &text])?;
    let wait_ms = wait(&other.run(&["SET", "b", &text])?, "limit-address-bytes")?;
    ensure!((50..=1000).contains(&wait_ms), "{wait_ms} ms");
    thread::sleep(Duration::from_millis(wait_ms));
    other.ask_when_let(&["SET", "b", &text])?;
    Ok(())
}

#[test]
fn a_user_gets_in_so_often_in_a_second() -> Result<()> {
    let server = Options::new().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all"])?;
    let token = admin.ask(&["TOKEN.ISSUE", "USER", "ada", "EX", "600"])?.expect_text().to_owned();
    admin.ask(&["CONFIG", "SET", "limit-user-connections", "5"])?;
    let begun = Instant::now();
    let (mut inside, mut refused) = (0, 0);
    for attempt in 0..40 {
        // A wrong password takes nothing out of the bucket.
        ensure!(server.client()?.run(&["AUTH", "ada", "wrong"])?.is_error("WRONGPASS"), "a wrong password");
        let password = if attempt % 2 == 0 { "secret" } else { token.as_str() };
        let mut client = server.client()?;
        match client.run(&["AUTH", "ada", password])? {
            Value::Simple(_) => inside += 1,
            error => {
                wait(&error, "limit-user-connections")?;
                ensure!(client.ask(&["ACL", "WHOAMI"])?.expect_text() == "default", "refused, and in");
                refused += 1;
            }
        }
    }
    let most = 5 + (begun.elapsed().as_secs_f64() * 5.0).ceil() as usize;
    ensure!((5..=most).contains(&inside), "{inside} got in in {:?}", begun.elapsed());
    let counted: usize = admin.figure("stats", "rate_limited_connections")?.parse()?;
    ensure!(counted == refused, "{counted} are counted of {refused}");
    Ok(())
}

#[test]
fn connections_of_an_address_are_bounded() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "limit-address-connections", "20"])?;
    let begun = Instant::now();
    let sockets: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(("127.0.0.1", server.port()))).collect::<std::io::Result<_>>()?;
    let most = 20 + (begun.elapsed().as_secs_f64() * 20.0).ceil() as usize;
    let mut served = 0;
    for mut socket in sockets {
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let _ = socket.write_all(b"PING\r\n");
        let mut answer = [0; 5];
        // Who was turned away may find the connection reset.
        if socket.read_exact(&mut answer).is_ok() && &answer == b"+PONG" {
            served += 1;
        }
    }
    ensure!((1..=most).contains(&served), "{served} of 200 were let in, at most {most} may be");
    // Who is in is served.
    client.ask(&["PING"])?;
    Ok(())
}

#[test]
fn a_flood_of_one_user_leaves_the_server_to_others() -> Result<()> {
    let server = Options::new().set("limit-address-commands", "1000").start()?;
    let flood = |server: &Server| -> Result<u64> {
        let mut client = server.client()?;
        let sets: Vec<Vec<&str>> = (0..500).map(|_| vec!["SET", "k", "v"]).collect();
        let begun = Instant::now();
        let mut served = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            served += client.pipeline(&sets)?.iter().filter(|answer| !answer.is_error("RATELIMIT")).count() as u64;
        }
        Ok(served)
    };
    let served: u64 = thread::scope(|scope| {
        let floods: Vec<_> = (0..4).map(|_| scope.spawn(|| flood(&server))).collect();
        floods
            .into_iter()
            .map(|flood| flood.join().map_err(|_| anyhow::anyhow!("a flood panicked"))?)
            .sum::<Result<u64>>()
    })?;
    ensure!(served <= 6000, "{served} commands of at most a thousand a second");
    Ok(())
}

const AUTH_LIMIT: &str = "limit-auth-failures";

#[test]
fn wrong_passwords_hold_up_their_address_ever_longer() -> Result<()> {
    let server = Options::new().password("right").set(AUTH_LIMIT, "3").start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all"])?;
    // Addresses are counted one by one, connections are not.
    let guesser = Ipv4Addr::new(127, 0, 0, 2);
    let guess = |words: &[&str]| Client::connect_from(guesser, server.port())?.run(words);
    let wrong = |words: &[&str]| -> Result<()> {
        let answer = guess(words)?;
        ensure!(answer.is_error("WRONGPASS"), "{answer}");
        Ok(())
    };
    wrong(&["AUTH", "wrong 1"])?;
    wrong(&["HELLO", "3", "AUTH", "ada", "wrong 2"])?;
    wrong(&["AUTH", "nobody", "wrong 3"])?;
    // What is right is not looked at either: neither by SHA-256 nor by argon2id, known or not.
    for words in [&["AUTH", "right"][..], &["AUTH", "ada", "secret"], &["HELLO", "3", "AUTH", "default", "right"]] {
        let wait_ms = wait(&guess(words)?, AUTH_LIMIT)?;
        ensure!((1..=1000).contains(&wait_ms), "{wait_ms} ms");
    }
    // Nobody else notices.
    ensure!(!matches!(Client::connect(server.port())?.run(&["AUTH", "right"])?, Value::Error(_)), "others wait too");
    // One more attempt each time, and twice as long to wait.
    for longest in [2000, 4000] {
        let answer = patient(|| guess(&["AUTH", "still wrong"]))?;
        ensure!(answer.is_error("WRONGPASS"), "{answer}");
        let wait_ms = wait(&guess(&["AUTH", "right"])?, AUTH_LIMIT)?;
        ensure!((longest / 2 - 500..=longest).contains(&wait_ms), "{wait_ms} ms, where {longest} is the longest");
    }
    // Who gets in as one user is forgiven nothing that was tried as another: an account of one's own would be worth any number of
    // guesses.
    let answer = patient(|| guess(&["AUTH", "ada", "secret"]))?;
    ensure!(!matches!(answer, Value::Error(_)), "{answer}");
    wrong(&["AUTH", "wrong again"])?;
    let wait_ms = wait(&guess(&["AUTH", "right"])?, AUTH_LIMIT)?;
    ensure!((3500..=8000).contains(&wait_ms), "{wait_ms} ms");
    // What was its own is forgiven.
    let elsewhere =
        |last: u8, words: &[&str]| Client::connect_from(Ipv4Addr::new(127, 0, 0, last), server.port())?.run(words);
    for _ in 0..2 {
        for password in ["wrong 1", "wrong 2"] {
            let answer = elsewhere(3, &["AUTH", "ada", password])?;
            ensure!(answer.is_error("WRONGPASS"), "{answer}");
        }
        let answer = elsewhere(3, &["AUTH", "ada", "secret"])?;
        ensure!(!matches!(answer, Value::Error(_)), "two wrong ones are too many: {answer}");
    }
    // Where no password is needed, none was known.
    admin.ask(&["ACL", "SETUSER", "open", "on", "nopass", "+@all"])?;
    for _ in 0..3 {
        let answer = elsewhere(4, &["AUTH", "open", "anything"])?;
        ensure!(!matches!(answer, Value::Error(_)), "{answer}");
        let answer = elsewhere(4, &["AUTH", "open", WRONG_TOKEN])?;
        ensure!(answer.is_error("WRONGPASS"), "{answer}");
    }
    wait(&elsewhere(4, &["AUTH", "open", "anything"])?, AUTH_LIMIT)?;
    let counted: u64 = admin.figure("stats", "rate_limited_requests")?.parse()?;
    ensure!(counted >= 5, "{counted} are counted");
    let denied: u64 = admin.figure("stats", "acl_access_denied_auth")?.parse()?;
    ensure!(denied == 13, "{denied} passwords and tokens were looked at and wrong");
    Ok(())
}

/// Not signed, so that it costs nothing to refuse it.
const WRONG_TOKEN: &str = "eyJhbGciOiJub25lIn0.e30.AA";

#[test]
fn wrong_tokens_are_noted_once_a_connection() -> Result<()> {
    let server = Options::new().password("right").start()?;
    let mut admin = server.client()?;
    let mut stranger = Client::connect(server.port())?;
    for _ in 0..50 {
        let answer = stranger.run(&["AUTH", "default", WRONG_TOKEN])?;
        ensure!(answer.is_error("WRONGPASS"), "{answer}");
    }
    let said = |server: &Server| server.log().matches("authentication failed").count();
    ensure!(said(&server) == 1, "log:\n{}", server.log());
    // A wrong password takes its time, and each is said.
    for number in 0..2 {
        let answer = stranger.run(&["AUTH", &format!("wrong {number}")])?;
        ensure!(answer.is_error("WRONGPASS"), "{answer}");
    }
    ensure!(said(&server) == 3, "log:\n{}", server.log());
    // Records come in the order in which things were done, some time after.
    admin.ask(&["CONFIG", "SET", "timeout", "0"])?;
    let until = Instant::now() + Duration::from_secs(30);
    let audited = loop {
        let audited = admin.ask(&["AUDIT.TAIL", "10000"])?;
        if audited.expect_array().iter().any(|one| one.expect_text().contains(r#""names":["timeout"]"#)) {
            break audited;
        }
        ensure!(Instant::now() < until, "CONFIG SET is not audited: {audited}");
    };
    let refused = audited.expect_array().iter().filter(|one| one.expect_text().contains(r#""outcome":"WRONGPASS""#));
    ensure!(refused.count() == 3, "{audited}");
    Ok(())
}

#[test]
fn guesses_at_once_are_no_more_than_guesses_one_by_one() -> Result<()> {
    let server = Options::new().password("the right one").set(AUTH_LIMIT, "5").start()?;
    let mut admin = server.client()?;
    let mut guesses = Vec::new();
    for number in 0..100 {
        let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port())?;
        // The last is right, and was not looked at before the others.
        let password = if number == 99 { "the right one".to_owned() } else { format!("wrong {number}") };
        client.send(&request(&["AUTH", &password]))?;
        guesses.push(client);
    }
    let answers: Vec<Value> = guesses.iter_mut().map(Client::read).collect::<Result<_>>()?;
    let looked_at = answers.iter().filter(|answer| !answer.is_error("RATELIMIT")).count();
    // Two are computed at once; a second later the next may be.
    ensure!((5..=8).contains(&looked_at), "{looked_at} were looked at");
    ensure!(answers[99].is_error("RATELIMIT"), "{}", answers[99]);

    // The audit log has one of each connection, whatever it sends.
    let mut stubborn = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port())?;
    for _ in 0..50 {
        stubborn.run(&["AUTH", "wrong"])?;
    }
    let of_it = |admin: &mut Client| -> Result<usize> {
        let audited = admin.ask(&["AUDIT.TAIL", "10000"])?;
        let refused =
            audited.expect_array().iter().filter(|one| one.expect_text().contains(r#""outcome":"RATELIMIT""#));
        Ok(refused.count())
    };
    let until = Instant::now() + Duration::from_secs(30);
    // Of each of those above one, and one of the stubborn one.
    while of_it(&mut admin)? < 100 - looked_at + 1 {
        ensure!(Instant::now() < until, "{} records", of_it(&mut admin)?);
    }
    ensure!(of_it(&mut admin)? == 100 - looked_at + 1, "{} records", of_it(&mut admin)?);
    Ok(())
}

#[test]
fn passwords_of_one_address_do_not_hold_up_those_of_another() -> Result<()> {
    let server = Options::new().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all"])?;
    let mut flood = Vec::new();
    for number in 0..300 {
        let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port())?;
        client.send(&request(&["AUTH", "ada", &format!("wrong {number}")]))?;
        flood.push(client);
    }
    // The first are answered, so all of them wait or are on their way.
    flood[0].read()?;
    let denied = |admin: &mut Client| -> Result<u64> { Ok(admin.figure("stats", "acl_access_denied_auth")?.parse()?) };
    let before = denied(&mut admin)?;
    let mut other = Client::connect_from(Ipv4Addr::new(127, 0, 0, 3), server.port())?;
    other.ask(&["AUTH", "ada", "secret"])?;
    let meanwhile = denied(&mut admin)? - before;
    // In a single queue it would be those that are left of 300.
    ensure!(meanwhile < 20, "{meanwhile} passwords of another address were looked at before");
    Ok(())
}

#[test]
fn what_is_too_long_to_be_a_password_is_not_looked_at() -> Result<()> {
    let server = Options::new().password("right").set(AUTH_LIMIT, "1").start()?;
    let (longest, longer) = ("x".repeat(4096), "x".repeat(4097));
    let mut stranger = Client::connect(server.port())?;
    for words in [
        &["AUTH", &longer][..],
        &["AUTH", "ada", &longer],
        &["AUTH", &longer, "x"],
        &["HELLO", "3", "AUTH", "ada", &longer],
    ] {
        let answer = stranger.run(words)?;
        ensure!(answer.to_string().contains("a password 4096"), "{answer}");
    }
    let mut admin = server.client()?;
    let refused = admin.run(&["ACL", "SETUSER", "ada", "on", &format!(">{longer}")])?;
    ensure!(refused.is_error("ERR") && !refused.to_string().contains("xxx"), "{refused}");
    ensure!(admin.run(&["CONFIG", "SET", "requirepass", &longer])?.is_error("ERR"), "a password that AUTH refuses");
    admin.ask(&["ACL", "SETUSER", "ada", "on", &format!(">{longest}"), "+@all"])?;
    stranger.ask(&["AUTH", "ada", &longest])?;
    Ok(())
}

/// Asks again as long as it is refused for its rate.
fn patient(mut ask: impl FnMut() -> Result<Value>) -> Result<Value> {
    loop {
        match ask()? {
            refused if refused.is_error("RATELIMIT") => thread::sleep(Duration::from_millis(20)),
            answer => return Ok(answer),
        }
    }
}

/// Asking again as long as it is refused for its rate.
trait Patient {
    fn until_let(&mut self, arguments: &[&str]) -> Result<Value>;
    fn ask_when_let(&mut self, arguments: &[&str]) -> Result<Value>;
}

impl Patient for Client {
    fn until_let(&mut self, arguments: &[&str]) -> Result<Value> {
        loop {
            match self.run(arguments)? {
                refused if refused.is_error("RATELIMIT") => thread::sleep(Duration::from_millis(20)),
                answer => return Ok(answer),
            }
        }
    }

    fn ask_when_let(&mut self, arguments: &[&str]) -> Result<Value> {
        let answer = self.until_let(arguments)?;
        ensure!(!matches!(answer, Value::Error(_)), "{arguments:?}: {answer}");
        Ok(answer)
    }
}
