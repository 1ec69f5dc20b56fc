//! Records: who did what, from where, on which names, when, and how it ended. Never an argument that may be a secret or a
//! document. They are made as a command is answered, and handed over together before the client hears of any of it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use veddb_commands::ErrorCode;

use super::events::{Event, text};
use crate::client::Client;
use crate::execute::now_ms;
use crate::server::Server;

/// A record without its position, which it gets where it is written.
#[derive(Debug, Serialize)]
struct Record<'a> {
    at: u64,
    event: &'static str,
    command: &'static str,
    user: &'a str,
    addr: SocketAddr,
    client: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    names: &'a [String],
    outcome: &'static str,
}

/// Records as JSON, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Records {
    texts: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Records {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each of them.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let text = |(begin, end): (usize, &usize)| std::str::from_utf8(self.texts.get(begin..*end)?).ok();
        begins.zip(&self.ends).filter_map(text)
    }

    fn add(
        &mut self,
        event: Event,
        command: &'static str,
        client: &Client,
        names: &[String],
        error: Option<ErrorCode>,
    ) {
        let (user, token) = (client.user.lock().clone(), client.token.lock().clone());
        let (user, jti) = (text(&user), token.as_ref().map(|token| text(&token.jti)));
        let record = Record {
            at: now_ms(),
            event: event.word(),
            command,
            user: &user,
            addr: client.addr,
            client: client.id,
            token: jti.as_deref(),
            names,
            outcome: error.map_or("ok", ErrorCode::as_str),
        };
        self.texts.reserve(RECORD_BYTES);
        serde_json::to_writer(&mut self.texts, &record).expect("texts and numbers are JSON, and memory takes it");
        self.ends.push(self.texts.len());
    }
}

/// What most records are shorter than, bytes.
const RECORD_BYTES: usize = 256;
/// Bytes of records that are not kept back any longer.
const NOTED_BYTES: usize = 16 << 10;

/// A connection's records that the thread has not got yet. Dropped they are handed over.
#[derive(Debug)]
pub(crate) struct Noted {
    server: Arc<Server>,
    records: Records,
}

impl Noted {
    /// Nothing yet.
    pub(crate) fn new(server: Arc<Server>) -> Noted {
        Noted { server, records: Records::default() }
    }

    pub(super) fn add(
        &mut self,
        event: Event,
        command: &'static str,
        client: &Client,
        names: &[String],
        error: Option<ErrorCode>,
    ) {
        self.records.add(event, command, client, names, error);
        if self.records.texts.len() >= NOTED_BYTES {
            self.hand_over();
        }
    }

    /// Hands them to the thread; waits for room where there is none.
    pub(crate) fn hand_over(&mut self) {
        if self.records.len() > 0 {
            self.server.audit.push(std::mem::take(&mut self.records));
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.hand_over();
    }
}
