//! Units on their way from one store to another: whole groups of the log, or parts of them.
//!
//! The bytes are plain; whoever carries them over a network seals the connection. The layout is in `docs/formats.md`.

use bytes::Bytes;

use crate::Error;
use crate::lsn::Lsn;

/// Begins the bytes of units.
const FORMAT: u8 = 1;
/// Bytes before the units.
const HEADER_BYTES: usize = 1 + 8 + 4 + 8 + 4;

/// Some units that follow each other, all of one term.
#[derive(Clone, PartialEq, Eq)]
pub struct Units {
    first_lsn: Lsn,
    count: u32,
    term: u64,
    bytes: Bytes,
}

/// Never the contents.
impl std::fmt::Debug for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Units { first_lsn, count, term, bytes } = self;
        f.debug_struct("Units")
            .field("first_lsn", first_lsn)
            .field("count", count)
            .field("term", term)
            .field("bytes", &bytes.len())
            .finish()
    }
}

impl Units {
    /// Units as the log has them; `count` is at least 1.
    pub(crate) fn new(first_lsn: Lsn, count: u32, term: u64, bytes: Bytes) -> Units {
        Units { first_lsn, count, term, bytes }
    }

    /// The LSN of the first.
    pub fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// The LSN of the last.
    pub fn last_lsn(&self) -> Lsn {
        self.first_lsn + u64::from(self.count) - 1
    }

    /// How many there are, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Their term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// How many bytes they take on the wire.
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.bytes.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Without the first so many, of which there are more; none when these are not the bytes of units.
    pub(super) fn after(self, units: u32) -> Option<Units> {
        if units == 0 {
            return Some(self);
        }
        let rest = skip(&self.bytes, units)?.len();
        let bytes = self.bytes.slice(self.bytes.len() - rest..);
        Some(Units { first_lsn: self.first_lsn + u64::from(units), count: self.count - units, bytes, ..self })
    }

    /// The first of them that take no more than this, at least one; and the others.
    pub(super) fn split(self, max_bytes: usize) -> (Units, Option<Units>) {
        if self.bytes.len() <= max_bytes {
            return (self, None);
        }
        let (mut count, mut at) = (0, 0);
        while count < self.count {
            let Some(rest) = self.bytes.get(at..).and_then(|group| skip(group, 1)) else { break };
            let end = self.bytes.len() - rest.len();
            if count > 0 && end > max_bytes {
                break;
            }
            (count, at) = (count + 1, end);
        }
        if count == 0 || count == self.count {
            return (self, None);
        }
        let first = Units { count, bytes: self.bytes.slice(..at), ..self };
        let bytes = self.bytes.slice(at..);
        let rest = Units { first_lsn: self.first_lsn + u64::from(count), count: self.count - count, bytes, ..self };
        (first, Some(rest))
    }

    /// Units that follow each other, of one term, as one.
    pub(super) fn joined(parts: Vec<Units>) -> Option<Units> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let rest: Vec<Units> = parts.collect();
        if rest.is_empty() {
            return Some(first);
        }
        let mut bytes = Vec::with_capacity(first.bytes.len() + rest.iter().map(|part| part.bytes.len()).sum::<usize>());
        let mut count = first.count;
        bytes.extend_from_slice(&first.bytes);
        for part in &rest {
            count += part.count;
            bytes.extend_from_slice(&part.bytes);
        }
        Some(Units { count, bytes: Bytes::from(bytes), ..first })
    }

    /// The group's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As they go over the wire, in a form with a number of its own and a checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.first_lsn.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&out);
        checksum.update(&self.bytes);
        out.extend_from_slice(&checksum.finalize().to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// What [`Units::to_bytes`] made. Checks that there are as many units as are said; what they do is checked by whoever
    /// carries them out.
    ///
    /// # Errors
    /// `Refused`: another format, or not the bytes of units.
    pub fn from_bytes(bytes: &Bytes) -> Result<Units, Error> {
        let refuse = |what: &str| Error::Refused(format!("not units of another store: {what}"));
        let (format, rest) = bytes.split_first().ok_or_else(|| refuse("no bytes"))?;
        if *format != FORMAT {
            return Err(refuse(&format!("format {format} is not known to this version")));
        }
        let short = || refuse("cut short");
        let (first_lsn, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (term, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (checksum, body) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes.get(..HEADER_BYTES - 4).unwrap_or_default());
        hasher.update(body);
        if hasher.finalize() != u32::from_le_bytes(*checksum) {
            return Err(refuse("the checksum is of other bytes"));
        }
        let units = Units {
            first_lsn: u64::from_le_bytes(*first_lsn),
            count: u32::from_le_bytes(*count),
            term: u64::from_le_bytes(*term),
            bytes: bytes.slice(HEADER_BYTES..),
        };
        let ends = units.first_lsn.checked_add(u64::from(units.count)).is_some();
        let counted = skip(&units.bytes, units.count).is_some_and(<[u8]>::is_empty);
        if units.first_lsn == 0 || units.count == 0 || !ends || !counted {
            return Err(refuse("not as many units as are said"));
        }
        Ok(units)
    }
}

/// The bytes of a group after so many of its units; none when there are fewer.
pub(super) fn skip(mut group: &[u8], units: u32) -> Option<&[u8]> {
    for _ in 0..units {
        let (head, rest) = group.split_first_chunk::<8>()?;
        let [_, _, _, _, length @ ..] = *head;
        group = rest.get(u32::from_le_bytes(length) as usize..)?;
    }
    Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::append_unit;

    #[test]
    fn units_come_back_and_nothing_else_does() {
        let mut group = Vec::new();
        append_unit(&mut group, 1, b"one");
        append_unit(&mut group, 0, b"");
        append_unit(&mut group, 2, b"three");
        let units = Units::new(7, 3, 9, Bytes::from(group.clone()));
        assert_eq!((units.last_lsn(), units.count(), units.term()), (9, 3, 9));
        let bytes = units.to_bytes();
        assert_eq!(bytes.len(), units.len());
        assert_eq!(Units::from_bytes(&Bytes::from(bytes.clone())).unwrap(), units);
        for cut in 0..bytes.len() {
            assert!(Units::from_bytes(&Bytes::copy_from_slice(&bytes[..cut])).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Units::from_bytes(&Bytes::from(changed)).is_err(), "byte {at}");
        }
        let fewer = Units::new(7, 2, 9, Bytes::from(group.clone())).to_bytes();
        assert!(Units::from_bytes(&Bytes::from(fewer)).is_err());
        let (first, rest) = units.clone().split(12);
        let rest = rest.unwrap();
        assert_eq!((first.first_lsn(), first.last_lsn(), rest.first_lsn(), rest.last_lsn()), (7, 7, 8, 9));
        assert_eq!(units.clone().after(1).unwrap(), rest);
        assert_eq!(Units::joined(vec![first, rest]).unwrap(), units);
        assert_eq!(units.clone().split(1).0.count(), 1);
        assert_eq!(skip(&group, 2).map(<[u8]>::len), Some(13));
        assert_eq!(skip(&group, 4), None);
    }
}
