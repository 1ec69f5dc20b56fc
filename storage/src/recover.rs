//! Opening a data directory: telling a new one from an old one, from a foreign one, from a damaged one; then the last
//! checkpoint and the log after it.
//!
//! Until everything has been read and found right, nothing is changed.

use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::Audit;
use crate::collection::{Checkpoint, CollectionHandle};
use crate::effect::decode_group;
use crate::error::io;
use crate::index::Pager;
use crate::kv::Engine;
use crate::kv::fjall::Fjall;
use crate::log::{self, LogIdentity, Tail};
use crate::lsn::Lsn;
use crate::memtable::Memtable;
use crate::replicate::Feed;
use crate::rotate::DataKeys;
use crate::seal::Sealer;
use crate::shared::{Shared, Sources};
use crate::spill::Spills;
use crate::view::{Names, State};
use crate::working::Working;
use crate::{Error, Options, checkpoint};

/// The names in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) keyring: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) engine: PathBuf,
    /// Where the engine is opened on trial; there only while a store is being opened.
    pub(crate) trial: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) checkpoint: PathBuf,
    /// How far a rotation has come.
    pub(crate) rotation: PathBuf,
    /// A store that is being made to take the place of this one.
    pub(crate) sync: PathBuf,
    /// What was taken back of the log when its line turned out not to be the primary's.
    pub(crate) rollback: PathBuf,
    /// The audit log.
    pub(crate) audit: PathBuf,
    /// Temporary files; nothing in it outlives a process.
    pub(crate) tmp: PathBuf,
}

impl Layout {
    pub(crate) fn of(dir: &Path) -> Layout {
        Layout {
            dir: dir.to_path_buf(),
            keyring: dir.join("keyring"),
            lock: dir.join("lock"),
            engine: dir.join("kv"),
            trial: dir.join("kv.trial"),
            log: dir.join("log"),
            checkpoint: dir.join("checkpoint"),
            rotation: crate::rotate::progress_file(dir),
            sync: dir.join("sync"),
            rollback: dir.join("rollback"),
            audit: dir.join("audit"),
            tmp: dir.join("tmp"),
        }
    }

    fn known(&self) -> [&Path; 11] {
        let Layout { keyring, lock, engine, trial, log, checkpoint, rotation, sync, rollback, audit, tmp, .. } = self;
        [keyring, lock, engine, trial, log, checkpoint, rotation, sync, rollback, audit, tmp]
    }

    /// Takes away what a crash left of files that were being replaced, which may be under a key that is to be erased.
    pub(crate) fn remove_unfinished(&self) -> Result<(), Error> {
        for path in [&self.keyring, &self.checkpoint, &self.rotation] {
            let unfinished = path.with_extension("tmp");
            match std::fs::remove_file(&unfinished) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&unfinished, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the directory holds a store. An error when it holds something else.
    pub(crate) fn holds_store(&self) -> Result<bool, Error> {
        if !self.dir.exists() {
            return Ok(false);
        }
        let mut foreign = None;
        for entry in std::fs::read_dir(&self.dir).map_err(|e| io(&self.dir, e))? {
            let path = entry.map_err(|e| io(&self.dir, e))?.path();
            if !self.known().contains(&path.as_path()) {
                foreign = Some(path);
            }
        }
        let store = self.keyring.exists();
        match foreign {
            Some(path) if !store => Err(Error::Refused(format!(
                "{} is not a VedDB data directory: it holds {} and no keyring; nothing was changed",
                self.dir.display(),
                path.file_name().unwrap_or_default().to_string_lossy()
            ))),
            _ if store => Ok(true),
            _ if self.engine.exists() || has_segments(&self.log) => Err(Error::Refused(format!(
                "{}: the keyring is missing; without it nothing in this directory can be read",
                self.keyring.display()
            ))),
            _ => Ok(false),
        }
    }

    /// Makes the directory if there is none, and takes it for this process.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(|e| io(&self.dir, e))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.lock)
            .map_err(|e| io(&self.lock, e))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                Error::Refused(format!("{} is in use by another process", self.dir.display()))
            }
            other => io(&self.lock, other.into()),
        })?;
        Ok(file)
    }
}

fn has_segments(log: &Path) -> bool {
    std::fs::read_dir(log)
        .is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "log"))))
}

/// What was found.
pub(crate) struct Recovered {
    pub(crate) shared: Arc<Shared>,
    pub(crate) working: Working,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) tail: Tail,
    pub(crate) replayed_units: u64,
}

/// Opens the engine, of an existing store after a look at a trial copy.
fn open_engine(layout: &Layout, sealer: &Sealer, checkpoint: Option<&Checkpoint>) -> Result<Arc<dyn Engine>, Error> {
    let engine = match checkpoint {
        Some(checkpoint) => Fjall::open_checked(&layout.engine, &layout.trial, |engine| {
            checkpoint::check_engine(engine, sealer, checkpoint.lsn, &layout.engine)
        }),
        None => Fjall::open(&layout.engine),
    };
    Ok(Arc::new(engine?))
}

