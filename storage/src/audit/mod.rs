//! The audit log: what was done, by whom, in the order in which it was done, so that nothing in it can be changed unseen.
//!
//! Owns `<dir>/audit/`: files of sealed frames of records, each bound to the one before it by a hash, and the head, which says where
//! the chain begins and ends. Does not know what is audited: a record is a text.
//!
//! Invariant: a record is synced before the head says that it is there. So whatever is missing before the head was taken
//! away; what follows it and belongs to the chain is taken over by the next start, and the rest is the torn end of a batch.

mod end;
mod file;
mod head;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::Error;
use crate::error::io;
use crate::seal::Sealer;
use crate::view::View;
pub use end::{AUDIT_END, AuditEnd};
use file::{Frame, Link, Reader, Writer, list};
use head::Head;

/// The hash of a frame and all before it.
type Hash = [u8; 32];

/// The audit log of a store.
#[derive(Debug)]
pub struct Audit {
    dir: PathBuf,
    sealer: Sealer,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    head: Head,
    writer: Option<Writer>,
    /// What was found wrong when the log was opened; a new file was begun behind it.
    damage: Option<String>,
    /// An append failed, and what it left could not be cut.
    owed: bool,
}

/// The log at a moment.
struct Seen {
    head: Head,
    files: Vec<SeenFile>,
}

struct SeenFile {
    /// The position of its first record.
    first: u64,
    path: PathBuf,
    /// What was in it, bytes.
    length: usize,
}

impl SeenFile {
    /// A reader of what was in it.
    fn open<'a>(&'a self, sealer: &'a Sealer) -> Result<Result<Reader<'a>, String>, Error> {
        Ok(Reader::open(&self.path, sealer)?.map(|reader| reader.up_to(self.length)))
    }
}

/// What looking the whole log over found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Records that are there and whole.
    pub records: u64,
    /// The position of the first and of the last record that should be there; both 0 where there is none.
    pub from: u64,
    /// See `from`.
    pub to: u64,
    /// What is wrong, and where. Empty where all is as it was written.
    pub bad: Vec<String>,
}

/// Faults that are listed; after so many the rest of the log is not worth reading.
const BAD_MAX: usize = 100;

impl Audit {
    /// The log in `dir`, which need not exist. [`Audit::recover`] looks at it before anything else is asked.
    pub(crate) fn new(dir: PathBuf, sealer: Sealer) -> Audit {
        Audit {
            dir,
            sealer,
            state: Mutex::new(State { head: Head::default(), writer: None, damage: None, owed: false }),
        }
    }

