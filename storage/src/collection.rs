//! Collections: what is known of one at one moment, and how all of them are written into a checkpoint.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

use crate::Error;
use crate::document::RawObject;
use crate::index::{Index, IndexDefinition, IndexSpec, PageId, Pager, Phase, Tree, expiries};
use crate::keys::LASTING;
use crate::lsn::Lsn;
use crate::names::PastName;
use crate::replicate::TermStart;
use crate::schema::{self, CollectionSchema};
use crate::shared::{EXPIRY_BYTES, RECORD_OVERHEAD_BYTES};

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 120;

/// Names a collection inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionId(pub u32);

/// What changes when documents do.
#[derive(Debug, Clone)]
pub(crate) struct CollectionState {
    pub(crate) meta: Arc<CollectionMeta>,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) next_record: u64,
    pub(crate) changed_lsn: Lsn,
    pub(crate) id_index: Tree,
    pub(crate) indexes: Vec<Index>,
    /// The number that the next index gets.
    pub(crate) next_index: u32,
    /// The tree of expiries, since there was a document with one.
    pub(crate) expiries: Option<Index>,
    /// Documents with an expiry.
    pub(crate) expiring: u64,
}

/// What rarely changes.
#[derive(Debug, Clone)]
pub(crate) struct CollectionMeta {
    pub(crate) id: u32,
    pub(crate) db: u8,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) options: String,
    /// The options' schema, compiled when it is first asked.
    pub(crate) schema: OnceLock<Result<Option<Arc<CollectionSchema>>, String>>,
}

impl CollectionMeta {
    /// Refuses a document that does not fit the collection's schema; `before` is what it replaces.
    pub(crate) fn check_schema(&self, before: Option<RawObject<'_>>, after: RawObject<'_>) -> Result<(), Error> {
        let schema = self.schema.get_or_init(|| schema::of_options(&self.options).map(|found| found.map(Arc::new)));
        let checked = match schema {
            Ok(None) => return Ok(()),
            Ok(Some(schema)) => schema.check(before, after),
            // Nothing is written past a schema that nobody can read.
            Err(what) => Err(format!("it cannot be read: {what}")),
        };
        checked.map_err(|what| Error::Schema { collection: self.name.clone(), what })
    }
}

impl CollectionState {
    /// An empty collection.
    pub(crate) fn new(meta: CollectionMeta, pager: &Pager) -> CollectionState {
        CollectionState {
            meta: Arc::new(meta),
            count: 0,
            size: 0,
            next_record: 1,
            changed_lsn: 0,
            id_index: Tree::new(pager),
            indexes: Vec::new(),
            next_index: 1,
            expiries: None,
            expiring: 0,
        }
    }

    /// The index of this number, or the tree of expiries.
    pub(crate) fn index_mut(&mut self, id: u32) -> Option<&mut Index> {
        self.indexes.iter_mut().chain(&mut self.expiries).find(|index| index.id == id)
    }

    /// The same, if it has a tree that changes of documents change.
    pub(crate) fn kept_index(&self, id: u32) -> Option<&Index> {
        self.kept().find(|index| index.id == id)
    }

    /// All that have such a tree.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Index> {
        self.indexes.iter().chain(&self.expiries).filter(|index| index.is_kept())
    }

    /// The trees that a checkpoint may have.
    pub(crate) fn trees(&self) -> impl Iterator<Item = &Tree> {
        std::iter::once(&self.id_index).chain(self.kept().map(|index| &index.tree))
    }
}

/// A collection as one moment sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CollectionHandle(pub(crate) Arc<CollectionState>);

