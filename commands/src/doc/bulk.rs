//! DOC.BULK: many writes in one request, as MongoDB's bulkWrite takes them.
//!
//! Operations that need no search share units; one that searches gets its own. Ordered, the first error ends it and what came
//! before stays.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use veddb_storage::Transaction;
use veddb_storage::document::json::{IdSource, ParseLimits, ParsedDocument, pack_document, parse_value};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use super::{is_of_one_document, new_collection_name, new_id};
use crate::args::Args;
use crate::context::{Limits, Phased, Prepared, ReadContext, Step, Unit, WriteContext};
use crate::error::{CommandError, ErrorCode};
use crate::query::update::{Terms, Update, bad_update, check_size};
use crate::query::write::{Change, FilteredWrite, Looking, LookingStep, Outcome};
use crate::query::{bad_filter, filter_limits};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.BULK
pub static SPEC: Command = Command {
    name: "DOC.BULK",
    group: Group::Document,
    summary: "Carries out many inserts, updates and deletes.",
    complexity: "O(N) with N the number of operations, and what each of them costs.",
    arity: -3,
    args: &[Arg::collection(), Arg::json("ops"), Arg::word("UNORDERED")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "Map: inserted, matched, modified, deleted and upserted (how many), ids (array of position and id, of what was \
            inserted), errors (array of position and message). Ordered, the first error ends it; what came before stays.",
    examples: &[(
        r#"DOC.BULK users '[{"insertOne":{"document":{"_id":"cy"}}},{"deleteOne":{"filter":{"_id":"bob"}}}]'"#,
        r#"{inserted: 1, .., deleted: 1, .., ids: [[0, "cy"]], errors: []}"#,
    )],
    run: Run::Write(run),
    ..Command::BLANK
};

/// Operations that share one atomic unit.
const UNIT_OPERATIONS: usize = 1000;

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let unordered = match args.len() {
        3 => false,
        4 if args.is(3, "UNORDERED") => true,
        _ => return Err(CommandError::syntax()),
    };
    let target = Target {
        db: context.db,
        collection: new_collection_name(args, 1)?,
        limits: *context.limits,
        now_ms: context.now_ms,
    };
    // Each document has its own limits; around them stand the array, the operation and its members.
    let limits = ParseLimits { size: usize::MAX, depth: context.limits.max_document_depth + 3 };
    let packed = parse_value(args.bytes(2), limits)?;
    let ValueRef::Array(list) = packed.get() else {
        return Err(bad_update("operations are a JSON array"));
    };
    let mut operations = VecDeque::new();
    for (position, operation) in list.iter().enumerate() {
        let shape = Shape::read(operation).map_err(|what| bad_update(format!("operation {position}: {what}")))?;
        operations.push_back((position, target.operation(shape)));
    }
    Ok(Prepared::Phased(Box::new(Bulk {
        target: Arc::new(target),
        unordered,
        operations,
        searching: None,
        shared: Arc::default(),
        total: Total::default(),
    })))
}

/// An operation by its members, before its parts are read.
enum Shape {
    Insert(Object),
    Update { filter: Object, update: Value, array_filters: Option<Value>, one: bool, upsert: bool, replaces: bool },
    Delete { filter: Object, one: bool },
}

impl Shape {
    fn read(operation: ValueRef<'_>) -> Result<Shape, String> {
        let ValueRef::Object(operation) = operation else { return Err("is no object".into()) };
        let mut members = operation.iter();
        let (Some((name, ValueRef::Object(body))), None) = (members.next(), members.next()) else {
            return Err("needs exactly one member, an object".into());
        };
        let (needed, optional): (&[&str], &[&str]) = match name {
            "insertOne" => (&["document"], &[]),
            "updateOne" | "updateMany" => (&["filter", "update"], &["upsert", "arrayFilters"]),
            "replaceOne" => (&["filter", "replacement"], &["upsert"]),
            "deleteOne" | "deleteMany" => (&["filter"], &[]),
            other => return Err(format!("unknown operation {other}")),
        };
        if let Some((other, _)) = body.iter().find(|(n, _)| !needed.contains(n) && !optional.contains(n)) {
            return Err(format!("{name}: unknown member {other}"));
        }
        let member = |member: &str| body.get(member).ok_or_else(|| format!("{name}: needs {member}"));
        let object = |wanted: &str| match member(wanted)? {
            ValueRef::Object(object) => Ok(object.to_object()),
            _ => Err(format!("{name}: {wanted} is no object")),
        };
        let upsert = match body.get("upsert") {
            None | Some(ValueRef::Bool(false)) => false,
            Some(ValueRef::Bool(true)) => true,
            Some(_) => return Err(format!("{name}: upsert is no boolean")),
        };
        Ok(match name {
            "insertOne" => Shape::Insert(object("document")?),
            "deleteOne" | "deleteMany" => Shape::Delete { filter: object("filter")?, one: name == "deleteOne" },
            "replaceOne" => Shape::Update {
                filter: object("filter")?,
                update: Value::Object(object("replacement")?),
                array_filters: None,
                one: true,
                upsert,
                replaces: true,
            },
            _ => Shape::Update {
                filter: object("filter")?,
                update: member("update")?.to_value(),
                array_filters: body.get("arrayFilters").map(ValueRef::to_value),
                one: name == "updateOne",
                upsert,
                replaces: false,
            },
        })
    }
}