    /// Finds where the log ends. What is damaged is left as it is, for [`Audit::verify`] to tell, and gone on behind.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn recover(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        if !self.dir.exists() {
            return Ok(());
        }
        match head::read(&self.dir, &self.sealer)? {
            Ok(head) => {
                state.head = head;
                state.adopt(&self.dir, &self.sealer)?;
            }
            Err(damage) => state.damage = Some(damage),
        }
        state.recover(&self.dir, &self.sealer)?;
        if let Some(damage) = &state.damage {
            tracing::error!(%damage, "the audit log is damaged; AUDIT.VERIFY says where, and new records follow behind");
        }
        Ok(())
    }

    /// Appends records and syncs them. A file that has `file_bytes` is followed by the next one; of those before it `files_max` stay
    /// (0: all).
    ///
    /// # Errors
    /// `NoSpace`, and what else the file system says; then nothing of it is in the log, and the next call may succeed.
    pub fn append(&self, records: &[&str], file_bytes: u64, files_max: usize) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.owed {
            self.reopen(&mut state)?;
        }
        let State { head, writer, .. } = &mut *state;
        let mut open = match writer.take().filter(|writer| writer.bytes() < file_bytes) {
            Some(open) => open,
            None => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(|e| io(&self.dir, e))?;
                if head.written == 0 {
                    // So that there is no file without a head.
                    head::write(&self.dir, &self.sealer, head)?;
                }
                Writer::create(&self.dir, &self.sealer, head.next, head.hash)?
            }
        };
        let mut next = head.clone();
        open.push(&self.sealer, (&mut next.next, &mut next.hash), records);
        // Where that fails the writer is dropped: what it may have left behind the head is cut when the file is opened again.
        if let Err(error) = open.sync() {
            self.reopen(&mut state)?;
            return Err(error);
        }
        if let Err(error) = head::write(&self.dir, &self.sealer, &mut next) {
            self.reopen(&mut state)?;
            return Err(error);
        }
        state.head = next;
        state.writer = Some(open);
        if files_max > 0
            && let Err(error) = self.trim(&mut state, files_max)
        {
            // The records are there all the same.
            tracing::warn!(%error, "an old file of the audit log cannot be taken away");
        }
        Ok(())
    }

    /// Takes the files before the last `files_max` away, having said so in the head.
    fn trim(&self, state: &mut State, files_max: usize) -> Result<(), Error> {
        let files = list(&self.dir)?;
        let Some(kept) = files.len().checked_sub(files_max).filter(|extra| *extra > 0) else { return Ok(()) };
        let (old, rest) = files.split_at(kept);
        let Some((first, _)) = rest.first() else { return Ok(()) };
        let mut next = Head { first: *first, ..state.head.clone() };
        head::write(&self.dir, &self.sealer, &mut next)?;
        state.head = next;
        for (_, path) in old {
            std::fs::remove_file(path).map_err(|e| io(path, e))?;
        }
        Ok(())
    }

    /// Goes back to what the head says.
    fn reopen(&self, state: &mut State) -> Result<(), Error> {
        (state.writer, state.owed) = (None, true);
        state.recover(&self.dir, &self.sealer)?;
        state.owed = false;
        Ok(())
    }

    /// The last `count` records with their positions, oldest first, as far as they can be read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn tail(&self, count: usize) -> Result<Vec<(u64, String)>, Error> {
        let seen = self.seen(&self.state.lock())?;
        let mut found = Vec::new();
        for file in seen.files.iter().rev() {
            let Ok(reader) = file.open(&self.sealer)? else { continue };
            let whole = reader.map_while(Result::ok).take_while(|frame| frame.first < seen.head.next);
            let mut records: Vec<_> = whole.flat_map(Frame::records).collect();
            let wanted = count - found.len();
            records.drain(..records.len().saturating_sub(wanted));
            records.append(&mut found);
            found = records;
            if found.len() >= count {
                break;
            }
        }
        Ok(found)
    }

    /// Up to `count` records from a position on, in order and with their positions, as far as they can be read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, from: u64, count: usize) -> Result<Vec<(u64, String)>, Error> {
        let seen = self.seen(&self.state.lock())?;
        // The file with the record begins with it, or with one before it.
        let begin = seen.files.partition_point(|file| file.first <= from).saturating_sub(1);
        let mut found = Vec::new();
        for file in seen.files.get(begin..).unwrap_or_default() {
            let Ok(reader) = file.open(&self.sealer)? else { continue };
            let whole = reader.map_while(Result::ok).take_while(|frame| frame.first < seen.head.next);
            let records = whole.flat_map(Frame::records).filter(|(position, _)| *position >= from);
            found.extend(records.take(count - found.len()));
            if found.len() >= count {
                break;
            }
        }
        Ok(found)
    }

    /// What there is at this moment: it can be read without keeping records waiting, for files are only appended to.
    fn seen(&self, state: &State) -> Result<Seen, Error> {
        let file = |(first, path): (u64, PathBuf)| {
            let length = std::fs::metadata(&path).map_err(|e| io(&path, e))?.len();
            Ok(SeenFile { first, path, length: usize::try_from(length).unwrap_or(usize::MAX) })
        };
        let files = list_if_there(&self.dir)?.into_iter().map(file).collect::<Result<_, Error>>()?;
        Ok(Seen { head: state.head.clone(), files })
    }

    /// The position that the next record gets.
    pub fn next_position(&self) -> u64 {
        self.state.lock().head.next
    }

    /// The hash of the frame that ends with this record, as far as it can be read.
    fn hash_of(&self, position: u64, head: &Head) -> Result<Option<Hash>, Error> {
        if position + 1 == head.next {
            return Ok(Some(head.hash));
        }
        let files = list_if_there(&self.dir)?;
        let Some((_, path)) = files.iter().rev().find(|(first, _)| *first <= position) else { return Ok(None) };
        let Ok(reader) = Reader::open(path, &self.sealer)? else { return Ok(None) };
        let found = reader.map_while(Result::ok).find(|frame| frame.next() > position);
        Ok(found.filter(|frame| frame.next() == position + 1).map(|frame| frame.hash))
    }

    /// Reads everything, in order, and says what is not as it was written: what was changed, swapped, taken out or cut off.
    /// `end` is where the store's log says that the chain had ended.
    fn verify(&self, end: Option<&AuditEnd>) -> Result<Audited, Error> {
        let (Seen { head, files }, mut audited) = {
            let state = self.state.lock();
            (self.seen(&state)?, self.verify_head(&state, end)?)
        };
        let mut expected = Link { position: head.first, before: None };
        for file in files {
            if file.first < head.first {
                audited.bad.push(format!("{}: a file from before the log begins", name(&file.path)));
                continue;
            }
            let kept_from = self.state.lock().head.first;
            if file.first < kept_from {
                // It has been taken away since, and what is before the next one with it.
                expected = Link { position: kept_from, before: None };
                continue;
            }
            expected = check_file(&file, &self.sealer, &head, expected, &mut audited)?;
            if audited.bad.len() >= BAD_MAX {
                return Ok(audited);
            }
        }
        if expected.position < head.next {
            audited.bad.push(format!("records {} to {} are missing", expected.position, head.next - 1));
        } else if head.next > 1 && expected.before.is_some_and(|last| last != head.hash) {
            audited.bad.push(format!("record {}: not the one that the head names", head.next - 1));
        }
        Ok(audited)
    }

    /// What can be said without reading all of it.
    fn verify_head(&self, state: &State, end: Option<&AuditEnd>) -> Result<Audited, Error> {
        let head = &state.head;
        let mut audited = Audited { from: head.first, to: head.next - 1, ..Audited::default() };
        if head.first == head.next {
            (audited.from, audited.to) = (0, 0);
        }
        audited.bad.extend(state.damage.clone());
        if let Some(end) = end
            && state.damage.is_none()
        {
            audited.bad.extend(self.differs(head, end)?);
        }
        // The head that is on disk, not the one in memory: it may have been changed since.
        if head.next > 1 {
            match head::read(&self.dir, &self.sealer)? {
                Ok(stored) if stored == *head => {}
                Ok(_) => audited.bad.push("head: it was put back to an earlier one".to_owned()),
                Err(damage) => audited.bad.push(damage),
            }
        }
        Ok(audited)
    }

    /// Seals every file anew under the active key. Appending waits for one file at a time.
    ///
    /// # Errors
    /// `Damaged` where something cannot be opened: it would not be what it was.
    pub(crate) fn reseal(&self) -> Result<(), Error> {
        // What is begun from now on is under the active key.
        for (first, path) in list_if_there(&self.dir)? {
            let mut state = self.state.lock();
            if first < state.head.first {
                // It has been taken away since.
                continue;
            }
            // The last one is being appended to.
            state.writer = None;
            file::reseal(&path, &self.sealer, &path, &self.sealer)?;
            state.recover(&self.dir, &self.sealer)?;
        }
        if self.dir.exists() {
            let mut state = self.state.lock();
            // Once for each of its slots.
            head::write(&self.dir, &self.sealer, &mut state.head)?;
            head::write(&self.dir, &self.sealer, &mut state.head)?;
        }
        Ok(())
    }

    /// Tells which keys its records are under, as their headers say.
    pub(crate) fn count_keys(&self, count: &mut dyn FnMut(u32)) -> Result<(), Error> {
        let _state = self.state.lock();
        for (_, path) in list_if_there(&self.dir)? {
            file::keys(&path, count)?;
        }
        head::keys(&self.dir, count)
    }
}

