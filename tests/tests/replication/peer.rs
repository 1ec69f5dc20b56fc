//! A replica that is spoken by hand: what a primary says to it, and what becomes of a primary to which it says anything at all.

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Server, Value};

use super::pair::{figure, options, until};

/// What a primary says: units go on, a message, a sign that the disk is asked for.
const CONTINUE: u8 = 2;
const MESSAGE: u8 = 8;
const SYNC: u8 = 10;
/// Of the upper half of a term: so many promotions.
const PROMOTION: u64 = 1 << 32;

/// The other side of a link.
struct Peer {
    client: Client,
}

/// How far a peer claims to be.
#[derive(Clone, Copy)]
struct Heard {
    term: u64,
    written: u64,
    synced: u64,
}

impl Peer {
    /// Asks to follow from where the primary is, at this term, with these words at the end.
    fn ask(primary: &Server, term: u64, words: &[&str]) -> Result<(Peer, Value)> {
        let (history, lsn) = (figure(primary, "history_id")?, figure(primary, "master_repl_offset")?);
        let mut client = Client::connect(primary.port())?;
        let id = "0123456789012345678901234567890123456789";
        let term = term.to_string();
        let mut all = vec!["REPLICA.FOLLOW", "1", id, "", "6380", &history, &term, &lsn];
        all.extend(words);
        let reply = client.run(&all)?;
        Ok((Peer { client }, reply))
    }

    /// The next thing that it is told, and the body.
    fn read(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        self.client.read_exact(&mut header)?;
        let length = u32::from_le_bytes(header[1..5].try_into()?) as usize;
        let mut body = vec![0; length];
        self.client.read_exact(&mut body)?;
        Ok((header[0], body))
    }

    /// Returns once it is told this; how often it was told something else before.
    fn until(&mut self, kind: u8, counted: u8) -> Result<usize> {
        let mut count = 0;
        loop {
            let (found, _) = self.read()?;
            if found == kind {
                return Ok(count);
            }
            count += usize::from(found == counted);
        }
    }

    fn say(&mut self, heard: Heard) -> Result<()> {
        let mut body = Vec::new();
        [heard.term, heard.written, heard.synced].iter().for_each(|n| body.extend(n.to_le_bytes()));
        body.push(0);
        let mut message = vec![1];
        message.extend((body.len() as u32).to_le_bytes());
        let mut checked = message.clone();
        checked.extend(&body);
        message.extend(crc32(&checked).to_le_bytes());
        message.extend(&body);
        self.client.send(&message)
    }
}

/// The checksum of Ethernet, zip and the link.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn term(server: &Server) -> Result<u64> {
    Ok(u64::from_str_radix(&figure(server, "term")?, 16)?)
}

#[test]
fn many_who_wait_ask_a_replica_for_its_disk_once() -> Result<()> {
    let primary = options().start()?;
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "1"])?;
    let (term, lsn) = (term(&primary)?, figure(&primary, "master_repl_offset")?.parse()?);
    let (mut peer, _) = Peer::ask(&primary, term, &[])?;
    peer.until(CONTINUE, 0)?;
    // It has all of it, and nothing on disk.
    let heard = Heard { term, written: lsn, synced: 0 };
    peer.say(heard)?;
    let mut waiting: Vec<Client> = (0..20).map(|_| primary.client()).collect::<Result<_>>()?;
    for client in &mut waiting {
        client.send(b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n")?;
    }
    until("all of them waiting", || Ok(client.figure("clients", "blocked_clients")? == "20"))?;
    // Whenever it says anything all of them look again.
    peer.say(heard)?;
    client.ask(&["PUBLISH", "news", "the end"])?;
    assert_eq!(peer.until(MESSAGE, SYNC)?, 1);
    peer.say(Heard { synced: lsn, ..heard })?;
    for client in &mut waiting {
        assert_eq!(client.read()?, Value::Integer(1));
    }
    // What is written since is asked for anew.
    client.ask(&["SET", "a", "2"])?;
    peer.say(Heard { written: lsn + 1, synced: lsn, ..heard })?;
    waiting[0].send(b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n")?;
    peer.until(SYNC, 0)?;
    peer.say(Heard { written: lsn + 1, synced: lsn + 1, ..heard })?;
    assert_eq!(waiting[0].read()?, Value::Integer(1));
    Ok(())
}

/// One message must not take a primary's writes away, nor leave it no terms.
#[test]
fn a_term_that_is_beyond_belief_changes_nothing() -> Result<()> {
    let primary = options().start()?;
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "1"])?;
    let (own, lsn) = (term(&primary)?, figure(&primary, "master_repl_offset")?.parse()?);
    for far in [u64::MAX, own + 100_000 * PROMOTION] {
        for words in [&[][..], &["YIELD"], &["FULL", "YIELD"]] {
            let (mut peer, reply) = Peer::ask(&primary, far, words)?;
            ensure!(matches!(reply, Value::Simple(_)), "{reply}");
            // It is told, and the link is closed.
            let told = String::from_utf8_lossy(&peer.client.read_to_end()?).into_owned();
            ensure!(told.contains("beyond belief"), "{told:?}");
        }
        // Also from one that was let in.
        let (mut peer, _) = Peer::ask(&primary, own, &[])?;
        peer.until(CONTINUE, 0)?;
        peer.say(Heard { term: far, written: lsn, synced: lsn })?;
        peer.client.read_to_end()?;
    }
    assert_eq!((figure(&primary, "later_term_met")?, term(&primary)?), ("0".to_owned(), own));
    client.ask(&["SET", "a", "2"])?;
    Ok(())
}

#[test]
fn a_primary_goes_past_any_term_in_one_step() -> Result<()> {
    let primary = options().start()?;
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "1"])?;
    let own = term(&primary)?;
    let later = own + 60_000 * PROMOTION;
    let (_peer, _) = Peer::ask(&primary, later, &[])?;
    until("being deposed", || Ok(figure(&primary, "later_term_met")? == "1"))?;
    // Its users are replicated, and no more its to change than its documents.
    for words in
        [&["SET", "a", "2"][..], &["ACL", "SETUSER", "bob", "on"], &["ACL", "SETROLE", "r", "+get"], &["FAILOVER"]]
    {
        let said = client.run(words)?.to_string();
        ensure!(said.contains("READONLY") || words == ["FAILOVER"] && said.contains("later term"), "{said}");
    }
    ensure!(!client.ask(&["ACL", "USERS"])?.to_string().contains("bob"));
    let before: u64 = figure(&primary, "master_repl_offset")?.parse()?;
    client.ask(&["REPLICAOF", "NO", "ONE"])?;
    let after: u64 = figure(&primary, "master_repl_offset")?.parse()?;
    ensure!(after <= before + 2, "{before} {after}: one unit begins a term");
    ensure!(term(&primary)? >> 32 == (later >> 32) + 1);
    client.ask(&["ACL", "SETUSER", "bob", "on"])?;
    Ok(())
}

#[test]
fn what_a_replica_says_of_its_log_may_be_anything() -> Result<()> {
    let primary = options().start()?;
    primary.client()?.ask(&["SET", "a", "1"])?;
    let own = term(&primary)?;
    for terms in [format!("{own}:1,7:0"), format!("{own}:0"), "1:0,2:0,3:0".to_owned()] {
        let (mut peer, reply) = Peer::ask(&primary, own + 7, &["TERMS", &terms])?;
        ensure!(matches!(reply, Value::Simple(_)), "{reply}");
        peer.client.read_to_end().with_context(|| terms.clone())?;
    }
    primary.client()?.ask(&["SET", "a", "2"])?;
    Ok(())
}
