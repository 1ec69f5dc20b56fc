//! Records: who did what, from where, on which names, when, and how it ended. Never an argument that may be a secret or a
//! document. They are made as a command is answered, and handed over together before the client hears of any of it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use veddb_commands::ErrorCode;

use super::events::{Event, text};
use crate::client::Client;
use crate::execute::now_ms;
use crate::server::Server;

/// Who a record is of.
#[derive(Serialize)]
struct Who<'a> {
    user: &'a str,
    addr: SocketAddr,
    client: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// The part of a record that is the same in all that follow, until the connection is somebody else.
#[derive(Debug, Default)]
struct Shown {
    user: Bytes,
    token: Option<Bytes>,
    /// Members of a JSON object.
    members: String,
}

impl Shown {
    fn of(&mut self, client: &Client) -> &str {
        let (user, token) = (client.user.lock(), client.token.lock());
        let jti = token.as_ref().map(|token| &token.jti);
        if self.members.is_empty() || self.user != *user || self.token.as_ref() != jti {
            let (name, number) = (text(&user), jti.map(text));
            let who = Who { user: &name, addr: client.addr, client: client.id, token: number.as_deref() };
            let object = serde_json::to_string(&who).unwrap_or_default();
            self.members = object.trim_start_matches('{').trim_end_matches('}').to_owned();
            // Slices of a request would hold all of the request.
            (self.user, self.token) = (Bytes::copy_from_slice(&user), jti.map(|jti| Bytes::copy_from_slice(jti)));
        }
        &self.members
    }
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

    /// Appends `{"at":..,"event":..,"command":..,<who>,"names":[..],"outcome":..}`; the position it gets where it is shown.
    fn add(&mut self, event: Event, command: &str, who: &str, names: &[String], error: Option<ErrorCode>) {
        self.texts.reserve(RECORD_BYTES);
        let (at, event, outcome) = (now_ms(), event.word(), error.map_or("ok", ErrorCode::as_str));
        let mut put = |text: std::fmt::Arguments<'_>| self.texts.write_fmt(text).expect("memory takes it");
        // Names of commands and codes have nothing in them that JSON would have escaped.
        put(format_args!(r#"{{"at":{at},"event":"{event}","command":"{command}",{who}"#));
        if !names.is_empty() {
            self.texts.extend_from_slice(br#","names":"#);
            serde_json::to_writer(&mut self.texts, names).expect("texts are JSON, and memory takes it");
        }
        self.texts.extend_from_slice(br#","outcome":""#);
        self.texts.extend_from_slice(outcome.as_bytes());
        self.texts.extend_from_slice(br#""}"#);
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
    shown: Shown,
}

impl Noted {
    /// Nothing yet.
    pub(crate) fn new(server: Arc<Server>) -> Noted {
        Noted { server, records: Records::default(), shown: Shown::default() }
    }

    pub(super) fn add(
        &mut self,
        event: Event,
        command: &'static str,
        client: &Client,
        names: &[String],
        error: Option<ErrorCode>,
    ) {
        self.records.add(event, command, self.shown.of(client), names, error);
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
