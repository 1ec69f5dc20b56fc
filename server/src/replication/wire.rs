//! What a primary and a replica say to each other, as bytes.
//!
//! A message is a byte that says what it is, the length of its body, a checksum of both and of the body, and the body. Numbers are
//! little-endian. What is no such message ends the link.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Of the kind, the length and the checksum.
pub(crate) const HEADER_BYTES: usize = 1 + 4 + 4;
/// The longest body that is believed: a group of units may hold some large requests.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 30;
/// Of what a replica says; none of it is long.
pub(crate) const ANSWER_BYTES_MAX: usize = 4096;
/// Servers that a chain may have.
pub(crate) const CHAIN_MAX: usize = 32;

/// What a primary says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The replica cannot follow; why.
    Refused(String),
    /// What follows are units after the replica's position.
    Continue,
    /// What follows are chunks of the snapshot with this header, from this number on.
    Snapshot { id: [u8; 16], first: u64, header: Bytes },
    /// A chunk.
    Chunk { number: u64, bytes: Bytes },
    /// The snapshot is whole; its hash. What follows are units after it.
    Whole { hash: [u8; 32] },
    /// The replica's last units, those after this one, are not on the primary's line.
    Diverged { common: u64 },
    /// Units, as storage has them.
    Units(Bytes),
    /// A message for who listens.
    Message { shard: bool, channel: Bytes, message: Bytes },
    /// A sign of life: the primary's position, and the run ids of it and of those that it follows.
    Beat { term: u64, lsn: u64, chain: Vec<String> },
    /// The replica is to bring what it has written to the disk and say so.
    Sync,
    /// The replica is to follow nobody.
    Leave,
    /// The replica is to read all data anew.
    Resync,
}

/// What a replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its term.
    pub(crate) term: u64,
    /// Its last unit written.
    pub(crate) written: u64,
    /// Its last unit synced.
    pub(crate) synced: u64,
    /// Whether it is still reading or opening a snapshot.
    pub(crate) syncing: bool,
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what came over the link is no message: {0}")]
pub(crate) struct Garbage(&'static str);

impl Said {
    /// Appends it.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let kind = match self {
            Said::Refused(_) => 1,
            Said::Continue => 2,
            Said::Snapshot { .. } => 3,
            Said::Chunk { .. } => 4,
            Said::Whole { .. } => 5,
            Said::Diverged { .. } => 6,
            Said::Units(_) => 7,
            Said::Message { .. } => 8,
            Said::Beat { .. } => 9,
            Said::Sync => 10,
            Said::Leave => 11,
            Said::Resync => 12,
        };
        enclose(kind, out, |out| match self {
            Said::Refused(why) => out.put_slice(why.as_bytes()),
            Said::Continue | Said::Sync | Said::Leave | Said::Resync => {}
            Said::Snapshot { id, first, header } => {
                out.put_slice(id);
                out.put_u64_le(*first);
                out.put_slice(header);
            }
            Said::Chunk { number, bytes } => {
                out.put_u64_le(*number);
                out.put_slice(bytes);
            }
            Said::Whole { hash } => out.put_slice(hash),
            Said::Diverged { common } => out.put_u64_le(*common),
            Said::Units(bytes) => out.put_slice(bytes),
            Said::Message { shard, channel, message } => {
                out.put_u8(u8::from(*shard));
                out.put_u32_le(u32::try_from(channel.len()).unwrap_or(u32::MAX));
                out.put_slice(channel);
                out.put_slice(message);
            }
            Said::Beat { term, lsn, chain } => {
                out.put_u64_le(*term);
                out.put_u64_le(*lsn);
                out.put_slice(chain.join(" ").as_bytes());
            }
        });
    }

    /// Reads a body of this kind.
    pub(crate) fn decode(kind: u8, mut body: Bytes) -> Result<Said, Garbage> {
        let said = match kind {
            1 => Said::Refused(String::from_utf8_lossy(&body).into_owned()),
            2 => Said::Continue,
            3 => {
                let id = *body.first_chunk::<16>().ok_or(SHORT)?;
                body.advance(16);
                Said::Snapshot { id, first: number(&mut body)?, header: body }
            }
            4 => Said::Chunk { number: number(&mut body)?, bytes: body },
            5 => Said::Whole { hash: <[u8; 32]>::try_from(&body[..]).map_err(|_| Garbage("a hash's length"))? },
            6 => Said::Diverged { common: number(&mut body)? },
            7 => Said::Units(body),
            8 => {
                let shard = body.try_get_u8().map_err(|_| SHORT)? != 0;
                let length = body.try_get_u32_le().map_err(|_| SHORT)? as usize;
                if length > body.len() {
                    return Err(SHORT);
                }
                let channel = body.split_to(length);
                Said::Message { shard, channel, message: body }
            }
            9 => {
                let (term, lsn) = (number(&mut body)?, number(&mut body)?);
                let text = std::str::from_utf8(&body).map_err(|_| Garbage("a chain of run ids"))?;
                let chain: Vec<String> = text.split_whitespace().map(str::to_owned).take(CHAIN_MAX).collect();
                Said::Beat { term, lsn, chain }
            }
            10 => Said::Sync,
            11 => Said::Leave,
            12 => Said::Resync,
            _ => return Err(Garbage("an unknown kind")),
        };
        Ok(said)
    }
}

