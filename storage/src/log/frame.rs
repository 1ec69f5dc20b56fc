//! One frame: a group of units, sealed together.
//!
//! Sealing a group at once costs one nonce and one tag for all its units; that is a third of the time of sealing each
//! unit of a busy server by itself.

use super::LogIdentity;
use crate::Error;
use crate::lsn::Lsn;
use crate::seal::Purpose;

/// Begins every frame, so that a reader can look for frames behind damage.
pub(super) const MAGIC: [u8; 4] = *b"VFr1";
/// Bytes before the sealed body.
pub(super) const HEADER_BYTES: usize = 4 + 4 + 8 + 4 + 8 + 8 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 4;
/// The longest body a reader believes: a group holds at most a few requests, each bounded.
pub(super) const BODY_BYTES_MAX: usize = 1 << 30;

/// What a frame says of itself. All of it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first_lsn: Lsn,
    /// Units in the body, at least 1.
    pub(super) count: u32,
    pub(super) term: u64,
    /// What was durable when the frame was written. Tells a torn tail (never claimed durable) from damage.
    pub(super) lsn_durable: Lsn,
}

/// Appends the frame's bytes to `out`.
pub(super) fn encode(identity: &LogIdentity, header: &Header, units: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let sealed_len = units.len() + crate::seal::OVERHEAD;
    out.reserve(HEADER_BYTES + sealed_len);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(sealed_len as u32).to_le_bytes());
    out.extend_from_slice(&header.first_lsn.to_le_bytes());
    out.extend_from_slice(&header.count.to_le_bytes());
    out.extend_from_slice(&header.term.to_le_bytes());
    out.extend_from_slice(&header.lsn_durable.to_le_bytes());
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
    let context = context(identity, out.get(start..).unwrap_or_default());
    identity.sealer.seal(Purpose::Log, &context, units, out);
}

/// A frame's header and how long its sealed body is, from the bytes at its start. The checksum is there for the length:
/// a length with a changed bit must not look like a frame that was cut short.
pub(super) fn parse_header(bytes: &[u8]) -> Option<(Header, usize)> {
    let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
    let (checked, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let [m0, m1, m2, m3, l0, l1, l2, l3, rest @ ..] = *bytes;
    if [m0, m1, m2, m3] != MAGIC {
        return None;
    }
    let sealed_len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (first_lsn, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (term, rest) = rest.split_first_chunk::<8>()?;
    let (lsn_durable, _) = rest.split_first_chunk::<8>()?;
    let header = Header {
        first_lsn: u64::from_le_bytes(*first_lsn),
        count: u32::from_le_bytes(*count),
        term: u64::from_le_bytes(*term),
        lsn_durable: u64::from_le_bytes(*lsn_durable),
    };
    let sane = (crate::seal::OVERHEAD..=BODY_BYTES_MAX).contains(&sealed_len) && header.count > 0;
    sane.then_some((header, sealed_len))
}

/// The units of a frame whose header and sealed body are these bytes.
pub(super) fn open(identity: &LogIdentity, header_bytes: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    identity.sealer.open(Purpose::Log, &context(identity, header_bytes), sealed)
}

/// Appends a frame that was read, header and units, sealed anew; it is as long as it was.
pub(super) fn seal_again(identity: &LogIdentity, header_bytes: &[u8], units: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(header_bytes);
    identity.sealer.seal(Purpose::Log, &context(identity, header_bytes), units, out);
}

fn context(identity: &LogIdentity, header_bytes: &[u8]) -> Vec<u8> {
    let mut context = Vec::with_capacity(16 + HEADER_BYTES);
    context.extend_from_slice(&identity.history_id);
    context.extend_from_slice(header_bytes);
    context
}
