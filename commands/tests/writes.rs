//! Writes by filter against a store in this process, with other writes put between their steps.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use veddb_commands::context::{Asker, Limits, Phased, Prepared, ReadContext, Step, Unit, WriteContext};
use veddb_commands::queries::Queries;
use veddb_commands::spec::Run;
use veddb_commands::worked::Worked;
use veddb_commands::{Args, CommandError, ErrorCode, Reply, table};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{Error, FsyncPolicy, Job, Options, Store, Transaction, View};

struct OneUnit {
    unit: Option<Unit>,
    outcome: Option<Result<Reply, CommandError>>,
    done: Sender<Result<Reply, CommandError>>,
}

impl Job for OneUnit {
    fn units(&self) -> usize {
        1
    }

    fn run(&mut self, _: usize, transaction: &mut Transaction<'_>) -> bool {
        let outcome = (self.unit.take().unwrap())(transaction);
        let good = outcome.is_ok();
        self.outcome = Some(outcome);
        good
    }

    fn finished(self: Box<Self>, stored: Result<(), Error>) {
        stored.unwrap();
        self.done.send(self.outcome.unwrap()).unwrap();
    }
}

struct Database {
    store: Store,
    limits: Limits,
    _dir: tempfile::TempDir,
}

impl Database {
    fn new() -> Database {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { fsync: FsyncPolicy::No, ..Options::new(dir.path().join("data")) };
        Database {
            store: Store::open(options, &MasterKeySource::Unnamed).unwrap(),
            limits: Limits::default(),
            _dir: dir,
        }
    }

    /// One in whose units expressions may take so many steps.
    fn with_commit_work(steps: u64) -> Database {
        let mut database = Database::new();
        database.limits.max_commit_work = steps;
        database
    }

    fn commit(&self, unit: Unit) -> Result<Reply, CommandError> {
        let (done, wait) = channel();
        assert!(self.store.submit(Box::new(OneUnit { unit: Some(unit), outcome: None, done })).is_ok());
        wait.recv().unwrap()
    }

    fn prepare(&self, parts: &[&str]) -> Prepared {
        let args = args(parts);
        let Run::Write(run) = &command(parts[0]).run else { panic!("not a write") };
        run(&args, &WriteContext { db: 0, now_ms: 0, limits: &self.limits, resp3: false }).unwrap()
    }

    /// One step of a phased write on a view.
    fn step(
        &self,
        view: &View,
        phased: &mut dyn Phased,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        let limits = Limits::default();
        let cancelled = AtomicBool::new(false);
        let queries = Queries::default();
        let asker = Asker {
            db: 0,
            client: 0,
            user: veddb_commands::access::User::unrestricted(),
            limits: &limits,
            queries: &queries,
            cancelled: &cancelled,
            started: Instant::now(),
            resp3: false,
            worked: &Worked::default(),
        };
        let context = ReadContext::new(view, asker);
        phased.next(&context, before)
    }

    /// Runs a command to its end, doing something else before each unit it commits.
    fn run_between(&self, parts: &[&str], mut between: impl FnMut(usize)) -> Result<Reply, CommandError> {
        let mut phased = match self.prepare(parts) {
            Prepared::Unit(unit) => return self.commit(unit),
            Prepared::Phased(phased) => phased,
        };
        let (mut before, mut round) = (None, 0);
        loop {
            match self.step(&self.store.view(0), &mut *phased, before)? {
                Step::Wait => unreachable!("no write by filter waits"),
                Step::Done(reply) => return Ok(reply),
                Step::Commit(unit) => {
                    between(round);
                    round += 1;
                    before = Some(self.commit(unit));
                }
            }
        }
    }

