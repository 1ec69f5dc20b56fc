//! How a replica introduces itself: it gives the password, and says where it is. What it hears until then are replies
//! of RESP, each a line.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::SeqCst;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use veddb_commands::replication::LINK_FORMAT;
use veddb_storage::Store;

use super::dial::{dial, own_port};
use super::follow::{Greeted, Shared};
use super::handover::Outcome;
use crate::config::Settings;
use crate::execute::now_ms;
use crate::stream::Stream;

/// The longest line of a reply that is read.
const LINE_BYTES_MAX: usize = 4096;

/// Connects and asks for the stream; `place` is the snapshot that was begun and the chunk that is missing.
pub(super) async fn greet(shared: &Shared, place: Option<([u8; 16], u64)>) -> Result<Greeted, String> {
    let primary = &shared.link.primary;
    let mut socket = dial(&shared.server, &primary.host, primary.port).await?;
    shared.link.reach(super::link::Phase::Handshake);
    let mut input = BytesMut::new();
    let settings = shared.server.config.load();
    if let Some(words) = credentials(&settings) {
        let reply = ask(&mut socket, &mut input, &words).await?;
        accepted(&reply).map_err(|why| format!("the primary does not let this server in: {}", code(&why)))?;
    }
    let reply = ask(&mut socket, &mut input, &request(shared, &settings, place)?).await?;
    let answer = accepted(&reply);
    if let Some(handover) = shared.link.hands_over()
        && (reply.starts_with('+') || reply.starts_with('-'))
    {
        handover.answered(answer.as_ref().copied().map_err(String::as_str));
    }
    answer.map_err(|why| {
        if why.starts_with("ERR unknown command") {
            "the server there is no VedDB, and only VedDB can be followed".to_owned()
        } else {
            format!("the primary refuses: {why}")
        }
    })?;
    Ok((socket, input))
}

/// The code of an error. What follows it may repeat the password to whoever does not know AUTH.
pub(super) fn code(error: &str) -> &str {
    error.split(' ').next().unwrap_or_default()
}

/// AUTH as the settings have it.
pub(super) fn credentials(settings: &Settings) -> Option<Vec<String>> {
    let (user, password) = (&settings.masteruser.0, &settings.masterauth.0);
    if password.is_empty() {
        return None;
    }
    let mut words = vec!["AUTH".to_owned()];
    words.extend(Some(user.clone()).filter(|user| !user.is_empty()));
    words.push(password.clone());
    Some(words)
}

/// REPLICA.FOLLOW, from where the store is.
fn request(shared: &Shared, settings: &Settings, place: Option<([u8; 16], u64)>) -> Result<Vec<String>, String> {
    let Shared { server, link, .. } = shared;
    let store = server.store_now().ok_or("the data are being replaced")?;
    let position = store.position();
    let mut words = vec![
        "REPLICA.FOLLOW".to_owned(),
        LINK_FORMAT.to_string(),
        server.run_id.clone(),
        settings.replica_announce_ip.clone(),
        own_port(server, settings).to_string(),
        hex::encode(position.history),
        position.term.to_string(),
        position.lsn.to_string(),
    ];
    let mut terms = String::new();
    for start in store.terms() {
        let _ = write!(terms, "{}:{},", start.term, start.first_lsn);
    }
    words.extend(["TERMS".to_owned(), terms]);
    if let Some((id, chunk)) = place {
        words.extend(["RESUME".to_owned(), hex::encode(id), chunk.to_string()]);
    }
    let flags = [
        (link.yields.load(SeqCst), "YIELD"),
        (link.force.load(SeqCst) || is_blank(&store, settings.databases), "BLANK"),
        (link.full.load(SeqCst), "FULL"),
    ];
    words.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned()));
    if let Some(handover) = link.handover.as_ref().filter(|handover| handover.outcome() != Outcome::TakenOver) {
        // Last, for it counts as sent from here on.
        let aborts = handover.ask().ok_or("handing over has ended")?;
        words.extend(["FAILOVER".to_owned(), handover.id.to_string()]);
        words.extend(handover.force.then(|| "FORCE".to_owned()));
        words.extend(aborts.then(|| "ABORT".to_owned()));
    }
    Ok(words)
}

/// Whether there are no data that could be lost.
fn is_blank(store: &Store, databases: u8) -> bool {
    let view = store.view(now_ms());
    (0..databases).all(|db| {
        let keys = view.keys(db).map_or(0, |keys| keys.count());
        keys == 0 && view.collections(db).is_empty()
    })
}

/// Sends a request and reads the line of its reply.
pub(super) async fn ask(socket: &mut Stream, input: &mut BytesMut, words: &[String]) -> Result<String, String> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n{word}\r\n", word.len());
    }
    let sent = async {
        socket.write_all(out.as_bytes()).await?;
        socket.flush().await
    };
    sent.await.map_err(|error| error.to_string())?;
    loop {
        if let Some(end) = input.windows(2).position(|two| two == b"\r\n") {
            let line = String::from_utf8_lossy(input.get(..end).unwrap_or_default()).into_owned();
            input.advance(end + 2);
            return Ok(line);
        }
        if input.len() > LINE_BYTES_MAX {
            return Err("the server there does not speak RESP".to_owned());
        }
        match socket.read_buf(input).await {
            Ok(0) => return Err("the server there has closed the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Whether a reply says OK; else what it says.
pub(super) fn accepted(reply: &str) -> Result<(), String> {
    match reply.split_at_checked(1) {
        Some(("+", _)) => Ok(()),
        Some(("-", why)) => Err(why.to_owned()),
        _ => Err("the server there does not speak RESP".to_owned()),
    }
}
