//! A follower under load: it has what the store has, over `kill -9`, restarts and a failover.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Random, Server, seed, setting};

use super::follower::{Follower, all, stored, until};

const WRITERS: usize = 3;
const IDS: usize = 60;
const COLLECTION: &str = "load";

/// Small, so that there are checkpoints and segments all the time.
fn options() -> Options {
    Options::new()
        .set("log-segment-size", "1mb")
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
}

/// One request, or a transaction, of a writer with ids of its own.
fn request(random: &mut Random, writer: usize, expiring: bool) -> Vec<Vec<String>> {
    let id = format!("{writer}-{}", random.below(IDS));
    let fill = "x".repeat(random.below(3000));
    let number = random.below(1000);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let set = |id: &str| words(&["DOC.SET", COLLECTION, id, &format!(r#"{{"n":{number},"fill":"{fill}"}}"#)]);
    let filter = format!(r#"{{"_id":{{"$regex":"^{writer}-"}},"n":{{"$lt":{}}}}}"#, number / 20);
    match random.below(if expiring { 8 } else { 7 }) {
        0 => vec![words(&["DOC.DEL", COLLECTION, &id])],
        1 => vec![words(&["DOC.UPDATE", COLLECTION, &filter, r#"{"$inc":{"n":50}}"#])],
        2 => vec![words(&["DOC.DELETE", COLLECTION, &filter])],
        3 => {
            let mut all = vec![words(&["MULTI"])];
            all.extend((0..random.below(6)).map(|at| set(&format!("{writer}-{at}"))));
            all.push(words(&["DOC.DEL", COLLECTION, &format!("{writer}-1")]));
            all.push(words(&["EXEC"]));
            all
        }
        4 => vec![words(&["SET", &id, &fill])],
        7 => vec![words(&["DOC.EXPIRE", COLLECTION, &id, if random.one_in(2) { "1" } else { "1000" }])],
        _ => vec![set(&id)],
    }
}

/// Writes until the server is gone, or it is enough.
fn write(client: &mut Client, random: &mut Random, writer: usize, enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        if client.pipeline(&request(random, writer, true)).is_err() {
            return;
        }
    }
}

/// Follows until the server is gone, or it is enough.
fn follow(client: &mut Client, follower: &mut Follower, random: &mut Random, enough: &AtomicBool) -> Result<()> {
    while !enough.load(Ordering::Relaxed) {
        let count = if random.one_in(2) { 1 + random.below(4) } else { 1000 };
        match follower.follow(client, COLLECTION, count, 20) {
            Ok(_) => {}
            Err(error) if error.to_string().contains("cannot") => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Has the follower read to the end and compares.
fn compare(server: &Server, follower: &mut Follower) -> Result<()> {
    let mut client = server.client()?;
    until("the follower has what the store has", || {
        while follower.follow(&mut client, COLLECTION, 1000, 1)? > 0 {}
        // What expires is deleted meanwhile.
        Ok(stored(&mut client, COLLECTION)? == follower.documents)
    })
}

#[test]
fn a_follower_has_what_the_store_has_over_kills() -> Result<()> {
    let mut random = Random::new(seed());
    let mut server = options().start()?;
    server.client()?.ask(&["IDX.CREATE", COLLECTION, "by_n", r#"{"n":1}"#, "SYNC"])?;
    let mut follower = Follower::default();
    for _ in 0..setting("VEDDB_CHANGES_KILLS", 4) {
        let enough = AtomicBool::new(false);
        let mut clients = (0..=WRITERS).map(|_| server.client()).collect::<Result<Vec<_>>>()?;
        let mut following = clients.pop().context("there is one")?;
        let mut choices = Random::new(random.number());
        thread::scope(|scope| -> Result<()> {
            for (writer, client) in clients.iter_mut().enumerate() {
                let mut choices = Random::new(random.number());
                let enough = &enough;
                scope.spawn(move || write(client, &mut choices, writer, enough));
            }
            let (known, enough) = (&mut follower, &enough);
            let following = scope.spawn(move || follow(&mut following, known, &mut choices, enough));
            thread::sleep(Duration::from_millis(500 + random.below(1500) as u64));
            server.kill()?;
            enough.store(true, Ordering::Relaxed);
            following.join().expect("it does not panic")
        })?;
        server.restart()?;
        compare(&server, &mut follower)?;
    }
    // Nothing expires from here on.
    let mut client = server.client()?;
    for id in stored(&mut client, COLLECTION)?.into_keys() {
        client.ask(&["DOC.PERSIST", COLLECTION, &id])?;
    }
    compare(&server, &mut follower)?;
    println!("{} events", follower.events);
    ensure!(follower.events > 100, "only {} events", follower.events);
    // From the beginning it comes to the same, and another start does not change that.
    let (token, events) = all(&mut client, COLLECTION, None)?;
    let mut again = Follower::default();
    events.iter().try_for_each(|event| again.take(event))?;
    ensure!(again.documents == follower.documents && events.len() == follower.events, "the whole history differs");
    server.stop()?;
    server.restart()?;
    let (_, more) = all(&mut server.client()?, COLLECTION, Some(&token))?;
    ensure!(more.is_empty(), "{more:?}");
    Ok(())
}

/// The place within a unit, too: the replica's units have other effects on indexes.
#[test]
fn tokens_of_a_primary_are_good_on_its_replica_after_a_failover() -> Result<()> {
    let mut random = Random::new(seed());
    let (mut primary, replica) = (options().start()?, options().start()?);
    let mut client = primary.client()?;
    client.ask(&["IDX.CREATE", COLLECTION, "by_n", r#"{"n":1}"#, "SYNC"])?;
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
    let figure = |server: &Server, name: &str| server.client()?.figure("replication", name);
    let in_step = || {
        Ok(figure(&replica, "master_link_status").is_ok_and(|status| status == "up")
            && figure(&primary, "master_repl_offset")? == figure(&replica, "slave_repl_offset")?)
    };
    // Its log begins with the snapshot; what is followed comes after.
    until("the replica is in step", in_step)?;
    let (start, _) = super::follower::changes(&mut client, &[COLLECTION, "NOW"])?;
    for _ in 0..150 {
        client.pipeline(&request(&mut random, 0, false))?;
    }
    until("the replica is in step", in_step)?;
    let (_, events) = all(&mut client, COLLECTION, Some(&start))?;
    let mut other = replica.client()?;
    let (end, same) = all(&mut other, COLLECTION, Some(&start))?;
    ensure!(events == same && events.len() > 50, "{} and {} events", events.len(), same.len());
    for (at, event) in events.iter().enumerate() {
        let token = event["token"].as_str().context("no token")?;
        // A turn may end early where reading takes its time; in a group alone it goes on.
        let (mut place, mut rest) = (token.to_owned(), Vec::new());
        while rest.len() < events.len().min(at + 4) - at - 1 {
            let (next, some) =
                super::follower::changes(&mut other, &[COLLECTION, "AFTER", &place, "FULLDOC", "COUNT", "3"])?;
            ensure!(next != place, "after event {at} nothing more comes");
            rest.extend(some);
            place = next;
        }
        ensure!(rest.iter().eq(&events[at + 1..at + 1 + rest.len()]), "after event {at}");
    }
    // What the replica has not received yet is not lost: it says that there is nothing yet.
    other.ask(&["REPLICAOF", "127.0.0.1", "1"])?;
    client.ask(&["DOC.SET", COLLECTION, "unsent", "{}"])?;
    let (ahead, events) = super::follower::changes(&mut client, &[COLLECTION, "AFTER", &end])?;
    ensure!(events.len() == 1, "{events:?}");
    let (still, nothing) = super::follower::changes(&mut other, &[COLLECTION, "AFTER", &ahead, "BLOCK", "10"])?;
    ensure!(still == ahead && nothing.is_empty());
    primary.kill()?;
    other.ask(&["REPLICAOF", "NO", "ONE"])?;
    other.ask(&["DOC.SET", COLLECTION, "after", "{}"])?;
    let (_, events) = super::follower::changes(&mut other, &[COLLECTION, "AFTER", &end])?;
    ensure!(events.len() == 1 && events[0]["id"] == "after", "{events:?}");
    // What only the lost primary had is not there, and whoever has heard of it is told.
    let reply = other.run(&["DOC.CHANGES", COLLECTION, "AFTER", &ahead])?;
    ensure!(reply.is_error("HISTORYLOST"), "{reply}");
    Ok(())
}