    fn run(&self, parts: &[&str]) -> Reply {
        if let Run::Read(run) = &command(parts[0]).run {
            let (view, limits, cancelled) = (self.store.view(0), Limits::default(), AtomicBool::new(false));
            let queries = Queries::default();
            let asker = Asker {
                db: 0,
                client: 0,
                user: veddb_commands::access::User::unrestricted(),
                limits: &limits,
                queries: &queries,
                cancelled: &cancelled,
                started: Instant::now(),
                resp3: false,
                worked: &Worked::default(),
            };
            let context = ReadContext::new(&view, asker);
            return run(&args(parts), &context).unwrap();
        }
        self.run_between(parts, |_| {}).unwrap()
    }

    fn text(&self, parts: &[&str]) -> String {
        match self.run(parts) {
            Reply::Document(document) => String::from_utf8(document.json().to_vec()).unwrap(),
            Reply::Bulk(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }
}

fn args(parts: &[&str]) -> Args {
    Args::new(parts.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect())
}

fn command(name: &str) -> &'static veddb_commands::Command {
    table::COMMANDS.iter().find(|command| command.name == name).unwrap()
}

/// The number under a name of a map reply.
fn figure(reply: &Reply, name: &str) -> Reply {
    let Reply::Map(pairs) = reply else { panic!("{reply:?} is no map") };
    pairs.iter().find(|(key, _)| *key == Reply::text(name)).unwrap().1.clone()
}

#[test]
fn a_change_between_looking_and_committing_is_not_overwritten() {
    let database = Database::new();
    database.run(&["DOC.SET", "c", "a", r#"{"n":1,"open":true}"#]);
    database.run(&["DOC.SET", "c", "b", r#"{"n":1,"open":true}"#]);
    let update = ["DOC.UPDATE", "c", r#"{"open":true}"#, r#"{"$inc":{"n":1}}"#];
    let reply = database.run_between(&update, |round| {
        assert_eq!(round, 0);
        database.run(&["DOC.SET", "c", "a", r#"{"n":10,"open":true}"#]);
        database.run(&["DOC.SET", "c", "b", r#"{"n":10,"open":false}"#]);
    });
    assert_eq!(figure(&reply.unwrap(), "matched"), Reply::Integer(1));
    assert_eq!(database.text(&["DOC.GET", "c", "a", "$.n"]), "[11]");
    assert_eq!(database.text(&["DOC.GET", "c", "b", "$.n"]), "[10]");
}

#[test]
fn one_looks_again_when_its_match_is_gone() {
    for moves in 1..6 {
        let database = Database::new();
        for n in 0..10 {
            database.run(&["DOC.SET", "c", &format!("k{n}"), r#"{"free":true}"#]);
        }
        let take = ["DOC.UPDATE", "c", r#"{"free":true}"#, r#"{"$set":{"free":false,"mine":1}}"#, "ONE"];
        let reply = database.run_between(&take, |round| {
            if round < moves {
                database.run(&["DOC.SET", "c", &format!("k{round}"), r#"{"free":false}"#]);
            }
        });
        assert_eq!(figure(&reply.unwrap(), "modified"), Reply::Integer(1), "{moves} moves");
        assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"mine":1}"#]), Reply::Integer(1));
    }
}

#[test]
fn an_upsert_never_makes_a_second_document() {
    for moves in 0..6 {
        let database = Database::new();
        let upsert = ["DOC.UPDATE", "c", r#"{"name":"x"}"#, r#"{"$inc":{"n":1}}"#, "UPSERT"];
        let reply = database.run_between(&upsert, |round| {
            // Others touch the collection, and at last one inserts the very document.
            if round + 1 < moves {
                database.run(&["DOC.SET", "c", &format!("other{round}"), "{}"]);
            } else if round + 1 == moves {
                database.run(&["DOC.INSERT", "c", r#"{"name":"x"}"#]);
            }
        });
        reply.unwrap();
        assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"name":"x"}"#]), Reply::Integer(1), "{moves} moves");
        assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"name":"x","n":1}"#]), Reply::Integer(1), "{moves} moves");
    }
}

#[test]
fn many_documents_take_several_units() {
    let database = Database::new();
    let documents: Vec<String> = (0..2500).map(|n| format!("{{\"_id\":{n}}}")).collect();
    let mut insert = vec!["DOC.INSERT", "c"];
    insert.extend(documents.iter().map(String::as_str));
    database.run(&insert);
    let mut units = 0;
    let all = ["DOC.UPDATE", "c", "{}", r#"{"$set":{"a":1}}"#];
    let reply = database.run_between(&all, |_| units += 1).unwrap();
    assert_eq!((figure(&reply, "matched"), units), (Reply::Integer(2500), 3));
    let reply = database.run_between(&all, |_| {}).unwrap();
    assert_eq!((figure(&reply, "matched"), figure(&reply, "modified")), (Reply::Integer(2500), Reply::Integer(0)));
    let first = r#"[{"_id":0,"a":1}]"#;
    let Reply::Array(found) = database.run(&["DOC.FIND", "c", "{}", "LIMIT", "1"]) else { panic!("no array") };
    assert_eq!(found, [Reply::text(&first[1..first.len() - 1])]);
    assert_eq!(database.run(&["DOC.DELETE", "c", r#"{"a":1}"#]), Reply::Integer(2500));
    assert_eq!(database.run(&["DOC.COUNT", "c"]), Reply::Integer(0));
}

#[test]
fn numbers_that_are_equal_are_found_by_id() {
    let database = Database::new();
    database.run(&["DOC.INSERT", "c", r#"{"_id":5.0}"#, r#"{"_id":"7"}"#, r#"{"_id":{"$numberDecimal":"9.00"}}"#]);
    for (filter, count) in [
        (r#"{"_id":5}"#, 1),
        (r#"{"_id":{"$in":[5,7,9]}}"#, 2),
        (r#"{"_id":"7"}"#, 1),
        (r#"{"_id":7}"#, 0),
        (r#"{"_id":9.0}"#, 1),
        (r#"{"_id":{"$gt":4}}"#, 2),
    ] {
        assert_eq!(database.run(&["DOC.COUNT", "c", filter]), Reply::Integer(count), "{filter}");
    }
}

#[test]
fn an_id_keeps_the_type_it_was_stored_with() {
    let database = Database::new();
    database.run(&[
        "DOC.INSERT",
        "c",
        r#"{"_id":5}"#,
        r#"{"_id":"6"}"#,
        r#"{"_id":{"$oid":"0123456789abcdef01234567"}}"#,
    ]);
    for (id, text, expected) in [
        ("5", r#"{"x":1}"#, r#"{"_id":5,"x":1}"#),
        ("6", r#"{"_id":6,"x":1}"#, r#"{"_id":"6","x":1}"#),
        ("0123456789abcdef01234567", "{}", r#"{"_id":{"$oid":"0123456789abcdef01234567"}}"#),
    ] {
        database.run(&["DOC.SET", "c", id, text]);
        assert_eq!(database.text(&["DOC.GET", "c", id]), expected);
    }
}

#[test]
fn bulk_goes_on_or_stops() {
    let operations = r#"[{"insertOne":{"document":{"_id":"a"}}},
        {"insertOne":{"document":{"_id":"a"}}},
        {"updateMany":{"filter":{"n":{"$exists":false}},"update":{"$inc":{"n":"x"}}}},
        {"updateMany":{"filter":{"n":{"$exists":false}},"update":{"$inc":{"n":1}}}},
        {"insertOne":{"document":{"_id":null}}},
        {"updateOne":{"filter":{"k":9},"update":{"$set":{"z":1}},"upsert":true}},
        {"deleteMany":{"filter":{"n":1}}}]"#;
    let ordered = Database::new();
    let reply = ordered.run(&["DOC.BULK", "c", operations]);
    assert_eq!((figure(&reply, "inserted"), figure(&reply, "modified")), (Reply::Integer(1), Reply::Integer(0)));
    let unordered = Database::new();
    let reply = unordered.run(&["DOC.BULK", "c", operations, "UNORDERED"]);
    for (name, count) in [("inserted", 1), ("matched", 1), ("modified", 1), ("deleted", 1), ("upserted", 1)] {
        assert_eq!(figure(&reply, name), Reply::Integer(count), "{name}");
    }
    let Reply::Array(errors) = figure(&reply, "errors") else { panic!("no array") };
    let positions: Vec<Reply> = errors
        .iter()
        .map(|error| match error {
            Reply::Array(pair) => pair[0].clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(positions, [1, 2, 4].map(Reply::Integer));
}

#[test]
fn ifver_conflicts_name_the_version() {
    let database = Database::new();
    database.run(&["DOC.SET", "c", "a", "{}"]);
    let conflict = |parts: &[&str]| database.run_between(parts, |_| {}).unwrap_err();
    let error = conflict(&["DOC.UPDATE", "c", r#"{"_id":"a"}"#, r#"{"$set":{"n":1}}"#, "IFVER", "4"]);
    assert_eq!((error.code, &*error.message), (ErrorCode::Conflict, "the version is 1, not 4"));
    let error = conflict(&["DOC.UPDATE", "c", r#"{"_id":"b"}"#, r#"{"$set":{"n":1}}"#, "UPSERT", "IFVER", "4"]);
    assert_eq!((error.code, &*error.message), (ErrorCode::Conflict, "the version is 0, not 4"));
}

/// Sets `sum` to 4950 in some 700 steps.
const COSTLY: &str = r#"[{"$set":{"sum":{"$reduce":{"input":{"$range":[0,100]},"initialValue":0,
    "in":{"$add":["$$value","$$this"]}}}}}]"#;
/// Is true of every document, as costly.
const COSTLY_FILTER: &str = r#"{"open":true,"$expr":{"$lt":[0,{"$reduce":{"input":{"$range":[0,100]},"initialValue":0,
    "in":{"$add":["$$value","$$this"]}}}]}}"#;
const PINNED_FILTER: &str = r#"{"_id":{"$in":["a","b"]}}"#;

#[test]
fn expressions_are_evaluated_before_the_unit() {
    // So little that no unit evaluates one.
    let database = Database::with_commit_work(1);
    for id in ["a", "b"] {
        database.run(&["DOC.SET", "c", id, r#"{"open":true}"#]);
    }
    let two = Reply::Integer(2);
    for parts in [
        &["DOC.UPDATE", "c", r#"{"open":true}"#, COSTLY][..],
        &["DOC.UPDATE", "c", PINNED_FILTER, COSTLY],
        &["DOC.UPDATE", "c", COSTLY_FILTER, r#"{"$set":{"seen":1}}"#],
    ] {
        assert_eq!(figure(&database.run(parts), "matched"), two, "{parts:?}");
    }
    assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"sum":4950,"seen":1}"#]), two);
    for (parts, count) in [
        (&["DOC.UPDATE", "c", r#"{"k":1}"#, COSTLY, "UPSERT"][..], 1),
        (&["DOC.UPDATE", "c", r#"{"_id":"k"}"#, COSTLY, "UPSERT"], 2),
        (&["DOC.FINDANDMODIFY", "c", r#"{"_id":"l"}"#, COSTLY, "UPSERT", "NEW"], 3),
        (&["DOC.FINDANDMODIFY", "c", r#"{"k":2}"#, COSTLY, "UPSERT", "NEW"], 4),
    ] {
        database.run(parts);
        let made = database.run(&["DOC.COUNT", "c", r#"{"sum":4950,"open":{"$exists":false}}"#]);
        assert_eq!(made, Reply::Integer(count), "{parts:?}");
    }
    for filter in [r#"{"open":true}"#, r#"{"_id":"a"}"#] {
        let change = ["DOC.FINDANDMODIFY", "c", filter, COSTLY, "NEW", "PROJECT", r#"{"x":{"$add":["$sum",1]}}"#];
        assert_eq!(database.text(&change), r#"{"_id":"a","x":4951}"#);
    }
    let operations = format!(r#"[{{"updateMany":{{"filter":{PINNED_FILTER},"update":{COSTLY}}}}}]"#);
    assert_eq!(figure(&database.run(&["DOC.BULK", "c", &operations]), "matched"), two);
    assert_eq!(database.run(&["DOC.DELETE", "c", COSTLY_FILTER]), two);
}

#[test]
fn what_changed_meanwhile_is_evaluated_again() {
    for moves in 0..3 {
        // Enough for one of the two documents, not for both.
        let database = Database::with_commit_work(1000);
        for id in ["a", "b"] {
            database.run(&["DOC.SET", "c", id, r#"{"open":true}"#]);
        }
        let reply = database.run_between(&["DOC.UPDATE", "c", r#"{"open":true}"#, COSTLY], |round| {
            // The first is done in the first unit.
            for id in ["a", "b"].iter().skip(round) {
                if round < moves {
                    database.run(&["DOC.SET", "c", id, &format!(r#"{{"open":true,"n":{round}}}"#)]);
                }
            }
        });
        assert_eq!(figure(&reply.unwrap(), "modified"), Reply::Integer(2), "{moves} moves");
        assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"sum":4950}"#]), Reply::Integer(2));
    }
}

#[test]
fn a_write_that_is_always_overtaken_ends() {
    for parts in [
        &["DOC.UPDATE", "c", r#"{"open":true}"#, COSTLY][..],
        &["DOC.UPDATE", "c", r#"{"open":true}"#, COSTLY, "ONE"],
        &["DOC.UPDATE", "c", r#"{"_id":"a"}"#, COSTLY, "UPSERT"],
        &["DOC.UPDATE", "c", COSTLY_FILTER, r#"{"$set":{"seen":1}}"#],
        &["DOC.FINDANDMODIFY", "c", r#"{"open":true}"#, COSTLY],
        &["DOC.FINDANDMODIFY", "c", r#"{"open":true}"#, COSTLY, "SORT", r#"{"n":1}"#],
        &["DOC.FINDANDMODIFY", "c", r#"{"_id":"a"}"#, COSTLY],
    ] {
        let database = Database::with_commit_work(500);
        database.run(&["DOC.SET", "c", "a", r#"{"open":true}"#]);
        let error = database
            .run_between(parts, |round| {
                assert!(round < 10, "{parts:?} goes on");
                database.run(&["DOC.SET", "c", "a", &format!(r#"{{"open":true,"n":{round}}}"#)]);
            })
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict, "{parts:?}");
        assert!(error.message.ends_with("it takes more than max-commit-work (500) steps"), "{error:?}");
        assert_eq!(database.run(&["DOC.COUNT", "c", r#"{"$or":[{"sum":4950},{"seen":1}]}"#]), Reply::Integer(0));
    }
}

#[test]
fn what_was_worked_out_for_a_dropped_collection_is_forgotten() {
    let database = Database::new();
    database.run(&["DOC.SET", "c", "old", r#"{"open":true}"#]);
    let update = ["DOC.UPDATE", "c", r#"{"open":true}"#, r#"{"$set":{"n":1}}"#];
    // Its first record has the number and the version of the one that was looked at.
    let changed = database.run_between(&update, |_| {
        database.run(&["DOC.DROP", "c"]);
        database.run(&["DOC.SET", "c", "new", r#"{"open":true}"#]);
    });
    assert_eq!(figure(&changed.unwrap(), "matched"), Reply::Integer(1));
    let Reply::Array(found) = database.run(&["DOC.FIND", "c", "{}"]) else { panic!("no array") };
    assert_eq!(found, [Reply::text(r#"{"_id":"new","open":true,"n":1}"#)]);
}
