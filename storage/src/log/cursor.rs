//! Reading the log while it is written: frame after frame from an LSN on.
//!
//! Never reads past what it is told is there, so it meets no frame that is being written.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::places::Places;
use super::{LogIdentity, frame, segment};
use crate::lsn::Lsn;
use crate::{Error, error::io};

/// A group of the log.
pub(crate) struct LogFrame {
    pub(crate) first_lsn: Lsn,
    pub(crate) count: u32,
    pub(crate) term: u64,
    pub(crate) units: Vec<u8>,
}

/// What was found.
pub(crate) enum Read {
    Frame(LogFrame),
    /// Nothing more may be read yet.
    End,
    /// What comes next was trimmed.
    Gone,
}

/// A place in the log.
pub(crate) struct LogCursor {
    dir: PathBuf,
    identity: LogIdentity,
    places: Arc<Places>,
    /// The first LSN of the file's segment.
    segment: Lsn,
    file: File,
    path: PathBuf,
    offset: u64,
    /// The first unit of the frame at the offset.
    next: Lsn,
}

impl LogCursor {
    /// At the frame that has this unit, or will have it. None where it was trimmed.
    pub(crate) fn open(
        dir: &Path,
        identity: LogIdentity,
        places: Arc<Places>,
        lsn: Lsn,
    ) -> Result<Option<LogCursor>, Error> {
        let segments = segment::list(dir)?;
        let Some((first_lsn, path)) = segments.into_iter().rev().find(|(first_lsn, _)| *first_lsn <= lsn) else {
            return Ok(None);
        };
        let Some(file) = open_segment(&identity, &path)? else { return Ok(None) };
        let (next, offset) = places.near(first_lsn, lsn).unwrap_or((first_lsn, START));
        let dir = dir.to_path_buf();
        let mut cursor = LogCursor { dir, identity, places, segment: first_lsn, file, path, offset, next };
        // Passed over by their headers alone.
        while cursor.next < lsn {
            let Some((_, header, sealed_len)) = cursor.header()? else { break };
            let after = header.first_lsn + u64::from(header.count);
            if header.first_lsn != cursor.next || after > lsn {
                break;
            }
            cursor.offset += (frame::HEADER_BYTES + sealed_len) as u64;
            cursor.next = after;
            cursor.places.note(first_lsn, cursor.next, cursor.offset);
        }
        Ok(Some(cursor))
    }

    /// The header at the offset and its bytes; none at the end of the segment.
    fn header(&self) -> Result<Option<([u8; frame::HEADER_BYTES], frame::Header, usize)>, Error> {
        let mut bytes = [0; frame::HEADER_BYTES];
        match self.file.read_exact_at(&mut bytes, self.offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other.map_err(|e| io(&self.path, e))?,
        }
        let (header, sealed_len) = frame::parse_header(&bytes).ok_or_else(|| self.damaged("not a frame"))?;
        Ok(Some((bytes, header, sealed_len)))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { path: self.path.clone(), at: format!("offset {}", self.offset), what: what.to_owned() }
    }

    /// The next frame, of those that end at `limit` at the latest.
    pub(crate) fn read(&mut self, limit: Lsn) -> Result<Read, Error> {
        if self.next > limit {
            return Ok(Read::End);
        }
        let found = match self.header()? {
            Some(found) => Some(found),
            None => {
                // The next segment begins there. One without a frame may have been replaced by another of its name.
                let path = segment::path(&self.dir, self.next);
                let Some(file) = open_segment(&self.identity, &path)? else { return Ok(Read::Gone) };
                (self.file, self.path, self.offset, self.segment) = (file, path, START, self.next);
                self.header()?
            }
        };
        let Some((head, header, sealed_len)) = found else { return Err(self.damaged("the frame is missing")) };
        if header.first_lsn != self.next {
            return Err(self.damaged(&format!("the frame begins at LSN {}, not {}", header.first_lsn, self.next)));
        }
        let mut sealed = vec![0; sealed_len];
        let at = self.offset + frame::HEADER_BYTES as u64;
        self.file.read_exact_at(&mut sealed, at).map_err(|e| io(&self.path, e))?;
        let units =
            frame::open(&self.identity, &head, &sealed).map_err(|_| self.damaged("the frame does not authenticate"))?;
        self.offset = at + sealed_len as u64;
        self.next += u64::from(header.count);
        self.places.note(self.segment, self.next, self.offset);
        Ok(Read::Frame(LogFrame { first_lsn: header.first_lsn, count: header.count, term: header.term, units }))
    }
}

const START: u64 = segment::HEADER_BYTES as u64;

/// Opens a segment; none where there is none of this name.
fn open_segment(identity: &LogIdentity, path: &Path) -> Result<Option<File>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| io(path, e))?,
    };
    let mut header = [0; segment::HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(|e| io(path, e))?;
    segment::check_header(identity, path, &header)?;
    Ok(Some(file))
}
