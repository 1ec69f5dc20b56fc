//! The replica's side of a link: connecting to the primary, asking for what is missing, and having it carried out.
//!
//! What comes is handed to the committer as it comes, at most so much at once; what is said back is how far that is. A link that
//! ends is made anew, from where the store is then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, Semaphore};
use veddb_storage::{Applied, Error, ExportHeader, RolledBack, Units};

use super::bootstrap::{self, Bootstrap};
use super::greeting;
use super::link::{AGAIN, Link, Phase};
use super::wire::{BODY_BYTES_MAX, Heard, Said, take};
use crate::data;
use crate::pubsub::mailbox::{Filled, wake};
use crate::server::Server;
use crate::stream::Stream;

/// Pieces of the log that may wait to be carried out.
pub(crate) const APPLYING: u32 = 64;
/// Bytes of them, about: one piece may be larger.
const APPLYING_BYTES: u32 = 32 << 20;

/// Why a link ended.
pub(super) enum End {
    /// It is to be made again a little later.
    Broken(String),
    /// It is to be made again at once.
    Again(&'static str),
}

/// What the two halves of a link share.
pub(super) struct Shared {
    pub(super) server: Arc<Server>,
    pub(super) link: Arc<Link>,
    /// There is something to say to the primary.
    pub(super) progressed: Arc<Notify>,
    /// A snapshot is read or put in place.
    pub(super) syncing: AtomicBool,
    /// Why units could not be carried out.
    failed: Arc<Mutex<Option<Error>>>,
}

/// What waits to be carried out, of whatever link: what one link brought is done before the next one says where the data stand.
#[derive(Debug)]
pub(super) struct Applying {
    /// Held by the link that may bring something.
    turn: tokio::sync::Mutex<()>,
    pieces: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Default for Applying {
    fn default() -> Applying {
        Applying {
            turn: tokio::sync::Mutex::default(),
            pieces: Arc::new(Semaphore::new(APPLYING as usize)),
            bytes: Arc::new(Semaphore::new(APPLYING_BYTES as usize)),
        }
    }
}

impl Applying {
    /// How many pieces wait, or are being carried out.
    pub(super) fn waiting(&self) -> usize {
        (APPLYING as usize).saturating_sub(self.pieces.available_permits())
    }
}

/// Follows until nobody wants the link any more.
pub(crate) async fn run(server: Arc<Server>, link: Arc<Link>) {
    let shared = Shared {
        server,
        link: Arc::clone(&link),
        progressed: Arc::new(Notify::new()),
        syncing: AtomicBool::new(false),
        failed: Arc::default(),
    };
    let mut stopping = shared.server.watch_stop();
    let _turn = tokio::select! {
        biased;
        () = link.cancelled() => return,
        turn = shared.server.replication.applying.turn.lock() => turn,
    };
    loop {
        let end = tokio::select! {
            biased;
            () = link.cancelled() => return,
            _ = stopping.wait_for(Option::is_some) => return,
            () = link.given_up() => End::Again("what was handed over is not to be"),
            end = attempt(&shared) => end,
        };
        shared.syncing.store(false, SeqCst);
        let wait = match end {
            End::Broken(why) => {
                // Once for each reason: a primary may be gone for long.
                if link.state().error != why {
                    tracing::warn!(
                        host = link.primary.host,
                        port = link.primary.port,
                        why,
                        "the link to the primary is down"
                    );
                }
                link.ended(&why);
                AGAIN
            }
            End::Again(why) => {
                tracing::info!(
                    host = link.primary.host,
                    port = link.primary.port,
                    why,
                    "the link to the primary is made anew"
                );
                link.ended("");
                Duration::ZERO
            }
        };
        tokio::select! {
            () = link.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn attempt(shared: &Shared) -> End {
    // What came before is carried out first: the position is to be that after it.
    drop(shared.server.replication.applying.pieces.acquire_many(APPLYING).await);
    shared.failed.lock().take();
    shared.link.reach(Phase::Connecting);
    let mut bootstrap = match Bootstrap::found(&shared.server).await {
        Ok(bootstrap) => bootstrap,
        Err(error) => return End::Broken(error.to_string()),
    };
    let timeout = Duration::from_secs(shared.server.config.load().repl_timeout_s);
    let greeted = tokio::time::timeout(timeout, greeting::greet(shared, bootstrap.place())).await;
    let (socket, input) = match greeted {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(why)) => return End::Broken(why),
        Err(_) => return End::Broken("the primary does not answer within repl-timeout".to_owned()),
    };
    let (from, to) = tokio::io::split(socket);
    tokio::select! {
        end = listen(shared, from, input, &mut bootstrap) => end,
        end = answer(shared, to) => end,
    }
}

/// Takes what the primary says.
async fn listen(shared: &Shared, mut from: ReadHalf<Stream>, mut input: BytesMut, bootstrap: &mut Bootstrap) -> End {
    let mut filled = Filled::new();
    loop {
        let message = take(&mut input, BODY_BYTES_MAX)
            .and_then(|found| found.map(|(kind, body)| Said::decode(kind, body)).transpose());
        match message {
            Ok(Some(said)) => {
                if let Err(end) = obey(shared, said, bootstrap, &mut filled).await {
                    return end;
                }
                continue;
            }
            Ok(None) => {}
            Err(garbage) => return End::Broken(garbage.to_string()),
        }
        wake(&mut filled);
        if let Some(error) = shared.failed.lock().take() {
            return broken_by(shared, &error);
        }
        let timeout = Duration::from_secs(shared.server.config.load().repl_timeout_s);
        match tokio::time::timeout(timeout, from.read_buf(&mut input)).await {
            Err(_) => return End::Broken("the primary has been silent for repl-timeout".to_owned()),
            Ok(Ok(0)) => return End::Broken("the primary has closed the connection".to_owned()),
            Ok(Ok(count)) => {
                shared.server.metrics.net_input_bytes.fetch_add(count as u64, Relaxed);
                shared.link.heard();
            }
            Ok(Err(error)) => return End::Broken(error.to_string()),
        }
    }
}

async fn obey(shared: &Shared, said: Said, bootstrap: &mut Bootstrap, filled: &mut Filled) -> Result<(), End> {
    let Shared { server, link, .. } = shared;
    match said {
        Said::Refused(why) => return Err(End::Broken(format!("the primary refuses: {why}"))),
        Said::Continue => {
            bootstrap.discard();
            link.force.store(false, SeqCst);
            link.is_admitted();
            link.reach(Phase::Connected);
            shared.progressed.notify_one();
        }
        Said::Snapshot { id, first, header } => {
            shared.syncing.store(true, SeqCst);
            link.is_admitted();
            link.reach(Phase::Sync);
            let header = bootstrap::header(&header).map_err(End::Broken)?;
            move_tail_off_line(shared, &header).await.map_err(End::Broken)?;
            bootstrap.begin(shared, id, first, header).await.map_err(End::Broken)?;
        }
        Said::Chunk { number: _, bytes } => bootstrap.chunk(bytes).await.map_err(End::Broken)?,
        Said::Whole { hash } => {
            bootstrap.finish(hash).await.map_err(End::Broken)?;
            link.full.store(false, SeqCst);
            link.force.store(false, SeqCst);
            shared.syncing.store(false, SeqCst);
            link.reach(Phase::Connected);
            shared.progressed.notify_one();
        }
        Said::Diverged { common } => {
            link.is_admitted();
            move_tail_away(shared, common).await.map_err(End::Broken)?;
            link.full.store(true, SeqCst);
            return Err(End::Again("what was written here and not there was moved to a file; all data are read anew"));
        }
        Said::Units(bytes) => apply(shared, bytes).await?,
        Said::Message { shard, channel, message } => {
            let limit = server.config.load().client_output_buffer_limit.pubsub;
            server.publish(shard, &channel, &[&message], &limit, filled);
        }
        Said::Beat { term: _, lsn, chain } => {
            if chain.contains(&server.run_id) {
                return Err(End::Broken("the primary follows this server: that would be a cycle".to_owned()));
            }
            link.set_chain(chain);
            link.note_primary(lsn, server.position().lsn);
        }
        Said::Sync => {
            let (store, progressed) = (server.store_now(), Arc::clone(&shared.progressed));
            tokio::task::spawn_blocking(move || {
                // Where it fails the store ends the process by itself.
                let _ = store.map(|store| store.sync());
                progressed.notify_one();
            });
        }
        Said::Leave => {
            let (server, link) = (Arc::clone(server), Arc::clone(link));
            tokio::spawn(async move {
                if let Err(error) = tokio::task::block_in_place(|| server.leave(&link)) {
                    tracing::warn!(%error, "this server was asked to follow nobody, and cannot");
                }
            });
        }
        Said::Resync => {
            link.full.store(true, SeqCst);
            return Err(End::Again("all data are read anew, as the primary was asked"));
        }
    }
    Ok(())
}

/// Has units carried out, once not too much waits.
async fn apply(shared: &Shared, bytes: Bytes) -> Result<(), End> {
    let units = Units::from_bytes(&bytes).map_err(|error| End::Broken(error.to_string()))?;
    shared.link.note_received(units.last_lsn());
    shared.link.note_primary(units.last_lsn(), shared.server.position().lsn);
    let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(1, APPLYING_BYTES);
    drop(bytes);
    let gone = |_| End::Broken("the server stops".to_owned());
    let applying = &shared.server.replication.applying;
    let place = Arc::clone(&applying.pieces).acquire_owned().await.map_err(gone)?;
    let room = Arc::clone(&applying.bytes).acquire_many_owned(weight).await.map_err(gone)?;
    let (progressed, failed) = (Arc::clone(&shared.progressed), Arc::clone(&shared.failed));
    let done: Applied = Box::new(move |applied| {
        if let Err(error) = applied {
            failed.lock().get_or_insert(error);
        }
        drop((place, room));
        progressed.notify_one();
    });
    let mut waiting = (units, done);
    loop {
        // Looked at anew each time: it may have been swapped meanwhile.
        if let Some(store) = shared.server.store_now() {
            match shared.link.hand(|| store.apply(waiting.0, waiting.1)) {
                None => return Err(End::Again("nobody wants the link any more")),
                Some(Ok(())) => break,
                Some(Err(back)) => waiting = back,
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let failed = shared.failed.lock().take();
    failed.map_or(Ok(()), |error| Err(broken_by(shared, &error)))
}

/// What is to be done where units could not be carried out.
fn broken_by(shared: &Shared, error: &Error) -> End {
    if matches!(error, Error::Refused(_)) {
        // They do not fit what is here, which only a snapshot mends.
        shared.link.full.store(true, SeqCst);
    }
    End::Broken(format!("units cannot be carried out: {error}"))
}

/// Moves what a snapshot does not have to a file: one that was asked for before the two logs went on differently says nothing of
/// that.
async fn move_tail_off_line(shared: &Shared, header: &ExportHeader) -> Result<(), String> {
    let store = shared.server.store_now().ok_or("the data are being replaced")?;
    let own = store.position();
    if own.history != header.position.history || own.lsn == shared.link.tail_moved.load(SeqCst) {
        return Ok(());
    }
    let common = store.common(&header.terms, header.position.lsn);
    if common < own.lsn { move_tail_away(shared, common).await } else { Ok(()) }
}

/// Moves what the primary does not have to a file.
async fn move_tail_away(shared: &Shared, common: u64) -> Result<(), String> {
    let store = shared.server.store_now().ok_or("the data are being replaced")?;
    let settings = shared.server.settings().load();
    let last = store.position().lsn;
    let moved = tokio::task::spawn_blocking(move || store.rollback_tail(common, &data::master_key(&settings)?))
        .await
        .map_err(|error| error.to_string())?;
    let moved = moved.map_err(|error| error.to_string())?;
    shared.link.tail_moved.store(last, SeqCst);
    if let Some(RolledBack { path, units, changes, missing }) = moved {
        shared.server.replication.rollbacks.fetch_add(1, Relaxed);
        shared.server.replication.rolled_back_units.fetch_add(units, Relaxed);
        tracing::warn!(file = %path.display(), units, changes, missing, common, "units that the primary does not have were moved to a file");
    }
    Ok(())
}

/// Says how far this server is: when that changes, and once a second.
async fn answer(shared: &Shared, mut to: WriteHalf<Stream>) -> End {
    let mut out = BytesMut::new();
    let mut heard = Heard { term: 0, written: 0, synced: 0, syncing: true };
    loop {
        heard.syncing = shared.syncing.load(SeqCst) || !shared.link.is_up();
        // While the store is swapped there is nothing new to say, and nothing that could be asked.
        if !shared.server.replication.is_loading()
            && let Some(store) = shared.server.store_now()
        {
            let (written, synced) = (store.position(), store.position_durable());
            (heard.term, heard.written, heard.synced) = (written.term, written.lsn, synced.lsn);
        }
        heard.encode(&mut out);
        shared.server.metrics.net_output_bytes.fetch_add(out.len() as u64, Relaxed);
        let written = async {
            to.write_all_buf(&mut out).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return End::Broken(error.to_string());
        }
        tokio::select! {
            () = shared.progressed.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// The other side of a link, before the stream begins.
pub(super) type Greeted = (Stream, BytesMut);
