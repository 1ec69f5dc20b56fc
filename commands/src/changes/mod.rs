//! What DOC.CHANGES asks for, and reading it: one turn at a time, so that whoever waits for more is the server's affair.
//!
//! Owns the form of events and tokens. Does not know how waiting is done.
//!
//! Invariant: the place that a request has come to is never after a change that it should have been given and was not.

pub mod token;

use std::time::{Duration, Instant};

use bytes::Bytes;
use veddb_storage::document::Filter;
use veddb_storage::document::expression::Watch;
use veddb_storage::{Change, ChangePlace, Event, EventKind, FollowError, OWN_PREFIX, View};

use crate::args::Args;
use crate::connection::client::pause::timeout;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};
use crate::lookup::{Entry, by_name};
use crate::pipeline::memory::Account;
use crate::query::{bad_filter, parse_filter};
use crate::reply::Reply;

/// How long one turn reads, and asks filters, before it gives what it has found: others wait for theirs.
const TURN: Duration = Duration::from_millis(100);
/// So much is read in any turn, bytes of the log: where little happened one answer is all of it, ..
const TURN_BYTES_MIN: u64 = 256 << 10;
/// .. unless even that takes so long.
const TURN_MAX: Duration = Duration::from_secs(1);

/// A request for changes, and how far it has come.
#[derive(Debug)]
pub struct Changes {
    scope: Scope,
    start: Start,
    filter: Option<Filter>,
    full_documents: bool,
    /// How many events are given at once.
    count: usize,
    block: Option<Option<Duration>>,
    /// The command and the collection, for the question of who may see what.
    asked: Args,
}