/// Brings a store to the state that its log ends with.
pub(crate) fn recover(
    layout: &Layout,
    options: &Options,
    identity: &LogIdentity,
    keys: Arc<DataKeys>,
) -> Result<Recovered, Error> {
    let sealer = &identity.sealer;
    let found = checkpoint::read(&layout.checkpoint, sealer)?;
    let had_log = has_segments(&layout.log);
    let missing = |path: &Path, why: &str| Err(Error::Refused(format!("{} is missing; {why}", path.display())));
    if let Some(checkpoint) = &found {
        if !layout.engine.exists() {
            return missing(&layout.engine, "the documents were there");
        }
        if !had_log && checkpoint.lsn > 0 {
            return missing(&layout.log, "the checkpoint alone may lack acknowledged writes");
        }
        if had_log {
            // Once without doing anything: a damaged log must be found before the engine, which tidies up when it opens.
            log::recover(&layout.log, identity, checkpoint.lsn, &mut |_, _, _, _| Ok(()))?;
        }
    } else if had_log {
        return missing(&layout.checkpoint, "the log alone is not the whole store");
    }
    let engine = open_engine(layout, sealer, found.as_ref())?;
    let checkpoint = match found {
        Some(checkpoint) => checkpoint,
        // A new store, or a first start that was cut short.
        None => checkpoint::write_first(&layout.checkpoint, &*engine, sealer)?,
    };
    std::fs::create_dir_all(&layout.log).map_err(|e| io(&layout.log, e))?;
    let linger = std::time::Duration::from_millis(options.log_pin_linger_ms);
    let feed = Feed::new(layout.log.clone(), identity.clone(), linger);
    if let Some(lsn) = checkpoint.log_kept_after {
        feed.keep(lsn);
    }
    feed.forget_names(checkpoint.names_after.unwrap_or(checkpoint.lsn));
    feed.set_kept_bytes(options.log_kept_bytes);
    let shared = open_shared(layout, options, engine, (sealer.clone(), keys), &checkpoint, feed)?;
    let state = Arc::clone(&shared.state.read());
    let mut working = Working::of(&state);
    let mut replayed_units = 0;
    let tail = log::recover(&layout.log, identity, checkpoint.lsn, &mut |first_lsn, count, term, bytes| {
        working.note_term(term, first_lsn.max(checkpoint.lsn + 1));
        let units = decode_group(bytes, count).ok_or_else(|| not_a_group(layout, first_lsn))?;
        for (lsn, effects) in (first_lsn..).zip(units) {
            if lsn <= checkpoint.lsn {
                continue;
            }
            for effect in effects {
                working.replay(&shared, lsn, effect).map_err(|e| does_not_fit(layout, lsn, &e))?;
            }
            replayed_units += 1;
        }
        Ok(())
    })?;
    Ok(Recovered { shared, working, checkpoint, tail, replayed_units })
}

fn not_a_group(layout: &Layout, lsn: Lsn) -> Error {
    Error::Damaged { path: layout.log.clone(), at: format!("LSN {lsn}"), what: "not a group of units".into() }
}

fn does_not_fit(layout: &Layout, lsn: Lsn, error: &Error) -> Error {
    Error::Damaged {
        path: layout.log.clone(),
        at: format!("LSN {lsn}"),
        what: format!("the unit does not fit the checkpoint before it: {error}"),
    }
}

fn open_shared(
    layout: &Layout,
    options: &Options,
    engine: Arc<dyn Engine>,
    (sealer, keys): (Sealer, Arc<DataKeys>),
    checkpoint: &Checkpoint,
    feed: Arc<Feed>,
) -> Result<Arc<Shared>, Error> {
    let pager = Pager::new(Arc::clone(&engine), sealer.clone(), options.index_memory_bytes);
    pager.set_watermark(checkpoint.next_page);
    let mut databases = vec![Names::new_sync(); usize::from(options.databases)];
    for record in &checkpoint.collections {
        let db = usize::from(record.db);
        let names = databases.get_mut(db).ok_or_else(|| {
            Error::Refused(format!("there are collections in database {db}, and databases is {}", options.databases))
        })?;
        let handle = CollectionHandle(Arc::new(record.clone().open(&pager)?));
        names.insert_mut(Arc::from(record.name.as_str()), handle);
    }
    let sources =
        Sources { active: Arc::new(Memtable::default()), frozen: None, snapshot: engine.snapshot(), generation: 0 };
    let state = State {
        lsn: checkpoint.lsn,
        databases,
        sources,
        next_collection: checkpoint.next_collection,
        page_watermark: checkpoint.next_page,
        terms: checkpoint.terms().into(),
        past_names: Arc::new(checkpoint.past_names.clone()),
    };
    Ok(Arc::new(Shared {
        spills: Spills::new(layout.tmp.clone(), sealer.clone(), options.disk_reserve_bytes),
        pace: Arc::clone(engine.pace()),
        audit: Audit::new(layout.audit.clone(), sealer.clone()),
        engine,
        sealer,
        data_keys: keys,
        pager,
        cache: crate::cache::DocumentCache::new(options.cache_memory_bytes),
        lookups: crate::keys::Lookups::default(),
        feed,
        replica: options.replica.into(),
        apply_queued: Arc::default(),
        builds: crate::build::Builds::default(),
        notes: crate::note::Notes::default(),
        log_dir: layout.log.clone(),
        checkpoint_path: layout.checkpoint.clone(),
        state: parking_lot::RwLock::new(Arc::new(state)),
    }))
}
