//! One document found, changed and shown: what DOC.FINDANDMODIFY does.
//!
//! A filter that pins `_id` is one unit. Any other is looked for on a snapshot, beside the committer, where SORT says which
//! match is the first, and what becomes of it and what is shown are worked out; then one unit reads that document again. If
//! it is another version it must still match, and is worked out anew; with SORT it must be the version that was seen, for
//! its place in the order may have changed. Where the data moved it is looked for again, and after [`TRIES_MAX`] times
//! inside the unit, where nothing moves. If the document cannot be shown, nothing is changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use veddb_storage::document::RawObject;
use veddb_storage::document::expression::Work;
use veddb_storage::document::json::{ParsedDocument, render_object};
use veddb_storage::{CollectionHandle, CollectionId, Document, RecordId, Transaction};

use super::bad_filter;
use super::draft::{Draft, Verdict, overtaken, work_of_unit};
use super::exec::{Examined, Found, Run, matching};
use super::plan::{Choice, Wanted};
use super::project::{Project, Sight};
use super::sort::{Sort, SortKey, Top, bad_sort};
use super::write::{FilteredWrite, TRIES_MAX};
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
        let shows = self.project.as_ref().is_some_and(Project::computes);
        match self.write.unit_keys().filter(|_| !shows) {
            Some(keys) => Prepared::Unit(Box::new(move |tx| {
                let records = self.write.find_keys(tx, &keys)?;
                self.first_of(tx, &records, None, &work_of_unit(&self.write.limits))
            })),
            None => Prepared::Phased(Box::new(Looking {
                modify: Arc::new(self),
                tries: 0,
                moved: Arc::new(AtomicBool::new(true)),
            })),
        }
    }

    /// Changes the first of these records that matches.
    fn first_of(
        &self,
        tx: &mut Transaction<'_>,
        records: &[RecordId],
        inserted: Option<Insert>,
        work: &Work,
    ) -> Result<Reply, CommandError> {
        let Some(collection) = tx.collection(self.write.db, &self.write.collection) else {
            return self.nothing(tx, inserted, work);
        };
        let mut best = None;
        for record in records {
            let Some(document) = tx.record(collection, *record)? else { continue };
            if !self.write.filter.test_within(document.root(), tx.now_ms(), work).map_err(bad_filter)? {
                continue;
            }
            let Some(sort) = &self.sort else {
                best = Some((None, *record, document));
                break;
            };
            let key = Some(sort.key(document.root()).map_err(bad_sort)?);
            let wins = |(least, ..): &(Option<SortKey>, RecordId, Arc<Document>)| {
                key.as_ref().zip(least.as_ref()).is_some_and(|(key, least)| sort.compare(key, least).is_lt())
            };
            if best.as_ref().is_none_or(wins) {
                best = Some((key, *record, document));
            }
        }
        let Some((_, record, document)) = best else { return self.nothing(tx, inserted, work) };
        let change = self.decide(&document, tx.now_ms(), work)?;
        carry_out(tx, collection, record, &document, change)
    }

    /// What becomes of a document, and what is answered then.
    fn decide(&self, document: &Document, now_ms: u64, work: &Work) -> Result<Decided, CommandError> {
        let verdict = self.write.decide(document, now_ms, work)?;
        let reply = match &verdict {
            Verdict::Passed => Reply::Null,
            Verdict::Update(body) | Verdict::Replace(body) if self.new => {
                self.show(RawObject::from_body(body), work)?
            }
            Verdict::Update(_) | Verdict::Replace(_) | Verdict::Keep | Verdict::Delete => {
                self.show(document.root(), work)?
            }
        };
        Ok((verdict, reply))
    }

    /// What is inserted where nothing matches, and what is answered then.
    fn new_document(&self, work: &Work) -> Result<Option<Insert>, CommandError> {
        let Some(document) = self.write.new_document(work)? else { return Ok(None) };
        let reply = if self.new { self.show(RawObject::from_body(&document.body), work)? } else { Reply::Null };
        Ok(Some((document, reply)))
    }

    /// There is no match.
    fn nothing(&self, tx: &mut Transaction<'_>, inserted: Option<Insert>, work: &Work) -> Result<Reply, CommandError> {
        match inserted.map_or_else(|| self.new_document(work), |inserted| Ok(Some(inserted)))? {
            Some((document, reply)) => self.write.insert(tx, document).map(|_| reply),
            None => Ok(Reply::Null),
        }
    }

    fn show(&self, document: RawObject<'_>, work: &Work) -> Result<Reply, CommandError> {
        let mut out = Vec::new();
        match &self.project {
            Some(project) => {
                let sight =
                    Sight { filter: Some(&self.write.filter), now_ms: self.now_ms, variables: &[], watch: None };
                project.render_within(&mut out, document, sight, work)?;
            }
            None => render_object(&mut out, document),
        }
        Ok(Reply::Bulk(Bytes::from(out)))
    }
}

/// What becomes of a document, and what is answered then.
type Decided = (Verdict, Reply);

/// What is inserted, and what is answered then.
type Insert = (ParsedDocument, Reply);

