//! What all queries share: the memory that they may hold, and the cursors that wait between two reads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use veddb_storage::View;

use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::memory::{Account, QueryMemory, let_go};
use crate::pipeline::{Failure, Running};
use crate::query::exec::Examined;
use crate::reply::Reply;

/// Bounds of queries; each is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// `query-memory-limit`, bytes that one query may hold.
    pub memory: usize,
    /// `query-memory-total`, bytes that all may hold.
    pub memory_total: usize,
    /// `cursor-timeout`, seconds after which a cursor that nobody reads is closed.
    pub cursor_timeout_s: u64,
    /// `cursor-max-age`, seconds after which a cursor is closed in any case.
    pub cursor_max_age_s: u64,
    /// `max-cursors`, in all.
    pub cursors: usize,
    /// `max-cursors-per-client`
    pub cursors_per_client: usize,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits {
            memory: 100 << 20,
            memory_total: 400 << 20,
            cursor_timeout_s: 600,
            cursor_max_age_s: 3600,
            cursors: 1000,
            cursors_per_client: 100,
        }
    }
}

/// What all queries share.
#[derive(Debug)]
pub struct Queries {
    memory: Arc<QueryMemory>,
    limits: Mutex<QueryLimits>,
    cursors: Mutex<HashMap<u64, Slot>>,
}

/// A cursor, or what is known of it while it is read.
#[derive(Debug)]
struct Slot {
    client: u64,
    /// Whose it is, and the rights that the user had.
    user: (Bytes, u64),
    opened: Instant,
    used: Instant,
    /// None while it is read.
    cursor: Option<Cursor>,
}

/// What a cursor gives, one after the other.
pub trait Replies: Send {
    /// The next one; none at the end.
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Reply>, Failure>;
}

/// A query that waits to be read on. It sees the moment at which it began.
pub struct Cursor {
    view: View,
    db: u8,
    max_time_ms: Option<u64>,
    account: Arc<Account>,
    replies: Box<dyn Replies>,
    /// What was read already to see that it is not the end.
    ahead: Option<Reply>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("lsn", &self.view.lsn()).finish_non_exhaustive()
    }
}

impl Default for Queries {
    fn default() -> Queries {
        Queries::new(QueryLimits::default())
    }
}

impl Queries {
    /// No query yet.
    pub fn new(limits: QueryLimits) -> Queries {
        let memory = Arc::new(QueryMemory::new(limits.memory, limits.memory_total));
        Queries { memory, limits: Mutex::new(limits), cursors: Mutex::default() }
    }

    /// Changes the limits, also of queries that run.
    pub fn set_limits(&self, limits: QueryLimits) {
        self.memory.set_limits(limits.memory, limits.memory_total);
        *self.limits.lock() = limits;
    }

    /// The memory of all queries.
    pub fn memory(&self) -> &Arc<QueryMemory> {
        &self.memory
    }

    /// How many cursors are open.
    pub fn cursors(&self) -> usize {
        self.cursors.lock().len()
    }

    /// Closes cursors that nobody reads any more, and those that are too old.
    pub fn sweep(&self, now: Instant) {
        let limits = *self.limits.lock();
        let age = |since: Instant| now.saturating_duration_since(since);
        let kept = |slot: &Slot| {
            slot.cursor.is_none()
                || (age(slot.used) < Duration::from_secs(limits.cursor_timeout_s)
                    && age(slot.opened) < Duration::from_secs(limits.cursor_max_age_s))
        };
        // Dropped once the table is free again: a cursor may hold a lot.
        let mut closed = Vec::new();
        self.cursors.lock().retain(|_, slot| {
            let stays = kept(slot);
            if !stays {
                closed.extend(slot.cursor.take());
            }
            stays
        });
    }

    /// Closes all cursors: the data that they read are going away. One that is read now is closed by its next reply.
    pub fn close_cursors(&self) {
        // Dropped once the table is free again.
        let closed = std::mem::take(&mut *self.cursors.lock());
        drop(closed);
    }

    /// The first `count` replies, and the cursor's id for the rest; 0 when there is none.
    pub fn open(
        &self,
        context: &ReadContext<'_>,
        max_time_ms: Option<u64>,
        account: Arc<Account>,
        replies: Box<dyn Replies>,
        count: u64,
    ) -> Result<Reply, CommandError> {
        if context.within_unit {
            return Err(CommandError::err("CURSOR is not allowed inside a transaction that writes"));
        }
        let now = Instant::now();
        self.check_room(&self.cursors.lock(), context.client)?;
        let (view, db) = (context.view.clone(), context.db);
        let mut cursor = Cursor { view, db, max_time_ms, account, replies, ahead: None };
        let (batch, more) = match cursor.read(context, count) {
            Ok(read) => read,
            Err(error) => {
                let_go(cursor, &error);
                return Err(error);
            }
        };
        let mut id = 0;
        if more {
            let mut cursors = self.cursors.lock();
            // Others may have come meanwhile.
            self.check_room(&cursors, context.client)?;
            while id == 0 || cursors.contains_key(&id) {
                // Fits an integer reply, and is not to be guessed.
                id = rand::random::<u64>() >> 1;
            }
            cursors.insert(
                id,
                Slot {
                    client: context.client,
                    user: owner(context),
                    opened: now,
                    used: Instant::now(),
                    cursor: Some(cursor),
                },
            );
        }
        Ok(Reply::Array(vec![Reply::count(id), Reply::Array(batch)]))
    }

