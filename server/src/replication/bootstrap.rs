//! Reading a snapshot: a thread writes its chunks to a store beside the one that is there, and at its end puts that in place.
//!
//! What was staged stays when the link ends, and the next one goes on with it.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use veddb_storage::{Error, ExportHeader, PROMOTIONS_MAX, Staging, promotions};

use super::follow::Shared;
use super::link::Link;
use super::swap;
use crate::data;
use crate::server::Server;

/// Chunks that wait to be written.
const CHUNKS: usize = 4;

/// What a primary says of a snapshot.
pub(super) fn header(bytes: &[u8]) -> Result<ExportHeader, String> {
    let header: ExportHeader =
        serde_json::from_slice(bytes).map_err(|error| format!("a snapshot's header: {error}"))?;
    // Whoever takes the data takes the terms, of which none may be left after these.
    let latest = header.terms.iter().map(|start| start.term).chain([header.position.term]).map(promotions).max();
    match latest {
        Some(latest) if latest > PROMOTIONS_MAX => {
            tracing::error!(promotions = latest, "a snapshot is of a term that is beyond belief");
            Err("the snapshot is of a term that is beyond belief".to_owned())
        }
        _ => Ok(header),
    }
}

/// What the thread is told.
enum Piece {
    Chunk(Bytes),
    Whole([u8; 32]),
}

/// A snapshot that is being read, or could be read on.
#[derive(Default)]
pub(super) struct Bootstrap {
    staging: Option<Staging>,
    reading: Option<Thread>,
}

struct Thread {
    pieces: mpsc::Sender<Piece>,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl Bootstrap {
    /// What an earlier link, or an earlier process, has left.
    pub(super) async fn found(server: &Arc<Server>) -> Result<Bootstrap, Error> {
        let server = Arc::clone(server);
        let found = tokio::task::spawn_blocking(move || {
            // Whoever wrote it last must have ended.
            let before = server.replication.staging.lock().take();
            if let Some(before) = before {
                let _ = before.join();
            }
            let settings = server.settings().load();
            Staging::resume(&data::options(&settings), &data::master_key(&settings)?)
        });
        let staging = found.await.map_err(|error| Error::Refused(error.to_string()))??;
        Ok(Bootstrap { staging, ..Bootstrap::default() })
    }

    /// The snapshot that was begun, and the chunk that is missing.
    pub(super) fn place(&self) -> Option<([u8; 16], u64)> {
        self.staging.as_ref().map(|staging| (staging.header().id, staging.next_chunk()))
    }

    /// It is not needed.
    pub(super) fn discard(&mut self) {
        self.staging = None;
    }

    /// A snapshot comes, from this chunk on.
    pub(super) async fn begin(
        &mut self,
        shared: &Shared,
        id: [u8; 16],
        first: u64,
        header: ExportHeader,
    ) -> Result<(), String> {
        let staging = match self.staging.take() {
            Some(staging) if staging.header().id == id && staging.next_chunk() == first => Some(staging),
            _ if first > 0 => return Err("the primary goes on with a snapshot that is not here".to_owned()),
            _ => None,
        };
        shared.link.note_sync(header.bytes, staging.as_ref().map_or(0, Staging::bytes));
        let (pieces, queue) = mpsc::channel(CHUNKS);
        let (done, ended) = oneshot::channel();
        let (server, link) = (Arc::clone(&shared.server), Arc::clone(&shared.link));
        let read = move || {
            let _ = done.send(read(&server, &link, staging, &header, queue));
        };
        let thread = std::thread::Builder::new().name("veddb-sync".to_owned()).spawn(read);
        *shared.server.replication.staging.lock() = Some(thread.map_err(|error| error.to_string())?);
        self.reading = Some(Thread { pieces, ended });
        Ok(())
    }

    /// The next chunk.
    pub(super) async fn chunk(&mut self, bytes: Bytes) -> Result<(), String> {
        self.tell(Piece::Chunk(bytes)).await
    }

    /// It is whole. Returns once its data are in place.
    pub(super) async fn finish(&mut self, hash: [u8; 32]) -> Result<(), String> {
        self.tell(Piece::Whole(hash)).await?;
        self.ended().await
    }

    async fn tell(&mut self, piece: Piece) -> Result<(), String> {
        let Some(thread) = &self.reading else {
            return Err("a piece of a snapshot came without its header".to_owned());
        };
        if thread.pieces.send(piece).await.is_err() {
            return self.ended().await.and(Err("the snapshot had ended already".to_owned()));
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), String> {
        let Some(thread) = self.reading.take() else { return Ok(()) };
        drop(thread.pieces);
        match thread.ended.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the snapshot cannot be taken over: {error}")),
            Err(_) => Err("the thread that takes the snapshot over has ended".to_owned()),
        }
    }
}

/// The thread that ends when the link does; the next one waits for it.
pub(super) type Staged = Mutex<Option<JoinHandle<()>>>;

fn read(
    server: &Arc<Server>,
    link: &Link,
    staging: Option<Staging>,
    header: &ExportHeader,
    mut queue: mpsc::Receiver<Piece>,
) -> Result<(), Error> {
    let settings = server.settings().load();
    let mut staging = match staging {
        Some(staging) => staging,
        None => Staging::begin(&data::options(&settings), &data::master_key(&settings)?, header)?,
    };
    while let Some(piece) = queue.blocking_recv() {
        match piece {
            Piece::Chunk(bytes) => {
                staging.write(&bytes)?;
                link.note_sync(header.bytes, staging.bytes());
            }
            Piece::Whole(hash) => {
                let staged = staging.finish(hash)?;
                return swap::put_in_place(server, link, &staged);
            }
        }
    }
    Err(Error::Refused("the link has ended".to_owned()))
}
