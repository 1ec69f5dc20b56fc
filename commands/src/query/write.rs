//! Updates and deletes by filter.
//!
//! A filter that pins `_id` is one unit. Any other is looked for on a snapshot, beside the committer; then units of at
//! most [`UNIT_RECORDS`] records are committed, each of which reads its records again and asks the filter again before it
//! changes one. So nothing is changed that no longer matches, and no concurrent change is overwritten.
//!
//! ONE and UPSERT promise more: one match if there is any, an insert only if there is none. Where the data moved
//! between looking and committing they look again, and after [`TRIES_MAX`] times inside the unit, where nothing moves.

use std::sync::{Arc, OnceLock};

use veddb_storage::document::Filter;
use veddb_storage::{CollectionHandle, CollectionId, Error, RecordId, Transaction};

use super::bad_filter;
use super::exec::{Examined, Run, candidates, matching};
use super::plan::{Choice, Plan, Wanted};
use super::update::{Update, bad_update};
use crate::context::{Limits, Phased, Prepared, ReadContext, Step, Unit};
use crate::doc::new_id;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;

/// Records changed in one atomic unit of a longer write.
const UNIT_RECORDS: usize = 1000;

/// A unit of a longer write ends when it has done this much, bytes.
const UNIT_BYTES: usize = 32 << 20;

/// How often a write looks again before it looks inside its unit.
pub(super) const TRIES_MAX: u8 = 3;

/// A write by filter.
#[derive(Debug)]
pub struct FilteredWrite {
    /// The database.
    pub db: u8,
    /// The collection's name.
    pub collection: String,
    /// Which documents.
    pub filter: Filter,
    /// What happens to them.
    pub change: Change,
    /// Only the first match.
    pub one: bool,
    /// Insert when there is none.
    pub upsert: bool,
    /// The version that a match must have.
    pub if_version: Option<u64>,
    /// The language's bounds.
    pub limits: Limits,
}

/// What happens to matching documents.
#[derive(Debug)]
pub enum Change {
    /// They are updated.
    Update(Update),
    /// They are deleted.
    Delete,
}

/// What a write by filter did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Documents that matched.
    pub matched: u64,
    /// Of those, documents that are different now.
    pub modified: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// The id of the document that an upsert inserted.
    pub upserted: Option<Vec<u8>>,
}

/// Makes the command's reply of the outcome.
pub type Finish = fn(&Outcome) -> Reply;

impl FilteredWrite {
    /// Checks what only the whole write can check.
    pub fn check(&self) -> Result<(), CommandError> {
        if let Change::Update(update) = &self.change
            && update.is_replacement()
            && !self.one
        {
            return Err(bad_update("a replacement document needs ONE"));
        }
        let pinned = self.filter.id_keys().is_some();
        if self.if_version.is_some() && !self.one && !pinned {
            return Err(CommandError::err("IFVER needs ONE or a filter on one _id"));
        }
        Ok(())
    }

    /// The write as the committer takes it.
    pub fn prepare(self, finish: Finish) -> Prepared {
        match self.filter.id_keys() {
            Some(keys) => Prepared::Unit(Box::new(move |tx| self.by_keys(tx, &keys).map(|o| finish(&o)))),
            None => Prepared::Phased(Box::new(Looking::new(Arc::new(self), finish))),
        }
    }

