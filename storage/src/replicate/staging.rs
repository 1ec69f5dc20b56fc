//! Making a store of an export, beside the one that is there: `<dir>/sync`.
//!
//! Documents go straight to the engine as they come: one thread seals and writes a batch while the next is taken in. The trees of ids and of expiries are loaded when a collection has ended,
//! and other indexes are left to be built by the store that is opened. What is noted after each batch lets another process
//! go on.
//!
//! Invariant: nothing outside of the directory is touched.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use super::chunk::{ExportedCollection, Item, first_hash, open};
use super::export::{ExportHash, ExportHeader};
use super::ids::{id_key, id_of_key};
use super::install::Staged;
use crate::build::{Merge, Sorter};
use crate::checkpoint;
use crate::collection::{Checkpoint, CollectionRecord, IndexRecord};
use crate::document::record::Document;
use crate::error::io;
use crate::index::{Loader, PageId, Pager, ReservedIds, expiry_key};
use crate::kv::fjall::Fjall;
use crate::kv::{Engine, Entry, Space};
use crate::log::{self, LogIdentity};
use crate::record_id::{DocumentKey, RecordId, document_key, record_of_key};
use crate::recover::Layout;
use crate::seal::{Keyring, MasterKeySource, Purpose, Sealer, replace_file, resolve};
use crate::shared::{open_document, seal_document};
use crate::spill::{self, Spills};
use crate::{Error, Options};

/// Documents are handed to the engine in batches of about this size, or of half of what may be in memory: while one is written
/// the next comes.
const BATCH_BYTES: usize = 16 << 20;
const CONTEXT: &[u8] = b"staging";
const FORMAT: u32 = 1;

/// A store that is being made of an export's chunks. What is there already stays as it is.
pub struct Staging {
    layout: Layout,
    master: MasterKeySource,
    sealer: Sealer,
    engine: Arc<dyn Engine>,
    pager: Pager,
    ids: ReservedIds,
    spills: Spills,
    sort_bytes: usize,
    databases: u8,
    noted: Noted,
    /// What of the last collection is not in a tree yet.
    sorting: Option<Sorting>,
    batch: Vec<(DocumentKey, Document)>,
    batch_bytes: usize,
    batch_bytes_max: usize,
    /// The batch before.
    writing: Option<JoinHandle<Result<(), Error>>>,
    /// As of the last chunk.
    next_chunk: u64,
    hash: ExportHash,
}

/// How far it has come: on disk after each batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    format: u32,
    header: ExportHeader,
    next_chunk: u64,
    hash: ExportHash,
    next_page: PageId,
    /// Those that have ended.
    collections: Vec<CollectionRecord>,
    current: Option<Current>,
}

/// The collection whose documents come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Current {
    exported: ExportedCollection,
    count: u64,
    size: u64,
    expiring: u64,
    last: u64,
}

struct Sorting {
    ids: Sorter,
    expiries: Sorter,
}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").field("next_chunk", &self.next_chunk).finish_non_exhaustive()
    }
}

impl Staging {
    /// Begins anew. What was staged before is taken away. The keyring is a new one under the same master key.
    ///
    /// # Errors
    /// `Refused` when there is no such master key, or the export has more than this version or these options can hold.
    pub fn begin(options: &Options, master: &MasterKeySource, header: &ExportHeader) -> Result<Staging, Error> {
        Staging::discard(&options.dir)?;
        let layout = Layout::of(&Layout::of(&options.dir).sync);
        std::fs::DirBuilder::new().mode(0o700).create(&layout.dir).map_err(|e| io(&layout.dir, e))?;
        let (key, _) = resolve(master, &options.dir, true)?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let keyring = Keyring::create_in(&layout.dir, &key, now_ms, header.position.history)?;
        let noted = Noted {
            format: FORMAT,
            header: header.clone(),
            next_chunk: 0,
            hash: first_hash(header),
            next_page: 1,
            collections: Vec::new(),
            current: None,
        };
        let engine = Arc::new(Fjall::open(&layout.engine)?);
        Staging::of(options, master, layout, &keyring, engine, noted)
    }

