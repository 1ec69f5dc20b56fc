//! The log: write-ahead log, stream of replicas, and what DOC.CHANGES tells of, in our own sealed segment files.
//!
//! Owns the files of `<dir>/log`. Knows units only as bytes; what they mean is [`crate::effect`]'s.
//!
//! Invariant: frames follow each other without a gap in LSNs, within and across segments. The byte layout is in
//! `docs/formats.md`.

mod cursor;
mod frame;
mod places;
mod reader;
mod reseal;
mod segment;

pub(crate) use cursor::{LogCursor, Read};
pub(crate) use places::Places;
pub(crate) use reader::{Tail, recover};
pub(crate) use reseal::reseal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::lsn::Lsn;
use crate::measured::Measured;
use crate::seal::Sealer;
use crate::{Error, error::io};

/// What every frame of this store is bound to.
#[derive(Debug, Clone)]
pub(crate) struct LogIdentity {
    pub(crate) sealer: Sealer,
    pub(crate) history_id: [u8; 16],
}

/// How far the log is on disk. Shared with the thread that syncs once a second.
#[derive(Debug)]
pub(crate) struct Progress {
    written: AtomicU64,
    durable: AtomicU64,
    /// What syncs of segments take, whoever asks for them.
    syncs_us: Mutex<Measured>,
}

/// The longest sync that is told apart, microseconds.
const SYNC_US_MAX: u64 = 60_000_000;

impl Default for Progress {
    fn default() -> Progress {
        let syncs_us = Mutex::new(Measured::up_to(SYNC_US_MAX));
        Progress { written: AtomicU64::new(0), durable: AtomicU64::new(0), syncs_us }
    }
}

impl Progress {
    pub(crate) fn lsn_written(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }
    pub(crate) fn lsn_durable(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }
    /// What syncs took since the log was opened, microseconds.
    pub(crate) fn syncs_us(&self) -> Measured {
        self.syncs_us.lock().clone()
    }
}

/// The end of the log, open for appending. Used by the committer alone.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    identity: LogIdentity,
    term: u64,
    segment_bytes_max: u64,
    file: Arc<File>,
    path: PathBuf,
    offset: u64,
    progress: Arc<Progress>,
    buffer: Vec<u8>,
    bytes_written: u64,
}

/// Why an append failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing was written; the log is as before.
    NoSpace,
    /// The log's end is unknown; nothing may be appended any more.
    Fatal(Error),
}

impl Log {
    /// Continues the log after what [`recover`] found. Cuts a torn tail, makes the first segment of an empty log.
    pub(crate) fn open(dir: &Path, identity: LogIdentity, segment_bytes_max: u64, tail: Tail) -> Result<Log, Error> {
        segment::remove_unfinished(dir)?;
        let progress = Arc::new(Progress::default());
        progress.written.store(tail.last_lsn, Ordering::Release);
        progress.durable.store(tail.last_lsn, Ordering::Release);
        let (file, path, offset) = match tail.segment {
            Some((path, offset)) => {
                let file = segment::open_to_append(&path, offset)?;
                (file, path, offset)
            }
            None => segment::create(dir, &identity, tail.last_lsn + 1, tail.term)?,
        };
        Ok(Log {
            dir: dir.to_path_buf(),
            identity,
            term: tail.term,
            segment_bytes_max,
            file: Arc::new(file),
            path,
            offset,
            progress,
            buffer: Vec::new(),
            bytes_written: 0,
        })
    }

    /// How far the log is; lives longer than the log.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What follows is written under this term.
    pub(crate) fn set_term(&mut self, term: u64) {
        self.term = term;
    }

