//! CLIENT LIST: the fields that say what a connection has not taken yet.

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, request, until};

const MIB: usize = 1 << 20;

/// One field of a connection's line.
fn field(admin: &mut Client, id: &str, name: &str) -> Result<String> {
    let list = admin.ask(&["CLIENT", "LIST", "ID", id])?.expect_text().to_owned();
    let found = list.trim().split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    Ok(found.with_context(|| format!("no {name} in {list:?}"))?.to_owned())
}

fn id(client: &mut Client) -> Result<String> {
    Ok(client.ask(&["CLIENT", "ID"])?.expect_integer().to_string())
}

#[test]
fn who_does_not_take_a_reply_is_waited_for() -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut slow) = (server.client()?, server.client()?);
    let id = id(&mut slow)?;
    until("its being read from", || Ok(field(&mut admin, &id, "events")? == "r"))?;
    admin.ask(&["SET", "large", &"x".repeat(8 * MIB)])?;
    slow.send(&request(&["GET", "large"]))?;
    until("the reply waiting", || Ok(field(&mut admin, &id, "events")? == "w"))?;
    let length = format!("${}\r\n\r\n", 8 * MIB).len() + 8 * MIB;
    ensure!(field(&mut admin, &id, "obl")? == length.to_string(), "obl");
    slow.read()?;
    until("its end", || Ok(field(&mut admin, &id, "events")? == "r" && field(&mut admin, &id, "obl")? == "0"))?;
    // What the last request held is let go of.
    slow.ask(&["ECHO", &"x".repeat(MIB)])?;
    until("the arguments' end", || Ok(field(&mut admin, &id, "argv-mem")? == "0"))
}

#[test]
fn the_pieces_that_messages_wait_in_are_counted() -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut slow) = (server.client()?, server.client()?);
    let id = id(&mut slow)?;
    slow.ask(&["SUBSCRIBE", "news"])?;
    ensure!(field(&mut admin, &id, "oll")? == "0" && field(&mut admin, &id, "omem")? == "0", "nothing waits yet");
    let message = "x".repeat(MIB);
    // The sockets between take some megabytes before anything waits in the server.
    until("ten messages waiting", || {
        admin.ask(&["PUBLISH", "news", &message])?;
        Ok(field(&mut admin, &id, "oll")?.parse::<usize>()? >= 10)
    })?;
    let (pieces, bytes): (usize, usize) =
        (field(&mut admin, &id, "oll")?.parse()?, field(&mut admin, &id, "omem")?.parse()?);
    // Each is a piece of its own, being long.
    ensure!((pieces * MIB..pieces * (MIB + 200)).contains(&bytes), "{pieces} pieces are {bytes} bytes");
    Ok(())
}
