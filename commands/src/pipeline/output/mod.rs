//! Pipelines that write: `$out` and `$merge`.
//!
//! The rows are read at one moment, a batch at a time, and each batch is written as one unit. What is written goes the way
//! of every document: the schema is asked, and unique indexes.

mod merge;
mod replace;

use std::cell::RefCell;
use std::sync::Arc;

use veddb_storage::View;
use veddb_storage::document::json::{IdSource, ParsedDocument, pack_document};
use veddb_storage::document::{RawObject, Value, codec};

use super::memory::Account;
use super::{Failure, Input, Pipeline, Row, Running, bad};
use crate::context::{Limits, Phased, ReadContext, Step};
use crate::doc::new_id;
use crate::error::CommandError;
use crate::query::exec::Examined;
use crate::query::update::check_size;
use crate::reply::Reply;

pub use merge::{Matched, Merge, NotMatched, Variable};
use replace::Replacing;

/// The most rows of one batch.
const BATCH_ROWS: usize = 1000;

/// A batch ends when its rows are this large, bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Where rows go.
#[derive(Debug, Clone)]
pub enum Target {
    /// `$out`: they become this collection.
    Out(Arc<Collection>),
    /// `$merge`
    Merge(Arc<Merge>),
}

/// A collection as a stage names it.
#[derive(Debug)]
pub struct Collection {
    /// The database, if it was named.
    pub db: Option<String>,
    /// The name.
    pub name: String,
}

/// A pipeline that writes, about to run.
#[derive(Debug)]
pub struct Plan {
    /// The database.
    pub db: u8,
    /// The collection that is read.
    pub source: String,
    /// The pipeline, which ends in a stage that writes.
    pub pipeline: Pipeline,
    /// The query's own time limit.
    pub max_time_ms: Option<u64>,
    /// What is answered at the end.
    pub reply: Reply,
}

impl Plan {
    /// The write.
    pub fn prepare(self) -> Result<Box<dyn Phased>, CommandError> {
        let Some((number, name, target)) = self.pipeline.target() else {
            return Err(bad("does not write".into()));
        };
        let place = format!("stage {number}: {name}");
        let collection = match &target {
            Target::Out(collection) => collection,
            Target::Merge(merge) => &merge.into,
        };
        if collection.db.as_ref().is_some_and(|db| *db != self.db.to_string()) {
            return Err(bad(format!("{place}: db: only the selected database ({}) can be written", self.db)));
        }
        let reading = Reading { plan: self, place, run: None };
        Ok(match target {
            Target::Out(collection) => Box::new(Replacing::new(reading, collection.name.clone())),
            Target::Merge(merge) => Box::new(merge::Merging::new(reading, merge)),
        })
    }
}

/// The rows of a pipeline, read batch by batch.
struct Reading {
    plan: Plan,
    /// Which stage writes.
    place: String,
    run: Option<Run>,
}

/// A pipeline that runs.
struct Run {
    /// The moment that it sees.
    view: View,
    account: Arc<Account>,
    rows: Input,
}

impl Reading {
    /// The next batch, each row made into what is written; empty at the end.
    fn batch<T>(
        &mut self,
        context: &ReadContext<'_>,
        make: impl Fn(Row, &Running<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, CommandError> {
        let Reading { plan, place, run } = self;
        let examined = RefCell::new(Examined::default());
        let run = match run {
            Some(run) => run,
            None => {
                let account = Account::new(context.queries.memory());
                let running = Running::new(context, plan.max_time_ms, &account, &examined);
                let source = context.view.collection(context.db, &plan.source);
                let rows = plan.pipeline.plan(source, &running)?.open(&running)?;
                run.insert(Run { view: context.view.clone(), account, rows })
            }
        };
        let context = context.resumed(&run.view, context.db);
        let running = Running::new(&context, plan.max_time_ms, &run.account, &examined);
        let (mut made, mut bytes) = (Vec::new(), 0);
        while made.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some(row) = run.rows.next(&running)? else { break };
            running.step()?;
            bytes += row.body().len();
            let one = make(row, &running).map_err(|failure| match failure {
                Failure::Stage(what) => bad(format!("{place}: {what}")),
                Failure::Command(error) => error,
            });
            made.push(one?);
        }
        Ok(made)
    }

    fn done(&self) -> Step {
        Step::Done(self.plan.reply.clone())
    }
}

/// A row as it is stored; one without an `_id` gets a new one.
fn document(root: RawObject<'_>, limits: &Limits) -> Result<ParsedDocument, CommandError> {
    let parsed = pack_document(root, IdSource::Generate(&new_id))?;
    let object = RawObject::from_body(&parsed.body).to_object();
    check_size(&object, &parsed.body, limits)?;
    Ok(parsed)
}

/// The row with an `_id`.
fn with_id(row: Row) -> Row {
    match row.root().get("_id") {
        Some(_) => row,
        None => {
            let id = codec::pack_value(&Value::String(new_id()));
            Row::Made(codec::pack_with_member(row.root(), "_id", id.get()))
        }
    }
}