    /// Bytes appended since the log was opened.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Appends one group: `count` units, numbered from the LSN after the last. Hands it to the operating system; it is
    /// not durable before [`Log::sync`].
    pub(crate) fn append(&mut self, units: &[u8], count: u32) -> Result<(), AppendError> {
        if !takes(units) {
            // The committer ends groups long before; what no reader believes must not be written.
            return Err(AppendError::NoSpace);
        }
        let first_lsn = self.progress.lsn_written() + 1;
        if self.offset >= self.segment_bytes_max {
            self.rotate(first_lsn)?;
        }
        let header = frame::Header { first_lsn, count, term: self.term, lsn_durable: self.progress.lsn_durable() };
        self.buffer.clear();
        frame::encode(&self.identity, &header, units, &mut self.buffer);
        self.write_buffer()?;
        self.progress.written.store(first_lsn + u64::from(count) - 1, Ordering::Release);
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<(), AppendError> {
        use std::os::unix::fs::FileExt as _;
        match self.file.write_all_at(&self.buffer, self.offset) {
            Ok(()) => {
                self.offset += self.buffer.len() as u64;
                self.bytes_written += self.buffer.len() as u64;
                // One huge unit must not keep its memory for good.
                if self.buffer.capacity() > 8 << 20 {
                    self.buffer = Vec::new();
                }
                Ok(())
            }
            Err(error) => {
                // What may have been written of the frame must not stay behind: a later frame would follow damage.
                let cut = self.file.set_len(self.offset);
                let full = matches!(
                    error.kind(),
                    std::io::ErrorKind::StorageFull
                        | std::io::ErrorKind::QuotaExceeded
                        | std::io::ErrorKind::FileTooLarge
                );
                match (cut, full) {
                    (Ok(()), true) => Err(AppendError::NoSpace),
                    _ => Err(AppendError::Fatal(io(&self.path, error))),
                }
            }
        }
    }

    /// Begins a new segment, so that what is in those before it can be trimmed. Where the last one has no frame it is
    /// replaced: its name is that of the new one.
    pub(crate) fn roll(&mut self) -> Result<(), AppendError> {
        self.rotate(self.progress.lsn_written() + 1)
    }

    fn rotate(&mut self, first_lsn: Lsn) -> Result<(), AppendError> {
        self.sync().map_err(AppendError::Fatal)?;
        match segment::create(&self.dir, &self.identity, first_lsn, self.term) {
            Ok((file, path, offset)) => {
                self.file = Arc::new(file);
                self.path = path;
                self.offset = offset;
                Ok(())
            }
            Err(Error::NoSpace) => Err(AppendError::NoSpace),
            Err(error) => Err(AppendError::Fatal(error)),
        }
    }

    /// Returns when everything appended is on disk. After an error nothing is known about the file's end, so the store
    /// must stop writing.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        sync_handle(&self.file, &self.path, self.progress.lsn_written(), &self.progress)
    }

    /// What a background sync needs: it may run beside appends.
    pub(crate) fn sync_handle(&self) -> (Arc<File>, PathBuf, Lsn) {
        (Arc::clone(&self.file), self.path.clone(), self.progress.lsn_written())
    }

    /// The segment being appended to; never trimmed.
    pub(crate) fn current_segment(&self) -> &Path {
        &self.path
    }
}

/// Whether a group of these units is not too large for a frame.
pub(crate) fn takes(units: &[u8]) -> bool {
    units.len() + crate::seal::OVERHEAD <= frame::BODY_BYTES_MAX
}

/// The first unit that the log has, or will have; 0 where there is no log.
pub(crate) fn first_lsn(dir: &Path) -> Result<Lsn, Error> {
    Ok(segment::list(dir)?.first().map_or(0, |(first_lsn, _)| *first_lsn))
}

/// Makes the first segment of a log that goes on after what a checkpoint has.
pub(crate) fn begin(dir: &Path, identity: &LogIdentity, first_lsn: Lsn, term: u64) -> Result<(), Error> {
    segment::create(dir, identity, first_lsn, term).map(|_| ())
}

/// Syncs a segment and notes that everything up to `lsn` is durable (a segment is synced before the next is begun).
pub(crate) fn sync_handle(file: &File, path: &Path, lsn: Lsn, progress: &Progress) -> Result<(), Error> {
    if progress.lsn_durable() >= lsn {
        return Ok(());
    }
    let began = Instant::now();
    file.sync_data().map_err(|e| io(path, e))?;
    progress.syncs_us.lock().note(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    progress.durable.fetch_max(lsn, Ordering::AcqRel);
    Ok(())
}

/// What a trim leaves of what no start needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kept {
    /// Everything after this unit is wanted by somebody, ..
    pub(crate) after: Option<Lsn>,
    /// .. who is given it as long as it takes no more than this, bytes.
    pub(crate) wanted_bytes_max: u64,
    /// The newest segments stay in any case, as many as take no more than this together, bytes.
    pub(crate) any_bytes: u64,
}

