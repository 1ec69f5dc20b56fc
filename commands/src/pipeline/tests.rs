//! Runs pipelines that begin with `$documents`, for the tests of stages and accumulators.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use veddb_storage::document::json::render_object;
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{FsyncPolicy, Options, Store};

use super::memory::{Account, QueryMemory};
use super::{Pipeline, Running};
use crate::context::{Asker, Limits, ReadContext};
use crate::error::CommandError;
use crate::queries::Queries;
use crate::query::exec::Examined;
use crate::worked::Worked;

/// A store without documents, in which a query may hold so many bytes.
pub(super) struct Bench {
    store: Store,
    memory: Arc<QueryMemory>,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(memory: usize) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { fsync: FsyncPolicy::No, ..Options::new(dir.path().join("data")) };
        let store = Store::open(options, &MasterKeySource::Unnamed).unwrap();
        Bench { store, memory: Arc::new(QueryMemory::new(memory, memory)), _dir: dir }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The rows that come out, as JSON, and how many bytes went through files.
    pub(super) fn run(&self, pipeline: &str) -> Result<(Vec<String>, u64), CommandError> {
        let (view, cancelled, queries) = (self.store.view(0), AtomicBool::new(false), Queries::default());
        // More documents than a client may write in one pipeline.
        let limits = Limits { max_document_size: 64 << 20, max_query_nodes: 10_000_000, ..Limits::default() };
        let asker = Asker {
            db: 0,
            client: 0,
            user: crate::access::User::unrestricted(),
            limits: &limits,
            queries: &queries,
            cancelled: &cancelled,
            started: Instant::now(),
            resp3: false,
            worked: &Worked::default(),
        };
        let context = ReadContext::new(&view, asker);
        let account = Account::new(&self.memory);
        let examined = RefCell::new(Examined::default());
        let running = Running::new(&context, None, &account, &examined);
        let pipeline = Pipeline::parse(pipeline.as_bytes(), &limits)?;
        let mut rows = pipeline.plan(None, &running)?.open(&running)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next(&running)? {
            let mut text = Vec::new();
            render_object(&mut text, row.root());
            out.push(String::from_utf8(text).unwrap());
        }
        drop(rows);
        assert_eq!(self.memory.used(), 0, "what was held is given back");
        Ok((out, account.spilled()))
    }
}

/// For each table row: documents, the stages, and what comes out, or `error: ` and a part of the message.
pub(super) fn check<T: AsRef<str>>(table: &[(&str, T, &str)]) {
    let bench = Bench::new(64 << 20);
    for (documents, stages, expected) in table {
        let stages = stages.as_ref();
        let pipeline = format!(r#"[{{"$documents":{documents}}},{stages}]"#);
        match (bench.run(&pipeline), expected.strip_prefix("error: ")) {
            (Ok((rows, _)), None) => assert_eq!(rows.join(" "), *expected, "{stages} on {documents}"),
            (Err(error), Some(part)) => assert!(error.message.contains(part), "{stages}: {}", error.message),
            (Ok((rows, _)), Some(_)) => panic!("{stages} on {documents} gave {}", rows.join(" ")),
            (Err(error), None) => panic!("{stages} on {documents}: {}", error.message),
        }
    }
}