fn carry_out(
    tx: &mut Transaction<'_>,
    collection: CollectionId,
    record: RecordId,
    document: &Document,
    (verdict, reply): Decided,
) -> Result<Reply, CommandError> {
    match verdict {
        Verdict::Passed | Verdict::Keep => {}
        Verdict::Delete => tx.delete(collection, record, document)?,
        Verdict::Update(body) => {
            tx.update(collection, record, document, body)?;
        }
        Verdict::Replace(body) => {
            tx.replace(collection, record, document, body)?;
        }
    }
    Ok(reply)
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
        let modify = self.modify.clone();
        if self.tries >= TRIES_MAX {
            let inserted = modify.new_document(&Work::default()).unwrap_or_default();
            return Ok(self.commit(|modify, tx, work| {
                let records = modify.write.search(tx)?;
                match modify.first_of(tx, &records, inserted, work) {
                    Err(_) if work.is_exceeded() => Err(overtaken(&modify.write.limits)),
                    changed => changed.map(Some),
                }
            }));
        }
        self.tries += 1;
        let handle = context.view.collection(modify.write.db, &modify.write.collection);
        let seen = match &handle {
            Some(collection) => modify.look(context, collection)?.map(|seen| (collection.id(), seen)),
            None => None,
        };
        let Some((seen_in, (record, document))) = seen else {
            let Some(inserted) = modify.new_document(&Work::default())? else { return Ok(Step::Done(Reply::Null)) };
            let seen_lsn = handle.map_or(0, |collection| collection.changed_lsn());
            return Ok(self.commit(move |modify, tx, work| {
                let now = tx.collection(modify.write.db, &modify.write.collection);
                if now.map_or(0, |collection| tx.changed_lsn(collection)) != seen_lsn {
                    return Ok(None);
                }
                modify.nothing(tx, Some(inserted), work).map(Some)
            }));
        };
        let draft = Draft::new(seen_in, &document, modify.decide(&document, context.now_ms, &Work::default())?);
        Ok(self.commit(move |modify, tx, work| {
            let Some(collection) = tx.collection(modify.write.db, &modify.write.collection) else { return Ok(None) };
            let Some(document) = tx.record(collection, record)? else { return Ok(None) };
            let decided = match draft.of(collection, &document) {
                Some(decided) => decided,
                // Its place in the order may have changed with it.
                None if modify.sort.is_some() => return Ok(None),
                None => match modify.decide(&document, tx.now_ms(), work) {
                    Err(_) if work.is_exceeded() => return Ok(None),
                    decided => decided?,
                },
            };
            if matches!(decided.0, Verdict::Passed) {
                return Ok(None);
            }
            carry_out(tx, collection, record, &document, decided).map(Some)
        }))
    }
}

impl Looking {
    /// Asks for a unit; none is its answer when the data moved under it.
    fn commit(
        &mut self,
        unit: impl FnOnce(&FindAndModify, &mut Transaction<'_>, &Work) -> Result<Option<Reply>, CommandError>
        + Send
        + 'static,
    ) -> Step {
        let (modify, moved) = (self.modify.clone(), self.moved.clone());
        let unit: Unit = Box::new(move |tx| {
            let reply = unit(&modify, tx, &work_of_unit(&modify.write.limits))?;
            moved.store(reply.is_none(), Ordering::Release);
            Ok(reply.unwrap_or(Reply::Null))
        });
        Step::Commit(unit)
    }
}

impl FindAndModify {
    /// The first match on a snapshot.
    fn look(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
    ) -> Result<Option<(RecordId, Arc<Document>)>, CommandError> {
        let filter = &self.write.filter;
        let wanted = Wanted { sort: self.sort.as_ref(), first: 1, ..Wanted::ALL };
        let plan = Choice::new(context.view.trees(), collection, filter, &wanted)?.plan;
        plan.note_use(context.now_ms);
        let (mut examined, mut seen) = (Examined::default(), None);
        match self.sort.as_ref().filter(|_| !plan.is_ordered()) {
            None => {
                let run = Run { filter, plan: &plan, first: 1, covered: false, max_time_ms: None };
                matching(context, collection, run, &mut examined, &mut |record, found| {
                    seen = Some((record, found));
                    false
                })?;
            }
            Some(sort) => {
                let (mut top, mut sorted) = (Top::new(sort, 1), Ok(()));
                let run = Run { filter, plan: &plan, first: usize::MAX, covered: false, max_time_ms: None };
                matching(context, collection, run, &mut examined, &mut |record, found| {
                    let shared = Arc::new(found);
                    sorted = top.push(shared.root(), (record, shared.clone()));
                    sorted.is_ok()
                })?;
                sorted?;
                seen = top.finish().next().and_then(|(record, found)| Some((record, Arc::into_inner(found)?)));
            }
        }
        match seen {
            None => Ok(None),
            Some((record, Found::Document(document))) => Ok(Some((record, document))),
            // Only a query that shows no more than an index has is given less than documents.
            Some((_, Found::Fields(_))) => {
                Err(CommandError::new(ErrorCode::Err, "a document is known by its fields only"))
            }
        }
    }
}
