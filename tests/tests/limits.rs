//! Limits of addresses and users: who asks for too much is told when to come back, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Server, Value};

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
