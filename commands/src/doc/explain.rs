//! DOC.EXPLAIN: how a command finds its documents, and what it looked at.

use std::cell::RefCell;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use veddb_storage::CollectionHandle;

use super::{aggregate, count, delete, update};
use crate::args::Args;
use crate::context::{Limits, ReadContext, WriteContext};
use crate::error::CommandError;
use crate::pipeline::memory::Account;
use crate::pipeline::{Pipeline, Running};
use crate::queries::Replies;
use crate::query::exec::Examined;
use crate::query::find::Query;
use crate::query::parse_filter;
use crate::query::plan::{Choice, Cost, ID_INDEX, IndexPlan, Plan};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.EXPLAIN
pub static SPEC: Command = Command {
    name: "DOC.EXPLAIN",
    group: Group::Document,
    summary: "Runs the reading part of a command and says how it found its documents.",
    complexity: "That of the command.",
    arity: -3,
    args: &[
        Arg::one_of(
            "command",
            &[
                Arg::word("FIND").required(),
                Arg::word("COUNT").required(),
                Arg::word("UPDATE").required(),
                Arg::word("DELETE").required(),
                Arg::word("AGGREGATE").required(),
            ],
        ),
        Arg::collection(),
        Arg::string("argument").multiple().optional(),
    ],
    keys: Keys { first: 2, last: 2, step: 1 },
    named_within: Some(named_within),
    flags: &["slow-read"],
    reply: "A JSON object: plan (stage IXSCAN, IDLOOKUP or COLLSCAN, index, bounds, sortFromIndex, covered, estimate), \
            rejected (plans not taken, with their estimates), and, counted while it ran: returned, keysExamined, \
            docsExamined, spilledBytes, micros; of AGGREGATE also stages (those that ran on what the plan gave). An \
            explained UPDATE, DELETE, $out or $merge writes nothing.",
    examples: &[(
        r#"DOC.EXPLAIN FIND users '{"age":36}'"#,
        r#"{"plan":{"stage":"IXSCAN","index":"by_age","bounds":{"age":["[36, 36]"]},..},"rejected":[..],"returned":1,..}"#,
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

/// What an explained pipeline writes is not written, but its target is looked up.
fn named_within(args: &Args, limits: &Limits) -> Vec<(String, bool)> {
    if args.is(1, "AGGREGATE") { Pipeline::collections(args.bytes(3), limits) } else { Vec::new() }
}

/// What a run comes to.
#[derive(Default)]
struct Explained {
    /// The plan with the others; none where no collection is read.
    choice: Option<Choice>,
    /// Whether the index has all that was read.
    covered: bool,
    /// How many documents it gave.
    returned: u64,
    /// Bytes that it wrote to temporary files.
    spilled: u64,
    /// Of a pipeline: the stages that ran on what the plan gave.
    stages: Option<Vec<&'static str>>,
}

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    // As the command itself would have it: its name, the collection, the rest.
    let inner = Args::new(args.from(1).to_vec());
    let collection = context.view.collection(context.db, inner.text(1)?);
    let started = Instant::now();
    let examined = RefCell::new(Examined::default());
    let explained = if inner.is(0, "FIND") {
        if inner.len() < 3 {
            return Err(CommandError::arity("doc.find"));
        }
        let query = Query::parse(&inner, 2, context.limits)?;
        match &collection {
            Some(collection) => Some(find(context, collection, query, &examined)?),
            None => {
                query.without_collection()?;
                None
            }
        }
    } else if inner.is(0, "COUNT") {
        if inner.len() > 3 {
            return Err(CommandError::syntax());
        }
        let text = inner.get(2).cloned().unwrap_or(Bytes::from_static(b"{}"));
        let query = Query::count(parse_filter(&text, context.limits)?);
        collection
            .as_ref()
            .map(|collection| count_of(context, collection, &query, &mut examined.borrow_mut()))
            .transpose()?
    } else if inner.is(0, "UPDATE") || inner.is(0, "DELETE") {
        let parse = if inner.is(0, "UPDATE") { update::parse } else { delete::parse };
        let least = if inner.is(0, "UPDATE") { 4 } else { 3 };
        if inner.len() < least {
            let name = if least == 4 { "doc.update" } else { "doc.delete" };
            return Err(CommandError::arity(name));
        }
        let write = parse(
            &inner,
            &WriteContext { db: context.db, now_ms: context.now_ms, limits: context.limits, resp3: context.resp3 },
        )?;
        match &collection {
            Some(collection) => {
                let choice = write.choose(context, collection)?;
                let records = write.look(context, collection, &choice.plan, &mut examined.borrow_mut())?;
                Some(Explained { choice: Some(choice), returned: records.len() as u64, ..Explained::default() })
            }
            None => None,
        }
    } else if inner.is(0, "AGGREGATE") {
        if inner.len() < 3 {
            return Err(CommandError::arity("doc.aggregate"));
        }
        Some(aggregate(context, collection.as_ref(), &inner, &examined)?)
    } else {
        return Err(CommandError::err("DOC.EXPLAIN takes FIND, COUNT, UPDATE, DELETE or AGGREGATE"));
    };
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let explained = explained.unwrap_or_default();
    let (plan, rejected) = match &explained.choice {
        None => (json!({"stage": "COLLSCAN"}), Vec::new()),
        Some(Choice { plan, cost, rejected }) => {
            let others = rejected.iter().map(|(plan, cost)| describe(plan, *cost, false)).collect();
            (describe(plan, *cost, explained.covered), others)
        }
    };
    let examined = examined.into_inner();
    let answer = json!({
        "plan": plan,
        "rejected": rejected,
        "returned": explained.returned,
        "keysExamined": examined.keys,
        "docsExamined": examined.documents,
        "spilledBytes": explained.spilled,
        "micros": micros,
    });
    let Json::Object(mut answer) = answer else { return Ok(Reply::Null) };
    answer.extend(explained.stages.map(|stages| ("stages".to_owned(), json!(stages))));
    Ok(Reply::text(Json::Object(answer).to_string()))
}

fn find(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    query: Query,
    examined: &RefCell<Examined>,
) -> Result<Explained, CommandError> {
    let choice = query.choose(context, collection)?;
    let covered = query.is_covered(context, collection, &choice.plan)?;
    let account = Account::new(context.queries.memory());
    let running = Running::new(context, query.max_time_ms, &account, examined);
    let mut answer = query.open(&running, collection, &choice.plan)?;
    let mut returned = 0;
    while answer.next(&running)?.is_some() {
        returned += 1;
    }
    Ok(Explained { choice: Some(choice), covered, returned, spilled: account.spilled(), stages: None })
}

fn aggregate(
    context: &ReadContext<'_>,
    collection: Option<&CollectionHandle>,
    args: &Args,
    examined: &RefCell<Examined>,
) -> Result<Explained, CommandError> {
    let options = aggregate::Options::parse(args, 3)?;
    let pipeline = Pipeline::parse(args.bytes(2), context.limits)?;
    let account = Account::new(context.queries.memory());
    let running = Running::new(context, options.max_time_ms, &account, examined);
    let source = pipeline.plan(collection.cloned(), &running)?;
    let mut rows = source.open(&running)?;
    let mut returned = 0;
    while rows.next(&running)?.is_some() {
        returned += 1;
    }
    drop(rows);
    let stages = Some(source.rest().collect());
    Ok(Explained { choice: source.choice, covered: false, returned, spilled: account.spilled(), stages })
}

fn count_of(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    query: &Query,
    examined: &mut Examined,
) -> Result<Explained, CommandError> {
    let choice = query.choose(context, collection)?;
    let returned = count::count(context, collection, query, &choice.plan, examined)?;
    let covered = count::covered(context, collection, query, &choice.plan)?;
    Ok(Explained { choice: Some(choice), covered, returned, ..Explained::default() })
}

fn describe(plan: &Plan, cost: Cost, covered: bool) -> Json {
    let mut out = Map::new();
    let mut put = |name: &str, value: Json| {
        out.insert(name.to_owned(), value);
    };
    match plan {
        Plan::Scan => put("stage", json!("COLLSCAN")),
        Plan::IdLookup(_) => {
            put("stage", json!("IDLOOKUP"));
            put("index", json!(ID_INDEX));
        }
        Plan::Index(plan) => {
            put("stage", json!("IXSCAN"));
            put("index", json!(plan.index.spec().name()));
            put("keys", json!(plan.index.spec().definition.keys));
            put("bounds", bounds(plan));
            put("reverse", json!(plan.order.is_some_and(|order| order.reverse)));
            put("multikey", json!(plan.index.has_multikey()));
        }
        Plan::Union(union) => {
            put("stage", json!("IXSCAN"));
            let branch = |plan: &IndexPlan| json!({"index": plan.index.spec().name(), "bounds": bounds(plan)});
            let mut branches: Vec<Json> = union.indexes.iter().map(branch).collect();
            if !union.ids.is_empty() {
                branches.push(json!({"index": ID_INDEX, "ids": union.ids.len()}));
            }
            put("index", json!(union.names().join(",")));
            put("union", Json::Array(branches));
        }
    }
    put("sortFromIndex", json!(plan.is_ordered()));
    put("covered", json!(covered));
    put("estimate", json!({"entries": plan.entries(), "micros": (cost / 1000.0).round()}));
    Json::Object(out)
}

fn bounds(plan: &IndexPlan) -> Json {
    let fields = &plan.index.spec().fields;
    let field = |(at, field): (usize, &veddb_storage::IndexField)| {
        let intervals = match plan.bounds.get(at) {
            Some(bounds) => bounds.intervals().iter().map(|interval| json!(interval.to_string())).collect(),
            None => vec![json!("[MinKey, MaxKey)")],
        };
        (field.text.clone(), Json::Array(intervals))
    };
    Json::Object(fields.iter().enumerate().map(field).collect())
}