impl CollectionHandle {
    /// Its number; never used again after a drop.
    pub fn id(&self) -> CollectionId {
        CollectionId(self.0.meta.id)
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.meta.name
    }
    /// Documents, also those that have expired and are still to be deleted; [`crate::View::count`] is without them.
    pub fn count(&self) -> u64 {
        self.0.count
    }
    /// Bytes of the stored bodies, before sealing.
    pub fn size(&self) -> u64 {
        self.0.size
    }
    /// Bytes that its documents take in the engine: the stored bodies with what sealing adds to each.
    pub fn stored_size(&self) -> u64 {
        let expiries = self.0.expiring * EXPIRY_BYTES as u64;
        self.0.size + self.0.count * RECORD_OVERHEAD_BYTES as u64 + expiries
    }
    /// When it was made, milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.0.meta.created_ms
    }
    /// The LSN of its last change.
    pub fn changed_lsn(&self) -> Lsn {
        self.0.changed_lsn
    }
    /// The record that the next document gets: all there are have smaller ones.
    pub fn records_end(&self) -> u64 {
        self.0.next_record
    }
    /// Documents with an expiry.
    pub fn expiring(&self) -> u64 {
        self.0.expiring
    }
    /// Its indexes beside the one on `_id`, in the order in which they were made.
    pub fn indexes(&self) -> &[Index] {
        &self.0.indexes
    }
    /// The index of this name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.0.indexes.iter().find(|index| index.spec().name() == name)
    }
    /// The options given when it was made, as JSON text (`{}` when none).
    pub fn options(&self) -> &str {
        &self.0.meta.options
    }
}

/// What the names of the server's own collections begin with.
pub const OWN_PREFIX: &str = "_";

/// Whether a collection is the server's own: no command names it. All but [`LASTING`] do not outlive a start.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// Whether it is one of those that do not outlive a start.
pub(crate) fn is_temporary(name: &str) -> bool {
    is_own(name) && !LASTING.contains(&name)
}

/// Checks a collection's name: 1-120 bytes, no control characters, not starting with `_`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::BadCollectionName(format!("bad collection name: {why}")));
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refuse(&format!("it has {} bytes, 1 to {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if is_own(name) {
        return refuse("names that start with _ are the server's own");
    }
    if name.chars().any(char::is_control) {
        return refuse("control characters are not allowed");
    }
    Ok(())
}

/// A checkpoint's record of everything that is not a document or a page. Kept as sealed JSON under one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Of this record.
    pub(crate) format: u32,
    /// Every unit up to this one is contained.
    pub(crate) lsn: Lsn,
    pub(crate) next_page: PageId,
    pub(crate) next_collection: u32,
    pub(crate) collections: Vec<CollectionRecord>,
    /// Dropped collections whose documents may still be in the engine.
    pub(crate) reclaim: Vec<u32>,
    /// Pages that no tree has and that are still in the engine.
    pub(crate) freed_pages: Vec<PageId>,
    /// Of the log up to that LSN, oldest first.
    #[serde(default)]
    pub(crate) terms: Vec<TermStart>,
    /// Names that collections had, as far as the log may be read from.
    #[serde(default)]
    pub(crate) past_names: Vec<PastName>,
    /// Those are all that there were after this unit; none where it was not noted: after that of the checkpoint.
    #[serde(default)]
    pub(crate) names_after: Option<Lsn>,
    /// Followers want what is after this unit.
    #[serde(default)]
    pub(crate) log_kept_after: Option<Lsn>,
}

impl Checkpoint {
    /// Of a store without anything.
    pub(crate) fn first() -> Checkpoint {
        Checkpoint {
            format: CHECKPOINT_FORMAT,
            lsn: 0,
            next_page: 1,
            next_collection: 1,
            collections: Vec::new(),
            reclaim: Vec::new(),
            freed_pages: Vec::new(),
            terms: Vec::new(),
            past_names: Vec::new(),
            names_after: None,
            log_kept_after: None,
        }
    }

    /// With the terms of the log.
    pub(crate) fn with_terms(self, terms: &[TermStart]) -> Checkpoint {
        Checkpoint { terms: terms.to_vec(), ..self }
    }

    /// The terms of the log, of which there was one before they were written down.
    pub(crate) fn terms(&self) -> Vec<TermStart> {
        if self.format < CHECKPOINT_FORMAT_TERMS && self.lsn > 0 {
            return vec![TermStart { term: 1, first_lsn: 1 }];
        }
        self.terms.clone()
    }
}

/// The format from which on a checkpoint has the terms of the log.
const CHECKPOINT_FORMAT_TERMS: u32 = 4;

/// The format that this build writes. It also reads those before it: 3 has no terms, 2 no expiries, and [`CHECKPOINT_FORMAT_OLDEST`] no
/// indexes but `_id` either.
pub(crate) const CHECKPOINT_FORMAT: u32 = 4;
/// The oldest format that this build reads.
pub(crate) const CHECKPOINT_FORMAT_OLDEST: u32 = 1;

