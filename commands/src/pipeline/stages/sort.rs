//! `$sort`.

use std::sync::Arc;

use veddb_storage::document::ValueRef;

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::{object, one};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::{Failure, Input, Kind, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$sort",
    summary: "Puts the rows in order; before a `$limit` it keeps only the first. At the beginning it uses indexes.",
    place: Place::Anywhere,
    parse,
}];

/// `$sort`
#[derive(Debug)]
pub struct Sorted {
    sort: Arc<Sort>,
}

fn parse(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Sorted::new(Sort::from_object(object(operand)?)?))
}

impl Sorted {
    /// A stage of this order.
    pub fn new(sort: Sort) -> Sorted {
        Sorted { sort: Arc::new(sort) }
    }

    /// The order.
    pub fn sort(&self) -> &Arc<Sort> {
        &self.sort
    }
}

impl Stage for Sorted {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let sorter = Sorter::new(&self.sort, opening.wanted, opening.account);
        Box::new(Sorting { input, state: State::Gathering(sorter) })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Sort(self)
    }
}

struct Sorting {
    input: Input,
    state: State,
}

enum State {
    Gathering(Sorter),
    Giving(InOrder),
}

impl Rows for Sorting {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if let State::Gathering(sorter) = &mut self.state {
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                sorter.push(row, running)?;
            }
            let rows = sorter.finish(running)?;
            self.state = State::Giving(rows);
        }
        match &mut self.state {
            State::Giving(rows) => rows.read(),
            State::Gathering(_) => Ok(None),
        }
    }
}