    fn check_room(&self, cursors: &HashMap<u64, Slot>, client: u64) -> Result<(), CommandError> {
        let limits = *self.limits.lock();
        if cursors.len() >= limits.cursors {
            return Err(CommandError::err(format!("max-cursors ({}) are open", limits.cursors)));
        }
        if cursors.values().filter(|slot| slot.client == client).count() >= limits.cursors_per_client {
            let message = format!("max-cursors-per-client ({}) of this client are open", limits.cursors_per_client);
            return Err(CommandError::err(message));
        }
        Ok(())
    }

    /// The next `count` replies of a cursor, and its id; 0 when these were the last.
    pub fn read(&self, context: &ReadContext<'_>, id: u64, count: u64) -> Result<Reply, CommandError> {
        self.sweep(Instant::now());
        let mut cursor = {
            let mut cursors = self.cursors.lock();
            // What it found was looked for with the rights of then.
            let slot = cursors.get_mut(&id).filter(|slot| slot.user == owner(context)).ok_or_else(no_cursor)?;
            slot.cursor.take().ok_or_else(|| CommandError::new(ErrorCode::Busy, "the cursor is being read"))?
        };
        let mut reading = Reading { queries: self, id, put_back: false };
        let view = cursor.view.clone();
        let (batch, more) = match cursor.read(&context.resumed(&view, cursor.db), count) {
            Ok(read) => read,
            Err(error) => {
                let_go(cursor, &error);
                return Err(error);
            }
        };
        let open = if more && reading.put_back(cursor) { id } else { 0 };
        Ok(Reply::Array(vec![Reply::count(open), Reply::Array(batch)]))
    }

    /// Closes a cursor; whether there was one.
    pub fn close(&self, context: &ReadContext<'_>, id: u64) -> bool {
        let mut cursors = self.cursors.lock();
        let is_own = cursors.get(&id).is_some_and(|slot| slot.user.0 == context.user.name());
        let slot = if is_own { cursors.remove(&id) } else { None };
        drop(cursors);
        slot.is_some()
    }
}

/// A cursor that is being read. It is closed unless it is put back, also where the reading panics.
struct Reading<'q> {
    queries: &'q Queries,
    id: u64,
    put_back: bool,
}

impl Reading<'_> {
    /// Lets the cursor wait again; false when it was closed meanwhile.
    fn put_back(&mut self, cursor: Cursor) -> bool {
        let mut cursors = self.queries.cursors.lock();
        let Some(slot) = cursors.get_mut(&self.id) else { return false };
        slot.used = Instant::now();
        slot.cursor = Some(cursor);
        // From here on it may be another's.
        self.put_back = true;
        true
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.put_back {
            self.queries.cursors.lock().remove(&self.id);
        }
    }
}

/// All of the replies, of one that is not read by a cursor; `TOOBIG` when they are more than a query may hold.
pub fn all(replies: &mut dyn Replies, running: &Running<'_>) -> Result<Reply, CommandError> {
    let (context, limit) = (running.context, running.account.limit());
    let mut all = Vec::new();
    // Apart from what the stages hold: theirs does not have to make room for it, nor is it given up for theirs.
    let mut held = Account::new(context.queries.memory()).part();
    while let Some(reply) = noting(running, replies)? {
        held.force(reply.size() + size_of::<Reply>());
        if held.bytes() > limit {
            let message =
                format!("the reply would hold more than {limit} bytes (query-memory-limit): read it by CURSOR");
            return Err(CommandError::new(ErrorCode::TooBig, message));
        }
        all.push(reply);
    }
    Ok(Reply::Array(all))
}

/// The next reply; what was looked at is noted with the last one.
fn noting(running: &Running<'_>, replies: &mut dyn Replies) -> Result<Option<Reply>, Failure> {
    let next = replies.next(running);
    if !matches!(next, Ok(Some(_))) {
        running.context.examined(*running.examined.borrow());
    }
    next
}

/// All of these replies, as a read gathers them; `TOOBIG` when they are more than a query may hold.
pub(crate) fn gather(
    context: &ReadContext<'_>,
    replies: impl Iterator<Item = Result<Reply, CommandError>>,
) -> Result<Reply, CommandError> {
    let mut held = Account::new(context.queries.memory()).part();
    let mut all = Vec::new();
    for reply in replies {
        let reply = reply?;
        held.claim(reply.size() + size_of::<Reply>())?;
        all.push(reply);
    }
    Ok(Reply::Array(all))
}

fn owner(context: &ReadContext<'_>) -> (Bytes, u64) {
    (context.user.name().clone(), context.user.version())
}

fn no_cursor() -> CommandError {
    CommandError::new(ErrorCode::NoCursor, "no such cursor: it was never opened, or it was closed")
}

impl Cursor {
    /// The next replies, and whether there are more.
    fn read(&mut self, context: &ReadContext<'_>, count: u64) -> Result<(Vec<Reply>, bool), CommandError> {
        let examined = RefCell::new(Examined::default());
        let account = Arc::clone(&self.account);
        let running = Running::new(context, self.max_time_ms, &account, &examined);
        let outcome = self.batch(&running, count);
        context.examined(*examined.borrow());
        outcome
    }

    fn batch(&mut self, running: &Running<'_>, count: u64) -> Result<(Vec<Reply>, bool), CommandError> {
        let (mut batch, mut bytes, context) = (Vec::new(), 0, running.context);
        while (batch.len() as u64) < count && bytes < context.limits.max_document_size {
            let next = match self.ahead.take() {
                Some(reply) => Some(reply),
                None => self.replies.next(running)?,
            };
            let Some(reply) = next else { return Ok((batch, false)) };
            bytes += reply.size();
            batch.push(reply);
        }
        if self.ahead.is_none() {
            self.ahead = self.replies.next(running)?;
        }
        Ok((batch, self.ahead.is_some()))
    }
}
