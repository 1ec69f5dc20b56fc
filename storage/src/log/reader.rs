//! Reading the log back at start-up: every unit after the checkpoint, and where the log ends.
//!
//! A torn tail is what a power cut leaves of writes that were never acknowledged as durable: it is cut. Anything else
//! that cannot be read is damage: the store refuses to start and names the place. They are told apart by two facts:
//! - a frame written later says in its header what was durable by then; damage before that LSN is damage;
//! - a tail without such a witness is torn only if it is cut short, or a whole sector of it was never written (reads as
//!   zeros). A frame that is all there and does not open had its bits changed.

use std::path::{Path, PathBuf};

use super::{LogIdentity, frame, segment};
use crate::lsn::Lsn;
use crate::seal::{OVERHEAD, key_id};
use crate::{Error, error::io};

/// Where the log ends.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) last_lsn: Lsn,
    /// Of the last unit.
    pub(crate) term: u64,
    /// The last segment and the offset after its last good frame; none when there is no segment.
    pub(crate) segment: Option<(PathBuf, u64)>,
    /// Bytes of a torn tail that will be cut.
    pub(crate) torn_bytes: u64,
}

/// A group of units handed to the replay: their first LSN, how many, their term, and their bytes.
pub(crate) type Replay<'a> = dyn FnMut(Lsn, u32, u64, &[u8]) -> Result<(), Error> + 'a;

const SECTOR_BYTES: usize = 512;
/// A run of zeros this long does not happen in a sealed frame by chance (2^-128).
const ZEROS_MIN: usize = 16;

/// Reads the whole log in order and hands the groups that reach past `lsn_applied` to `replay`. Changes nothing.
pub(crate) fn recover(
    dir: &Path,
    identity: &LogIdentity,
    lsn_applied: Lsn,
    replay: &mut Replay<'_>,
) -> Result<Tail, Error> {
    let segments = segment::list(dir)?;
    let mut tail = Tail { last_lsn: lsn_applied, term: 1, segment: None, torn_bytes: 0 };
    let mut expected: Option<Lsn> = None;
    for (at, (named_lsn, path)) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        // Kept for readers alone. What is in it is looked at when one of them reads it.
        let passed_over = segments.get(at + 1).map(|(next, _)| *next).filter(|next| *next <= lsn_applied + 1);
        let bytes = match passed_over {
            Some(_) => segment::read_header(path)?,
            None => std::fs::read(path).map_err(|e| io(path, e))?,
        };
        let header = segment::check_header(identity, path, &bytes)?;
        let damaged = |at: String, what: String| Error::Damaged { path: path.clone(), at, what };
        if header.first_lsn != *named_lsn || expected.is_some_and(|e| e != header.first_lsn) {
            let what = format!(
                "the segment begins at LSN {}, LSN {} comes next",
                header.first_lsn,
                expected.unwrap_or(*named_lsn)
            );
            return Err(damaged("offset 0".into(), what));
        }
        if expected.is_none() && header.first_lsn > lsn_applied + 1 {
            let what = format!("the log begins at LSN {}, the checkpoint ends at {lsn_applied}", header.first_lsn);
            return Err(damaged("offset 0".into(), what));
        }
        let mut next = header.first_lsn;
        let mut offset = segment::HEADER_BYTES;
        if passed_over.is_some() {
            expected = passed_over;
            continue;
        }
        tail.term = header.term;
        while offset < bytes.len() {
            match read_frame(identity, &bytes, offset, next) {
                Ok((head, units, end)) => {
                    let count = head.count;
                    let last_lsn = next + u64::from(count) - 1;
                    if last_lsn > lsn_applied {
                        replay(next, count, head.term, &units)?;
                    }
                    tail.term = head.term;
                    next = last_lsn + 1;
                    offset = end;
                }
                Err(what) => {
                    let torn = last && next > lsn_applied && is_torn(identity, &bytes, offset, next);
                    if !torn {
                        return Err(damaged(format!("offset {offset}"), format!("{what} (LSN {next})")));
                    }
                    tail.torn_bytes = (bytes.len() - offset) as u64;
                    break;
                }
            }
        }
        expected = Some(next);
        tail.segment = Some((path.clone(), offset as u64));
        tail.last_lsn = next - 1;
    }
    if tail.last_lsn < lsn_applied {
        let (path, offset) = tail.segment.unwrap_or((dir.to_path_buf(), 0));
        let what = format!("the log ends at LSN {}, the checkpoint at {lsn_applied}", tail.last_lsn);
        return Err(Error::Damaged { path, at: format!("offset {offset}"), what });
    }
    Ok(tail)
}

