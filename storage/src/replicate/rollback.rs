//! Rollback files: what a log had after the last unit in common with the primary's, for a person to look at.
//!
//! A file is sealed under a key of its own that the master key opens, since the keyring goes with the data that are replaced. Its
//! blocks are lines of JSON.

use bytes::Bytes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event::{Event, EventKind, events_of};
use super::{Position, Units, term_at};
use crate::Error;
use crate::error::io;
use crate::keys::SIGNING_KEYS;
use crate::log::{self, LogCursor, Read};
use crate::lsn::Lsn;
use crate::recover::Layout;
use crate::seal::{MasterKeySource, SealedFileReader, SealedFileWriter, resolve};
use crate::store::Store;

/// Lines are gathered to blocks of about this size.
const BLOCK_BYTES: usize = 256 << 10;

/// What was written to a rollback file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The file.
    pub path: PathBuf,
    /// Units in it.
    pub units: u64,
    /// Changes in it: its lines but for the first.
    pub changes: u64,
    /// Units before these that were taken back as well and are no longer in the log.
    pub missing: u64,
}

impl Store {
    /// Writes what the log has after this unit to a new file in `<dir>/rollback`, which [`rollback_lines`] reads; none when
    /// there is nothing after it. Changes no data: to be called before an export is installed in their place. `master` is
    /// where the master key is.
    pub fn rollback_tail(&self, common: Lsn, master: &MasterKeySource) -> Result<Option<RolledBack>, Error> {
        let state = Arc::clone(&self.shared.state.read());
        if state.lsn <= common {
            return Ok(None);
        }
        let feed = &self.shared.feed;
        let dir = feed.dir().parent().unwrap_or(Path::new(".")).to_path_buf();
        let (key, _) = resolve(master, &dir, true)?;
        // While it is read nothing is to be trimmed.
        let _pin = feed.pin(common);
        let first = (common + 1).max(log::first_lsn(feed.dir())?);
        let folder = Layout::of(&dir).rollback;
        std::fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
        let term = term_at(&state.terms, state.lsn);
        let path = folder.join(format!("{first:016x}-{:016x}-{term:x}.rollback", state.lsn));
        let mut file = SealedFileWriter::create(&path, |id| crate::seal::Wrapping::new(&key, id))?;
        let missing = first - common - 1;
        let position = Position { history: feed.history_id(), term, lsn: state.lsn };
        let head = json!({"history": hex::encode(position.history), "term": format!("{term:x}"), "common": common,
            "from": first, "to": state.lsn, "missing": missing});
        let mut lines = head.to_string().into_bytes();
        lines.push(b'\n');
        let (mut changes, mut units) = (0, 0);
        let mut cursor = LogCursor::open(feed.dir(), feed.identity().clone(), feed.places(), first)?;
        while let Some(cursor) = &mut cursor {
            let Read::Frame(frame) = cursor.read(state.lsn)? else { break };
            let known = first.saturating_sub(frame.first_lsn) as u32;
            let group = Units::new(frame.first_lsn, frame.count, frame.term, Bytes::from(frame.units));
            let group = group.after(known).ok_or_else(|| Error::Refused("the log has no group of units".into()))?;
            units += u64::from(group.count());
            for event in events_of(&state, &group)? {
                put_line(&event, &mut lines)?;
                changes += 1;
                if lines.len() >= BLOCK_BYTES {
                    file.write(&lines)?;
                    lines.clear();
                }
            }
        }
        if !lines.is_empty() {
            file.write(&lines)?;
        }
        file.finish()?;
        tracing::warn!(file = %path.display(), units, changes, missing, "units that the primary does not have are kept aside");
        Ok(Some(RolledBack { path, units, changes, missing }))
    }
}

fn put_line(event: &Event, lines: &mut Vec<u8>) -> Result<(), Error> {
    let mut line = json!({"lsn": event.lsn, "op": event.kind.as_str(), "db": event.db, "coll": event.collection});
    if let Some(members) = line.as_object_mut() {
        if let EventKind::Rename(to) = &event.kind {
            members.insert("to".into(), json!(to));
        }
        if !event.id.is_empty() {
            // A key's id has bytes of any kind.
            let id = match std::str::from_utf8(&event.id) {
                Ok(id) => json!(id),
                Err(_) => json!({"hex": hex::encode(&event.id)}),
            };
            members.insert("id".into(), id);
            members.insert("version".into(), json!(event.version));
        }
    }
    let mut text = serde_json::to_vec(&line).map_err(|e| Error::Engine(e.to_string()))?;
    // Keys that tokens are signed with are shown to nobody.
    if let Some(document) = event.document.as_ref().filter(|_| event.collection != SIGNING_KEYS) {
        text.pop();
        text.extend_from_slice(b",\"doc\":");
        document.write_json(&mut text);
        text.push(b'}');
    }
    lines.extend_from_slice(&text);
    lines.push(b'\n');
    Ok(())
}

/// Shows the lines of a rollback file, some at a time, each ended by a newline: first what it is of (`history`, `term`, `common`,
/// `from`, `to`, `missing`), then the changes (`lsn`, `op`, `db`, `coll`, `id`, `version`, `doc`). `dir` is the data directory.
///
/// # Errors
/// `Refused` when the file is of another master key, `Damaged`, and whatever `show` says.
pub fn rollback_lines(
    path: &Path,
    dir: &Path,
    master: &MasterKeySource,
    show: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), Error> {
    let (key, _) = resolve(master, dir, true)?;
    let mut file = SealedFileReader::open(path, &key)?;
    while let Some(lines) = file.read()? {
        show(&lines).map_err(|e| io(path, e))?;
    }
    Ok(())
}
