//! `$merge`: the rows are merged into a collection, batch by batch.
//!
//! A row and a document are the same if they are equal in the fields of `on`, on which the collection has a unique index.
//! Each batch is one unit, which ends before the first row that cannot be written, and which looks for its documents itself,
//! so no concurrent change is overwritten.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use veddb_storage::document::bounds::Bounds;
use veddb_storage::document::expression::{Expression, Work};
use veddb_storage::document::id::id_candidates;
use veddb_storage::document::path::{Meets, Path};
use veddb_storage::document::{RawObject, Value, ValueRef, codec, order};
use veddb_storage::{CollectionHandle, CollectionId, Document, Index, RecordId, Transaction};

use super::{Collection, Reading, document, with_id};
use crate::context::{Limits, Phased, ReadContext, Step};
use crate::doc::is_of_one_document;
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::{Failure, Row, Running, bad};
use crate::query::project::Sight;
use crate::query::update::{Pipeline, replaced};
use crate::reply::Reply;

/// `$merge`
#[derive(Debug)]
pub struct Merge {
    /// The collection.
    pub into: Collection,
    /// The fields in which a row and a document are equal that are the same.
    pub on: Vec<String>,
    /// Those of the pipeline, beside `new`.
    pub variables: Vec<Variable>,
    /// What happens to a document that is there.
    pub matched: Matched,
    /// What happens to a row of which there is none.
    pub not_matched: NotMatched,
}

/// A variable of the pipeline.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What makes its value of a row.
    pub expression: Expression,
    /// The pipeline mentions it, so it has to have one.
    pub needed: bool,
}

/// What happens to a document that is there.
#[derive(Debug)]
pub enum Matched {
    /// The row takes its place.
    Replace,
    /// It stays as it is.
    KeepExisting,
    /// The row's members are set in it.
    Merge,
    /// The pipeline ends.
    Fail,
    /// It becomes what this makes of it.
    Pipeline(Pipeline),
    /// A pipeline that cannot be, and why: an error for the first row.
    Wrong(String),
}

/// What happens to a row of which there is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMatched {
    /// It is inserted.
    Insert,
    /// Nothing.
    Discard,
    /// The pipeline ends.
    Fail,
}

/// A row, ready to be written.
struct Given {
    row: Row,
    /// Its values in the fields of `on`, in their order.
    on: Vec<Value>,
    variables: Vec<Option<Value>>,
}

/// A `$merge` on its way.
pub(super) struct Merging {
    reading: Reading,
    merge: Arc<Merge>,
    /// Why the last batch ended early.
    fault: Arc<OnceLock<CommandError>>,
    /// What is left of it, for which there was no more work in one unit.
    left: Arc<Mutex<Vec<Given>>>,
}

impl Merging {
    pub(super) fn new(reading: Reading, merge: Arc<Merge>) -> Merging {
        Merging { reading, merge, fault: Arc::default(), left: Arc::default() }
    }
}

impl Phased for Merging {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        if let Some(before) = before {
            before?;
        }
        if let Some(fault) = self.fault.get() {
            return Err(fault.clone());
        }
        let target = context.view.collection(context.db, &self.merge.into.name);
        let mut sparse = false;
        if !self.merge.is_by_id() {
            let index = target.as_ref().and_then(|target| self.merge.index(target));
            let refused = || bad(format!("{}: {}", self.reading.place, self.merge.refusal()));
            sparse = index.ok_or_else(refused)?.spec().definition.sparse;
        }
        let merge = Arc::clone(&self.merge);
        let mut rows = std::mem::take(&mut *self.left.lock());
        if rows.is_empty() {
            rows = self.reading.batch(context, |row, running| merge.given(row, sparse, running))?;
        }
        if rows.is_empty() {
            return Ok(self.reading.done());
        }
        let (db, limits, place) = (context.db, *context.limits, self.reading.place.clone());
        self.fault = Arc::default();
        let (fault, left) = (Arc::clone(&self.fault), Arc::clone(&self.left));
        Ok(Step::Commit(Box::new(move |tx| {
            let work = Work::new(limits.max_commit_work);
            let mut rows = rows.into_iter().enumerate();
            while let Some((at, given)) = rows.next() {
                match merge.write(tx, db, &given, &limits, &place, &work) {
                    // Others get their turn before the rest is written.
                    Err(_) if work.is_exceeded() && at > 0 => {
                        *left.lock() = std::iter::once(given).chain(rows.map(|(_, given)| given)).collect();
                        break;
                    }
                    // What was written stays, as in MongoDB; where rows only are inserted the others are as well.
                    Err(error) if is_of_one_document(&error) || error.code == ErrorCode::BadPipeline => {
                        let _ = fault.set(error);
                        if !matches!(merge.matched, Matched::Fail) {
                            break;
                        }
                    }
                    other => other?,
                }
            }
            Ok(Reply::OK)
        })))
    }
}

impl Merge {
    fn is_by_id(&self) -> bool {
        matches!(self.on.as_slice(), [only] if only == "_id")
    }