/// One collection in a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CollectionRecord {
    pub(crate) id: u32,
    pub(crate) db: u8,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) options: String,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) next_record: u64,
    pub(crate) changed_lsn: Lsn,
    pub(crate) id_index_root: PageId,
    #[serde(default)]
    pub(crate) indexes: Vec<IndexRecord>,
    #[serde(default)]
    pub(crate) next_index: u32,
    /// The root of the tree of expiries, where there is one.
    #[serde(default)]
    pub(crate) expiries_root: Option<PageId>,
    #[serde(default)]
    pub(crate) expiring: u64,
}

/// One index in a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    pub(crate) id: u32,
    pub(crate) definition: IndexDefinition,
    /// The root of its tree; none while it is being built, and when that failed.
    pub(crate) root: Option<PageId>,
    /// Why the build failed.
    pub(crate) failure: Option<String>,
    pub(crate) multikey: u32,
    pub(crate) shortened: bool,
}

impl IndexRecord {
    fn of(index: &Index) -> IndexRecord {
        IndexRecord {
            id: index.id,
            definition: index.spec.definition.clone(),
            root: index.is_kept().then(|| index.tree.root_page()),
            failure: index.failure().map(str::to_owned),
            multikey: index.multikey,
            shortened: index.shortened,
        }
    }

    fn open(self, pager: &Pager) -> Result<Index, Error> {
        let spec = Arc::new(IndexSpec::new(self.definition)?);
        let (phase, tree) = match (self.root, self.failure) {
            (Some(root), _) => (Phase::Ready, Tree::open(root, pager)),
            (None, Some(why)) => (Phase::Failed(why.into()), Tree::new(pager)),
            (None, None) => (Phase::Building, Tree::new(pager)),
        };
        let index = Index::new(self.id, spec, phase, tree);
        Ok(Index { multikey: self.multikey, shortened: self.shortened, ..index })
    }
}

impl CollectionRecord {
    pub(crate) fn of(state: &CollectionState) -> CollectionRecord {
        CollectionRecord {
            id: state.meta.id,
            db: state.meta.db,
            name: state.meta.name.clone(),
            created_ms: state.meta.created_ms,
            options: state.meta.options.clone(),
            count: state.count,
            size: state.size,
            next_record: state.next_record,
            changed_lsn: state.changed_lsn,
            id_index_root: state.id_index.root_page(),
            indexes: state.indexes.iter().map(IndexRecord::of).collect(),
            next_index: state.next_index,
            expiries_root: state.expiries.as_ref().map(|index| index.tree.root_page()),
            expiring: state.expiring,
        }
    }

    pub(crate) fn open(self, pager: &Pager) -> Result<CollectionState, Error> {
        let id_index = Tree::open(self.id_index_root, pager);
        let meta = CollectionMeta {
            id: self.id,
            db: self.db,
            name: self.name,
            created_ms: self.created_ms,
            options: self.options,
            schema: OnceLock::new(),
        };
        let indexes: Result<Vec<Index>, Error> = self.indexes.into_iter().map(|index| index.open(pager)).collect();
        Ok(CollectionState {
            meta: Arc::new(meta),
            count: self.count,
            size: self.size,
            next_record: self.next_record,
            changed_lsn: self.changed_lsn,
            id_index,
            indexes: indexes?,
            next_index: self.next_index.max(1),
            expiries: self.expiries_root.map(|root| expiries(Tree::open(root, pager))),
            expiring: self.expiring,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CollectionRecord, check_name};
    use crate::index::Pager;
    use crate::testing;

    #[test]
    fn a_record_of_the_format_before_has_no_expiries() {
        let text = r#"{"id":1,"db":0,"name":"c","created_ms":5,"options":"{}","count":2,"size":9,"next_record":3,
            "changed_lsn":4,"id_index_root":1,"indexes":[],"next_index":1}"#;
        let record: CollectionRecord = serde_json::from_str(text).unwrap();
        let (_dir, engine, sealer) = testing::engine();
        let state = record.open(&Pager::new(engine, sealer, 1000)).unwrap();
        assert_eq!((state.count, state.expiring, state.expiries.is_none()), (2, 0, true));
    }

    #[test]
    fn names() {
        for good in ["a", "users", "ü b/c", &"x".repeat(120)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "_system", "a\nb", "a\0", &"x".repeat(121)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
