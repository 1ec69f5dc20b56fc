//! `$project`, `$addFields` (also called `$set`) and `$unset`.

use std::sync::Arc;

use veddb_storage::document::ValueRef;

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::{object, one};
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::project::{Project, Sight};

pub(super) const STAGES: &[StageOperator] = &[
    StageOperator {
        name: "$project",
        summary: "Keeps, leaves out and computes members.",
        place: Place::Anywhere,
        parse: project_stage,
    },
    StageOperator {
        name: "$addFields",
        summary: "Sets members to the values of expressions.",
        place: Place::Anywhere,
        parse: set,
    },
    StageOperator { name: "$set", summary: "The same as `$addFields`.", place: Place::Anywhere, parse: set },
    StageOperator {
        name: "$unset",
        summary: "Leaves out the member, or members, of this path.",
        place: Place::Anywhere,
        parse: unset,
    },
];

/// A projection of each row.
#[derive(Debug)]
struct Projection(Project);

pub(super) fn project_stage(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let names: Vec<&str> = reader.names().collect();
    one(Projection(Project::stage(object(operand)?, reader.limits, &names)?))
}

pub(super) fn set(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let names: Vec<&str> = reader.names().collect();
    one(Projection(Project::set(object(operand)?, reader.limits, &names)?))
}

fn unset(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Projection(Project::unset(operand, reader.limits)?))
}

impl Stage for Projection {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Projecting { stage: self, input })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted
    }

    fn passes_through(&self, path: &str) -> bool {
        self.0.leaves(path)
    }
}

struct Projecting {
    stage: Arc<Projection>,
    input: Input,
}

impl Rows for Projecting {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let Some(row) = self.input.next(running)? else { return Ok(None) };
        let (now_ms, variables) = (running.context.now_ms, running.variables);
        let sight = Sight { filter: None, now_ms, variables, watch: Some(running) };
        Ok(Some(Row::of(&self.stage.0.apply(row.root(), sight)?)))
    }
}