/// The frame at `offset`, which must begin with LSN `next`: its header, its units, the offset after it.
fn read_frame(
    identity: &LogIdentity,
    bytes: &[u8],
    offset: usize,
    next: Lsn,
) -> Result<(frame::Header, Vec<u8>, usize), String> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let (header, sealed_len) = frame::parse_header(rest).ok_or("not a frame")?;
    let end = frame::HEADER_BYTES + sealed_len;
    let (head, body) = rest
        .get(..end)
        .and_then(|f| f.split_at_checked(frame::HEADER_BYTES))
        .ok_or_else(|| format!("a frame of {end} bytes is cut short"))?;
    if header.first_lsn != next {
        return Err(format!("the frame begins at LSN {}", header.first_lsn));
    }
    let units = frame::open(identity, head, body).map_err(|_| "the frame does not authenticate".to_owned())?;
    Ok((header, units, offset + end))
}

/// The keys that a segment's header and its frames are under. Ends where no whole frame follows.
pub(super) fn frame_keys(path: &Path, count: &mut dyn FnMut(u32)) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut sealed = [0; OVERHEAD];
    file.read_exact_at(&mut sealed, segment::PLAIN_BYTES as u64)?;
    key_id(&sealed).into_iter().for_each(&mut *count);
    let mut offset = segment::HEADER_BYTES as u64;
    let mut header = [0; frame::HEADER_BYTES];
    while offset + (header.len() + sealed.len()) as u64 <= length {
        file.read_exact_at(&mut header, offset)?;
        let Some((_, sealed_len)) = frame::parse_header(&header) else { break };
        file.read_exact_at(&mut sealed, offset + header.len() as u64)?;
        key_id(&sealed).into_iter().for_each(&mut *count);
        offset += (header.len() + sealed_len) as u64;
    }
    Ok(())
}

/// Whether what stands at `offset` (not a good frame of LSN `next`) is the torn end of unacknowledged writes.
fn is_torn(identity: &LogIdentity, bytes: &[u8], offset: usize, next: Lsn) -> bool {
    let rest = bytes.get(offset..).unwrap_or_default();
    let mut good_frame_follows = false;
    for at in 1..rest.len() {
        let candidate = rest.get(at..).unwrap_or_default();
        if !candidate.starts_with(&frame::MAGIC) {
            continue;
        }
        let Some((header, sealed_len)) = frame::parse_header(candidate) else { continue };
        let (Some(head), Some(body)) = (
            candidate.get(..frame::HEADER_BYTES),
            candidate.get(frame::HEADER_BYTES..frame::HEADER_BYTES + sealed_len),
        ) else {
            continue;
        };
        if frame::open(identity, head, body).is_ok() {
            if header.lsn_durable >= next {
                return false;
            }
            good_frame_follows = true;
        }
    }
    let cut_short = match frame::parse_header(rest) {
        Some((_, sealed_len)) => rest.len() < frame::HEADER_BYTES + sealed_len,
        None => rest.len() < frame::HEADER_BYTES && frame::MAGIC.starts_with(rest.get(..4).unwrap_or(rest)),
    };
    // A frame that a good one follows was written whole, so only missing sectors can excuse it.
    (cut_short && !good_frame_follows) || has_unwritten_sector(bytes, offset)
}

fn has_unwritten_sector(bytes: &[u8], offset: usize) -> bool {
    let mut start = offset;
    while start < bytes.len() {
        let end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(bytes.len());
        let part = bytes.get(start..end).unwrap_or_default();
        if part.len() >= ZEROS_MIN && part.iter().all(|b| *b == 0) {
            return true;
        }
        start = end;
    }
    false
}
