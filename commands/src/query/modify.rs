//! One document found, changed and shown: what DOC.FINDANDMODIFY does.
//!
//! A filter that pins `_id` is one unit. Any other is looked for on a snapshot, beside the committer, where SORT says which
//! match is the first; then one unit reads that document again and changes it if it still matches. With SORT it must
//! be the version that was seen, for its place in the order may have changed. Where the data moved it is looked for again, and
//! after [`TRIES_MAX`] times inside the unit, where nothing moves. What is shown is made inside the unit too: if it cannot
//! be shown, nothing is changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use veddb_storage::document::RawObject;
use veddb_storage::document::json::render_object;
use veddb_storage::{CollectionHandle, CollectionId, Document, RecordId, Transaction};

use super::bad_filter;
use super::exec::{Examined, Found, Run, matching};
use super::plan::{Choice, Wanted};
use super::project::{Project, Sight};
use super::sort::{Sort, Top};
use super::write::{Change, FilteredWrite, Outcome, TRIES_MAX};
use crate::context::{Phased, Prepared, ReadContext, Step, Unit};
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;

/// A change of the first match, and what is answered of it.
#[derive(Debug)]
pub struct FindAndModify {
    /// The write; of one document.
    pub write: FilteredWrite,
    /// Which match is the first; none for natural order.
    pub sort: Option<Sort>,
    /// What is shown of the document; none for all.
    pub project: Option<Project>,
    /// The document after the change is shown, not the one before.
    pub new: bool,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
}

impl FindAndModify {
    /// The write as the committer takes it.
    pub fn prepare(self) -> Prepared {
        match self.write.filter.id_keys() {
            Some(keys) => Prepared::Unit(Box::new(move |tx| self.by_keys(tx, &keys))),
            None => Prepared::Phased(Box::new(Looking {
                modify: Arc::new(self),
                tries: 0,
                moved: Arc::new(AtomicBool::new(true)),
            })),
        }
    }

    fn by_keys(&self, tx: &mut Transaction<'_>, keys: &[Vec<u8>]) -> Result<Reply, CommandError> {
        let Some(collection) = tx.collection(self.write.db, &self.write.collection) else {
            return self.nothing(tx);
        };
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.extend(tx.find_id(collection, key)?);
        }
        records.sort_unstable();
        self.first_of(tx, collection, &records)
    }

    fn by_search(&self, tx: &mut Transaction<'_>) -> Result<Reply, CommandError> {
        let Some(collection) = tx.collection(self.write.db, &self.write.collection) else {
            return self.nothing(tx);
        };
        let records = self.write.search(tx, collection)?;
        self.first_of(tx, collection, &records)
    }

    /// Changes the first of these records, in natural order, that matches.
    fn first_of(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        records: &[RecordId],
    ) -> Result<Reply, CommandError> {
        let mut best = None;
        for record in records {
            let Some(document) = tx.record(collection, *record)? else { continue };
            if !self.write.filter.test(document.root(), tx.now_ms()).map_err(bad_filter)? {
                continue;
            }
            let Some(sort) = &self.sort else { return self.change(tx, collection, *record, &document) };
            let key = sort.key(document.root())?;
            if best.as_ref().is_none_or(|(least, _, _)| sort.compare(&key, least).is_lt()) {
                best = Some((key, *record, document));
            }
        }
        match best {
            Some((_, record, document)) => self.change(tx, collection, record, &document),
            None => self.nothing(tx),
        }
    }

    fn change(
        &self,
        tx: &mut Transaction<'_>,
        collection: CollectionId,
        record: RecordId,
        document: &Document,
    ) -> Result<Reply, CommandError> {
        match &self.write.change {
            Change::Delete => {
                let reply = self.show(document.root())?;
                tx.delete(collection, record, document)?;
                Ok(reply)
            }
            Change::Update(update) => {
                let body = update.apply(document.root(), &self.write.filter, &self.write.limits)?;
                let after = body.as_deref().filter(|_| self.new).map_or(document.root(), RawObject::from_body);
                let reply = self.show(after)?;
                if let Some(body) = body {
                    tx.replace(collection, record, document, body)?;
                }
                Ok(reply)
            }
        }
    }

    /// There is no match.
    fn nothing(&self, tx: &mut Transaction<'_>) -> Result<Reply, CommandError> {
        if !self.write.upsert {
            return Ok(Reply::Null);
        }
        let inserted = self.write.insert(tx, &mut Outcome::default())?;
        let Some((collection, record)) = inserted.filter(|_| self.new) else { return Ok(Reply::Null) };
        match tx.record(collection, record)? {
            Some(document) => self.show(document.root()),
            None => Ok(Reply::Null),
        }
    }

    fn show(&self, document: RawObject<'_>) -> Result<Reply, CommandError> {
        let mut out = Vec::new();
        match &self.project {
            Some(project) => {
                let sight = Sight { filter: Some(&self.write.filter), now_ms: self.now_ms, variables: &[] };
                project.render(&mut out, document, sight)?;
            }
            None => render_object(&mut out, document),
        }
        Ok(Reply::Bulk(Bytes::from(out)))
    }
}

