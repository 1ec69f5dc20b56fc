//! `$facet`: several pipelines over the same rows, each of which gives one array.

use std::sync::Arc;

use parking_lot::Mutex;
use veddb_storage::document::{Object, ValueRef};

use super::group::check_name;
use super::lookup::{check_size, with_array};
use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::{object, one};
use crate::pipeline::spool::Spool;
use crate::pipeline::{Failure, Input, Opening, Pipeline, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$facet",
    summary: "Runs several pipelines over the same rows, and makes one row with an array of each.",
    place: Place::Anywhere,
    parse,
}];

/// `$facet`
#[derive(Debug)]
struct Facet {
    pipelines: Vec<(String, Pipeline)>,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let mut pipelines = Vec::new();
    for (name, value) in object(operand)?.iter() {
        check_name(name)?;
        if name.is_empty() {
            return Err("a pipeline needs a name".into());
        }
        let ValueRef::Array(list) = value else {
            return Err(format!("{name}: a pipeline is an array of stages, not {}", value.kind().name()));
        };
        let pipeline = reader.inner("$facet", list, Vec::new()).map_err(|what| format!("{name}: {what}"))?;
        pipelines.push((name.to_owned(), pipeline));
    }
    if pipelines.is_empty() {
        return Err("needs at least one pipeline".into());
    }
    one(Facet { pipelines })
}

impl Stage for Facet {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        Box::new(Faceting { stage: self, input, spool: Arc::new(Mutex::new(Spool::new(opening.account))), done: false })
    }
}

struct Faceting {
    stage: Arc<Facet>,
    input: Input,
    /// What all pipelines read, one after the other.
    spool: Arc<Mutex<Spool>>,
    done: bool,
}

impl Rows for Faceting {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if self.done {
            return Ok(None);
        }
        self.done = true;
        while let Some(row) = self.input.next(running)? {
            running.step()?;
            self.spool.lock().push(row, running)?;
        }
        let mut made = Row::of(&Object::default());
        for (name, pipeline) in &self.stage.pipelines {
            self.spool.lock().rewind()?;
            let mut rows = pipeline.open(Box::new(Again(Arc::clone(&self.spool))), running.account, usize::MAX);
            let mut held = running.account.part();
            let (mut size, mut documents) = (made.body().len(), Vec::new());
            let wrong = |failure: Failure| match failure.inside() {
                Failure::Stage(what) => Failure::Stage(format!("{name}: {what}")),
                other => other,
            };
            while let Some(row) = rows.next(running).map_err(wrong)? {
                running.step()?;
                size += row.body().len();
                check_size(size, running)?;
                held.force(row.size());
                documents.push(row);
            }
            made = with_array(&made, std::slice::from_ref(name), &documents);
        }
        Ok(Some(made))
    }
}

/// The rows once more.
struct Again(Arc<Mutex<Spool>>);

impl Rows for Again {
    fn next(&mut self, _: &Running<'_>) -> Result<Option<Row>, Failure> {
        self.0.lock().read()
    }
}