/// Deletes segments that hold nothing after `lsn_applied`, oldest first, but for what is to be kept. The current segment stays.
/// Returns how many.
pub(crate) fn trim(dir: &Path, lsn_applied: Lsn, current: &Path, kept: Kept) -> Result<usize, Error> {
    let segments = segment::list(dir)?;
    let unneeded =
        |pair: &&[(Lsn, PathBuf)]| matches!(pair, [(_, old), (next, _)] if *next <= lsn_applied + 1 && old != current);
    let unneeded: Vec<&[(Lsn, PathBuf)]> = segments.windows(2).take_while(unneeded).collect();
    let mut kept_bytes: u64 = 0;
    for pair in &unneeded {
        if let [(_, old), _] = pair {
            kept_bytes += old.metadata().map_err(|e| io(old, e))?.len();
        }
    }
    let mut removed = 0;
    for pair in unneeded {
        let [(_, old), (next_first_lsn, _)] = pair else { continue };
        let wanted = kept.after.is_some_and(|lsn| lsn + 1 < *next_first_lsn);
        if kept_bytes <= kept.any_bytes || (wanted && kept_bytes <= kept.wanted_bytes_max) {
            break;
        }
        kept_bytes -= old.metadata().map_err(|e| io(old, e))?.len();
        std::fs::remove_file(old).map_err(|e| io(old, e))?;
        removed += 1;
    }
    Ok(removed)
}

/// How many segments and frames are sealed under which key, as their headers say. Beside the committer: what it has not
/// finished writing is not counted.
pub(crate) fn count_keys(dir: &Path, count: &mut dyn FnMut(u32)) -> Result<(), Error> {
    for (_, path) in segment::list(dir)? {
        match reader::frame_keys(&path, count) {
            // A checkpoint may trim it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(|e| io(&path, e))?,
        }
    }
    Ok(())
}

/// Bytes of the largest segment.
pub(crate) fn largest_segment(dir: &Path) -> Result<u64, Error> {
    let segments = segment::list(dir)?;
    Ok(segments.iter().filter_map(|(_, path)| path.metadata().ok()).map(|m| m.len()).max().unwrap_or_default())
}

