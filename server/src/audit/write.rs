//! The thread that writes records, and now and then says in the store's log where they end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use veddb_storage::{AUDIT, AUDIT_END, Store};
use zeroize::Zeroizing;

use super::Item;
use super::record::Records;
use crate::acl::{Kept, unit};
use crate::execute::{commit, now_ms};
use crate::server::Server;
use crate::traces::stages::Stages;

/// Handfuls of records that one append writes at most.
const BATCH: usize = 1024;
/// How long records are gathered before they are written. Two syncs a batch are paid by more records then, and whoever notes one
/// need not wake the thread.
const GATHERED: Duration = Duration::from_millis(20);
/// How long the thread waits after a failure before it tries again.
const RETRY: Duration = Duration::from_millis(500);
/// How often the end is said in the store's log, where there are records behind it.
const MARKED: Duration = Duration::from_secs(1);

/// Writes from now on what is noted.
///
/// # Errors
/// When there can be no thread for it.
pub fn start(server: &Arc<Server>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let receiver = server.audit.receiver.lock().take();
    let receiver = receiver.ok_or_else(|| std::io::Error::other("it is being audited already"))?;
    let (server, mut end) = (Arc::downgrade(server), End::new(Handle::current()));
    std::thread::Builder::new().name("veddb-audit".to_owned()).spawn(move || {
        loop {
            let first = match receiver.recv_timeout(end.due()) {
                Ok(item) => Some(item),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(server) = server.upgrade() else { return };
            let (mut batch, mut waiting) = (Vec::new(), Vec::new());
            if let Some(Item::Records(_)) = first {
                std::thread::sleep(GATHERED);
            }
            for item in first.into_iter().chain(receiver.try_iter().take(BATCH - 1)) {
                match item {
                    Item::Records(records) => {
                        server.audit.waiting.fetch_sub(1, Relaxed);
                        batch.push(records);
                    }
                    Item::Flush(done) => waiting.push(done),
                }
            }
            end.meet(&server);
            if !batch.is_empty() {
                write(&server, &batch);
                end.moved();
            }
            if end.due().is_zero() || !waiting.is_empty() {
                end.mark(&server);
            }
            for done in waiting {
                // Whoever is gone does not wait any more.
                let _ = done.send(());
            }
        }
    })
}

/// Returns when everything noted so far is in the log, or the time is up. Blocks.
pub fn flush(server: &Server, patience: Duration) {
    let (done, written) = sync_channel(1);
    if server.audit.queue.send(Item::Flush(done)).is_ok() && written.recv_timeout(patience).is_err() {
        tracing::warn!("the last records of the audit log could not be written in time");
    }
}

/// What the store's log has been told of the end.
struct End {
    runtime: Handle,
    /// Since when it does not name the last record.
    behind: Option<Instant>,
    /// The store and the term for which the chain was compared with what the log says.
    met: Option<(usize, u64)>,
}

impl End {
    fn new(runtime: Handle) -> End {
        End { runtime, behind: None, met: None }
    }

    /// After how long it is to be said.
    fn due(&self) -> Duration {
        self.behind.map_or(Duration::MAX, |since| MARKED.saturating_sub(since.elapsed()))
    }

    fn moved(&mut self) {
        self.behind.get_or_insert_with(Instant::now);
    }

    /// Compares the chain with what the store's log says of it, once for each store and each time that this is the primary: before
    /// anything else is said there.
    fn meet(&mut self, server: &Server) {
        if server.replication.is_replica() {
            return;
        }
        let store = server.store();
        let now = (Arc::as_ptr(&store) as usize, store.terms().last().map_or(0, |start| start.term));
        if self.met == Some(now) {
            return;
        }
        match store.view(now_ms()).audit_end().and_then(|end| end.map_or(Ok(()), |end| store.audit().meet(&end))) {
            Ok(()) => self.met = Some(now),
            Err(error) => tracing::error!(%error, "what the store's log says of the audit log could not be compared"),
        }
    }

    /// Says it, where writes are taken.
    fn mark(&mut self, server: &Server) {
        let Some(behind) = &mut self.behind else { return };
        // Again a second later, where it cannot be now.
        *behind = Instant::now();
        if self.met.is_none() || server.replication.refuses_writes().is_some() {
            return;
        }
        let kept = kept(&server.store());
        let outcomes = self.runtime.block_on(commit(server, vec![unit(vec![kept])], &Stages::default()));
        match outcomes.first() {
            Some(Err(error)) => {
                tracing::debug!(%error, "the end of the audit log could not be said in the store's log")
            }
            _ => self.behind = None,
        }
    }
}

fn kept(store: &Store) -> Kept {
    let value = Some(Zeroizing::new(store.audit_end().text()));
    Kept { kind: AUDIT, name: Bytes::from_static(AUDIT_END), value, expires_ms: 0 }
}

/// Appends a batch, again and again until it is written or nobody minds.
fn write(server: &Server, batch: &[Records]) {
    let auditor = &server.audit;
    let texts: Vec<&str> = batch.iter().flat_map(Records::texts).collect();
    let count = texts.len() as u64;
    loop {
        let settings = server.config.load();
        match server.store().audit().append(&texts, settings.audit.file_bytes, settings.audit.files_max) {
            Ok(()) => {
                auditor.written.fetch_add(count, Relaxed);
                if auditor.failing.swap(false, Relaxed) {
                    let lost = auditor.lost.load(Relaxed);
                    tracing::warn!(lost, "the audit log can be written again");
                }
                return;
            }
            Err(error) => {
                if !auditor.failing.swap(true, Relaxed) {
                    tracing::error!(%error, "the audit log cannot be written");
                }
                if !settings.audit.refuse_on_failure {
                    auditor.lost.fetch_add(count, Relaxed);
                    return;
                }
                if server.watch_stop().borrow().is_some() {
                    auditor.lost.fetch_add(count, Relaxed);
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}