/// Where the operations go, and within what bounds.
#[derive(Debug)]
struct Target {
    db: u8,
    collection: String,
    limits: Limits,
    now_ms: u64,
}

/// An operation ready to be carried out.
enum Operation {
    Insert(ParsedDocument),
    /// A write whose records are found by their keys.
    ByKeys(FilteredWrite, Vec<Vec<u8>>),
    /// A write that has to search or to compute.
    Search(FilteredWrite),
}

impl Target {
    fn operation(&self, shape: Shape) -> Result<Operation, CommandError> {
        let (filter, change, one, upsert) = match shape {
            Shape::Insert(document) => return self.insert(&document).map(Operation::Insert),
            Shape::Delete { filter, one } => (filter, Change::Delete, one, false),
            Shape::Update { filter, update, array_filters, one, upsert, replaces } => {
                let terms = Terms { limits: &self.limits, now_ms: self.now_ms };
                let update = Update::from_value(update, array_filters.as_ref(), &terms)?;
                if update.is_replacement() != replaces {
                    return Err(bad_update(if replaces {
                        "a replacement cannot hold operators"
                    } else {
                        "an update needs operators; replaceOne takes a whole document"
                    }));
                }
                (filter, Change::Update(update), one, upsert)
            }
        };
        let packed = codec::pack_object(&filter);
        let filter =
            veddb_storage::document::Filter::from_object(RawObject::from_body(&packed), &filter_limits(&self.limits))
                .map_err(bad_filter)?;
        let write = FilteredWrite {
            db: self.db,
            collection: self.collection.clone(),
            filter,
            change,
            one,
            upsert,
            if_version: None,
            limits: self.limits,
        };
        Ok(match write.unit_keys() {
            Some(keys) => Operation::ByKeys(write, keys),
            None => Operation::Search(write),
        })
    }

    fn insert(&self, document: &Object) -> Result<ParsedDocument, CommandError> {
        let packed = codec::pack_object(document);
        let parsed = pack_document(RawObject::from_body(&packed), IdSource::Generate(&new_id))?;
        check_size(document, &parsed.body, &self.limits)?;
        Ok(parsed)
    }
}

/// What one operation did.
#[derive(Debug)]
enum Did {
    Inserted(Vec<u8>),
    Wrote(Outcome),
}

#[derive(Debug, Default)]
struct Total {
    inserted: u64,
    outcome: Outcome,
    upserted: u64,
    ids: Vec<Reply>,
    errors: Vec<Reply>,
}

impl Total {
    fn add(&mut self, position: usize, did: Result<Did, CommandError>) {
        let entry = |what: Bytes| Reply::Array(vec![Reply::count(position), Reply::Bulk(what)]);
        match did {
            Ok(Did::Inserted(id)) => {
                self.inserted += 1;
                self.ids.push(entry(id.into()));
            }
            Ok(Did::Wrote(outcome)) => {
                self.outcome.matched += outcome.matched;
                self.outcome.modified += outcome.modified;
                self.outcome.deleted += outcome.deleted;
                if let Some(id) = outcome.upserted {
                    self.upserted += 1;
                    self.ids.push(entry(id.into()));
                }
            }
            Err(error) => self.errors.push(entry(error.to_string().into())),
        }
    }

    fn reply(&mut self) -> Reply {
        let count = |name, n: u64| (Reply::constant(name), Reply::count(n));
        Reply::Map(vec![
            count("inserted", self.inserted),
            // A delete matches too, but "matched" speaks of updates, as in MongoDB.
            count("matched", self.outcome.matched - self.outcome.deleted),
            count("modified", self.outcome.modified),
            count("deleted", self.outcome.deleted),
            count("upserted", self.upserted),
            (Reply::constant("ids"), Reply::Array(std::mem::take(&mut self.ids))),
            (Reply::constant("errors"), Reply::Array(std::mem::take(&mut self.errors))),
        ])
    }
}