/// How many segments there are, and their bytes.
pub(crate) fn disk_space(dir: &Path) -> (u64, u64) {
    let segments = segment::list(dir).unwrap_or_default();
    // A checkpoint may trim one meanwhile.
    let sizes = segments.iter().filter_map(|(_, path)| path.metadata().ok()).map(|m| m.len());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn identity() -> LogIdentity {
        let (_dir, _, sealer) = testing::engine();
        LogIdentity { sealer, history_id: [7; 16] }
    }

    type Groups = Vec<(Lsn, u32, Vec<u8>)>;

    fn read(dir: &Path, identity: &LogIdentity, lsn_applied: Lsn) -> Result<(Tail, Groups), Error> {
        let mut groups = Vec::new();
        let tail = recover(dir, identity, lsn_applied, &mut |lsn, count, _, units| {
            groups.push((lsn, count, units.to_vec()));
            Ok(())
        })?;
        Ok((tail, groups))
    }

    fn open(dir: &Path, identity: &LogIdentity, segment_bytes_max: u64) -> Log {
        let (tail, _) = read(dir, identity, 0).unwrap();
        Log::open(dir, identity.clone(), segment_bytes_max, tail).unwrap()
    }

    fn segments(dir: &Path) -> Vec<PathBuf> {
        segment::list(dir).unwrap().into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn groups_come_back_across_segments_and_reopening() {
        let (dir, identity) = (tempfile::tempdir().unwrap(), identity());
        for round in 0..3_u8 {
            let mut log = open(dir.path(), &identity, 300);
            for n in 0..5_u8 {
                log.append(&[round, n], 3).unwrap();
                log.sync().unwrap();
            }
        }
        let (tail, groups) = read(dir.path(), &identity, 0).unwrap();
        assert_eq!((tail.last_lsn, groups.len(), tail.torn_bytes), (45, 15, 0));
        assert_eq!(groups[6], (19, 3, vec![1, 1]));
        assert!(segments(dir.path()).len() > 3);
        assert_eq!(read(dir.path(), &identity, 44).unwrap().1.len(), 1);

        let current = segments(dir.path()).pop().unwrap();
        let listed = segment::list(dir.path()).unwrap();
        let unneeded = listed.windows(2).filter(|pair| pair[1].0 <= 21);
        let any_bytes = unneeded.map(|pair| pair[0].1.metadata().unwrap().len()).sum::<u64>();
        // As much as there is, and a byte less.
        assert_eq!(trim(dir.path(), 20, &current, Kept { any_bytes, ..Kept::default() }).unwrap(), 0);
        let less = Kept { any_bytes: any_bytes - 1, ..Kept::default() };
        assert_eq!(trim(dir.path(), 20, &current, less).unwrap(), 1);
        let wanted = Kept { after: Some(0), wanted_bytes_max: any_bytes, any_bytes: 0 };
        assert_eq!(trim(dir.path(), 20, &current, wanted).unwrap(), 0);
        assert!(trim(dir.path(), 20, &current, Kept::default()).unwrap() > 0);
        assert_eq!(read(dir.path(), &identity, 20).unwrap().0.last_lsn, 45);
        assert!(read(dir.path(), &identity, 1).is_err(), "the log begins after the checkpoint");
        assert!(read(dir.path(), &identity, 46).is_err(), "the log ends before the checkpoint");
    }

    #[test]
    fn rolling_begins_a_segment_and_counting_tells_the_keys() {
        let (dir, identity) = (tempfile::tempdir().unwrap(), identity());
        let mut log = open(dir.path(), &identity, u64::MAX);
        log.append(b"one", 1).unwrap();
        log.roll().unwrap();
        // Without a frame in it: the same name, another file.
        log.roll().unwrap();
        log.append(b"two", 1).unwrap();
        log.sync().unwrap();
        assert_eq!(segments(dir.path()).len(), 2);
        let mut keys = Vec::new();
        count_keys(dir.path(), &mut |key| keys.push(key)).unwrap();
        assert_eq!(keys, [1; 4], "two segments, two frames");
        let (tail, groups) = read(dir.path(), &identity, 0).unwrap();
        assert_eq!((tail.last_lsn, groups.len()), (2, 2));
        let left = dir.path().join("0000000000000009.tmp");
        std::fs::write(&left, b"cut short").unwrap();
        Log::open(dir.path(), identity, u64::MAX, tail).unwrap();
        assert!(!left.exists());
    }

    /// Synced frames: whatever bit changes is damage that names the place. Cutting the file anywhere is a torn tail.
    #[test]
    fn every_changed_byte_is_an_error_and_every_cut_a_shorter_log() {
        let (dir, identity) = (tempfile::tempdir().unwrap(), identity());
        let mut log = open(dir.path(), &identity, u64::MAX);
        for n in 0..3_u8 {
            log.append(&[n; 20], 1).unwrap();
            log.sync().unwrap();
        }
        let path = segments(dir.path()).remove(0);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, &changed).unwrap();
            let error = read(dir.path(), &identity, 0).expect_err("a changed byte went unnoticed");
            assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
        }
        for length in segment::HEADER_BYTES..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (tail, groups) = read(dir.path(), &identity, 0).unwrap();
            assert!(groups.len() < 3);
            let mut log = Log::open(dir.path(), identity.clone(), u64::MAX, tail).unwrap();
            log.append(b"next", 1).unwrap();
            let (_, again) = read(dir.path(), &identity, 0).unwrap();
            assert_eq!(again.len(), groups.len() + 1, "cut at {length}");
        }
    }

    /// At `everysec` a power cut may leave later sectors without earlier ones: nothing of it was durable, so it is a tail.
    #[test]
    fn sectors_that_were_never_written_are_a_torn_tail_unless_they_were_durable() {
        let (dir, identity) = (tempfile::tempdir().unwrap(), identity());
        let mut log = open(dir.path(), &identity, u64::MAX);
        log.append(&[1; 3000], 1).unwrap();
        log.sync().unwrap();
        let synced = log.offset as usize;
        log.append(&[2; 3000], 1).unwrap();
        log.append(&[3; 3000], 1).unwrap();
        let path = segments(dir.path()).remove(0);
        let whole = std::fs::read(&path).unwrap();
        let zeroed = |from: usize| {
            let mut bytes = whole.clone();
            bytes[from.next_multiple_of(512)..][..1024].fill(0);
            std::fs::write(&path, bytes).unwrap();
            read(dir.path(), &identity, 0)
        };
        let (tail, groups) = zeroed(synced).unwrap();
        assert_eq!((groups.len(), tail.segment.unwrap().1 as usize), (1, synced));
        assert!(zeroed(segment::HEADER_BYTES).is_err(), "frame 1 was durable, as frame 2 says");
    }
}
