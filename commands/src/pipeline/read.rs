//! Where a pipeline's rows come from: a collection, read by the plan that its first stages allow.

use std::sync::Arc;

use veddb_storage::CollectionHandle;
use veddb_storage::document::Filter;

use super::{Failure, Input, Kind, Nothing, Pipeline, Row, Rows, Running, bad};
use crate::error::{CommandError, ErrorCode};
use crate::query::exec::{Feed, Look};
use crate::query::filter_limits;
use crate::query::plan::{Choice, Wanted};

/// A pipeline that is about to run on a collection: how its documents are found, and what is left to do with them.
#[derive(Debug)]
pub struct Source {
    /// The plan; none where no collection is read.
    pub choice: Option<Choice>,
    collection: Option<CollectionHandle>,
    filter: Arc<Filter>,
    /// The `$match` that the filter is of: its place and name.
    place: Option<(usize, &'static str)>,
    /// How many documents are wanted at most.
    first: usize,
    rest: Pipeline,
}

impl Pipeline {
    /// Whether its first stage brings rows of its own.
    pub fn brings_rows(&self) -> bool {
        self.stages.first().is_some_and(|placed| placed.name == "$documents")
    }

    /// Plans how the documents of this collection are found. A `$match` at the beginning is left to the plan, and so is a
    /// `$sort` after it if an index has that order.
    pub fn plan(&self, collection: Option<CollectionHandle>, running: &Running<'_>) -> Result<Source, Failure> {
        let empty = || {
            let limits = filter_limits(running.context.limits);
            Filter::parse(b"{}", &limits).map(Arc::new).map_err(|error| Failure::Stage(error.0))
        };
        let collection = collection.filter(|_| !self.brings_rows());
        let Some(collection) = collection else {
            let rest = self.clone();
            let (filter, first) = (empty()?, usize::MAX);
            return Ok(Source { choice: None, collection: None, filter, place: None, first, rest });
        };
        let mut stages = self.stages.as_slice();
        let (mut filter, mut narrowed, mut place) = (None, None, None);
        if let Some((first, rest)) = stages.split_first()
            && let Kind::Match(found) = first.stage.kind()
        {
            filter = Some(Arc::clone(found.filter()));
            narrowed = found.narrowed(running);
            place = Some((first.number, first.name));
            stages = rest;
        }
        let filter = filter.map_or_else(empty, Ok)?;
        let sorted = stages.first().and_then(|placed| match placed.stage.kind() {
            Kind::Sort(sorted) => Some(Arc::clone(sorted.sort())),
            _ => None,
        });
        let after = |count: usize| Pipeline { stages: stages.get(count..).unwrap_or_default().to_vec() };
        let rest = after(usize::from(sorted.is_some()));
        let first = rest.takes(usize::MAX);
        let wanted = Wanted { sort: sorted.as_deref(), first, hint: None, counting: false };
        let choice =
            Choice::new(running.context.view.trees(), &collection, narrowed.as_ref().unwrap_or(&filter), &wanted)?;
        running.context.planned(&choice.plan);
        let ordered = choice.plan.is_ordered() || sorted.is_none();
        let (first, rest) = if ordered { (first, rest) } else { (usize::MAX, after(0)) };
        Ok(Source { choice: Some(choice), collection: Some(collection), filter, place, first, rest })
    }
}

impl Source {
    /// The stages that run on what the plan gives.
    pub fn rest(&self) -> impl Iterator<Item = &'static str> {
        self.rest.stages.iter().map(|placed| placed.name)
    }

    /// Begins to run it.
    pub fn open(&self, running: &Running<'_>) -> Result<Input, Failure> {
        let input: Input = match (&self.collection, &self.choice) {
            (Some(collection), Some(choice)) => {
                let look = look(running, &self.filter);
                let mut examined = running.examined.borrow_mut();
                let feed = Feed::new(&look, collection, &choice.plan, self.first, false, &mut examined)?;
                choice.plan.note_use(running.context.now_ms);
                Box::new(Reading { feed, filter: Arc::clone(&self.filter), place: self.place })
            }
            _ => Box::new(Nothing),
        };
        Ok(self.rest.open(input, running.account, usize::MAX))
    }
}

fn look<'r>(running: &'r Running<'_>, filter: &'r Filter) -> Look<'r> {
    Look { context: running.context, filter, variables: running.variables, max_time_ms: running.max_time_ms }
}

/// Documents of a collection.
struct Reading {
    feed: Feed,
    filter: Arc<Filter>,
    place: Option<(usize, &'static str)>,
}

impl Reading {
    /// What the filter says is the fault of its `$match`.
    fn of_match(&self, error: CommandError) -> CommandError {
        match self.place {
            Some((number, name)) if error.code == ErrorCode::BadFilter => {
                bad(format!("stage {number}: {name}: {}", error.message))
            }
            _ => error,
        }
    }
}

impl Rows for Reading {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let mut examined = running.examined.borrow_mut();
        let found = self.feed.next(&look(running, &self.filter), &mut examined);
        let found = found.map_err(|error| self.of_match(error))?;
        Ok(found.map(|(_, found)| found.into()))
    }
}