/// Of which collections.
#[derive(Debug, PartialEq, Eq)]
enum Scope {
    /// Of the selected database all that the user may read.
    All,
    One(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Earliest,
    Now,
    After(ChangePlace),
}

/// What one turn has found.
#[derive(Debug)]
pub struct Found {
    /// The events.
    pub events: Vec<Reply>,
    /// There is nothing more to be read now.
    pub ended: bool,
}

impl Changes {
    /// Reads the arguments of DOC.CHANGES.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(args: &Args, limits: &Limits) -> Result<Changes, CommandError> {
        let name = args.text(1)?;
        let scope = if name == ALL { Scope::All } else { Scope::One(name.to_owned()) };
        // Slices of the request would hold all of it.
        let asked = Args::new([args.bytes(0), args.bytes(1)].map(|arg| Bytes::copy_from_slice(arg)).to_vec());
        let (mut start, mut filter, mut count, mut block, mut full_documents) = (None, None, None, None, false);
        let mut at = 2;
        while at < args.len() {
            let value = at + 1;
            let word = start_word(args, at);
            if word.is_some() || args.is(at, "FULLDOC") {
                match word {
                    Some(word) => put(&mut start, word)?,
                    None => full_documents = true,
                }
                at += 1;
                continue;
            }
            if value >= args.len() {
                return Err(CommandError::syntax());
            }
            if args.is(at, "AFTER") {
                let place = match start_word(args, value) {
                    Some(word) => word,
                    None => Start::After(token::place(args.bytes(value))?),
                };
                put(&mut start, place)?;
            } else if args.is(at, "MATCH") {
                put(&mut filter, parse_filter(args.bytes(value), limits)?)?;
            } else if args.is(at, "COUNT") {
                let number = args.unsigned(value)?;
                if number == 0 {
                    return Err(CommandError::err("COUNT must be positive"));
                }
                put(&mut count, usize::try_from(number).unwrap_or(usize::MAX))?;
            } else if args.is(at, "BLOCK") {
                put(&mut block, timeout(args, value)?)?;
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        Ok(Changes {
            scope,
            start: start.unwrap_or(Start::Now),
            filter,
            full_documents,
            count: count.unwrap_or(usize::MAX),
            block,
            asked,
        })
    }

    /// How long it waits for events where there are none; the inner none is without an end.
    #[must_use]
    pub fn block(&self) -> Option<Option<Duration>> {
        self.block
    }

    /// The place that it has come to: where it has none yet, the one that it is to begin at. A look into memory.
    pub fn begin(&mut self, view: &View) -> ChangePlace {
        let place = match self.start {
            Start::After(place) => place,
            Start::Now => view.last_change(),
            Start::Earliest => view.first_change(),
        };
        self.start = Start::After(place);
        place
    }

    /// Reads on from where it is, for a turn. Reads files.
    ///
    /// # Errors
    /// `HISTORYLOST` when what comes next is not known here; `BADFILTER` when the filter has an expression that has no value for a
    /// document, with the token after that change.
    pub fn read(&mut self, context: &ReadContext<'_>) -> Result<Found, CommandError> {
        let began = Instant::now();
        let view = context.view;
        let place = self.begin(view);
        let mut changes = match view.changes(place) {
            Ok(changes) => changes,
            Err(FollowError::Ahead(_)) => return Ok(Found { events: Vec::new(), ended: true }),
            Err(error) => {
                // What is lost may be known again once more is on disk.
                view.is_waiting_for_disk();
                return Err(lost(error));
            }
        };
        let mut held = Account::new(context.queries.memory()).part();
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut sight = Sight { context, entry: by_name(b"doc.changes"), last: None };
        let mut place = changes.place();
        let begin = place;
        let ended = loop {
            context.check(None)?;
            let is_full = events.len() >= self.count || bytes >= context.limits.changes_reply_size;
            let time = began.elapsed();
            let is_over = time > TURN_MAX || (time > TURN && changes.bytes_read() >= TURN_BYTES_MIN);
            // A turn that does not move on would never end: one group alone may take longer to read.
            if is_full || (place != begin && is_over) {
                break false;
            }
            let met = changes.read().map_err(lost).and_then(|met| match met {
                Change::Event(event) => {
                    let after = changes.place();
                    self.show(&event, after, &mut sight).map(Some).map_err(|error| at_change(error, after))
                }
                Change::Passed => Ok(Some(None)),
                Change::End => Ok(None),
            });
            match met {
                Ok(None) => break true,
                Ok(Some(shown)) => {
                    if let Some(event) = shown {
                        let size = event.size() + size_of::<Reply>();
                        if !events.is_empty() && !held.grow(size) {
                            break false;
                        }
                        bytes += size;
                        events.push(event);
                    }
                    place = changes.place();
                }
                // What was found before it is given first.
                Err(_) if !events.is_empty() => break false,
                Err(error) => return Err(error),
            }
        };
        self.start = Start::After(place);
        if ended {
            view.is_waiting_for_disk();
        }
        Ok(Found { events, ended })
    }

    /// Moves on where a look into memory tells that there is nothing for it; false where it does not tell.
    pub fn pass(&mut self, view: &View, db: u8) -> bool {
        let Start::After(place) = self.start else { return false };
        if view.last_change() == place {
            view.is_waiting_for_disk();
            return true;
        }
        let Scope::One(name) = &self.scope else { return false };
        let Some(later) = view.unchanged(db, name, place) else { return false };
        self.start = Start::After(later);
        true
    }

    /// What DOC.CHANGES answers.
    #[must_use]
    pub fn reply(&self, events: Vec<Reply>) -> Reply {
        let token = match self.start {
            Start::After(place) => Reply::text(token::token(place)),
            // It is asked for an answer only once it has begun.
            Start::Earliest | Start::Now => Reply::Null,
        };
        Reply::Array(vec![token, Reply::Array(events)])
    }

    /// An event as it is given, if it is wanted.
    fn show(&self, event: &Event, place: ChangePlace, sight: &mut Sight<'_>) -> Result<Option<Reply>, CommandError> {
        let to = match &event.kind {
            EventKind::Rename(to) => Some(to.as_str()),
            _ => None,
        };
        let named = |name: &str| match &self.scope {
            Scope::All => true,
            Scope::One(wanted) => wanted == name,
        };
        if event.db != sight.context.db || !(named(&event.collection) || to.is_some_and(named)) {
            return Ok(None);
        }
        // Nobody has a right to a name of the server's own, and nobody else had the collection.
        let is_own = event.collection.starts_with(OWN_PREFIX);
        let is_seen = is_own || sight.sees(&self.asked, &event.collection);
        let to = to.filter(|to| sight.sees(&self.asked, to));
        if to.is_none() && (is_own || !is_seen) {
            return Ok(None);
        }
        if let (Some(filter), Some(document)) = (&self.filter, &event.document) {
            let watch = sight.context;
            let matches = filter.test_with(document.root(), watch.now_ms, &[], Some(&Asking(watch)));
            if !matches.map_err(bad_filter).map_err(|error| watch.reason(None, error))? {
                return Ok(None);
            }
        }
        Ok(Some(Reply::Bulk(Bytes::from(self.event(event, place, is_seen, to)))))
    }

    fn event(&self, event: &Event, place: ChangePlace, is_seen: bool, to: Option<&str>) -> Vec<u8> {
        let is_full = match event.kind {
            EventKind::Update => self.full_documents,
            _ => true,
        };
        let document = event.document.as_ref().filter(|_| is_full);
        let mut out = Vec::with_capacity(160 + document.map_or(0, |document| document.body.len() * 5 / 4));
        let mut member = |name: &str, value: &serde_json::Value| {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend(format!("\"{name}\":{value}").bytes());
        };
        member("token", &token::token(place).into());
        member("op", &event.kind.as_str().into());
        if is_seen {
            member("coll", &event.collection.as_str().into());
        }
        if let Some(to) = to {
            member("to", &to.into());
        }
        if !event.id.is_empty() {
            member("id", &String::from_utf8_lossy(&event.id).into());
            member("version", &event.version.into());
        }
        if let Some(document) = document {
            out.extend(b",\"doc\":");
            document.write_json(&mut out);
        }
        out.push(b'}');
        out
    }
}

/// The name that stands for all collections.
pub(crate) const ALL: &str = "*";

/// Argument `at`, where it is a place that has a name.
fn start_word(args: &Args, at: usize) -> Option<Start> {
    let words = [("EARLIEST", Start::Earliest), ("NOW", Start::Now)];
    words.into_iter().find(|(word, _)| args.is(at, word)).map(|(_, start)| start)
}

/// An option that is given once.
fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), CommandError> {
    if slot.replace(value).is_some() { Err(CommandError::syntax()) } else { Ok(()) }
}

/// What is wrong with a filter at a change, with the place after it: whoever does not want the change goes on there.
fn at_change(error: CommandError, after: ChangePlace) -> CommandError {
    if error.code != ErrorCode::BadFilter {
        return error;
    }
    let what = format!("{} (in the change before {})", error.message, token::token(after));
    CommandError::new(ErrorCode::BadFilter, what)
}

/// What a place that cannot be read on from is to a client.
fn lost(error: FollowError) -> CommandError {
    let what = match error {
        FollowError::Failed(error) => return error.into(),
        FollowError::Closed => return veddb_storage::Error::ShuttingDown.into(),
        FollowError::Foreign => "the token is of another history than the data here",
        FollowError::Lost(0) => "the first changes are not kept any more: begin with NOW and what is there",
        FollowError::Lost(_) => "the changes after the token are not kept any more",
        FollowError::Ahead(_) | FollowError::Diverged { .. } => {
            "the token is of changes that this server does not have"
        }
    };
    CommandError::new(ErrorCode::HistoryLost, what)
}

/// What the user may see.
struct Sight<'a> {
    context: &'a ReadContext<'a>,
    entry: Option<&'static Entry>,
    /// What was asked last.
    last: Option<(String, bool)>,
}