impl View {
    /// The audit log; it is of no moment.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// Reads the whole audit log, in order, and says what is not as it was written: what was changed, swapped, taken out, cut off,
    /// or is not what this view's store says of it. Appending goes on meanwhile.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn verify_audit(&self) -> Result<Audited, Error> {
        let is_replica = self.shared.replica.load(Ordering::Acquire);
        let end = if is_replica { None } else { self.audit_end()? };
        self.shared.audit.verify(end.as_ref())
    }
}

impl State {
    /// Takes over what follows the head and belongs to the chain: a crash came before the head was written, or somebody put an
    /// old one back, which must not have the newer records go.
    fn adopt(&mut self, dir: &Path, sealer: &Sealer) -> Result<(), Error> {
        let files = list(dir)?;
        let begin = files.partition_point(|(first, _)| *first < self.head.next).saturating_sub(1);
        let before = self.head.next;
        for (_, path) in files.get(begin..).unwrap_or_default() {
            let Ok(mut reader) = Reader::open(path, sealer)? else { break };
            loop {
                let link = reader.link();
                let Some(Ok(frame)) = reader.next() else { break };
                if frame.first == self.head.next && link.before == Some(self.head.hash) {
                    (self.head.next, self.head.hash) = (frame.next(), frame.hash);
                }
            }
        }
        if self.head.next > before {
            tracing::warn!(
                records = self.head.next - before,
                "audit records that the head did not name yet are taken over"
            );
            head::write(dir, sealer, &mut self.head)?;
        }
        Ok(())
    }

