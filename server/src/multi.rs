//! Transactions: what MULTI queues, and EXEC as one atomic unit.
//!
//! Commands on data are carried out by the committer, one after the other within one unit of the log; each sees what those before
//! it did, and one that fails is undone alone. Commands about the connection or the server, which look at no data, follow once
//! the unit is committed.

use std::collections::HashMap;

use bytes::Bytes;
use veddb_commands::context::{Phased, Prepared, ReadContext, Step, Unit, WriteContext};
use veddb_commands::lookup::Entry;
use veddb_commands::pipeline::memory::{Account, Held};
use veddb_commands::spec::Run;
use veddb_commands::{Args, CommandError, ErrorCode, Reply};
use veddb_storage::{CollectionId, Error, RecordId, Transaction, View, key_id};

use crate::dispatch::Needs;
use crate::execute::{Caller, Outcome, ReadFn, now_ms, read};
use crate::server::Server;

/// The commands of a transaction that has begun.
#[derive(Debug, Default)]
pub(crate) struct Multi {
    pub(crate) queued: Vec<(&'static Entry, Args)>,
    /// What they take, bytes.
    pub(crate) bytes: usize,
    /// One was refused, so none will be carried out.
    pub(crate) refused: bool,
    /// What its commands together need of the server.
    pub(crate) needs: Needs,
}

/// What a command takes in the queue, bytes: its place, a place for each argument, and their bytes.
pub(crate) fn size_queued(args: &Args) -> usize {
    let places = size_of::<(&Entry, Args)>() + size_of::<Bytes>() * args.len();
    places + args.from(0).iter().map(|arg| arg.len()).sum::<usize>()
}

/// Commands that are not queued but carried out at once.
const AT_ONCE: &[&str] = &["discard", "exec", "multi", "quit", "reset", "watch"];

/// Whether a command stands in the queue when a transaction has begun.
pub(crate) fn is_queued(entry: &Entry) -> bool {
    !AT_ONCE.contains(&entry.name.as_str())
}

/// Keys and collections, by database and name, as they were when they were watched; to be none is to be something, too.
#[derive(Debug, Default)]
pub(crate) struct Watched(HashMap<(u8, Bytes), Seen>);

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The collection, and its last change.
    collection: Option<(CollectionId, u64)>,
    key: Option<SeenKey>,
}

/// A key: where it is, its version, and when it expires.
type SeenKey = (CollectionId, RecordId, u64, u64);

impl Watched {
    /// Watches these too, as they are now; one that was watched before stays as it was then. False where that would be more than
    /// `most`; those before it are watched.
    pub(crate) fn add(&mut self, server: &Server, db: u8, names: &[Bytes], most: usize) -> Result<bool, CommandError> {
        let view = server.loaded()?.view(now_ms());
        for name in names {
            // A slice of a request would hold all of the request.
            let key = (db, Bytes::copy_from_slice(name));
            if self.0.contains_key(&key) {
                continue;
            }
            if self.0.len() >= most {
                return Ok(false);
            }
            let found = Watched::look(&view, db, name)?;
            self.0.insert(key, found);
        }
        Ok(true)
    }

