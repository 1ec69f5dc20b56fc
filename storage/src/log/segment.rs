//! A segment file: its name, its header, making and listing.
//!
//! The name is the first LSN in 16 hexadecimal digits, so that sorting names sorts segments.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::LogIdentity;
use crate::lsn::Lsn;
use crate::seal::{OVERHEAD, Purpose};
use crate::{Error, error::io};

/// Begins every segment; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"VedDBlg\x03";
/// Begin segments of the versions before, whose effects did not tell updates from replacements, and in the first of them
/// knew no expiry. They are read as well, and gone on with.
const MAGICS_BEFORE: [[u8; 8]; 2] = [*b"VedDBlg\x02", *b"VedDBlg\x01"];
pub(super) const PLAIN_BYTES: usize = 8 + 16 + 16 + 8 + 8;
/// Bytes before the first frame: the plain fields and a seal over nothing that authenticates them.
pub(super) const HEADER_BYTES: usize = PLAIN_BYTES + OVERHEAD;

/// The file of the segment that begins with this LSN.
pub(super) fn path(dir: &Path, first_lsn: Lsn) -> PathBuf {
    dir.join(format!("{first_lsn:016x}.log"))
}

/// Every segment with its first LSN, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<(Lsn, PathBuf)>, Error> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| io(dir, e))? {
        let path = entry.map_err(|e| io(dir, e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let digits = name.strip_suffix(".log").filter(|d| d.len() == 16);
        if let Some(lsn) = digits.and_then(|d| Lsn::from_str_radix(d, 16).ok()) {
            segments.push((lsn, path));
        } else if !name.ends_with(".tmp") {
            return Err(Error::Damaged { path, at: "its name".into(), what: "not a log segment".into() });
        }
    }
    segments.sort();
    Ok(segments)
}

/// Takes away what a crash left of segments that were being made.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(|e| io(dir, e))? {
        let path = entry.map_err(|e| io(dir, e))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path).map_err(|e| io(&path, e))?;
        }
    }
    Ok(())
}

/// Makes a segment whose header is synced and whose name is in the directory. Written beside and renamed, so that a
/// segment is there with its header or not at all.
pub(super) fn create(
    dir: &Path,
    identity: &LogIdentity,
    first_lsn: Lsn,
    term: u64,
) -> Result<(File, PathBuf, u64), Error> {
    let path = path(dir, first_lsn);
    let temporary = dir.join(format!("{first_lsn:016x}.tmp"));
    let made = write_new(&temporary, identity, first_lsn, term).and_then(|file| {
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()?;
        Ok(file)
    });
    match made {
        Ok(file) => Ok((file, path, HEADER_BYTES as u64)),
        Err(error) => {
            let _ = std::fs::remove_file(&temporary);
            match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Err(Error::NoSpace),
                _ => Err(io(&path, error)),
            }
        }
    }
}

fn write_new(path: &Path, identity: &LogIdentity, first_lsn: Lsn, term: u64) -> std::io::Result<File> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&identity.sealer.database_id());
    header.extend_from_slice(&identity.history_id);
    header.extend_from_slice(&first_lsn.to_le_bytes());
    header.extend_from_slice(&term.to_le_bytes());
    let plain = header.clone();
    identity.sealer.seal(Purpose::Log, &plain, &[], &mut header);
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
    file.write_all(&header)?;
    file.sync_all()?;
    Ok(file)
}

/// The bytes of a segment's header; fewer where the file is shorter.
pub(super) fn read_header(path: &Path) -> Result<Vec<u8>, Error> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let file = File::open(path).map_err(|e| io(path, e))?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(|e| io(path, e))?;
    Ok(header)
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentHeader {
    pub(super) first_lsn: Lsn,
    pub(super) term: u64,
}

/// Checks the header of a segment that was read into memory.
pub(super) fn check_header(identity: &LogIdentity, path: &Path, bytes: &[u8]) -> Result<SegmentHeader, Error> {
    let damaged = |what: &str| Error::Damaged { path: path.to_path_buf(), at: "offset 0".into(), what: what.into() };
    let (plain, rest) = bytes.split_at_checked(PLAIN_BYTES).ok_or_else(|| damaged("the header is cut short"))?;
    let sealed = rest.get(..OVERHEAD).ok_or_else(|| damaged("the header is cut short"))?;
    if !std::iter::once(&MAGIC).chain(&MAGICS_BEFORE).any(|magic| plain.starts_with(magic)) {
        return Err(damaged("not a log segment of this version"));
    }
    if plain.get(8..24) != Some(&identity.sealer.database_id()[..]) {
        return Err(damaged("a segment of another database"));
    }
    if plain.get(24..40) != Some(&identity.history_id[..]) {
        return Err(damaged("a segment of another history"));
    }
    identity.sealer.open(Purpose::Log, plain, sealed).map_err(|_| damaged("the header does not authenticate"))?;
    let number = |at: usize| plain.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok(SegmentHeader { first_lsn: number(40), term: number(48) })
}

/// Opens a segment to append at `offset`, cutting what stands after it (a torn tail). What stands before it is on disk when this returns:
/// a process that was killed may have left it in the system's memory alone, and it counts as durable from now on.
pub(super) fn open_to_append(path: &Path, offset: u64) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| io(path, e))?;
    let length = file.metadata().map_err(|e| io(path, e))?.len();
    if length > offset {
        file.set_len(offset).map_err(|e| io(path, e))?;
    }
    file.sync_all().map_err(|e| io(path, e))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_segment_of_the_version_before_is_read() {
        let (_dir, _, sealer) = testing::engine();
        let identity = LogIdentity { sealer, history_id: [7; 16] };
        let header = |magic: [u8; 8]| {
            let mut header = magic.to_vec();
            header.extend_from_slice(&identity.sealer.database_id());
            header.extend_from_slice(&identity.history_id);
            header.extend_from_slice(&[9_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
            let plain = header.clone();
            identity.sealer.seal(Purpose::Log, &plain, &[], &mut header);
            check_header(&identity, Path::new("a.log"), &header).map(|found| found.first_lsn)
        };
        let [before, oldest] = MAGICS_BEFORE;
        assert_eq!([MAGIC, before, oldest].map(|magic| header(magic).unwrap()), [9; 3]);
        assert!(header(*b"VedDBlg\x04").is_err());
    }
}
