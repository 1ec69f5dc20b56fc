//! Users are kept: over restarts and `kill -9`, with changes from many at once, and what becomes of connections.

use std::thread;

use anyhow::Result;
use veddb_tests::{Options, Random, Value, seed};

#[test]
fn users_and_roles_outlive_kills() -> Result<()> {
    let mut server = Options::new().start()?;
    let seed = seed();
    let mut random = Random::new(seed);
    for round in 0..4 {
        let mut client = server.client()?;
        for _ in 0..6 {
            let name = format!("user{}", random.below(5));
            match random.below(4) {
                0 => drop(client.ask(&["ACL", "DELUSER", &name])?),
                1 => drop(client.ask(&["ACL", "SETROLE", "clerk", "+get", &format!("~r{}", random.below(9))])?),
                2 => drop(client.ask(&[
                    "ACL",
                    "SETUSER",
                    &name,
                    "on",
                    "nopass",
                    "resetkeys",
                    &format!("~k{}*", random.below(9)),
                    "+role:writer",
                    "(+get ~x)",
                ])?),
                _ => drop(client.ask(&["ACL", "SETUSER", &name, ">secret", "&news", "-@all", "+@read"])?),
            }
        }
        client.ask(&["FLUSHALL"])?;
        let lists = [client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?];
        if round % 2 == 0 {
            server.kill()?
        } else {
            server.stop()?
        }
        server.restart()?;
        let mut client = server.client()?;
        assert_eq!([client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?], lists, "seed {seed}");
    }
    Ok(())
}

#[test]
fn changes_of_many_at_once_all_hold() -> Result<()> {
    let mut server = Options::new().start()?;
    server.client()?.ask(&["ACL", "SETUSER", "ada", "on", "nopass"])?;
    thread::scope(|scope| {
        for worker in 0..8 {
            let mut client = server.client().expect("a connection");
            scope.spawn(move || {
                for step in 0..20 {
                    client.ask(&["ACL", "SETUSER", "ada", &format!("~{worker}:{step}")]).expect("a change");
                }
            });
        }
    });
    let keys = |server: &veddb_tests::Server| -> Result<usize> {
        let user = server.client_speaking(3)?.ask(&["ACL", "GETUSER", "ada"])?;
        Ok(user.get("keys").expect("keys").expect_text().split(' ').count())
    };
    assert_eq!(keys(&server)?, 160);
    server.kill()?;
    server.restart()?;
    assert_eq!(keys(&server)?, 160);
    Ok(())
}

#[test]
fn rights_that_are_cut_are_cut_for_those_who_are_there() -> Result<()> {
    let server = Options::new().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", "nopass", "+@all", "~*", "&*"])?;
    let mut ada = server.client()?;
    ada.ask(&["AUTH", "ada", "x"])?;
    let mut listener = server.client()?;
    listener.ask(&["AUTH", "ada", "x"])?;
    listener.ask(&["SUBSCRIBE", "news"])?;
    assert_eq!(ada.ask(&["GET", "a"])?, Value::Null);
    admin.ask(&["ACL", "SETUSER", "ada", "-get"])?;
    assert!(ada.run(&["GET", "a"])?.is_error("NOPERM"));
    assert_eq!(
        admin.ask(&["PUBLISH", "news", "x"])?.expect_integer(),
        1,
        "a change of something else lets listeners be"
    );
    listener.read()?;
    admin.ask(&["ACL", "SETUSER", "ada", "resetchannels", "&old"])?;
    assert!(listener.read_to_end()?.is_empty());
    let clients = admin.ask(&["CLIENT", "LIST"])?.expect_text().matches("user=ada").count();
    assert_eq!(clients, 1);
    admin.ask(&["ACL", "DELUSER", "ada"])?;
    assert!(ada.read_to_end()?.is_empty());
    // Who could get in without a password must have one from now on; who is in stays in.
    let mut stranger = server.client()?;
    admin.ask(&["ACL", "SETUSER", "default", "resetpass", ">secret"])?;
    assert_eq!(stranger.run(&["PING"])?, Value::Simple("PONG".into()));
    let mut late = veddb_tests::Client::connect(server.port())?;
    assert!(late.run(&["PING"])?.is_error("NOAUTH"));
    late.ask(&["AUTH", "secret"])?;
    admin.ask(&["CONFIG", "SET", "requirepass", "other"])?;
    assert!(late.run(&["AUTH", "secret"])?.is_error("WRONGPASS"));
    late.ask(&["AUTH", "other"])?;
    assert_eq!(late.ask(&["CLIENT", "KILL", "USER", "default"])?.expect_integer(), 2);
    Ok(())
}