    /// Goes on with what was staged before, also by a process that ended; [`Staging::next_chunk`] says where. None: there is
    /// nothing to go on with.
    pub fn resume(options: &Options, master: &MasterKeySource) -> Result<Option<Staging>, Error> {
        let layout = Layout::of(&Layout::of(&options.dir).sync);
        let path = progress(&layout);
        let sealed = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| io(&path, e))?,
        };
        let (key, _) = resolve(master, &options.dir, true)?;
        let keyring = Keyring::load(&layout.dir, &key)?;
        let plain = Sealer::new(&keyring).open(Purpose::Catalog, CONTEXT, &sealed)?;
        let Ok(noted) = serde_json::from_slice::<Noted>(&plain) else { return Ok(None) };
        if noted.format != FORMAT {
            return Ok(None);
        }
        let engine = Arc::new(Fjall::open_checked(&layout.engine, &layout.trial, |_| Ok(()))?);
        let mut staging = Staging::of(options, master, layout, &keyring, engine, noted)?;
        staging.sort_again()?;
        Ok(Some(staging))
    }

    fn of(
        options: &Options,
        master: &MasterKeySource,
        layout: Layout,
        keyring: &Keyring,
        engine: Arc<dyn Engine>,
        noted: Noted,
    ) -> Result<Staging, Error> {
        let sealer = Sealer::new(keyring);
        spill::prepare(&layout.tmp)?;
        let pager = Pager::new(Arc::clone(&engine), sealer.clone(), options.index_memory_bytes);
        pager.set_watermark(noted.next_page);
        Ok(Staging {
            spills: Spills::new(layout.tmp.clone(), sealer.clone(), options.disk_reserve_bytes),
            layout,
            master: master.clone(),
            sealer,
            engine,
            pager,
            ids: ReservedIds::default(),
            databases: options.databases,
            sort_bytes: options.index_build_memory_bytes,
            next_chunk: noted.next_chunk,
            hash: noted.hash,
            noted,
            sorting: None,
            batch: Vec::new(),
            batch_bytes: 0,
            batch_bytes_max: BATCH_BYTES.min(options.write_memory_bytes / 2),
            writing: None,
        })
    }

    /// Takes away what was staged in a data directory, unless it is a whole store that is being put in place.
    pub fn discard(dir: &Path) -> Result<(), Error> {
        let sync = Layout::of(dir).sync;
        if super::install::is_begun(&sync) {
            return Err(Error::Busy(format!("{} is being put in place", sync.display())));
        }
        match std::fs::remove_dir_all(&sync) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(&sync, error)),
            _ => Ok(()),
        }
    }

    /// The export's header.
    pub fn header(&self) -> &ExportHeader {
        &self.noted.header
    }

    /// The number of the chunk that comes next.
    pub fn next_chunk(&self) -> u64 {
        self.next_chunk
    }

    /// Bytes of the documents that have come, as the header counts them.
    pub fn bytes(&self) -> u64 {
        let ended: u64 = self.noted.collections.iter().map(|collection| collection.size).sum();
        ended + self.noted.current.as_ref().map_or(0, |current| current.size)
    }

    /// Takes the next chunk. One that is not whole, or not the next, is refused and changes nothing. After any other error
    /// only [`Staging::resume`] helps. Writes files, and may take its time.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let (mut items, hash) = open(chunk, self.next_chunk, &self.hash)?;
        while let Some(item) = items.next()? {
            match item {
                Item::Collection(exported) => self.begin_collection(exported)?,
                Item::Document(record, document) => self.add(record, document)?,
            }
        }
        (self.next_chunk, self.hash) = (self.next_chunk + 1, hash);
        if self.batch_bytes >= self.batch_bytes_max {
            self.flush()?;
        }
        Ok(())
    }

    fn begin_collection(&mut self, exported: ExportedCollection) -> Result<(), Error> {
        if exported.db >= self.databases {
            let what = format!("it has collections in database {}, and databases is {}", exported.db, self.databases);
            return Err(Error::Refused(format!("an export: {what}")));
        }
        self.end_collection()?;
        let sorter = || Sorter::new(self.spills.clone(), self.sort_bytes);
        self.sorting = Some(Sorting { ids: sorter(), expiries: sorter() });
        self.noted.current = Some(Current { exported, count: 0, size: 0, expiring: 0, last: 0 });
        Ok(())
    }

    fn add(&mut self, record: RecordId, document: Document) -> Result<(), Error> {
        let (Some(current), Some(sorting)) = (&mut self.noted.current, &mut self.sorting) else {
            return Err(Error::Refused("an export: a document of no collection".into()));
        };
        if record.0 <= current.last || record.0 >= current.exported.next_record {
            return Err(Error::Refused("an export: documents out of their order".into()));
        }
        current.last = record.0;
        current.count += 1;
        current.size += document.body.len() as u64;
        sorting.add(record, &document)?;
        current.expiring += u64::from(document.expires_ms != 0);
        self.batch_bytes += size_of::<(DocumentKey, Document)>() + document.body.len();
        self.batch.push((document_key(current.exported.id, record), document));
        Ok(())
    }

    /// Has what was gathered be sealed and handed to the engine, once the batch before it is there; and then noted how far it has
    /// come.
    fn flush(&mut self) -> Result<(), Error> {
        self.settle()?;
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.spills.check_space()?;
        let (noted, path) = (self.note()?, progress(&self.layout));
        let (engine, sealer) = (Arc::clone(&self.engine), self.sealer.clone());
        let write = move || {
            let seal = |(key, document): (DocumentKey, Document)| -> Entry {
                (Bytes::copy_from_slice(&key), Some(seal_document(&sealer, &key, &document)))
            };
            engine.ingest(Space::Documents, &mut batch.into_iter().map(seal))?;
            replace_file(&path, &noted)
        };
        let thread = std::thread::Builder::new().name("veddb-stage".to_owned()).spawn(write);
        self.writing = Some(thread.map_err(|source| io(&self.layout.dir, source))?);
        Ok(())
    }

    /// Returns once the engine has the batch before.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        writing.join().unwrap_or_else(|_| Err(Error::Engine("the thread that writes a batch has panicked".into())))
    }

    /// How far it has come once the engine has what was gathered: all of the chunks so far. Sealed.
    fn note(&mut self) -> Result<Vec<u8>, Error> {
        self.noted.next_chunk = self.next_chunk;
        self.noted.hash = self.hash;
        self.noted.next_page = self.pager.watermark();
        let plain = serde_json::to_vec(&self.noted).map_err(|e| Error::Engine(e.to_string()))?;
        let mut sealed = Vec::new();
        self.sealer.seal(Purpose::Catalog, CONTEXT, &plain, &mut sealed);
        Ok(sealed)
    }

    /// What was sorted before another process goes on is in the engine.
    fn sort_again(&mut self) -> Result<(), Error> {
        let Some(current) = &self.noted.current else { return Ok(()) };
        let sorter = || Sorter::new(self.spills.clone(), self.sort_bytes);
        let mut sorting = Sorting { ids: sorter(), expiries: sorter() };
        let id = current.exported.id;
        let (from, to) = (document_key(id, RecordId(0)), document_key(id, RecordId(current.last + 1)));
        let mut found = 0;
        for pair in self.engine.snapshot().range(Space::Documents, &from, &to) {
            let (key, sealed) = pair?;
            let document = open_document(&self.sealer, &key, &sealed)?;
            sorting.add(record_of_key(&key).unwrap_or(RecordId(0)), &document)?;
            found += 1;
        }
        if found != current.count {
            return Err(Error::Refused("what was staged is not whole".into()));
        }
        self.sorting = Some(sorting);
        Ok(())
    }

    /// Loads the trees of the collection whose documents have all come.
    fn end_collection(&mut self) -> Result<(), Error> {
        let (Some(current), Some(sorting)) = (self.noted.current.take(), self.sorting.take()) else { return Ok(()) };
        let Current { exported, count, size, expiring, .. } = current;
        let id_index_root = self.load(sorting.ids, &|key| id_of_key(key))?;
        let expiries_root = match expiring {
            0 => None,
            _ => Some(self.load(sorting.expiries, &|key| {
                let record = key.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)?;
                Some((key.to_vec(), record))
            })?),
        };
        let index = |index: super::chunk::ExportedIndex| IndexRecord {
            id: index.id,
            definition: index.definition,
            root: None,
            failure: index.failure,
            multikey: 0,
            shortened: false,
        };
        self.noted.collections.push(CollectionRecord {
            id: exported.id,
            db: exported.db,
            name: exported.name,
            created_ms: exported.created_ms,
            options: exported.options,
            count,
            size,
            next_record: exported.next_record,
            changed_lsn: exported.changed_lsn,
            id_index_root,
            indexes: exported.indexes.into_iter().map(index).collect(),
            next_index: exported.next_index,
            expiries_root,
            expiring,
        });
        Ok(())
    }

    fn load(&self, sorter: Sorter, entry: &ReadSorted) -> Result<PageId, Error> {
        let mut keys: Merge = sorter.finish()?;
        let mut loader = Loader::new(&self.pager, &*self.engine, &self.ids);
        let mut last: Option<Vec<u8>> = None;
        while let Some(key) = keys.next()? {
            let (key, record) = entry(&key).ok_or_else(|| Error::Engine("a sorted key is not what it was".into()))?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(Error::Refused("an export: two documents have one id".into()));
            }
            loader.push(&key, record)?;
            last = Some(key);
        }
        Ok(loader.finish()?.root_page())
    }

    /// All chunks were written, and this is the export's hash. What is staged is a whole store now.
    ///
    /// # Errors
    /// `Refused` when something is missing.
    pub fn finish(mut self, hash: ExportHash) -> Result<Staged, Error> {
        if hash != self.hash {
            return Err(Error::Refused("an export: chunks are missing, or are of another".into()));
        }
        self.end_collection()?;
        self.flush()?;
        self.settle()?;
        let Noted { header, collections, .. } = &self.noted;
        let documents: u64 = collections.iter().map(|collection| collection.count).sum();
        if (collections.len() as u64, documents) != (header.collections, header.documents) {
            return Err(Error::Refused("an export: not as many documents as it said".into()));
        }
        let lsn = header.position.lsn;
        let checkpoint = Checkpoint {
            lsn,
            next_page: self.pager.watermark(),
            next_collection: header.next_collection,
            collections: collections.clone(),
            ..Checkpoint::first().with_terms(&header.terms)
        };
        checkpoint::write_whole(&self.layout.checkpoint, &*self.engine, &self.sealer, &checkpoint)?;
        std::fs::create_dir_all(&self.layout.log).map_err(|e| io(&self.layout.log, e))?;
        let identity = LogIdentity { sealer: self.sealer.clone(), history_id: header.position.history };
        log::begin(&self.layout.log, &identity, lsn + 1, header.position.term)?;
        let (sync, master, path) = (self.layout.dir.clone(), self.master.clone(), progress(&self.layout));
        // The engine lets its directory go.
        drop(self);
        std::fs::remove_file(&path).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(io(&path, error)),
        })?;
        Ok(Staged::new(sync, master))
    }
}

impl Drop for Staging {
    /// Nothing is written any more once it is gone.
    fn drop(&mut self) {
        // What went wrong matters to nobody now.
        let _ = self.settle();
    }
}

/// The key and the value of an entry, from what was sorted.
type ReadSorted = dyn Fn(&[u8]) -> Option<(Vec<u8>, u64)>;

fn progress(layout: &Layout) -> PathBuf {
    layout.dir.join("progress")
}

impl Sorting {
    fn add(&mut self, record: RecordId, document: &Document) -> Result<(), Error> {
        self.ids.push(&id_key(&document.id(), record))?;
        match expiry_key(document, record) {
            Some(key) => self.expiries.push(&key),
            None => Ok(()),
        }
    }
}
