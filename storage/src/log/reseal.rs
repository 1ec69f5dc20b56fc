//! Bringing what is kept of the log to the active data key, so that the key before it can be erased.
//!
//! A segment that is no longer written is read, sealed anew and put in its own place. Frames stay as long as they were, and so where
//! they were: whoever reads on in the file finds the next one. What is damaged cannot be read, so it cannot be kept either: where no start
//! needs it, it goes.

use parking_lot::Mutex;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{LogIdentity, frame, reader, segment};
use crate::lsn::Lsn;
use crate::seal::Purpose;
use crate::{Error, error::io};

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resealed {
    /// Segments that were brought to the active key.
    pub(crate) segments: usize,
    /// Segments that were deleted: one that is damaged, and those before it, from which nobody could read on.
    pub(crate) deleted: usize,
}

/// Brings every segment but the last, which is being written, to the active key. `files` is held while one takes its old self's
/// place, or is deleted: whoever trims the log holds it as well. `pause` is called after each frame.
///
/// # Errors
/// `Damaged` only where a start from a checkpoint that ends with `lsn_applied` would need the segment.
pub(crate) fn reseal(
    dir: &Path,
    identity: &LogIdentity,
    lsn_applied: Lsn,
    files: &Mutex<()>,
    pause: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Resealed, Error> {
    let segments = segment::list(dir)?;
    let mut done = Resealed::default();
    for (at, pair) in segments.windows(2).enumerate() {
        let [(first_lsn, path), (next_lsn, _)] = pair else { continue };
        match reseal_one(dir, identity, (*first_lsn, path.as_path()), files, pause) {
            Ok(resealed) => done.segments += usize::from(resealed),
            Err(error @ Error::Damaged { .. }) if *next_lsn <= lsn_applied + 1 => {
                tracing::warn!(%error, "a damaged segment that no start needs is deleted, with those before it");
                let _files = files.lock();
                // Oldest first: what a crash leaves has no gap.
                for (_, path) in segments.iter().take(at + 1) {
                    match std::fs::remove_file(path) {
                        Ok(()) => done.deleted += 1,
                        Err(error) => not_found(error).map_err(|e| io(path, e))?,
                    }
                }
                sync_names(dir)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The same of one; false where it is under the active key, or not there any more.
fn reseal_one(
    dir: &Path,
    identity: &LogIdentity,
    (first_lsn, path): (Lsn, &Path),
    files: &Mutex<()>,
    pause: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<bool, Error> {
    let active = identity.sealer.active_key_id();
    let mut others = 0_usize;
    match reader::frame_keys(path, &mut |key| others += usize::from(key != active)) {
        // It was trimmed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(damaged(path, 0, "it is cut short")),
        other => other.map_err(|e| io(path, e))?,
    }
    if others == 0 {
        return Ok(false);
    }
    let temporary = dir.join(format!("{first_lsn:016x}.tmp"));
    let written = write(identity, path, &temporary, pause).and_then(|found| {
        let _files = files.lock();
        // What was trimmed must not come back.
        if found && path.exists() {
            std::fs::rename(&temporary, path).map_err(|e| io(path, e))?;
            sync_names(dir)?;
            return Ok(true);
        }
        std::fs::remove_file(&temporary).or_else(not_found).map_err(|e| io(&temporary, e))?;
        Ok(false)
    });
    if written.is_err() {
        // The next start takes it away where it cannot be done now.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Has the names of files in a directory be on disk.
fn sync_names(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io(dir, e))
}

fn damaged(path: &Path, offset: u64, what: &str) -> Error {
    Error::Damaged { path: path.to_path_buf(), at: format!("offset {offset}"), what: what.to_owned() }
}

fn not_found(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Writes the segment sealed anew; false where it is not there any more.
fn write(
    identity: &LogIdentity,
    path: &Path,
    temporary: &Path,
    pause: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<bool, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|e| io(path, e))?,
    };
    let damaged = |offset: u64, what: &str| damaged(path, offset, what);
    // What cannot be read at the moment is not yet damaged.
    let unread = |error: std::io::Error, offset: u64, what: &str| match error.kind() {
        ErrorKind::UnexpectedEof => damaged(offset, what),
        _ => io(path, error),
    };
    let mut header = [0; segment::HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(|e| unread(e, 0, "the header is cut short"))?;
    segment::check_header(identity, path, &header)?;
    let fail = |error: std::io::Error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace,
        _ => io(temporary, error),
    };
    let mut out = BufWriter::new(File::create(temporary).map_err(fail)?);
    let (plain, _) = header.split_at(segment::PLAIN_BYTES);
    let mut bytes = plain.to_vec();
    identity.sealer.seal(Purpose::Log, plain, &[], &mut bytes);
    out.write_all(&bytes).map_err(fail)?;
    let length = file.metadata().map_err(|e| io(path, e))?.len();
    let mut offset = segment::HEADER_BYTES as u64;
    while offset < length {
        let mut head = [0; frame::HEADER_BYTES];
        file.read_exact_at(&mut head, offset).map_err(|e| unread(e, offset, "a frame is cut short"))?;
        let (_, sealed_len) = frame::parse_header(&head).ok_or_else(|| damaged(offset, "not a frame"))?;
        let mut sealed = vec![0; sealed_len];
        let at = offset + head.len() as u64;
        file.read_exact_at(&mut sealed, at).map_err(|e| unread(e, offset, "a frame is cut short"))?;
        let units =
            frame::open(identity, &head, &sealed).map_err(|_| damaged(offset, "the frame does not authenticate"))?;
        bytes.clear();
        frame::seal_again(identity, &head, &units, &mut bytes);
        out.write_all(&bytes).map_err(fail)?;
        offset = at + sealed_len as u64;
        pause()?;
    }
    let file = out.into_inner().map_err(|error| fail(error.into_error()))?;
    file.sync_all().map_err(fail)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Kept, Log, recover, trim};
    use crate::testing;

    #[test]
    fn what_is_damaged_goes_with_all_before_it_unless_a_start_needs_it() {
        let (_dir, _, sealer) = testing::engine();
        let identity = LogIdentity { sealer, history_id: [7; 16] };
        let dir = tempfile::tempdir().unwrap();
        let tail = recover(dir.path(), &identity, 0, &mut |_, _, _, _| Ok(())).unwrap();
        let mut log = Log::open(dir.path(), identity.clone(), 1, tail).unwrap();
        // One frame a segment, LSN 1 to 5.
        (0..5).for_each(|_| log.append(b"unit", 1).unwrap());
        log.sync().unwrap();
        let files = Mutex::new(());
        let paths: Vec<_> = segment::list(dir.path()).unwrap().into_iter().map(|(_, path)| path).collect();
        // A header that names a key that there is not: it would be re-sealed, and cannot be opened.
        let mut bytes = std::fs::read(&paths[2]).unwrap();
        bytes[segment::PLAIN_BYTES..segment::HEADER_BYTES].fill(0xee);
        std::fs::write(&paths[2], bytes).unwrap();
        let run = |lsn_applied| reseal(dir.path(), &identity, lsn_applied, &files, &mut || Ok(()));
        assert!(matches!(run(2), Err(Error::Damaged { .. })), "a start reads LSN 3");
        assert!(paths.iter().all(|path| path.exists()));
        assert_eq!(run(3).unwrap(), Resealed { segments: 0, deleted: 3 });
        let left: Vec<_> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [false, false, false, true, true]);
        assert_eq!(run(3).unwrap(), Resealed::default());
        assert_eq!(trim(dir.path(), 5, &paths[4], Kept::default()).unwrap(), 1);
    }
}
