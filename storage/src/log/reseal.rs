//! Bringing what is kept of the log to the active data key, so that the key before it can be erased.
//!
//! A segment that is no longer written is read, sealed anew and put in its own place. Frames stay as long as they were, and so where
//! they were: whoever reads on in the file finds the next one.

use parking_lot::Mutex;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{LogIdentity, frame, reader, segment};
use crate::seal::Purpose;
use crate::{Error, error::io};

/// Brings every segment but the last, which is being written, to the active key. `files` is held while one takes its old self's
/// place: whoever trims the log holds it as well. `pause` is called after each frame. Returns how many there were to bring.
pub(crate) fn reseal(
    dir: &Path,
    identity: &LogIdentity,
    files: &Mutex<()>,
    pause: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<usize, Error> {
    let active = identity.sealer.active_key_id();
    let mut segments = segment::list(dir)?;
    segments.pop();
    let mut resealed = 0;
    for (first_lsn, path) in segments {
        let mut others = 0_usize;
        match reader::frame_keys(&path, &mut |key| others += usize::from(key != active)) {
            // It was trimmed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|e| io(&path, e))?,
        }
        if others == 0 {
            continue;
        }
        let temporary = dir.join(format!("{first_lsn:016x}.tmp"));
        let written = write(identity, &path, &temporary, pause).and_then(|found| {
            let _files = files.lock();
            // What was trimmed must not come back.
            if found && path.exists() {
                std::fs::rename(&temporary, &path).map_err(|e| io(&path, e))?;
                File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io(dir, e))?;
                resealed += 1;
                return Ok(());
            }
            std::fs::remove_file(&temporary).or_else(not_found).map_err(|e| io(&temporary, e))
        });
        if let Err(error) = written {
            // The next start takes it away where it cannot be done now.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
    }
    Ok(resealed)
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
    let damaged = |offset: u64, what: &str| Error::Damaged {
        path: path.to_path_buf(),
        at: format!("offset {offset}"),
        what: what.to_owned(),
    };
    let mut header = [0; segment::HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(|e| io(path, e))?;
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
        file.read_exact_at(&mut head, offset).map_err(|_| damaged(offset, "a frame is cut short"))?;
        let (_, sealed_len) = frame::parse_header(&head).ok_or_else(|| damaged(offset, "not a frame"))?;
        let mut sealed = vec![0; sealed_len];
        let at = offset + head.len() as u64;
        file.read_exact_at(&mut sealed, at).map_err(|_| damaged(offset, "a frame is cut short"))?;
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
