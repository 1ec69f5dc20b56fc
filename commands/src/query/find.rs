//! A query: a filter with what DOC.FIND takes beside it. Parsed, planned, run.

use std::sync::Arc;

use bytes::Bytes;
use veddb_storage::CollectionHandle;
use veddb_storage::document::Filter;
use veddb_storage::document::json::render_object;

use super::exec::{Feed, Look};
use super::parse_filter;
use super::plan::{Choice, ID_INDEX, NATURAL, Plan, Wanted};
use super::project::{Project, Sight};
use super::sort::{Sort, bad_sort};
use crate::args::Args;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::{Failure, Row, Running};
use crate::queries::Replies;
use crate::reply::Reply;

/// What reading a filter and planning for it may cost, ns: mostly little, but a list of thousands of values is looked up
/// value by value.
pub fn planning_cost(filter: &[u8]) -> f64 {
    50.0 * filter.len() as f64
}

/// A parsed query.
#[derive(Debug)]
pub struct Query {
    /// Which documents.
    pub filter: Filter,
    /// What is shown of them; none for all.
    pub project: Option<Project>,
    /// Their order; none for natural order.
    pub sort: Option<Arc<Sort>>,
    /// How many of the first are left out.
    pub skip: usize,
    /// How many are wanted then; 0 for all, as in MongoDB.
    pub limit: usize,
    /// The index to use.
    pub hint: Option<String>,
    /// Whether versions are shown.
    pub with_version: bool,
    /// When it ends at the latest, ms.
    pub max_time_ms: Option<u64>,
    /// Only the number of matches is wanted.
    pub counting: bool,
    /// A cursor is wanted, and so many documents at once.
    pub batch: Option<u64>,
}

impl Query {
    /// A filter alone.
    pub fn of(filter: Filter) -> Query {
        Query {
            filter,
            project: None,
            sort: None,
            skip: 0,
            limit: 0,
            hint: None,
            with_version: false,
            max_time_ms: None,
            counting: false,
            batch: None,
        }
    }

    /// The number of matches of a filter.
    pub fn count(filter: Filter) -> Query {
        Query { counting: true, ..Query::of(filter) }
    }

