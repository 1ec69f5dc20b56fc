//! The build of one index, from its first document to the committer taking it over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sort::{Run, Sorter};
use super::{Builder, Stop};
use crate::Error;
use crate::collection::CollectionHandle;
use crate::index::{
    Change, DUPLICATE, Delta, DirtyPage, Edit, Entry, Freed, Index, IndexSpec, Loader, PageId, Phase, Recent, Tree,
};
use crate::kv::Space;
use crate::lsn::Lsn;
use crate::record_id::RecordId;
use crate::transaction::Transaction;
use crate::view::View;

/// Documents read at one moment.
const PIECE: usize = 10_000;
/// Entries loaded or applied between two looks at what the committer has collected.
const STEP: u64 = 50_000;
/// Fewer collected changes than this are left where they are while documents are read and entries loaded.
const ROUND_CHANGES: usize = 50_000;
/// So few collected changes are left to the committer.
const LAST_CHANGES: usize = 2_000;
/// Changed pages are written once there are this many bytes of them.
const DIRTY_BYTES: usize = 8 << 20;
/// Collected changes of one round that stay in memory, bytes.
const CHANGES_BYTES: usize = 4 << 20;

/// A build.
pub(super) struct Task<'b> {
    builder: &'b Builder,
    collection: u32,
    index: u32,
    /// Changes that the committer has collected, oldest first.
    changes: Vec<Run>,
    /// What of them is in memory.
    changes_bytes: usize,
    /// Two documents seemed to have one key of a unique index, and did not at one moment.
    doubtful: bool,
    multikey: u32,
    shortened: bool,
    freed: Vec<Freed>,
    dirty_bytes: usize,
}

/// What the committer takes over.
struct Adoption {
    tree: Tree,
    multikey: u32,
    shortened: bool,
    freed: Vec<PageId>,
    dirty_bytes: usize,
}

/// What came of it.
enum Adopted {
    Done,
    Again,
    /// Two documents have one key.
    Duplicate(Vec<u8>, RecordId, RecordId),
}

