//! What cannot be followed, and what cannot follow: it is said, and nothing changes.

use std::io::{Read, Write};
use std::net::TcpListener;

use anyhow::Result;
use veddb_tests::{Client, Redis, Server, Value};

use super::pair::{ensure_equal, figure, follow, options, until, until_in_step};

/// Returns once the replica says this of its link.
fn until_refused(replica: &Server, why: &str) -> Result<()> {
    until(why, || Ok(figure(replica, "master_link_error").is_ok_and(|error| error.contains(why))))
}

#[test]
fn a_server_follows_neither_itself_nor_who_follows_it() -> Result<()> {
    let servers: Vec<Server> = (0..3).map(|_| options().start()).collect::<Result<_>>()?;
    let itself = servers[0].client()?.run(&["REPLICAOF", "localhost", &servers[0].port().to_string()])?;
    assert!(matches!(itself, Value::Error(why) if why.contains("cannot follow itself")));
    follow(&servers[1], servers[0].port())?;
    follow(&servers[2], servers[1].port())?;
    until("the chain", || Ok(figure(&servers[2], "master_link_status").is_ok_and(|status| status == "up")))?;
    follow(&servers[0], servers[2].port())?;
    // Whoever of them hears of it first breaks it.
    let breaks = |server: &Server| figure(server, "master_link_error").is_ok_and(|error| error.contains("cycle"));
    until("the cycle being broken", || Ok(servers.iter().any(breaks)))?;
    // It is undone by what made it.
    servers[0].client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    servers[0].client()?.ask(&["SET", "a", "1"])?;
    until_in_step(&servers[0], &servers[2])?;
    ensure_equal(&servers[0], &servers[2])
}

#[test]
fn a_redis_is_not_followed_and_does_not_follow() -> Result<()> {
    let (redis, server) = (Redis::start()?, options().start()?);
    server.client()?.ask(&["SET", "a", "1"])?;
    follow(&server, redis.port())?;
    until_refused(&server, "no VedDB")?;
    server.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    assert_eq!(server.client()?.ask(&["GET", "a"])?.expect_text(), "1");
    let mut client = redis.client(2)?;
    client.ask(&["REPLICAOF", "127.0.0.1", &server.port().to_string()])?;
    until("Redis asking", || Ok(server.client()?.info("commandstats")?.contains("cmdstat_psync:calls")))?;
    assert_eq!(client.figure("replication", "master_link_status")?, "down");
    Ok(())
}

#[test]
fn data_of_another_history_stay_unless_forced() -> Result<()> {
    let (primary, replica) = (options().start()?, options().start()?);
    primary.client()?.ask(&["SET", "a", "primary"])?;
    replica.client()?.ask(&["SET", "a", "replica"])?;
    follow(&replica, primary.port())?;
    until_refused(&replica, "another history")?;
    assert_eq!(replica.client()?.ask(&["GET", "a"])?.expect_text(), "replica");
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &primary.port().to_string(), "FORCE"])?;
    until_in_step(&primary, &replica)?;
    assert_eq!(replica.client()?.ask(&["GET", "a"])?.expect_text(), "primary");
    ensure_equal(&primary, &replica)
}

#[test]
fn whatever_answers_instead_of_a_primary_is_no_primary() -> Result<()> {
    let replica = options().start()?;
    replica.client()?.ask(&["SET", "a", "1"])?;
    let answers: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 200 OK\r\n\r\n", "does not speak RESP"),
        (b"-NOPERM no\r\n", "NOPERM"),
        (b"+OK\r\n\x07\xff\xff\xff\xff0000", "no message"),
        (b"+OK\r\n\x07\x05\x00\x00\x00abcdefghi", "no message"),
    ];
    for (answer, why) in answers {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        follow(&replica, listener.local_addr()?.port())?;
        let (mut socket, _) = listener.accept()?;
        let mut asked = [0; 64];
        let _ = socket.read(&mut asked)?;
        socket.write_all(answer)?;
        until_refused(&replica, why)?;
    }
    assert_eq!(replica.client()?.ask(&["GET", "a"])?.expect_text(), "1");
    Ok(())
}

#[test]
fn a_link_must_not_carry_anything_else() -> Result<()> {
    let primary = options().start()?;
    primary.client()?.ask(&["SET", "a", "1"])?;
    let history = figure(&primary, "history_id")?;
    let id = "0123456789012345678901234567890123456789";
    let words = ["REPLICA.FOLLOW", "1", id, "", "6380", &history, "0", "0", "BLANK"];
    let mut client = Client::connect(primary.port())?;
    client.ask(&words)?;
    client.send(b"*1\r\n$4\r\nPING\r\n")?;
    client.read_to_end()?;
    // The connection is closed before the list is told.
    until("the list being empty", || Ok(primary.client()?.ask(&["REPLICA.LIST"])? == Value::Array(Vec::new())))
}
