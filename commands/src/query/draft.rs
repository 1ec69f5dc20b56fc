//! What a write works out on a snapshot, so that its unit need not while all other writes wait.
//!
//! Invariant: a draft counts only for the collection and the version it was made from. What has changed since is worked
//! out inside the unit, where expressions may take only `max-commit-work` steps together.

use std::collections::VecDeque;

use veddb_storage::document::expression::Work;
use veddb_storage::document::json::ParsedDocument;
use veddb_storage::{CollectionHandle, CollectionId, Document, Error, RecordId};

use super::bad_filter;
use super::update::Update;
use super::write::{Change, FilteredWrite};
use crate::context::{Limits, ReadContext};
use crate::doc::new_id;
use crate::error::{CommandError, ErrorCode};

/// Drafts of one unit take this much at the most, and one document more, bytes.
pub(super) const DRAFTS_BYTES: usize = 32 << 20;

/// What becomes of a document.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It does not match.
    Passed,
    /// It is deleted.
    Delete,
    /// The update leaves it as it is.
    Keep,
    /// It gets this body, which is its own with changes.
    Update(Box<[u8]>),
    /// It gets this body.
    Replace(Box<[u8]>),
}

impl Verdict {
    fn bytes(&self) -> usize {
        if let Verdict::Update(body) | Verdict::Replace(body) = self { body.len() } else { 0 }
    }
}

/// What becomes of one version of a document.
#[derive(Debug)]
pub(super) struct Draft<T> {
    collection: CollectionId,
    version: u64,
    made: T,
}

impl<T> Draft<T> {
    pub(super) fn new(collection: CollectionId, document: &Document, made: T) -> Draft<T> {
        Draft { collection, version: document.version, made }
    }

    /// What was made of the version that was looked at.
    pub(super) fn made(&self) -> &T {
        &self.made
    }

    /// What was made, if it was made from this.
    pub(super) fn of(self, collection: CollectionId, document: &Document) -> Option<T> {
        (self.collection == collection && self.version == document.version).then_some(self.made)
    }
}

/// A record, and what becomes of it, if that was worked out.
pub(super) type Drafted = (RecordId, Option<Draft<Verdict>>);

impl FilteredWrite {
    /// Whether it evaluates expressions: a few of them can take longer than all other writes should wait.
    pub fn computes(&self) -> bool {
        let update = matches!(&self.change, Change::Update(update) if update.computes());
        update || self.filter.reads_documents()
    }

    /// What becomes of this document.
    pub(super) fn decide(&self, document: &Document, now_ms: u64, work: &Work) -> Result<Verdict, CommandError> {
        if !self.filter.test_within(document.root(), now_ms, work).map_err(bad_filter)? {
            return Ok(Verdict::Passed);
        }
        if let Some(expected) = self.if_version
            && expected != document.version
        {
            return Err(Error::VersionConflict { current: document.version, expected }.into());
        }
        let Change::Update(update) = &self.change else { return Ok(Verdict::Delete) };
        let body = update.apply(document.root(), &self.filter, &self.limits, work)?;
        let verdict = if matches!(update, Update::Replacement(_)) { Verdict::Replace } else { Verdict::Update };
        Ok(body.map_or(Verdict::Keep, verdict))
    }

    /// Takes records off the end of the list and drafts what becomes of them: of so many, or of as many as take
    /// [`DRAFTS_BYTES`].
    pub(super) fn draft(
        &self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
        records: &mut Vec<RecordId>,
        count: usize,
    ) -> Result<VecDeque<Drafted>, CommandError> {
        let (mut drafts, mut bytes) = (VecDeque::new(), 0);
        let mut enough = false;
        while !enough
            && drafts.len() < count
            && bytes < DRAFTS_BYTES
            && let Some(record) = records.pop()
        {
            context.check(None)?;
            let Some(document) = context.view.record(collection, record)? else { continue };
            let verdict = self.decide(&document, context.now_ms, &Work::default())?;
            enough = self.one && !matches!(verdict, Verdict::Passed);
            bytes += verdict.bytes();
            drafts.push_back((record, Some(Draft::new(collection.id(), &document, verdict))));
        }
        Ok(drafts)
    }

    /// The document that it inserts where nothing matches; none when it inserts none.
    pub(super) fn new_document(&self, work: &Work) -> Result<Option<ParsedDocument>, CommandError> {
        let Change::Update(update) = &self.change else { return Ok(None) };
        if !self.upsert {
            return Ok(None);
        }
        if let Some(expected) = self.if_version.filter(|version| *version != 0) {
            return Err(Error::VersionConflict { current: 0, expected }.into());
        }
        update.upsert(&self.filter, &new_id, &self.limits, work).map(Some)
    }
}

/// What a unit may do that has no draft, or one of an earlier version.
pub(super) fn work_of_unit(limits: &Limits) -> Work {
    Work::new(limits.max_commit_work)
}

/// Why a write ends that was never quick enough.
pub(super) fn overtaken(limits: &Limits) -> CommandError {
    let steps = limits.max_commit_work;
    let why = "documents were changed by others again and again while expressions were evaluated on them";
    CommandError::new(ErrorCode::Conflict, format!("{why}, and it takes more than max-commit-work ({steps}) steps"))
}
