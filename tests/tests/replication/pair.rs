//! A primary and a replica, and how they are compared.

use anyhow::{Context, Result, bail, ensure};
use veddb_tests::{Client, Options, Server, Value};
pub(crate) use veddb_tests::{PATIENCE, until};

/// Settings of all servers here.
pub(crate) fn options() -> Options {
    Options::new().set("enable-debug-command", "yes").set("repl-timeout", "2").set("repl-ping-replica-period", "1")
}

/// Has a server follow what listens on this port.
pub(crate) fn follow(replica: &Server, port: u16) -> Result<()> {
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
    Ok(())
}

/// One figure of INFO replication, where the server answers.
pub(crate) fn figure(server: &Server, name: &str) -> Result<String> {
    server.client()?.figure("replication", name)
}

/// Whether the replica's link is up and it has all that the primary has.
pub(crate) fn is_in_step(primary: &Server, replica: &Server) -> Result<bool> {
    let (mut ahead, mut behind) = (primary.client()?, replica.client()?);
    let up = behind.figure("replication", "master_link_status").is_ok_and(|status| status == "up");
    Ok(up && ahead.figure("replication", "master_repl_offset")? == behind.figure("replication", "slave_repl_offset")?)
}

/// Returns once the replica has all that the primary has.
pub(crate) fn until_in_step(primary: &Server, replica: &Server) -> Result<()> {
    until("being in step", || is_in_step(primary, replica)).with_context(|| {
        let told = replica.client().and_then(|mut client| client.info("replication"));
        format!("the replica says: {}", told.unwrap_or_else(|error| error.to_string()))
    })
}

/// Compares all that two servers have, and their indexes with their documents.
pub(crate) fn ensure_equal(primary: &Server, replica: &Server) -> Result<()> {
    // An index is built by each server for itself.
    let same = || Ok(catalog(primary)? == catalog(replica)?);
    until("equal catalogs", same).with_context(|| {
        format!("{}\n{}", catalog(primary).unwrap_or_default(), catalog(replica).unwrap_or_default())
    })?;
    // What has expired is deleted by the primary meanwhile, so the two may be asked at different moments; that comes to an end.
    let digest = |server: &Server| server.client()?.ask(&["DEBUG", "DIGEST"]);
    until("equal digests", || Ok(digest(primary)? == digest(replica)?))?;
    for server in [primary, replica] {
        let mut client = server.client()?;
        for (db, collection) in collections(&mut client)? {
            client.ask(&["SELECT", &db.to_string()])?;
            let verified = client.ask(&["IDX.VERIFY", &collection])?;
            let is_sound = ["missing", "dangling"].iter().all(|count| verified.get(count) == Some(&Value::Integer(0)));
            ensure!(is_sound, "IDX.VERIFY {collection}: {verified}");
        }
    }
    Ok(())
}

/// The collections of all databases in which tests write.
fn collections(client: &mut Client) -> Result<Vec<(u8, String)>> {
    let mut found = Vec::new();
    for db in 0..2_u8 {
        client.ask(&["SELECT", &db.to_string()])?;
        let Value::Array(names) = client.ask(&["DOC.COLLECTIONS"])? else { bail!("DOC.COLLECTIONS is no array") };
        found.extend(names.iter().map(|name| (db, name.expect_text().to_owned())));
    }
    Ok(found)
}

/// The indexes of all collections, as IDX.LIST tells them.
pub(crate) fn catalog(server: &Server) -> Result<String> {
    let mut client = server.client()?;
    let mut shown = String::new();
    for (db, collection) in collections(&mut client)? {
        client.ask(&["SELECT", &db.to_string()])?;
        let indexes = client.ask(&["IDX.LIST", &collection])?;
        for index in indexes.expect_array() {
            // Not its size and use, which are each server's own.
            let said = ["name", "keys", "unique", "sparse", "partial", "expireAfter", "state"];
            let said = said.map(|name| index.get(name).map(ToString::to_string).unwrap_or_default());
            shown.push_str(&format!("{db} {collection}: {said:?}\n"));
        }
    }
    Ok(shown)
}
