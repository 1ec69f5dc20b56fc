//! A query: a filter with what DOC.FIND takes beside it. Parsed, planned, run.

use std::sync::Arc;

use bytes::Bytes;
use veddb_storage::document::Filter;
use veddb_storage::{CollectionHandle, Document};

use super::exec::{Examined, Found, Run, matching};
use super::parse_filter;
use super::plan::{Choice, ID_INDEX, NATURAL, Plan, Wanted};
use super::project::{Project, Sight};
use super::sort::{Sort, Top};
use crate::args::Args;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};
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
    pub sort: Option<Sort>,
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
                query.sort = Sort::parse(args.bytes(value), limits)?;
            } else if args.is(at, "SKIP") {
                query.skip = count()?;
            } else if args.is(at, "LIMIT") {
                query.limit = count()?;
            } else if args.is(at, "HINT") {
                query.hint = Some(args.text(value)?.to_owned());
            } else if args.is(at, "MAXTIME") {
                // 0 is none, as in MongoDB.
                query.max_time_ms = Some(args.unsigned(value)?).filter(|ms| *ms > 0);
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
        let (sort, hint) = (self.sort.as_ref(), self.hint.as_deref());
        let wanted = Wanted { sort, first: self.first(), hint, counting: self.counting };
        Choice::new(context.view.trees(), collection, &self.filter, &wanted)
    }

    /// The answer where there is no collection, and so no index either.
    pub fn without_collection(&self) -> Result<Reply, CommandError> {
        match self.hint.as_deref() {
            None | Some(ID_INDEX | NATURAL) => Ok(Reply::Array(Vec::new())),
            Some(other) => Err(CommandError::new(ErrorCode::NoIndex, format!("no index {other}"))),
        }
    }

    /// Whether all that it reads is in the entries of the plan's index.
    pub fn is_covered(&self, plan: &Plan) -> bool {
        let Plan::Index(plan) = plan else { return false };
        let Some(shown) = self.project.as_ref().and_then(Project::kept) else { return false };
        let mut paths = self.filter.paths();
        paths.extend(shown);
        paths.extend(self.sort.iter().flat_map(|sort| sort.keys().iter().map(|(path, _)| path.to_string())));
        let fields = &plan.index.spec().fields;
        let inside = |path: &String| fields.iter().any(|field| field.text == *path);
        !self.with_version && !plan.index.has_multikey() && paths.iter().all(inside)
    }

    /// Runs it: a reply for each document.
    pub fn run(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
        plan: &Plan,
        examined: &mut Examined,
    ) -> Result<Vec<Reply>, CommandError> {
        let covered = self.is_covered(plan);
        let mut replies = Vec::new();
        let run = Run { filter: &self.filter, plan, first: self.first(), covered, max_time_ms: self.max_time_ms };
        match self.sort.as_ref().filter(|_| !plan.is_ordered()) {
            Some(sort) => {
                let (mut top, mut sorted) = (Top::new(sort, self.first()), Ok(()));
                let run = Run { first: usize::MAX, ..run };
                matching(context, collection, run, examined, &mut |_, found| {
                    let shared = Arc::new(found);
                    sorted = top.push(shared.root(), Arc::clone(&shared));
                    sorted.is_ok()
                })?;
                sorted?;
                for found in top.finish().skip(self.skip) {
                    replies.push(self.reply(context, &found)?);
                }
            }
            None => {
                let (mut seen, mut failed) = (0, None);
                matching(context, collection, run, examined, &mut |_, found| {
                    seen += 1;
                    if seen > self.skip {
                        match self.reply(context, &found) {
                            Ok(reply) => replies.push(reply),
                            Err(error) => failed = Some(error),
                        }
                    }
                    seen < self.first() && failed.is_none()
                })?;
                if let Some(error) = failed {
                    return Err(error);
                }
            }
        }
        Ok(replies)
    }

    fn reply(&self, context: &ReadContext<'_>, found: &Found) -> Result<Reply, CommandError> {
        let body = match (&self.project, found) {
            (Some(project), _) => {
                let mut out = Vec::new();
                project.render(
                    &mut out,
                    found.root(),
                    Sight { filter: Some(&self.filter), now_ms: context.now_ms, variables: &[] },
                )?;
                Bytes::from(out)
            }
            (None, Found::Document(document)) => document.json(),
            // Only a projection is covered.
            (None, Found::Fields(_)) => Bytes::new(),
        };
        Ok(match found {
            Found::Document(document) if self.with_version => versioned(document, body),
            _ => Reply::Bulk(body),
        })
    }
}

fn versioned(document: &Document, body: Bytes) -> Reply {
    Reply::Array(vec![Reply::count(document.version), Reply::Bulk(body)])
}