/// A change that looks on a snapshot first.
struct Looking {
    modify: Arc<FindAndModify>,
    tries: u8,
    /// Whether the unit that was asked for last found that the data had moved, and did nothing.
    moved: Arc<AtomicBool>,
}

impl Phased for Looking {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        let reply = before.transpose()?;
        if let Some(reply) = reply.filter(|_| !self.moved.load(Ordering::Acquire)) {
            return Ok(Step::Done(reply));
        }
        if self.tries >= TRIES_MAX {
            return Ok(self.commit(|modify, tx| modify.by_search(tx).map(Some)));
        }
        self.tries += 1;
        let modify = self.modify.clone();
        let handle = context.view.collection(modify.write.db, &modify.write.collection);
        let seen = match &handle {
            Some(collection) => modify.look(context, collection)?,
            None => None,
        };
        let Some((record, version)) = seen else {
            if !modify.write.upsert {
                return Ok(Step::Done(Reply::Null));
            }
            let seen_lsn = handle.map_or(0, |collection| collection.changed_lsn());
            return Ok(self.commit(move |modify, tx| {
                let now = tx.collection(modify.write.db, &modify.write.collection);
                if now.map_or(0, |collection| tx.changed_lsn(collection)) != seen_lsn {
                    return Ok(None);
                }
                modify.nothing(tx).map(Some)
            }));
        };
        Ok(self.commit(move |modify, tx| {
            let Some(collection) = tx.collection(modify.write.db, &modify.write.collection) else { return Ok(None) };
            let Some(document) = tx.record(collection, record)? else { return Ok(None) };
            let placed = modify.sort.is_none() || document.version == version;
            if !placed || !modify.write.filter.test(document.root(), tx.now_ms()).map_err(bad_filter)? {
                return Ok(None);
            }
            modify.change(tx, collection, record, &document).map(Some)
        }))
    }
}

impl Looking {
    /// Asks for a unit; none is its answer when the data moved under it.
    fn commit(
        &mut self,
        unit: impl FnOnce(&FindAndModify, &mut Transaction<'_>) -> Result<Option<Reply>, CommandError> + Send + 'static,
    ) -> Step {
        let (modify, moved) = (self.modify.clone(), self.moved.clone());
        let unit: Unit = Box::new(move |tx| {
            let reply = unit(&modify, tx)?;
            moved.store(reply.is_none(), Ordering::Release);
            Ok(reply.unwrap_or(Reply::Null))
        });
        Step::Commit(unit)
    }
}

impl FindAndModify {
    /// The first match on a snapshot, and its version.
    fn look(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
    ) -> Result<Option<(RecordId, u64)>, CommandError> {
        let filter = &self.write.filter;
        let wanted = Wanted { sort: self.sort.as_ref(), first: 1, ..Wanted::ALL };
        let plan = Choice::new(context.view.trees(), collection, filter, &wanted)?.plan;
        plan.note_use(context.now_ms);
        let version = |found: &Found| match found {
            Found::Document(document) => Ok(document.version),
            // Only a query that shows no more than an index has is given less than documents.
            Found::Fields(_) => Err(CommandError::new(ErrorCode::Err, "a document is known by its fields only")),
        };
        let (mut examined, mut seen) = (Examined::default(), None);
        match self.sort.as_ref().filter(|_| !plan.is_ordered()) {
            None => {
                let run = Run { filter, plan: &plan, first: 1, covered: false, max_time_ms: None };
                matching(context, collection, run, &mut examined, &mut |record, found| {
                    seen = Some((record, version(&found)));
                    false
                })?;
            }
            Some(sort) => {
                let (mut top, mut sorted) = (Top::new(sort, 1), Ok(()));
                let run = Run { filter, plan: &plan, first: usize::MAX, covered: false, max_time_ms: None };
                matching(context, collection, run, &mut examined, &mut |record, found| {
                    sorted = top.push(found.root(), (record, version(&found)));
                    sorted.is_ok()
                })?;
                sorted?;
                seen = top.finish().next();
            }
        }
        seen.map(|(record, version)| version.map(|version| (record, version))).transpose()
    }
}
