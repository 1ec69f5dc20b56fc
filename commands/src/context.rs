//! What a command is handed when it runs: a moment of the data, the time, the limits, its session.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use veddb_storage::{Document, Transaction, View};

use crate::access::User;
use crate::error::CommandError;
use crate::queries::Queries;
use crate::query::exec::Examined;
use crate::query::plan::Plan;
use crate::reply::Reply;
use crate::worked::Worked;

pub use crate::session::Session;

/// Bounds of the language; each is a setting of the same name with dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `max-document-size`, bytes of JSON text of one document.
    pub max_document_size: usize,
    /// `max-document-depth`, levels of nesting of one document, filter or update.
    pub max_document_depth: usize,
    /// `proto-max-bulk-len`, bytes of one argument, and of a string that is made longer.
    pub proto_max_bulk_len: usize,
    /// `max-query-nodes`, operators and fields of one filter or update.
    pub max_query_nodes: usize,
    /// `max-regex-size`, bytes of one compiled regular expression.
    pub max_regex_size: usize,
    /// `changes-reply-size`, bytes of the events of one answer of DOC.CHANGES; one is given in any case.
    pub changes_reply_size: usize,
    /// `max-commit-work`, steps that expressions may take in one unit, while all other writes wait.
    pub max_commit_work: u64,
    /// `query-max-time`, milliseconds that a command may take that reads documents; 0 is no limit.
    pub query_max_time_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_document_size: 16 << 20,
            max_document_depth: 128,
            proto_max_bulk_len: 64 << 20,
            max_query_nodes: 10_000,
            max_regex_size: 1 << 20,
            changes_reply_size: 1 << 20,
            max_commit_work: 500_000,
            query_max_time_ms: 0,
        }
    }
}

/// Who asks for a read, and under which bounds.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The selected database.
    pub db: u8,
    /// The connection's number.
    pub client: u64,
    /// Who it is: what it may not see is not listed.
    pub user: &'a User,
    /// The language's bounds.
    pub limits: &'a Limits,
    /// What all queries share.
    pub queries: &'a Queries,
    /// Raised when the client is gone or the server stops.
    pub cancelled: &'a AtomicBool,
    /// When the request came: MAXTIME counts from here.
    pub started: Instant,
    /// The connection speaks RESP3, which some answers depend on in more than their encoding.
    pub resp3: bool,
    /// Where a query says how it came to its answer.
    pub worked: &'a Worked,
}

/// How many keys a read has looked for. They are counted when it is over.
#[derive(Debug)]
pub struct LookedUp<'a> {
    view: &'a View,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl Drop for LookedUp<'_> {
    fn drop(&mut self) {
        self.view.note_lookups(self.hits.get(), self.misses.get());
    }
}

/// What a reading command works with.
#[derive(Debug)]
pub struct ReadContext<'a> {
    /// The data, at one consistent moment.
    pub view: &'a View,
    /// The selected database.
    pub db: u8,
    /// The connection's number.
    pub client: u64,
    /// Who it is: what it may not see is not listed.
    pub user: &'a User,
    /// Now, milliseconds since 1970; the view's.
    pub now_ms: u64,
    /// The language's bounds.
    pub limits: &'a Limits,
    /// What all queries share.
    pub queries: &'a Queries,
    /// Raised when the client is gone or the server stops.
    pub cancelled: &'a AtomicBool,
    /// When the request came: MAXTIME counts from here.
    pub started: Instant,
    /// The connection speaks RESP3.
    pub resp3: bool,
    /// Where a query says how it came to its answer.
    pub worked: &'a Worked,
    /// What a read may cost here, ns; none where it may take its time.
    pub patience_ns: Option<f64>,
    /// How long it may take, whatever the request says; MAXTIME may be less. Milliseconds.
    pub max_time_ms: Option<u64>,
    /// When the run began: a request may have waited for those before it.
    pub begun: Instant,
    /// Set when the read costs more than that: it is to be run again where it may take its time.
    pub deferred: Cell<bool>,
    /// The keys that it looked for.
    pub looked_up: LookedUp<'a>,
    /// The moment is one within a unit, which nothing may hold on to.
    pub within_unit: bool,
}