type Results = Vec<(usize, Result<Did, CommandError>)>;

struct Bulk {
    target: Arc<Target>,
    unordered: bool,
    operations: VecDeque<(usize, Result<Operation, CommandError>)>,
    /// The operation that is searching, and its position.
    searching: Option<(usize, Looking)>,
    /// What the last shared unit did.
    shared: Arc<OnceLock<Results>>,
    total: Total,
}

impl Phased for Bulk {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        let mut before = before;
        loop {
            if let Some((position, mut looking)) = self.searching.take() {
                match looking.step(context, before.take()) {
                    Ok(LookingStep::Commit(unit)) => {
                        self.searching = Some((position, looking));
                        return Ok(Step::Commit(unit));
                    }
                    Ok(LookingStep::Done(outcome)) => self.total.add(position, Ok(Did::Wrote(outcome))),
                    Err(error) if is_of_one_document(&error) => self.total.add(position, Err(error)),
                    Err(error) => return Err(error),
                }
            } else if let Some(before) = before.take() {
                before?;
                let shared = std::mem::take(&mut self.shared);
                let results = Arc::try_unwrap(shared).ok().and_then(OnceLock::into_inner);
                for (position, did) in results.unwrap_or_default() {
                    self.total.add(position, did);
                }
            }
            if !self.unordered && !self.total.errors.is_empty() {
                self.operations.clear();
            }
            match self.operations.pop_front() {
                None => return Ok(Step::Done(self.total.reply())),
                Some((position, Err(error))) => self.total.add(position, Err(error)),
                Some((position, Ok(Operation::Search(write)))) => {
                    let looking = Looking::new(Arc::new(write), |_| Reply::Null);
                    self.searching = Some((position, looking));
                }
                Some((position, Ok(direct))) => return Ok(Step::Commit(self.share(position, direct))),
            }
        }
    }
}

impl Bulk {
    /// One unit of this operation and of those after it that need no search.
    fn share(&mut self, position: usize, first: Operation) -> Unit {
        let mut group = vec![(position, first)];
        while group.len() < UNIT_OPERATIONS
            && let Some((_, Ok(Operation::Insert(_) | Operation::ByKeys(..)))) = self.operations.front()
            && let Some((position, Ok(operation))) = self.operations.pop_front()
        {
            group.push((position, operation));
        }
        self.shared = Arc::default();
        let (shared, target, unordered) = (self.shared.clone(), self.target.clone(), self.unordered);
        Box::new(move |tx| {
            let mut results = Results::with_capacity(group.len());
            for (position, operation) in group {
                let did = carry_out(tx, &target, operation);
                let ends = did.is_err() && !unordered;
                match did {
                    Err(error) if !is_of_one_document(&error) => return Err(error),
                    did => results.push((position, did)),
                }
                if ends {
                    break;
                }
            }
            // The unit runs once, so nobody filled it before.
            let _ = shared.set(results);
            Ok(Reply::Null)
        })
    }
}

fn carry_out(tx: &mut Transaction<'_>, target: &Target, operation: Operation) -> Result<Did, CommandError> {
    match operation {
        Operation::Insert(document) => {
            let collection = tx.collection_or_create(target.db, &target.collection)?;
            tx.insert(collection, &document.id, document.body)?;
            Ok(Did::Inserted(document.id))
        }
        Operation::ByKeys(write, keys) => write.by_keys(tx, &keys).map(Did::Wrote),
        Operation::Search(_) => Err(CommandError::new(ErrorCode::Err, "a search cannot share a unit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked_before_anything_is_written() {
        for (operation, what) in [
            ("5", "is no object"),
            ("{}", "needs exactly one member, an object"),
            (r#"{"insertOne":{"document":{}},"deleteOne":{"filter":{}}}"#, "needs exactly one member, an object"),
            (r#"{"insertTwo":{}}"#, "unknown operation insertTwo"),
            (r#"{"insertOne":{}}"#, "insertOne: needs document"),
            (r#"{"insertOne":{"document":5}}"#, "insertOne: document is no object"),
            (r#"{"updateOne":{"filter":{},"update":{},"multi":true}}"#, "updateOne: unknown member multi"),
            (r#"{"updateOne":{"filter":{},"update":{},"upsert":1}}"#, "updateOne: upsert is no boolean"),
        ] {
            let packed = parse_value(operation.as_bytes(), ParseLimits::default()).unwrap();
            assert_eq!(Shape::read(packed.get()).err().as_deref(), Some(what), "{operation}");
        }
    }
}