    /// Opens the last file to be gone on with, cutting what follows the head. Where that cannot be, a new file is begun by the
    /// next record.
    fn recover(&mut self, dir: &Path, sealer: &Sealer) -> Result<(), Error> {
        let Some((first, path)) = list_if_there(dir)?.pop() else {
            if self.head.next > self.head.first {
                self.damage.get_or_insert_with(|| "all files are missing".to_owned());
            }
            return Ok(());
        };
        if self.damage.is_some() && self.head == Head::default() {
            // Without a head the chain's end is what there is. It is damaged in any case.
            self.head.next = last_position(&path, sealer)?.unwrap_or(first) + 1;
            self.head.first = self.head.next;
            return Ok(());
        }
        if first >= self.head.next {
            // Made, and nothing of it acknowledged.
            std::fs::remove_file(&path).map_err(|e| io(&path, e))?;
            return self.recover(dir, sealer);
        }
        match Writer::reopen(&path, sealer, self.head.next, &self.head.hash)? {
            Ok(writer) => self.writer = Some(writer),
            Err(damage) => {
                self.damage.get_or_insert(damage);
            }
        }
        Ok(())
    }
}

/// Copies an audit log to a store that has other keys. What is damaged is copied as it is, for [`Audit::verify`] to find.
pub(crate) fn carry(from: &Path, sealer: &Sealer, to: &Path, other: &Sealer) -> Result<(), Error> {
    if !from.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|e| io(to, e))?;
    let copy = |path: &Path| {
        let target = to.join(path.file_name().unwrap_or_default());
        std::fs::copy(path, &target).map(|_| ()).map_err(|e| io(&target, e))
    };
    for (_, path) in list(from)? {
        match file::reseal(&path, sealer, &to.join(path.file_name().unwrap_or_default()), other) {
            Err(Error::Damaged { .. }) => copy(&path)?,
            other => other?,
        }
    }
    match head::read(from, sealer)? {
        Ok(mut head) => (0..2).try_for_each(|_| head::write(to, other, &mut head))?,
        Err(_) if from.join("head").exists() => copy(&from.join("head"))?,
        Err(_) => {}
    }
    sync_directory(to)
}

/// Follows the chain through one file; where it stands behind it.
fn check_file(
    file: &SeenFile,
    sealer: &Sealer,
    head: &Head,
    mut expected: Link,
    audited: &mut Audited,
) -> Result<Link, Error> {
    let path = &file.path;
    let reader = match file.open(sealer)? {
        Ok(reader) => reader,
        Err(damage) => {
            audited.bad.push(damage);
            return Ok(expected);
        }
    };
    let begins = reader.link();
    if begins.position != expected.position {
        audited.bad.push(format!(
            "{}: it begins with record {}, not {}",
            name(path),
            begins.position,
            expected.position
        ));
    } else if expected.before.is_some() && expected.before != begins.before {
        audited.bad.push(format!("{}: it does not follow on the file before it", name(path)));
    }
    expected = begins;
    for frame in reader {
        match frame {
            Ok(frame) if frame.first >= head.next => {
                // The torn end of a batch may stand there after a crash, until the next start; nothing vouches for it.
                audited.bad.push(format!("{}: record {} is behind the head", name(path), frame.first));
                break;
            }
            Ok(frame) => {
                audited.records += frame.texts.len() as u64;
                expected = Link { position: frame.next(), before: Some(frame.hash) };
            }
            Err(damage) => {
                audited.bad.push(damage);
                break;
            }
        }
    }
    Ok(expected)
}

fn last_position(path: &Path, sealer: &Sealer) -> Result<Option<u64>, Error> {
    let Ok(reader) = Reader::open(path, sealer)? else { return Ok(None) };
    Ok(reader.map_while(Result::ok).last().map(|frame| frame.next() - 1))
}

fn list_if_there(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    if dir.exists() { list(dir) } else { Ok(Vec::new()) }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sync_directory(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|opened| opened.sync_all()).map_err(|e| io(dir, e))
}

#[cfg(test)]
mod tests;
