//! Groups of writes and phased writes, against a store in this process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends by panicking")]

use std::sync::Arc;
use std::time::Instant;

use veddb_commands::context::{Limits, Phased, ReadContext, Step, Unit};
use veddb_commands::{CommandError, Reply};
use veddb_server::acl::Acl;
use veddb_server::config::{Config, Settings};
use veddb_server::execute::{Caller, Outcome, commit};
use veddb_server::telemetry::LevelHandle;
use veddb_server::tls::Tls;
use veddb_server::traces::stages::Stages;
use veddb_server::{Server, data};

fn server(dir: &tempfile::TempDir) -> Arc<Server> {
    let settings = Settings { dir: dir.path().join("data"), ..Settings::default() };
    let store = data::open(&settings).unwrap();
    let acl = Acl::open(&settings, &store).unwrap();
    Server::new(Config::new(settings, None), acl, store, Tls::default(), LevelHandle::NONE, 0).unwrap()
}

/// Makes a collection, then ends as it is told.
fn make(name: &'static str, outcome: Outcome) -> Unit {
    Box::new(move |transaction| {
        transaction.create_collection(0, name, "{}")?;
        outcome
    })
}

fn names(server: &Server) -> Vec<String> {
    server.store().view(0).collections(0).iter().map(|collection| collection.name().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_of_a_group_has_its_own_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir);
    let failed = CommandError::syntax();
    let units = vec![
        make("a", Ok(Reply::Integer(1))),
        make("b", Err(failed.clone())),
        make("a", Ok(Reply::Integer(3))),
        make("d", Ok(Reply::Integer(4))),
    ];
    let outcomes = commit(&server, units, &Stages::default()).await;
    assert!(matches!(
        outcomes.as_slice(),
        [Ok(Reply::Integer(1)), Err(syntax), Err(exists), Ok(Reply::Integer(4))]
            if *syntax == failed && exists.to_string() == "ERR collection a exists"
    ));
    assert_eq!(names(&server), ["a", "d"]);
    server.store().close();
    let refused = commit(&server, vec![make("e", Ok(Reply::OK))], &Stages::default()).await;
    assert!(matches!(refused.as_slice(), [Err(error)] if error.to_string() == "ERR the server is shutting down"));
}

/// Commits a unit for each name, and answers how many collections it saw before each.
struct OneByOne {
    left: Vec<&'static str>,
    seen: Vec<Reply>,
}

impl Phased for OneByOne {
    fn next(&mut self, context: &ReadContext<'_>, before: Option<Outcome>) -> Result<Step, CommandError> {
        before.transpose()?;
        self.seen.push(Reply::count(context.view.collections(0).len()));
        match self.left.pop() {
            Some(name) => Ok(Step::Commit(make(name, Ok(Reply::OK)))),
            None => Ok(Step::Done(Reply::Array(std::mem::take(&mut self.seen)))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phased_write_sees_what_its_units_did() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir);
    let address = "127.0.0.1:1".parse().unwrap();
    let caller = Caller {
        client: server.clients.add(address, address, 0, 10).unwrap(),
        user: Arc::clone(veddb_commands::access::User::unrestricted()),
        server: Arc::clone(&server),
        db: 0,
        limits: Limits::default(),
        started: Instant::now(),
        resp3: false,
        stages: Stages::default(),
    };
    let outcome = caller.phased(Box::new(OneByOne { left: vec!["b", "a"], seen: Vec::new() })).await;
    assert_eq!(outcome, Ok(Reply::Array(vec![Reply::Integer(0), Reply::Integer(1), Reply::Integer(2)])));
    let outcome = caller.phased(Box::new(OneByOne { left: vec!["c", "a"], seen: Vec::new() })).await;
    assert_eq!(outcome.unwrap_err().to_string(), "ERR collection a exists");
    assert_eq!(names(&server), ["a", "b"], "what fails ends the command; what came after is not done");
}
