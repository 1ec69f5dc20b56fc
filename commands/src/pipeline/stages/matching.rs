//! `$match`: lets through what matches a filter.

use std::sync::Arc;

use veddb_storage::document::{Filter, Object, RawObject, Value, ValueRef, codec};

use super::{Place, StageOperator};
use crate::pipeline::parse::{Parsed, object, one};
use crate::pipeline::{Failure, Input, Kind, Opening, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$match",
    summary: "Lets through what matches a filter. At the beginning it uses indexes.",
    place: Place::Anywhere,
    parse,
}];

/// `$match`
#[derive(Debug)]
pub struct Match {
    filter: Arc<Filter>,
    /// Its operand, packed.
    body: Box<[u8]>,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Match::new(reader, object(operand)?)?)
}

impl Match {
    /// A stage of this filter.
    pub fn new(reader: &Reader<'_>, operand: RawObject<'_>) -> Result<Match, String> {
        Ok(Match { filter: Arc::new(reader.filter(operand)?), body: codec::pack_object(&operand.to_object()) })
    }

    /// The filter.
    pub fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// One stage that does what both do.
    pub fn and(&self, reader: &Reader<'_>, other: &Match) -> Result<Match, String> {
        let operand = |body: &[u8]| Value::Object(RawObject::from_body(body).to_object());
        let both = Value::Array(vec![operand(&self.body), operand(&other.body)]);
        let body = codec::pack_object(&Object(vec![("$and".to_owned(), both)]));
        Match::new(reader, RawObject::from_body(&body))
    }

    /// What it looks at; none where that is more than paths say.
    pub fn movable_paths(&self) -> Option<Vec<String>> {
        (!self.filter.reads_documents()).then(|| self.filter.paths())
    }
}

impl Stage for Match {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Matching { stage: self, input })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Match(self)
    }
}

struct Matching {
    stage: Arc<Match>,
    input: Input,
}

impl Rows for Matching {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        while let Some(row) = self.input.next(running)? {
            running.step()?;
            let matches = self.stage.filter.test_with(row.root(), running.context.now_ms, running.variables);
            if matches.map_err(|error| Failure::Stage(error.0))? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