impl<'a> ReadContext<'a> {
    /// A context of the view's time, in which a read may take its own.
    pub fn new(view: &'a View, asker: Asker<'a>) -> ReadContext<'a> {
        let Asker { db, client, user, limits, queries, cancelled, started, resp3, worked } = asker;
        ReadContext {
            view,
            db,
            client,
            user,
            now_ms: view.now_ms(),
            limits,
            queries,
            cancelled,
            started,
            resp3,
            worked,
            patience_ns: None,
            max_time_ms: None,
            begun: Instant::now(),
            deferred: Cell::new(false),
            looked_up: LookedUp { view, hits: Cell::new(0), misses: Cell::new(0) },
            within_unit: false,
        }
    }

    /// The same for what a query of this database and moment left, where a read may take its time.
    pub fn resumed<'b>(&'b self, view: &'b View, db: u8) -> ReadContext<'b> {
        let ReadContext { client, user, limits, queries, cancelled, started, resp3, worked, .. } = *self;
        let asker = Asker { db, client, user, limits, queries, cancelled, started, resp3, worked };
        ReadContext { max_time_ms: self.max_time_ms, ..ReadContext::new(view, asker) }
    }

    /// Notes the plan by which documents are found.
    pub(crate) fn planned(&self, plan: &Plan) {
        self.worked.note(self.started, |work| {
            if work.plan.is_empty() {
                work.plan = plan.summary();
            }
        });
    }

    /// Notes what was looked at.
    pub(crate) fn examined(&self, examined: Examined) {
        self.worked.note(self.started, |work| {
            work.examined.keys += examined.keys;
            work.examined.documents += examined.documents;
        });
    }

    /// What a key holds that a command reads. Counted as Redis counts it, for `keyspace_hits` and `keyspace_misses`.
    pub(crate) fn key(&self, key: &[u8]) -> Result<Option<Arc<Document>>, CommandError> {
        let found = self.view.key(self.db, key)?;
        let count = if found.is_some() { &self.looked_up.hits } else { &self.looked_up.misses };
        count.set(count.get() + 1);
        Ok(found)
    }

    /// Ends a read that would cost too much here. Asked before anything is done.
    pub fn afford(&self, cost_ns: f64) -> Result<(), CommandError> {
        if self.patience_ns.is_some_and(|patience| cost_ns > patience) {
            self.deferred.set(true);
            // It looks for them again.
            self.looked_up.hits.set(0);
            self.looked_up.misses.set(0);
            return Err(CommandError::err("the read takes too long here"));
        }
        Ok(())
    }

    /// What a read failed with: that it was to end, where that may be what made it fail.
    pub fn reason(&self, max_time_ms: Option<u64>, error: CommandError) -> CommandError {
        self.check(max_time_ms).err().unwrap_or(error)
    }

    /// Ends a long read whose client is gone or whose time is up. Cheap enough to ask every few documents.
    pub fn check(&self, max_time_ms: Option<u64>) -> Result<(), CommandError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(CommandError::err("the client is gone"));
        }
        if self.patience_ns.is_some() {
            // An estimate may be wrong.
            self.afford(self.begun.elapsed().as_nanos() as f64)?;
        }
        if let Some(limit_ms) = max_time_ms.into_iter().chain(self.max_time_ms).min()
            && self.started.elapsed().as_millis() as u64 >= limit_ms
        {
            return Err(CommandError::max_time(limit_ms));
        }
        Ok(())
    }
}

/// What a writing command works with while it parses its arguments (on the connection's side).
#[derive(Debug)]
pub struct WriteContext<'a> {
    /// The selected database.
    pub db: u8,
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
    /// The language's bounds.
    pub limits: &'a Limits,
    /// The connection speaks RESP3.
    pub resp3: bool,
}

/// One atomic unit of work for the committer. An error undoes all that the unit did, and nothing is logged.
pub type Unit = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<Reply, CommandError> + Send>;

/// A writing command whose arguments are parsed.
pub enum Prepared {
    /// One unit: its reply is the command's.
    Unit(Unit),
    /// Several steps of reading and units.
    Phased(Box<dyn Phased>),
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Prepared::Unit(_) => "Unit",
            Prepared::Phased(_) => "Phased",
        })
    }
}

/// What a phased write wants next.
pub enum Step {
    /// Commit this unit, then ask again; the unit's outcome is handed to the next call.
    Commit(Unit),
    /// Nothing to do yet: ask again a little later.
    Wait,
    /// This is the command's reply.
    Done(Reply),
}

/// A write that reads first: the reading happens on a snapshot, beside the committer, and each unit re-checks what it
/// is about to change, so a concurrent change is never overwritten.
pub trait Phased: Send {
    /// The next step. `before` is the outcome of the unit that the last call asked for.
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError>;
}