impl<'b> Task<'b> {
    pub(super) fn new(builder: &'b Builder, collection: u32, index: u32) -> Task<'b> {
        Task {
            builder,
            collection,
            index,
            changes: Vec::new(),
            changes_bytes: 0,
            doubtful: false,
            multikey: 0,
            shortened: false,
            freed: Vec::new(),
            dirty_bytes: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<(), Stop> {
        self.forget_changes()?;
        let sorter = self.read()?;
        let mut tree = self.load(sorter)?;
        loop {
            // Applying takes time, in which more may have been collected.
            for mut changes in std::mem::take(&mut self.changes) {
                self.apply(&mut tree, &mut changes)?;
                self.changes_bytes = self.changes_bytes.saturating_sub(changes.memory_bytes());
            }
            if self.changes.is_empty() && self.take_changes(LAST_CHANGES)? {
                break;
            }
        }
        self.hand_over(tree)
    }

    fn key(&self) -> (u32, u32) {
        (self.collection, self.index)
    }

    /// Whatever was collected so far is in what will be read.
    fn forget_changes(&self) -> Result<(), Stop> {
        let key = self.key();
        let known = self.builder.ask(move |tx| {
            let builds = &mut tx.parts().1.builds;
            Ok(builds.get_mut(&key).map(|delta| *delta = Delta { collecting: true, ..Delta::default() }).is_some())
        })?;
        if known { Ok(()) } else { Err(Stop::Gone) }
    }

    /// Takes what the committer has collected, unless it is no more than `few`; answers whether that was so.
    fn take_changes(&mut self, few: usize) -> Result<bool, Stop> {
        let key = self.key();
        let taken = self.builder.ask(move |tx| {
            let builds = &mut tx.parts().1.builds;
            Ok(builds.get_mut(&key).map(|delta| {
                let enough = delta.tainted || delta.keys.len() > few;
                enough.then(|| std::mem::replace(delta, Delta { collecting: true, ..Delta::default() }))
            }))
        })?;
        let Some(delta) = taken.ok_or(Stop::Gone)? else { return Ok(true) };
        if delta.tainted {
            return Err(Stop::Again);
        }
        self.multikey |= delta.multikey;
        self.shortened |= delta.shortened;
        let keys = delta.keys.iter().map(|(key, there)| (key.as_slice(), *there));
        // All rounds together have as much memory as the entries that are sorted.
        let memory_bytes = CHANGES_BYTES.min(self.builder.memory_bytes.saturating_sub(self.changes_bytes));
        let run = Run::of(keys, memory_bytes, &self.builder.shared.spills)?;
        self.changes_bytes += run.memory_bytes();
        self.changes.push(run);
        Ok(false)
    }

    /// Reads all documents, piece by piece.
    fn read(&mut self) -> Result<Sorter, Stop> {
        let builder = self.builder;
        let mut sorter = Sorter::new(self.builder.shared.spills.clone(), builder.memory_bytes);
        let (mut next, mut read) = (RecordId(0), 0);
        loop {
            let view = builder.view();
            let (collection, index) = builder.current(&view, self.collection, self.index)?;
            index.figures.to_scan.store(collection.count().max(read), Ordering::Relaxed);
            let mut count = 0;
            for found in view.scan_from(collection, next).take(PIECE) {
                let (record, document) = found?;
                let entries = index.spec.entries(document.root(), record).map_err(|error| {
                    Stop::Failed(format!("document {}: {error}", String::from_utf8_lossy(&document.id())))
                })?;
                self.multikey |= entries.multikey;
                self.shortened |= entries.shortened;
                for key in &entries.keys {
                    sorter.push(key)?;
                }
                next = RecordId(record.0 + 1);
                count += 1;
            }
            read += count as u64;
            index.figures.scanned.store(read, Ordering::Relaxed);
            if count < PIECE {
                return Ok(sorter);
            }
            drop(view);
            self.builder.shared.spills.check_space()?;
            self.take_changes(ROUND_CHANGES)?;
        }
    }

    /// Makes the tree of what was read.
    fn load(&mut self, sorter: Sorter) -> Result<Tree, Stop> {
        let builder = self.builder;
        let shared = &builder.shared;
        let spec = {
            let view = builder.view();
            Arc::clone(&builder.current(&view, self.collection, self.index)?.1.spec)
        };
        let mut merge = sorter.finish()?;
        let mut loader = Loader::new(&shared.pager, &*shared.engine, &shared.builds.ids);
        let mut last: Vec<u8> = Vec::new();
        let mut loaded: u64 = 0;
        while let Some(key) = merge.next()? {
            let Some(entry) = Entry::of(&key) else { continue };
            if spec.definition.unique
                && let Some(before) = Entry::of(&last)
                && before.fields == entry.fields
            {
                self.fail_if_duplicate(&key, before.record, entry.record)?;
            }
            // An equal one may stand elsewhere; all are compared in the end.
            self.doubtful |=
                spec.definition.unique && spec.equal_fields(entry.fields).is_none_or(|equal| equal.len() > 1);
            loader.push(&key, entry.record.0)?;
            last = key;
            loaded += 1;
            if loaded.is_multiple_of(STEP) {
                shared.spills.check_space()?;
                self.take_changes(ROUND_CHANGES)?;
            }
        }
        Ok(loader.finish()?)
    }

    /// Applies one round of collected changes.
    fn apply(&mut self, tree: &mut Tree, changes: &mut Run) -> Result<(), Stop> {
        let shared = Arc::clone(&self.builder.shared);
        loop {
            let mut step: Vec<Change> = Vec::new();
            while step.len() < STEP as usize
                && let Some((key, there)) = changes.next()?
            {
                let value = Entry::of(&key).map(|entry| entry.record.0).filter(|_| there);
                step.push((key.into_boxed_slice(), value));
            }
            if step.is_empty() {
                return Ok(());
            }
            let mut edit = Edit {
                pager: &shared.pager,
                freed: &mut self.freed,
                lsn: 0,
                reserved: Some(&shared.builds.ids),
                dirty_bytes: &mut self.dirty_bytes,
            };
            tree.apply(&mut edit, &step)?;
            self.check_unique(tree, &step)?;
            if self.dirty_bytes > DIRTY_BYTES {
                self.write_out(tree)?;
            }
            self.take_changes(ROUND_CHANGES)?;
        }
    }

    fn check_unique(&mut self, tree: &Tree, changes: &[Change]) -> Result<(), Stop> {
        let view = self.builder.view();
        let (_, index) = self.builder.current(&view, self.collection, self.index)?;
        if !index.spec.definition.unique {
            return Ok(());
        }
        let index = Index { tree: tree.clone(), ..index.clone() };
        for (key, value) in changes {
            let Some(record) = value.map(RecordId) else { continue };
            if let Some(other) = index.other_with_fields(&self.builder.shared.pager, key, record)? {
                self.fail_if_duplicate(key, other, record)?;
            }
        }
        Ok(())
    }

    /// Fails if both documents have the key at one moment, now. If they do not, whoever gets it later is seen later. One that
    /// has expired has no key, and is deleted soon.
    fn fail_if_duplicate(&mut self, key: &[u8], a: RecordId, b: RecordId) -> Result<(), Stop> {
        let now_ms = self.builder.ask(|tx| Ok(tx.now_ms()))?;
        let view = View { now_ms, ..self.builder.view() };
        let (collection, index) = self.builder.current(&view, self.collection, self.index)?;
        match duplicate(&view, collection, &index.spec, key, a, b)? {
            Some(message) => Err(Stop::Failed(message)),
            None => {
                // Of three documents only neighbours were compared.
                self.doubtful = true;
                Ok(())
            }
        }
    }

    /// Compares all neighbours of a tree that has everything up to the last round.
    fn compare_neighbours(&mut self, tree: &Tree) -> Result<(), Stop> {
        let shared = Arc::clone(&self.builder.shared);
        let index = {
            let view = self.builder.view();
            let (_, index) = self.builder.current(&view, self.collection, self.index)?;
            Index { tree: tree.clone(), ..index.clone() }
        };
        let mut cursor = tree.cursor(&shared.pager);
        cursor.seek(&[])?;
        let mut last: Vec<u8> = Vec::new();
        while let Some((key, _)) = cursor.entry() {
            if let Some(entry) = Entry::of(key) {
                let before = Entry::of(&last).filter(|before| before.fields == entry.fields);
                // Missing and null are equal, and do not stand side by side.
                let null = index.spec.equal_fields(entry.fields).is_none_or(|equal| equal.len() > 1);
                let other = match before {
                    Some(before) => Some(before.record),
                    None if null => index.other_with_fields(&shared.pager, key, entry.record)?,
                    None => None,
                };
                if let Some(other) = other {
                    let (key, record) = (key.to_vec(), entry.record);
                    self.fail_if_duplicate(&key, other, record)?;
                    // It was written since the last round.
                    return Err(Stop::Again);
                }
            }
            last = key.to_vec();
            cursor.forward()?;
        }
        Ok(())
    }

    /// Brings changed pages to the engine.
    fn write_out(&mut self, tree: &Tree) -> Result<(), Error> {
        let shared = &self.builder.shared;
        let mut pages: Vec<DirtyPage> = Vec::new();
        tree.dirty(&mut pages);
        pages.sort_by_key(DirtyPage::id);
        shared.engine.ingest(Space::Pages, &mut pages.iter().map(|page| page.entry(&shared.pager)))?;
        Tree::mark_clean(&shared.pager, pages);
        self.dirty_bytes = 0;
        shared.spills.check_space()
    }

    /// Has the committer apply the last changes and go on with the tree.
    fn hand_over(mut self, tree: Tree) -> Result<(), Stop> {
        if self.doubtful {
            self.compare_neighbours(&tree)?;
        }
        let key = self.key();
        let freed = self.freed.drain(..).filter(|freed| freed.stored).map(|freed| freed.page).collect();
        let (multikey, shortened, dirty_bytes) = (self.multikey, self.shortened, self.dirty_bytes);
        let adoption = Adoption { tree, multikey, shortened, freed, dirty_bytes };
        let builds = &self.builder.shared.builds;
        let reserved = builds.ids.all();
        let adopted = self.builder.ask(move |tx| adopt(tx, key, adoption));
        if adopted.is_err() {
            // The committer may have taken it over and had to take that back with its group.
            builds.abandon(reserved);
        }
        match adopted? {
            Some(Adopted::Done) => Ok(()),
            Some(Adopted::Again) => Err(Stop::Again),
            Some(Adopted::Duplicate(key, a, b)) => {
                // By now one of them may have another key; then the index can be built after all.
                self.fail_if_duplicate(&key, a, b)?;
                Err(Stop::Again)
            }
            None => Err(Stop::Gone),
        }
    }
}

/// Whether two documents have a key of a unique index at one moment; the message of the failure if they have.
fn duplicate(
    view: &View,
    collection: &CollectionHandle,
    spec: &IndexSpec,
    key: &[u8],
    a: RecordId,
    b: RecordId,
) -> Result<Option<String>, Error> {
    let Some(wanted) = Entry::of(key) else { return Ok(None) };
    let mut ids = Vec::new();
    for record in [a, b] {
        let Some(document) = view.record(collection, record)? else { return Ok(None) };
        let entries = spec.entries(document.root(), record)?;
        if !entries.keys.iter().any(|key| Entry::of(key).is_some_and(|entry| spec.is_equal(&wanted, &entry))) {
            return Ok(None);
        }
        ids.push(serde_json::Value::from(String::from_utf8_lossy(&document.id())).to_string());
    }
    let (name, key) = (spec.name(), spec.describe(key));
    Ok(Some(format!(
        "{DUPLICATE}: index {name} of collection {} cannot be unique: documents {} have the key {key}",
        collection.name(),
        ids.join(" and ")
    )))
}

/// Runs on the committer. None: the index is gone.
fn adopt(tx: &mut Transaction<'_>, key: (u32, u32), adoption: Adoption) -> Result<Option<Adopted>, Error> {
    let (shared, working, ..) = tx.parts();
    let Some(delta) = working.builds.get(&key) else { return Ok(None) };
    if delta.tainted {
        return Ok(Some(Adopted::Again));
    }
    let Some(state) = working.collections.get(&key.0) else { return Ok(None) };
    let Some(index) = state.indexes.iter().find(|index| index.id == key.1) else { return Ok(None) };
    let Adoption { tree, multikey, shortened, freed, dirty_bytes } = adoption;
    let index = Index {
        tree,
        recent: Arc::new(Recent::new(index.spec.definition.unique)),
        phase: Phase::Adopted,
        multikey: index.multikey | multikey | delta.multikey,
        shortened: index.shortened || shortened || delta.shortened,
        ..index.clone()
    };
    // What is left is the first of what the next checkpoint brings to the tree. Every state that has the index has it.
    for (key, there) in &delta.keys {
        if index.has(&shared.pager, key, Lsn::MAX)? != *there {
            index.recent.put(key, *there, 0, 0);
        }
    }
    if index.spec.definition.unique {
        for (key, _) in delta.keys.iter().filter(|(_, there)| **there) {
            let Some(record) = Entry::of(key).map(|entry| entry.record) else { continue };
            if let Some(other) = index.other_with_fields(&shared.pager, key, record)? {
                return Ok(Some(Adopted::Duplicate(key.clone(), other, record)));
            }
        }
    }
    shared.builds.adopt(freed);
    working.dirty_bytes += dirty_bytes;
    working.recent_bytes += index.recent.bytes();
    working.recent_in.insert(key.0);
    working.builds.remove(&key);
    working.adopted.push(key);
    working.publish_due = true;
    if let Some(slot) = working.touch(key.0, 0)?.index_mut(key.1) {
        *slot = index;
    }
    Ok(Some(Adopted::Done))
}

/// Runs on the committer: the index cannot be built.
pub(super) fn fail(tx: &mut Transaction<'_>, collection: u32, index: u32, why: &str) -> Result<(), Error> {
    let (shared, working, lsn, effects) = tx.parts();
    let known = working.collections.get(&collection).is_some_and(|c| c.indexes.iter().any(|i| i.id == index));
    if known {
        working.fail_index(shared, collection, lsn, index, why)?;
        effects.fail_index(collection, index, why);
    }
    Ok(())
}
