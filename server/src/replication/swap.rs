//! Putting a store that was made of a snapshot in the place of the old one, while the server runs.
//!
//! Meanwhile whoever asks for data hears LOADING. Cursors of the old store are gone; reads that still run end first, and those that
//! take long are ended.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use veddb_commands::lookup::Entry;
use veddb_commands::spec::Run;
use veddb_storage::{Error, Staged};

use super::link::Link;
use crate::client::Client;
use crate::server::Server;
use crate::{acl, changes, data, notify};

/// How long reads of the old store may still take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Puts it in place, unless nobody wants the link any more. Blocks.
pub(super) fn put_in_place(server: &Arc<Server>, link: &Link, staged: &Staged) -> Result<(), Error> {
    let _changing = server.replication.changing.lock();
    if link.is_cancelled() {
        return Err(Error::Refused("this server no longer follows that primary".to_owned()));
    }
    let began = Instant::now();
    server.replication.loading.store(true, SeqCst);
    let installed = replace(server, staged);
    server.replication.loading.store(false, SeqCst);
    if installed.is_ok() {
        tracing::info!(took_ms = began.elapsed().as_millis() as u64, "the data of the snapshot are in place");
    }
    installed
}

fn replace(server: &Arc<Server>, staged: &Staged) -> Result<(), Error> {
    server.replication.feeds.close();
    server.queries.close_cursors();
    // Closed while it is still there for who asks how things are, and then let go.
    server.store().close();
    drop(server.take_store());
    let installed = install(server, staged);
    // Whichever of the two is there now: storage leaves one of them whole.
    let settings = server.config.load();
    let opened = data::open(&settings).inspect_err(data::fatal)?;
    opened.set_replica(true);
    notify::attach(server, &opened);
    acl::attach(server, &opened);
    server.set_store(Arc::clone(&opened));
    changes::attach(server, &opened);
    installed
}

fn install(server: &Server, staged: &Staged) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match staged.install() {
            Err(Error::Busy(_)) => {}
            done => return done,
        }
        server.queries.close_cursors();
        if Instant::now() > until {
            server.clients.list().iter().filter(|client| may_read(client)).for_each(|client| client.kill());
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether a connection may hold what it reads: one that neither waits for a request nor has taken its replies. A command about the
/// connection or the server holds nothing.
fn may_read(client: &Client) -> bool {
    let is_busy = !client.waits.load(Relaxed) || client.output_length.load(Relaxed) > 0;
    let is_about_server = |entry: &Entry| matches!(entry.command.run, Run::Session(_));
    is_busy && !client.entry().is_some_and(is_about_server)
}