    /// Reads the filter at `at` and the options after it.
    pub fn parse(args: &Args, at: usize, limits: &Limits) -> Result<Query, CommandError> {
        let mut query = Query::of(parse_filter(args.bytes(at), limits)?);
        let mut at = at + 1;
        while at < args.len() {
            if args.is(at, "WITHVER") {
                query.with_version = true;
                at += 1;
                continue;
            }
            let value = at + 1;
            if value >= args.len() {
                return Err(CommandError::syntax());
            }
            let count = || args.unsigned(value).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            if args.is(at, "PROJECT") {
                query.project = Project::parse(args.bytes(value), limits)?;
            } else if args.is(at, "SORT") {
                query.sort = Sort::parse(args.bytes(value), limits)?.map(Arc::new);
            } else if args.is(at, "SKIP") {
                query.skip = count()?;
            } else if args.is(at, "LIMIT") {
                query.limit = count()?;
            } else if args.is(at, "HINT") {
                query.hint = Some(args.text(value)?.to_owned());
            } else if args.is(at, "MAXTIME") {
                // 0 is none, as in MongoDB.
                query.max_time_ms = Some(args.unsigned(value)?).filter(|ms| *ms > 0);
            } else if args.is(at, "CURSOR") {
                query.batch = Some(args.unsigned(value)?);
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        query.project.as_ref().map_or(Ok(()), |project| project.check_filter(&query.filter))?;
        Ok(query)
    }

    /// How many of the first documents matter.
    fn first(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.skip.saturating_add(self.limit) }
    }

    /// The plan.
    pub fn choose(&self, context: &ReadContext<'_>, collection: &CollectionHandle) -> Result<Choice, CommandError> {
        let (sort, hint) = (self.sort.as_deref(), self.hint.as_deref());
        let wanted = Wanted { sort, first: self.first(), hint, counting: self.counting };
        Choice::new(context.view.trees(), collection, &self.filter, &wanted)
    }

    /// The answer where there is no collection, and so no index either.
    pub fn without_collection(&self) -> Result<Reply, CommandError> {
        match self.hint.as_deref() {
            None | Some(ID_INDEX | NATURAL) if self.batch.is_some() => {
                Ok(Reply::Array(vec![Reply::count(0), Reply::Array(Vec::new())]))
            }
            None | Some(ID_INDEX | NATURAL) => Ok(Reply::Array(Vec::new())),
            Some(other) => Err(CommandError::new(ErrorCode::NoIndex, format!("no index {other}"))),
        }
    }

    /// Whether all that it reads is in the entries of the plan's index.
    pub fn is_covered(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
        plan: &Plan,
    ) -> Result<bool, CommandError> {
        let Plan::Index(plan) = plan else { return Ok(false) };
        let Some(shown) = self.project.as_ref().and_then(Project::kept) else { return Ok(false) };
        let mut paths = self.filter.paths();
        paths.extend(shown);
        paths.extend(self.sort.iter().flat_map(|sort| sort.keys().iter().map(|(path, _)| path.to_string())));
        let fields = &plan.index.spec().fields;
        let inside = |path: &String| fields.iter().any(|field| field.text == *path);
        let covered = !self.with_version && !plan.index.has_multikey() && paths.iter().all(inside);
        // What has expired may still have its entries.
        Ok(covered && context.view.expired(collection)? == 0)
    }

    /// Begins to run it.
    pub fn open(
        self,
        running: &Running<'_>,
        collection: &CollectionHandle,
        plan: &Plan,
    ) -> Result<Answer, CommandError> {
        let covered = self.is_covered(running.context, collection, plan)?;
        let sort = self.sort.as_ref().filter(|_| !plan.is_ordered()).cloned();
        let first = if sort.is_some() { usize::MAX } else { self.first() };
        let look = self.look(running);
        let feed = Feed::new(&look, collection, plan, first, covered, &mut running.examined.borrow_mut())?;
        let order = sort.map(|sort| Order::Gathering(Sorter::new(&sort, self.first(), running.account)));
        let left = if self.limit == 0 { usize::MAX } else { self.limit };
        Ok(Answer { skip: self.skip, left, query: self, feed, order })
    }

    fn look<'l>(&'l self, running: &'l Running<'_>) -> Look<'l> {
        Look { context: running.context, filter: &self.filter, variables: &[], max_time_ms: self.max_time_ms }
    }

    fn reply(&self, running: &Running<'_>, row: &Row) -> Result<Reply, CommandError> {
        let mut out = Vec::with_capacity(row.body().len() + row.body().len() / 4 + 64);
        let now_ms = running.context.now_ms;
        let sight = Sight { filter: Some(&self.filter), now_ms, variables: &[], watch: Some(running) };
        match &self.project {
            Some(project) => project
                .render(&mut out, row.root(), sight)
                .map_err(|error| running.context.reason(self.max_time_ms, error))?,
            None => render_object(&mut out, row.root()),
        }
        let body = Reply::Bulk(Bytes::from(out));
        Ok(match row {
            Row::Stored(document) if self.with_version => Reply::Array(vec![Reply::count(document.version), body]),
            _ => body,
        })
    }
}

/// What a query answers, one document after the other.
#[derive(Debug)]
pub struct Answer {
    query: Query,
    feed: Feed,
    /// Where the plan does not give the order.
    order: Option<Order>,
    /// So many are still to be left out.
    skip: usize,
    /// And so many wanted then.
    left: usize,
}

#[derive(Debug)]
enum Order {
    Gathering(Sorter),
    Giving(InOrder),
}

impl Answer {
    /// The next document; none at the end.
    fn row(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let Answer { query, feed, order, .. } = self;
        let look = query.look(running);
        let mut found = || -> Result<Option<Row>, Failure> {
            let found = feed.next(&look, &mut running.examined.borrow_mut())?;
            Ok(found.map(|(_, found)| found.into()))
        };
        let Some(order) = order else { return found() };
        if let Order::Gathering(sorter) = order {
            while let Some(row) = found()? {
                sorter.push(row, running).map_err(of_sort)?;
            }
            let rows = sorter.finish(running).map_err(of_sort)?;
            *order = Order::Giving(rows);
        }
        match order {
            Order::Giving(rows) => rows.read(),
            Order::Gathering(_) => Ok(None),
        }
    }
}

/// What a sort says is SORT's fault here.
fn of_sort(failure: Failure) -> Failure {
    match failure {
        Failure::Stage(what) => Failure::Command(bad_sort(what)),
        other => other,
    }
}

impl Replies for Answer {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Reply>, Failure> {
        while self.left > 0 {
            let Some(row) = self.row(running)? else { break };
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.left -= 1;
            return Ok(Some(self.query.reply(running, &row)?));
        }
        Ok(None)
    }
}