impl Sight<'_> {
    fn sees(&mut self, asked: &Args, name: &str) -> bool {
        if let Some((known, sees)) = &self.last
            && known == name
        {
            return *sees;
        }
        let user = self.context.user;
        let sees = self.entry.is_some_and(|entry| user.may_read(entry, asked, name.as_bytes()));
        self.last = Some((name.to_owned(), sees));
        sees
    }
}

/// Ends a long evaluation whose client is gone.
#[derive(Debug)]
struct Asking<'a>(&'a ReadContext<'a>);

impl Watch for Asking<'_> {
    fn is_over(&self) -> bool {
        self.0.check(None).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Changes, String> {
        let args = Args::new(words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect());
        Changes::parse(&args, &Limits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments() {
        let plain = parse(&["DOC.CHANGES", "users"]).unwrap();
        assert_eq!((plain.scope, plain.start, plain.block), (Scope::One("users".into()), Start::Now, None));
        let all = parse(&["DOC.CHANGES", "*", "count", "5", "EARLIEST", "fulldoc", "BLOCK", "0"]).unwrap();
        assert_eq!((all.scope, all.start, all.count, all.block), (Scope::All, Start::Earliest, 5, Some(None)));
        assert!(all.full_documents);
        assert_eq!(parse(&["DOC.CHANGES", "a", "AFTER", "earliest"]).unwrap().start, Start::Earliest);
        for wrong in [
            &["DOC.CHANGES", "a", "AFTER"][..],
            &["DOC.CHANGES", "a", "AFTER", "x"],
            &["DOC.CHANGES", "a", "NOW", "EARLIEST"],
            &["DOC.CHANGES", "a", "NOW", "AFTER", "NOW"],
            &["DOC.CHANGES", "a", "COUNT", "0"],
            &["DOC.CHANGES", "a", "COUNT", "-1"],
            &["DOC.CHANGES", "a", "COUNT", "1", "COUNT", "1"],
            &["DOC.CHANGES", "a", "BLOCK", "-1"],
            &["DOC.CHANGES", "a", "MATCH", "{\"$a\":1}"],
            &["DOC.CHANGES", "a", "else"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