const SHORT: Garbage = Garbage("it is too short");

impl Heard {
    /// Appends it.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        enclose(1, out, |out| {
            out.put_u64_le(self.term);
            out.put_u64_le(self.written);
            out.put_u64_le(self.synced);
            out.put_u8(u8::from(self.syncing));
        });
    }

    /// Reads a body.
    pub(crate) fn decode(kind: u8, mut body: Bytes) -> Result<Heard, Garbage> {
        if kind != 1 {
            return Err(Garbage("an unknown kind"));
        }
        let (term, written, synced) = (number(&mut body)?, number(&mut body)?, number(&mut body)?);
        Ok(Heard { term, written, synced, syncing: body.try_get_u8().map_err(|_| SHORT)? != 0 })
    }
}

fn number(body: &mut Bytes) -> Result<u64, Garbage> {
    body.try_get_u64_le().map_err(|_| SHORT)
}

fn enclose(kind: u8, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(kind);
    out.put_u64_le(0);
    write(out);
    let length = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX).to_le_bytes();
    let checksum = checksum(kind, length, out.get(start + HEADER_BYTES..).unwrap_or_default());
    if let Some(header) = out.get_mut(start + 1..start + HEADER_BYTES) {
        header.copy_from_slice(&[length, checksum].concat());
    }
}

fn checksum(kind: u8, length: [u8; 4], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}

/// Takes the kind and the body of the first message; none where it has not come whole. Asks for room for the rest.
pub(crate) fn take(input: &mut BytesMut, body_bytes_max: usize) -> Result<Option<(u8, Bytes)>, Garbage> {
    let Some(&[kind, l0, l1, l2, l3, c0, c1, c2, c3]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = [l0, l1, l2, l3];
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > body_bytes_max {
        return Err(Garbage("it claims to be too long"));
    }
    if input.len() < HEADER_BYTES + bytes {
        // A claimed length alone must not take memory: it grows as bytes come.
        input.reserve((HEADER_BYTES + bytes - input.len()).min(1 << 20));
        return Ok(None);
    }
    let mut message = input.split_to(HEADER_BYTES + bytes);
    message.advance(HEADER_BYTES);
    let body = message.freeze();
    if checksum(kind, length, &body) != [c0, c1, c2, c3] {
        return Err(Garbage("its checksum does not fit"));
    }
    Ok(Some((kind, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Said> {
        let text = Bytes::from_static(b"text");
        vec![
            Said::Refused("no".into()),
            Said::Continue,
            Said::Snapshot { id: [7; 16], first: 3, header: text.clone() },
            Said::Chunk { number: u64::MAX, bytes: text.clone() },
            Said::Whole { hash: [9; 32] },
            Said::Diverged { common: 5 },
            Said::Units(text.clone()),
            Said::Message { shard: true, channel: text.clone(), message: Bytes::new() },
            Said::Beat { term: 1, lsn: 2, chain: vec!["a".into(), "b".into()] },
            Said::Sync,
            Said::Leave,
            Said::Resync,
        ]
    }

    #[test]
    fn what_is_said_is_what_is_heard_however_it_comes() {
        let mut bytes = BytesMut::new();
        all().iter().for_each(|said| said.encode(&mut bytes));
        let (mut input, mut found) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            input.put_u8(byte);
            while let Some((kind, body)) = take(&mut input, BODY_BYTES_MAX).unwrap() {
                found.push(Said::decode(kind, body).unwrap());
            }
        }
        assert_eq!((found, input.len()), (all(), 0));
        let heard = Heard { term: 1, written: 2, synced: 3, syncing: true };
        let mut bytes = BytesMut::new();
        heard.encode(&mut bytes);
        let (kind, body) = take(&mut bytes, ANSWER_BYTES_MAX).unwrap().unwrap();
        assert_eq!(Heard::decode(kind, body), Ok(heard));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        for said in all() {
            let mut bytes = BytesMut::new();
            said.encode(&mut bytes);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // A longer length is waited for, and what follows does not fit then.
                assert!(!matches!(take(&mut flipped, BODY_BYTES_MAX), Ok(Some(_))), "{said:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn bodies_that_are_too_short_are_refused() {
        for said in all() {
            let mut bytes = BytesMut::new();
            said.encode(&mut bytes);
            let (kind, body) = take(&mut bytes, BODY_BYTES_MAX).unwrap().unwrap();
            for length in 0..body.len() {
                // Nothing panics; what has no fixed length may well be something else.
                let _ = Said::decode(kind, body.slice(..length));
            }
        }
        assert!(Said::decode(13, Bytes::new()).is_err() && Heard::decode(2, Bytes::new()).is_err());
    }
}