    /// How many are watched.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn look(view: &View, db: u8, name: &[u8]) -> Result<Seen, Error> {
        let named = std::str::from_utf8(name).ok().and_then(|name| view.collection(db, name));
        let collection = named.map(|collection| (collection.id(), collection.changed_lsn()));
        let mut key = None;
        if let Some(keys) = view.keys(db)
            && let Some(record) = view.find_id(&keys, &key_id(name))?
            && let Some(document) = view.record(&keys, record)?
        {
            key = Some((keys.id(), record, document.version, document.expires_ms));
        }
        Ok(Seen { collection, key })
    }

    fn stand(&self, view: &View) -> Result<bool, Error> {
        for ((db, name), seen) in &self.0 {
            if Watched::look(view, *db, name)? != *seen {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What EXEC has to do.
pub(crate) struct Plan {
    /// Commands on data, with their places among the replies and their databases.
    data: Vec<(usize, u8, Data)>,
    /// Places of the others.
    pub(crate) others: Vec<usize>,
    pub(crate) writes: bool,
}

/// The database in which the commands after this one are, if it is one that chooses it.
pub(crate) fn selected(entry: &Entry, args: &Args, databases: u8) -> Option<u8> {
    if entry.name != "select" {
        return None;
    }
    u8::try_from(args.integer(1).ok()?).ok().filter(|db| *db < databases)
}

/// A command on data.
enum Data {
    Read(ReadFn, Args),
    Write(Result<Prepared, CommandError>),
    Denied(CommandError),
}

impl Plan {
    /// What these commands need, the first of them in database `db`; those that are denied only get their error.
    pub(crate) fn new(
        queued: &[(&'static Entry, Args)],
        denied: &[Option<CommandError>],
        mut db: u8,
        databases: u8,
        caller: &Caller,
        now_ms: u64,
    ) -> Plan {
        let mut plan = Plan { data: Vec::new(), others: Vec::new(), writes: false };
        for (place, (entry, args)) in queued.iter().enumerate() {
            if let Some(error) = denied.get(place).cloned().flatten() {
                plan.data.push((place, db, Data::Denied(error)));
                continue;
            }
            match entry.command.run.with(args, &caller.limits) {
                Run::Read(run) => plan.data.push((place, db, Data::Read(run, args.clone()))),
                Run::Write(prepare) => {
                    let context = WriteContext { db, now_ms, limits: &caller.limits, resp3: caller.resp3 };
                    plan.data.push((place, db, Data::Write(prepare(args, &context))));
                    plan.writes = true;
                }
                Run::Session(_) | Run::Exec | Run::Container | Run::Mixed { .. } => {
                    db = selected(entry, args, databases).unwrap_or(db);
                    plan.others.push(place);
                }
            }
        }
        plan
    }

    /// The places of the commands on data, in their order.
    pub(crate) fn places(&self) -> Vec<usize> {
        self.data.iter().map(|(place, ..)| *place).collect()
    }

    /// Whether it needs no data at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// What is to be committed: answers what each command on data does, or null if something watched has changed.
    pub(crate) fn unit(self, watched: Watched, caller: Caller) -> Unit {
        Box::new(move |tx| {
            if watched.len() > 0 && !watched.stand(&tx.view())? {
                return Ok(Reply::NullArray);
            }
            let mut replies = Replies::new(&caller);
            for (_, db, data) in self.data {
                let caller = Caller { db, ..caller.clone() };
                let mark = tx.mark();
                let outcome = match data {
                    Data::Read(run, args) => {
                        let view = tx.view();
                        read(run, &args, &within(&caller, &view))
                    }
                    Data::Write(Ok(Prepared::Unit(unit))) => unit(tx),
                    Data::Write(Ok(Prepared::Phased(phased))) => carry_out(phased, tx, &caller),
                    Data::Write(Err(error)) | Data::Denied(error) => Err(error),
                };
                if outcome.is_err() {
                    tx.undo_to(mark)?;
                }
                replies.push(outcome.unwrap_or_else(Reply::Error))?;
            }
            Ok(Reply::Array(replies.all))
        })
    }

    /// The same where all of them only read: at one moment, beside the committer.
    pub(crate) async fn read(self, watched: Watched, caller: &Caller) -> Outcome {
        let own = caller.clone();
        let all = move || {
            let caller = own;
            let view = caller.server.loaded()?.view(now_ms());
            if !watched.stand(&view)? {
                return Ok(Reply::NullArray);
            }
            let mut replies = Replies::new(&caller);
            for (_, db, data) in self.data {
                let caller = Caller { db, ..caller.clone() };
                let outcome = match data {
                    Data::Read(run, args) => read(run, &args, &caller.context(&view)),
                    Data::Write(Err(error)) | Data::Denied(error) => Err(error),
                    // With one of these it is a unit, and not read here.
                    Data::Write(Ok(_)) => continue,
                };
                replies.push(outcome.unwrap_or_else(Reply::Error))?;
            }
            Ok(Reply::Array(replies.all))
        };
        caller.on_a_thread(all).await
    }
}

/// The replies of a transaction's commands: all of them are held until it ends, and together no more than a query may hold.
struct Replies {
    all: Vec<Reply>,
    held: Held,
}

impl Replies {
    fn new(caller: &Caller) -> Replies {
        Replies { all: Vec::new(), held: Account::new(caller.server.queries.memory()).part() }
    }

    fn push(&mut self, reply: Reply) -> Result<(), CommandError> {
        self.held.claim(reply.size() + size_of::<Reply>())?;
        self.all.push(reply);
        Ok(())
    }
}

/// A context at a moment within a unit.
fn within<'a>(caller: &'a Caller, view: &'a View) -> ReadContext<'a> {
    ReadContext { within_unit: true, ..caller.context(view) }
}

/// A write that reads first, all of its units in this one.
fn carry_out(mut phased: Box<dyn Phased>, tx: &mut Transaction<'_>, caller: &Caller) -> Outcome {
    let mut before = None;
    loop {
        let view = tx.view();
        let step = phased.next(&within(caller, &view), before.take())?;
        drop(view);
        match step {
            Step::Done(reply) => return Ok(reply),
            // Whoever it waits for comes after this unit.
            Step::Wait => return Err(CommandError::err("cannot wait inside a transaction")),
            Step::Commit(unit) => {
                let mark = tx.mark();
                let outcome = unit(tx);
                if outcome.is_err() {
                    tx.undo_to(mark)?;
                }
                before = Some(outcome);
            }
        }
    }
}

/// What EXEC answers when a command of the transaction was refused.
pub(crate) fn aborted(reason: &str) -> CommandError {
    CommandError::new(ErrorCode::ExecAbort, format!("Transaction discarded because of{reason}"))
}