    /// The unique index on just these fields.
    fn index<'c>(&self, target: &'c CollectionHandle) -> Option<&'c Index> {
        let serves = |index: &&Index| {
            let spec = index.spec();
            let same =
                spec.fields.len() == self.on.len() && spec.fields.iter().all(|field| self.on.contains(&field.text));
            same && spec.definition.unique && spec.partial.is_none() && index.is_ready()
        };
        // A null is in one that is not sparse.
        target.indexes().iter().filter(serves).min_by_key(|index| index.spec().definition.sparse)
    }

    fn refusal(&self) -> String {
        format!("on: {} has no unique index on {}", self.into.name, self.on.join(", "))
    }

    /// The row with what its document is looked for by.
    fn given(&self, row: Row, sparse: bool, running: &Running<'_>) -> Result<Given, Failure> {
        let row = if self.on.iter().any(|field| field == "_id") { with_id(row) } else { row };
        let mut on = Vec::with_capacity(self.on.len());
        for field in &self.on {
            on.push(match Path::new(field).direct(row.root()) {
                Meets::Array => return Err(format!("on: {field} is an array, or leads through one").into()),
                Meets::Value(value) if !matches!(value, ValueRef::Null) => value.to_value(),
                _ if sparse || field == "_id" => return Err(format!("on: {field} is missing or null").into()),
                _ => Value::Null,
            });
        }
        if let Matched::Wrong(what) = &self.matched {
            return Err(what.clone().into());
        }
        let mut variables = Vec::new();
        if let Matched::Pipeline(_) = self.matched {
            for variable in &self.variables {
                let value = variable.expression.evaluate(&running.scope(row.root()))?;
                if value.is_none() && variable.needed {
                    return Err(format!("use of undefined variable {}: let gives it no value", variable.name).into());
                }
                variables.push(value);
            }
            variables.push(Some(Value::Object(row.root().to_object())));
        }
        Ok(Given { row, on, variables })
    }

    /// Writes one row, inside a unit.
    fn write(
        &self,
        tx: &mut Transaction<'_>,
        db: u8,
        given: &Given,
        limits: &Limits,
        place: &str,
        work: &Work,
    ) -> Result<(), CommandError> {
        let collection = tx.collection(db, &self.into.name);
        let found = match collection {
            Some(collection) => self.find(tx, collection, given, place)?.map(|found| (collection, found)),
            None => None,
        };
        let Some((collection, (record, before))) = found else {
            return match self.not_matched {
                NotMatched::Discard => Ok(()),
                NotMatched::Fail => {
                    Err(bad(format!("{place}: whenNotMatched: a row has no document in {}", self.into.name)))
                }
                NotMatched::Insert => {
                    let parsed = document(given.row.root(), limits)?;
                    let collection = tx.collection_or_create(db, &self.into.name)?;
                    tx.insert(collection, &parsed.id, parsed.body)?;
                    Ok(())
                }
            };
        };
        let old = before.root().to_object();
        let new = match &self.matched {
            Matched::KeepExisting | Matched::Wrong(_) => return Ok(()),
            Matched::Fail => {
                let message = format!("{place}: whenMatched: a row has a document in {}", self.into.name);
                return Err(CommandError::new(ErrorCode::DupKey, message));
            }
            Matched::Replace => given.row.root().to_object(),
            Matched::Merge => {
                let mut new = old.clone();
                for (name, value) in given.row.root().to_object().0 {
                    new.set(&name, value);
                }
                new
            }
            Matched::Pipeline(changes) => {
                let variables = &given.variables;
                let sight = Sight { filter: None, now_ms: tx.now_ms(), variables, watch: None };
                let made = changes.apply(before.root(), limits, sight, work);
                made.map_err(|error| CommandError::new(error.code, format!("{place}: whenMatched: {}", error.message)))?
            }
        };
        let body = replaced(&old, new, limits)?;
        if *body != *before.body {
            match self.matched {
                Matched::Replace => tx.replace(collection, record, &before, body)?,
                _ => tx.update(collection, record, &before, body)?,
            };
        }
        Ok(())
    }

    /// The document that is the same as a row.
    fn find(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        given: &Given,
        place: &str,
    ) -> Result<Option<(RecordId, Arc<Document>)>, CommandError> {
        let mut records = Vec::new();
        if self.is_by_id() {
            for id in given.on.iter().flat_map(|id| id_candidates(codec::pack_value(id).get())) {
                records.extend(tx.find_id(collection, &id)?);
            }
        } else {
            let handle = tx.handle(collection);
            let index = handle.as_ref().and_then(|handle| self.index(handle));
            let index = index.ok_or_else(|| bad(format!("{place}: {}", self.refusal())))?;
            let value = |text: &str| self.on.iter().zip(&given.on).find(|(on, _)| *on == text).map(|(_, value)| value);
            let fields = index.spec().fields.iter();
            let bounds: Vec<Bounds> = fields
                .map(|field| Bounds::equal(codec::pack_value(value(&field.text).unwrap_or(&Value::Null)).get()))
                .collect();
            for range in index.spec().key_ranges(&bounds).0 {
                let mut walk = tx.trees().walk(index, &range, false)?;
                while let Some(entry) = walk.entry() {
                    records.push(entry.record);
                    walk.advance()?;
                }
            }
        }
        for record in records {
            if let Some(document) = tx.record(collection, record)?
                && self.is_same(document.root(), &given.on)
            {
                return Ok(Some((record, document)));
            }
        }
        Ok(None)
    }

    fn is_same(&self, document: RawObject<'_>, values: &[Value]) -> bool {
        self.on.iter().zip(values).all(|(field, value)| {
            let packed = codec::pack_value(value);
            match Path::new(field).direct(document) {
                Meets::Value(found) => order::compare(found, packed.get()).is_eq(),
                Meets::Nothing => matches!(value, Value::Null),
                Meets::Array => false,
            }
        })
    }
}
