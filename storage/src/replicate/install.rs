//! Putting a staged store in the place of the one that is there.
//!
//! A file `install` in `<dir>/sync` is the moment at which the new store counts: before it the old one is whole and in place,
//! after it the new one is whole, and each start first moves what is left to be moved. What was there is moved aside before it is
//! deleted.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::io;
use crate::recover::Layout;
use crate::seal::{Keyring, MasterKeySource, Sealer, replace_file, resolve};
use crate::{Error, audit};

const MARK: &str = "install";
/// What makes a store, in the order in which it is moved.
const PARTS: [&str; 5] = ["kv", "log", "checkpoint", "audit", "keyring"];
/// What belongs to the old store alone.
const OLD_PARTS: [&str; 1] = ["rotation"];

/// A whole store beside the one that is there.
#[derive(Debug)]
pub struct Staged {
    sync: PathBuf,
    master: MasterKeySource,
}

impl Staged {
    pub(super) fn new(sync: PathBuf, master: MasterKeySource) -> Staged {
        Staged { sync, master }
    }

    /// Puts it in the place of the old one, whose [`crate::Store::close`] has returned. A crash at any moment leaves one of the
    /// two, and the next start finishes what was begun. Then [`crate::Store::open`] opens the new one.
    ///
    /// # Errors
    /// `Busy` while somebody still holds a view or an export of the old one; nothing has changed then, and it may be called
    /// again. `Refused` when the master key was changed since.
    pub fn install(&self) -> Result<(), Error> {
        let layout = Layout::of(self.sync.parent().unwrap_or(Path::new(".")));
        let _lock = layout.lock().map_err(busy)?;
        wait_for_engine(&layout)?;
        let (key, _) = resolve(&self.master, &layout.dir, true)?;
        // What was audited here stays, under the new store's keys.
        let (old, new) = (Keyring::load(&layout.dir, &key)?, Keyring::load(&self.sync, &key)?);
        let staged = Layout::of(&self.sync);
        audit::carry(&layout.audit, &Sealer::new(&old), &staged.audit, &Sealer::new(&new))?;
        for path in [&self.sync, &self.sync.join("log"), &self.sync.join("kv")] {
            sync_directory(path)?;
        }
        replace_file(&self.sync.join(MARK), b"the store in this directory takes the place of the one around it\n")?;
        finish(&layout)
    }
}

fn busy(error: Error) -> Error {
    match error {
        Error::Refused(what) => Error::Busy(what),
        other => other,
    }
}

/// The engine has a lock of its own, which it holds until the last who reads it is gone.
fn wait_for_engine(layout: &Layout) -> Result<(), Error> {
    let path = layout.engine.join("lock");
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| io(&path, e))?,
    };
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::Busy("somebody still reads the data that are to be replaced".into()))
}

/// Whether a staged store counts already.
pub(crate) fn is_begun(sync: &Path) -> bool {
    sync.join(MARK).exists()
}

/// Finishes what was begun, if anything was. Whoever calls it has the directory's lock.
pub(crate) fn finish(layout: &Layout) -> Result<(), Error> {
    let sync = &layout.sync;
    if !is_begun(sync) {
        return Ok(());
    }
    for name in PARTS {
        let staged = sync.join(name);
        if staged.exists() {
            move_aside(layout, name)?;
            let path = layout.dir.join(name);
            std::fs::rename(&staged, &path).map_err(|e| io(&path, e))?;
        }
    }
    OLD_PARTS.iter().try_for_each(|name| move_aside(layout, name))?;
    sync_directory(&layout.dir)?;
    // The mark goes last but for what is aside: without it nothing is moved any more.
    let mark = sync.join(MARK);
    std::fs::remove_file(&mark).map_err(|e| io(&mark, e))?;
    sync_directory(sync)?;
    std::fs::remove_dir_all(sync).map_err(|e| io(sync, e))
}

fn move_aside(layout: &Layout, name: &str) -> Result<(), Error> {
    let (path, aside) = (layout.dir.join(name), layout.sync.join(format!("old.{name}")));
    if !path.exists() {
        return Ok(());
    }
    std::fs::rename(&path, &aside).map_err(|e| io(&aside, e))
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|opened| opened.sync_all()).map_err(|e| io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a crash can leave between two steps is brought to the new store.
    #[test]
    fn an_install_that_was_cut_short_anywhere_is_finished() {
        let list = |dir: &Path| {
            let mut found: Vec<(String, String)> = Vec::new();
            for name in PARTS.iter().chain(&OLD_PARTS) {
                let path = dir.join(name);
                let file = if path.is_dir() { path.join("f") } else { path.clone() };
                if let Ok(text) = std::fs::read_to_string(file) {
                    found.push(((*name).to_owned(), text));
                }
            }
            found
        };
        let new: Vec<(String, String)> = PARTS.iter().map(|name| ((*name).to_owned(), "new".to_owned())).collect();
        for moved in 0..=PARTS.len() {
            for aside in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let layout = Layout::of(dir.path());
                std::fs::create_dir(&layout.sync).unwrap();
                let put = |dir: &Path, name: &str, text: &str| {
                    let path = dir.join(name);
                    if matches!(name, "kv" | "log" | "audit") {
                        std::fs::create_dir(&path).unwrap();
                        std::fs::write(path.join("f"), text).unwrap();
                    } else {
                        std::fs::write(path, text).unwrap();
                    }
                };
                for (at, name) in PARTS.iter().enumerate() {
                    put(if at < moved { dir.path() } else { &layout.sync }, name, "new");
                    if at > moved || (at == moved && !aside) {
                        put(dir.path(), name, "old");
                    }
                }
                put(dir.path(), "rotation", "old");
                finish(&layout).unwrap();
                assert!(list(dir.path()).iter().any(|(_, text)| text == "old"), "not begun: the old one stays");
                std::fs::write(layout.sync.join(MARK), "").unwrap();
                finish(&layout).unwrap();
                assert_eq!(list(dir.path()), new, "{moved} {aside}");
                assert!(!layout.sync.exists());
                finish(&layout).unwrap();
            }
        }
    }
}
