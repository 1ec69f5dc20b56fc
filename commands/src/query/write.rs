//! Updates and deletes by filter.
//!
//! A filter that pins `_id` is one unit. Any other is looked for on a snapshot, beside the committer; then units of at
//! most [`UNIT_RECORDS`] records are committed. What becomes of a record is worked out before its unit too, and the unit
//! takes that if the record's version is still the one it was worked out from; else it asks the filter again and
//! works it out anew. So nothing is changed that no longer matches, and no concurrent change is overwritten. Expressions are
//! worked out before the unit also where `_id` is pinned.
//!
//! ONE and UPSERT promise more: one match if there is any, an insert only if there is none. Where the data moved
//! between looking and committing they look again, and after [`TRIES_MAX`] times inside the unit, where nothing moves.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use veddb_storage::document::Filter;
use veddb_storage::document::expression::Work;
use veddb_storage::document::json::ParsedDocument;
use veddb_storage::{CollectionHandle, CollectionId, RecordId, Transaction};

use super::draft::{Draft, Drafted, Verdict, overtaken, work_of_unit};
use super::exec::{Examined, Run, candidates, matching};
use super::plan::{Choice, Plan, Wanted};
use super::update::{Update, bad_update};
use crate::context::{Limits, Phased, Prepared, ReadContext, Step, Unit};
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
        match self.unit_keys() {
            Some(keys) => Prepared::Unit(Box::new(move |tx| self.by_keys(tx, &keys).map(|o| finish(&o)))),
            None => Prepared::Phased(Box::new(Looking::new(Arc::new(self), finish))),
        }
    }

    /// The keys of its documents, where it pins them and a unit needs no more to be quick.
    pub fn unit_keys(&self) -> Option<Vec<Vec<u8>>> {
        self.filter.id_keys().filter(|_| !self.computes())
    }

    /// The whole write inside one unit, through the `_id` index; for [`FilteredWrite::unit_keys`].
    pub fn by_keys(&self, tx: &mut Transaction<'_>, keys: &[Vec<u8>]) -> Result<Outcome, CommandError> {
        let records = self.find_keys(tx, keys)?.into_iter().map(|record| (record, None)).collect();
        self.touch_or_insert(tx, records, None, &work_of_unit(&self.limits))
    }

    /// The records of these keys, as this unit sees them, in natural order.
    pub(super) fn find_keys(&self, tx: &mut Transaction<'_>, keys: &[Vec<u8>]) -> Result<Vec<RecordId>, CommandError> {
        let Some(collection) = tx.collection(self.db, &self.collection) else { return Ok(Vec::new()) };
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.extend(tx.find_id(collection, key)?);
        }
        records.sort_unstable();
        Ok(records)
    }

    /// Records that may match, in natural order, as this unit sees them.
    pub(super) fn search(&self, tx: &mut Transaction<'_>) -> Result<Vec<RecordId>, CommandError> {
        let Some(collection) = tx.collection(self.db, &self.collection) else { return Ok(Vec::new()) };
        if let Some(handle) = tx.handle(collection) {
            let plan = Choice::new(tx.trees(), &handle, &self.filter, &Wanted::ALL)?.plan;
            match &plan {
                Plan::Index(plan) => return candidates(tx.trees(), &handle, std::slice::from_ref(plan), &[]),
                Plan::Union(union) => return candidates(tx.trees(), &handle, &union.indexes, &union.ids),
                Plan::IdLookup(keys) => return self.find_keys(tx, keys),
                Plan::Scan => {}
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

    /// Changes the records that match, and inserts where none does and that is asked for: `document`, if it is made.
    fn touch_or_insert(
        &self,
        tx: &mut Transaction<'_>,
        records: VecDeque<Drafted>,
        document: Option<ParsedDocument>,
        work: &Work,
    ) -> Result<Outcome, CommandError> {
        let outcome = self.touch_all(tx, records, work)?;
        if outcome.matched > 0 {
            return Ok(outcome);
        }
        match document.map_or_else(|| self.new_document(work), |document| Ok(Some(document)))? {
            Some(document) => self.insert(tx, document),
            None => Ok(outcome),
        }
    }

    /// Changes the records that match, or the first of them for ONE.
    fn touch_all(
        &self,
        tx: &mut Transaction<'_>,
        records: VecDeque<Drafted>,
        work: &Work,
    ) -> Result<Outcome, CommandError> {
        let mut outcome = Outcome::default();
        let Some(collection) = tx.collection(self.db, &self.collection) else { return Ok(outcome) };
        for (record, draft) in records {
            self.touch(tx, collection, record, draft, &mut outcome, work)?;
            if self.one && outcome.matched > 0 {
                break;
            }
        }
        Ok(outcome)
    }

    /// Changes one record if, as it is now, it matches.
    fn touch(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        record: RecordId,
        draft: Option<Draft<Verdict>>,
        outcome: &mut Outcome,
        work: &Work,
    ) -> Result<(), CommandError> {
        let Some(document) = tx.record(collection, record)? else { return Ok(()) };
        let verdict = match draft.and_then(|draft| draft.of(collection, &document)) {
            Some(verdict) => verdict,
            None => self.decide(&document, tx.now_ms(), work)?,
        };
        match verdict {
            Verdict::Passed => return Ok(()),
            Verdict::Keep => {}
            Verdict::Delete => {
                tx.delete(collection, record, &document)?;
                outcome.deleted += 1;
            }
            Verdict::Update(body) => {
                tx.update(collection, record, &document, body)?;
                outcome.modified += 1;
            }
            Verdict::Replace(body) => {
                tx.replace(collection, record, &document, body)?;
                outcome.modified += 1;
            }
        }
        outcome.matched += 1;
        Ok(())
    }

    /// The insert of an upsert that matched nothing.
    pub(super) fn insert(&self, tx: &mut Transaction<'_>, document: ParsedDocument) -> Result<Outcome, CommandError> {
        let collection = tx.collection_or_create(self.db, &self.collection)?;
        tx.insert(collection, &document.id, document.body)?;
        Ok(Outcome { upserted: Some(document.id), ..Outcome::default() })
    }
}

/// What one unit of a [`Looking`] found.
#[derive(Debug)]
enum Found {
    /// It did this much.
    Done(Outcome),
    /// It did this much, and ended before these records, last first.
    Part(Outcome, Vec<RecordId>),
    /// It did nothing: already the first of these records had changed and was too much to work out there.
    Stuck(Vec<RecordId>),
    /// The same of one that must do all or nothing.
    Overtaken,
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
    /// How often it looked, or how many units in a row came to nothing.
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
        unit: impl FnOnce(&FilteredWrite, &mut Transaction<'_>, &Work) -> Result<Found, CommandError> + Send + 'static,
    ) -> LookingStep {
        self.last = Arc::default();
        let (last, write) = (self.last.clone(), self.write.clone());
        let unit: Unit = Box::new(move |tx| {
            let work = work_of_unit(&write.limits);
            let found = match unit(&write, tx, &work) {
                Err(_) if work.is_exceeded() => {
                    let _ = last.set(Found::Overtaken);
                    return Err(overtaken(&write.limits));
                }
                found => found?,
            };
            // The unit runs once, so nobody filled it before.
            let _ = last.set(found);
            Ok(Reply::Null)
        });
        LookingStep::Commit(unit)
    }

    /// Looks on the snapshot, and asks for the first unit of what it found.
    fn look(&mut self, context: &ReadContext<'_>) -> Result<LookingStep, CommandError> {
        self.started = true;
        let write = self.write.clone();
        if let Some(keys) = write.filter.id_keys() {
            return self.look_up(context, keys);
        }
        if self.tries >= TRIES_MAX {
            let document = write.new_document(&Work::default()).unwrap_or_default();
            return Ok(self.commit(|write, tx, work| {
                let records = write.search(tx)?.into_iter().map(|record| (record, None)).collect();
                write.touch_or_insert(tx, records, document, work).map(Found::Done)
            }));
        }
        self.tries += 1;
        let collection = context.view.collection(write.db, &write.collection);
        let mut records = Vec::new();
        if let Some(collection) = &collection {
            let plan = write.choose(context, collection)?.plan;
            plan.note_use(context.now_ms);
            records = write.look(context, collection, &plan, &mut Examined::default())?;
        }
        if records.is_empty() {
            let Some(document) = write.new_document(&Work::default())? else {
                return Ok(LookingStep::Done(std::mem::take(&mut self.total)));
            };
            let seen_lsn = collection.map_or(0, |c| c.changed_lsn());
            return Ok(self.commit(move |write, tx, _| {
                let now = tx.collection(write.db, &write.collection);
                if now.map_or(0, |c| tx.changed_lsn(c)) != seen_lsn {
                    return Ok(Found::Moved);
                }
                write.insert(tx, document).map(Found::Done)
            }));
        }
        records.reverse();
        self.records = records;
        self.next_unit(context)
    }

    /// A write that pins `_id`, all in one unit: its documents are known, so that it need not look for others.
    fn look_up(&mut self, context: &ReadContext<'_>, keys: Vec<Vec<u8>>) -> Result<LookingStep, CommandError> {
        self.tries += 1;
        let (mut drafts, mut document) = (HashMap::new(), None);
        if let Some(collection) = context.view.collection(self.write.db, &self.write.collection) {
            let mut records = Vec::with_capacity(keys.len());
            for key in &keys {
                records.extend(context.view.find_id(&collection, key)?);
            }
            records.sort_unstable_by(|a, b| b.cmp(a));
            drafts.extend(self.write.draft(context, &collection, &mut records, usize::MAX)?);
        }
        if drafts.values().flatten().all(|draft| matches!(draft.made(), Verdict::Passed)) {
            document = self.write.new_document(&Work::default())?;
        }
        Ok(self.commit(move |write, tx, work| {
            let found = write.find_keys(tx, &keys)?;
            let records = found.into_iter().map(|record| (record, drafts.remove(&record).flatten())).collect();
            write.touch_or_insert(tx, records, document, work).map(Found::Done)
        }))
    }

    /// Asks for the next unit of the records that were found.
    fn next_unit(&mut self, context: &ReadContext<'_>) -> Result<LookingStep, CommandError> {
        let write = self.write.clone();
        let mut records = std::mem::take(&mut self.records);
        let mut drafts = match context.view.collection(write.db, &write.collection) {
            Some(collection) => write.draft(context, &collection, &mut records, UNIT_RECORDS)?,
            None => VecDeque::new(),
        };
        if !drafts.is_empty() {
            self.records = records;
        }
        let count = drafts.len();
        Ok(self.commit(move |write, tx, work| {
            let mut outcome = Outcome::default();
            let Some(collection) = tx.collection(write.db, &write.collection) else { return Ok(Found::Moved) };
            while let Some((record, draft)) = drafts.pop_front() {
                if tx.bytes() <= UNIT_BYTES {
                    match write.touch(tx, collection, record, draft, &mut outcome, work) {
                        // What cannot be worked out here any more the next unit has drafts of.
                        Err(_) if work.is_exceeded() => {}
                        touched => {
                            touched?;
                            if write.one && outcome.matched > 0 {
                                break;
                            }
                            continue;
                        }
                    }
                }
                drafts.push_front((record, None));
                let stuck = drafts.len() == count;
                let rest = drafts.into_iter().rev().map(|(record, _)| record).collect();
                return Ok(if stuck { Found::Stuck(rest) } else { Found::Part(outcome, rest) });
            }
            Ok(if outcome.matched == 0 { Found::Moved } else { Found::Done(outcome) })
        }))
    }

    fn add(&mut self, did: Outcome) {
        self.total.matched += did.matched;
        self.total.modified += did.modified;
        self.total.deleted += did.deleted;
        self.total.upserted = did.upserted.or(self.total.upserted.take());
    }

    /// The next unit, or what all of them did.
    pub fn step(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<LookingStep, CommandError> {
        if !self.started {
            return self.look(context);
        }
        let refused = before.and_then(Result::err);
        // The unit that filled it is gone.
        let found = Arc::get_mut(&mut self.last).and_then(OnceLock::take);
        let mut moved = false;
        match (refused, found) {
            (Some(_), Some(Found::Overtaken)) if self.tries < TRIES_MAX => return self.look(context),
            (Some(error), _) => return Err(error),
            (None, Some(Found::Done(did))) => self.add(did),
            (None, Some(Found::Part(did, rest))) => {
                self.add(did);
                self.records.extend(rest);
            }
            (None, Some(Found::Stuck(rest))) if self.tries < TRIES_MAX => {
                self.tries += 1;
                self.records.extend(rest);
            }
            (None, Some(Found::Stuck(_) | Found::Overtaken)) => return Err(overtaken(&self.write.limits)),
            (None, Some(Found::Moved)) => moved = true,
            (None, None) => return Err(CommandError::new(ErrorCode::Err, "a unit was answered without being run")),
        }
        if !self.records.is_empty() {
            return self.next_unit(context);
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