    /// The whole write inside one unit, through the `_id` index.
    pub fn by_keys(&self, tx: &mut Transaction<'_>, keys: &[Vec<u8>]) -> Result<Outcome, CommandError> {
        let mut outcome = Outcome::default();
        if let Some(collection) = tx.collection(self.db, &self.collection) {
            let mut records = Vec::with_capacity(keys.len());
            for key in keys {
                records.extend(tx.find_id(collection, key)?);
            }
            records.sort_unstable();
            self.touch_all(tx, collection, &records, &mut outcome)?;
        }
        if outcome.matched == 0 && self.upsert {
            self.insert(tx, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// The whole write inside one unit, looking for its documents there.
    fn by_search(&self, tx: &mut Transaction<'_>) -> Result<Outcome, CommandError> {
        let mut outcome = Outcome::default();
        if let Some(collection) = tx.collection(self.db, &self.collection) {
            let records = self.search(tx, collection)?;
            self.touch_all(tx, collection, &records, &mut outcome)?;
        }
        if outcome.matched == 0 && self.upsert {
            self.insert(tx, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Records that may match, in natural order, as this unit sees them.
    pub(super) fn search(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
    ) -> Result<Vec<RecordId>, CommandError> {
        if let Some(handle) = tx.handle(collection) {
            let plan = Choice::new(tx.trees(), &handle, &self.filter, &Wanted::ALL)?.plan;
            match &plan {
                Plan::Index(plan) => return candidates(tx.trees(), &handle, std::slice::from_ref(plan), &[]),
                Plan::Union(union) => return candidates(tx.trees(), &handle, &union.indexes, &union.ids),
                Plan::IdLookup(_) | Plan::Scan => {}
            }
        }
        Ok(tx.record_ids(collection)?)
    }

    /// The plan of the reading part.
    pub fn choose(&self, context: &ReadContext<'_>, collection: &CollectionHandle) -> Result<Choice, CommandError> {
        let first = if self.one { 1 } else { usize::MAX };
        Choice::new(context.view.trees(), collection, &self.filter, &Wanted { first, ..Wanted::ALL })
    }

    /// The records that match on a snapshot, in natural order; only the first for ONE.
    pub fn look(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
        plan: &Plan,
        examined: &mut Examined,
    ) -> Result<Vec<RecordId>, CommandError> {
        let mut records = Vec::new();
        let first = if self.one { 1 } else { usize::MAX };
        let run = Run { filter: &self.filter, plan, first, covered: false, max_time_ms: None };
        matching(context, collection, run, examined, &mut |record, _| {
            records.push(record);
            !self.one
        })?;
        Ok(records)
    }

    fn touch_all(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        records: &[RecordId],
        outcome: &mut Outcome,
    ) -> Result<(), CommandError> {
        for record in records {
            self.touch(tx, collection, *record, outcome)?;
            if self.one && outcome.matched > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Changes one record if, as it is now, it matches.
    fn touch(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        record: RecordId,
        outcome: &mut Outcome,
    ) -> Result<(), CommandError> {
        let Some(document) = tx.record(collection, record)? else { return Ok(()) };
        if !self.filter.test(document.root(), tx.now_ms()).map_err(bad_filter)? {
            return Ok(());
        }
        if let Some(expected) = self.if_version
            && expected != document.version
        {
            return Err(Error::VersionConflict { current: document.version, expected }.into());
        }
        outcome.matched += 1;
        match &self.change {
            Change::Delete => {
                tx.delete(collection, record, &document)?;
                outcome.deleted += 1;
            }
            Change::Update(update) => {
                if let Some(body) = update.apply(document.root(), &self.filter, &self.limits)? {
                    tx.replace(collection, record, &document, body)?;
                    outcome.modified += 1;
                }
            }
        }
        Ok(())
    }

    /// The insert of an upsert that matched nothing; the new document's record.
    pub(super) fn insert(
        &self,
        tx: &mut Transaction<'_>,
        outcome: &mut Outcome,
    ) -> Result<Option<(CollectionId, RecordId)>, CommandError> {
        if let Some(expected) = self.if_version.filter(|v| *v != 0) {
            return Err(Error::VersionConflict { current: 0, expected }.into());
        }
        let Change::Update(update) = &self.change else { return Ok(None) };
        let parsed = update.upsert(&self.filter, &new_id, &self.limits)?;
        let collection = tx.collection_or_create(self.db, &self.collection)?;
        let record = tx.insert(collection, &parsed.id, parsed.body)?;
        outcome.upserted = Some(parsed.id);
        Ok(Some((collection, record)))
    }
}

/// What one unit of a [`Looking`] found.
#[derive(Debug)]
enum Found {
    /// It did this much.
    Done(Outcome),
    /// It did this much, and ended before these records, last first.
    Part(Outcome, Vec<RecordId>),
    /// The data moved under it; it did nothing.
    Moved,
}

/// What a [`Looking`] wants next.
pub enum LookingStep {
    /// Commit this unit.
    Commit(Unit),
    /// It did this.
    Done(Outcome),
}

/// A write that looks on a snapshot first.
pub struct Looking {
    write: Arc<FilteredWrite>,
    finish: Finish,
    /// Records still to be touched, last first.
    records: Vec<RecordId>,
    total: Outcome,
    tries: u8,
    started: bool,
    /// Filled by the unit that was asked for last.
    last: Arc<OnceLock<Found>>,
}

impl Looking {
    /// A write that has not looked yet.
    pub fn new(write: Arc<FilteredWrite>, finish: Finish) -> Looking {
        Looking {
            write,
            finish,
            records: Vec::new(),
            total: Outcome::default(),
            tries: 0,
            started: false,
            last: Arc::default(),
        }
    }

    /// Asks for a unit, whose finding the next call reads.
    fn commit(
        &mut self,
        unit: impl FnOnce(&FilteredWrite, &mut Transaction<'_>) -> Result<Found, CommandError> + Send + 'static,
    ) -> LookingStep {
        self.last = Arc::default();
        let (last, write) = (self.last.clone(), self.write.clone());
        let unit: Unit = Box::new(move |tx| {
            let found = unit(&write, tx)?;
            // The unit runs once, so nobody filled it before.
            let _ = last.set(found);
            Ok(Reply::Null)
        });
        LookingStep::Commit(unit)
    }

    /// Looks on the snapshot, and asks for the first unit of what it found.
    fn look(&mut self, context: &ReadContext<'_>) -> Result<LookingStep, CommandError> {
        self.started = true;
        if self.tries >= TRIES_MAX {
            return Ok(self.commit(|write, tx| write.by_search(tx).map(Found::Done)));
        }
        self.tries += 1;
        let write = self.write.clone();
        let collection = context.view.collection(write.db, &write.collection);
        let mut records = Vec::new();
        if let Some(collection) = &collection {
            let plan = write.choose(context, collection)?.plan;
            plan.note_use(context.now_ms);
            records = write.look(context, collection, &plan, &mut Examined::default())?;
        }
        if records.is_empty() {
            if !write.upsert {
                return Ok(LookingStep::Done(std::mem::take(&mut self.total)));
            }
            let seen_lsn = collection.map_or(0, |c| c.changed_lsn());
            return Ok(self.commit(move |write, tx| {
                let now = tx.collection(write.db, &write.collection);
                if now.map_or(0, |c| tx.changed_lsn(c)) != seen_lsn {
                    return Ok(Found::Moved);
                }
                let mut outcome = Outcome::default();
                write.insert(tx, &mut outcome)?;
                Ok(Found::Done(outcome))
            }));
        }
        records.reverse();
        self.records = records;
        Ok(self.next_unit())
    }

    /// Asks for the next unit of the records that were found.
    fn next_unit(&mut self) -> LookingStep {
        let rest = self.records.len().saturating_sub(UNIT_RECORDS);
        let mut records = self.records.split_off(rest);
        records.reverse();
        self.commit(move |write, tx| {
            let mut outcome = Outcome::default();
            if let Some(collection) = tx.collection(write.db, &write.collection) {
                for (at, record) in records.iter().enumerate() {
                    if tx.bytes() > UNIT_BYTES {
                        return Ok(Found::Part(outcome, records.iter().skip(at).rev().copied().collect()));
                    }
                    write.touch(tx, collection, *record, &mut outcome)?;
                    if write.one && outcome.matched > 0 {
                        break;
                    }
                }
            }
            Ok(if outcome.matched == 0 { Found::Moved } else { Found::Done(outcome) })
        })
    }

    /// The next unit, or what all of them did.
    pub fn step(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<LookingStep, CommandError> {
        if let Some(before) = before {
            before?;
        }
        if !self.started {
            return self.look(context);
        }
        if let Some(Found::Part(_, rest)) = self.last.get() {
            self.records.extend(rest);
        }
        let moved = match self.last.get() {
            Some(Found::Done(did) | Found::Part(did, _)) => {
                self.total.matched += did.matched;
                self.total.modified += did.modified;
                self.total.deleted += did.deleted;
                self.total.upserted = did.upserted.clone().or(self.total.upserted.take());
                false
            }
            Some(Found::Moved) => true,
            None => return Err(CommandError::new(ErrorCode::Err, "a unit was answered without being run")),
        };
        if !self.records.is_empty() {
            return Ok(self.next_unit());
        }
        let nothing = self.total.matched == 0 && self.total.upserted.is_none();
        if moved && nothing && (self.write.one || self.write.upsert) {
            return self.look(context);
        }
        Ok(LookingStep::Done(std::mem::take(&mut self.total)))
    }
}

impl Phased for Looking {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        Ok(match self.step(context, before)? {
            LookingStep::Commit(unit) => Step::Commit(unit),
            LookingStep::Done(outcome) => Step::Done((self.finish)(&outcome)),
        })
    }
}
