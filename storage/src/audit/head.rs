//! The head: where the chain begins, where it ends, and the hash of its last record.
//!
//! Two slots in one file, written in turns, so that a crash while one is written leaves the other.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Hash;
use crate::Error;
use crate::error::io;
use crate::seal::{OVERHEAD, Purpose, Sealer, key_id};

/// The head. Positions count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The first record that is kept.
    pub(super) first: u64,
    /// The next record to be written.
    pub(super) next: u64,
    /// Of the last record; zeros before the first.
    pub(super) hash: Hash,
    /// How often it was written: the slot that says more is the one that counts.
    pub(super) written: u64,
}

impl Default for Head {
    fn default() -> Head {
        Head { first: 1, next: 1, hash: [0; 32], written: 0 }
    }
}

const PLAIN_BYTES: usize = 8 + 8 + 8 + 32;
const SLOT_BYTES: usize = PLAIN_BYTES + OVERHEAD;

fn context(slot: u64) -> [u8; 13] {
    let mut context = *b"audit head  0";
    if let Some(last) = context.last_mut() {
        *last = b'0' + slot as u8;
    }
    context
}

/// The newest head; why there is none where the file is missing, or a slot that was written cannot be opened: a slot lies within one
/// sector, so no crash leaves half of it.
pub(super) fn read(dir: &Path, sealer: &Sealer) -> Result<Result<Head, String>, Error> {
    let path = dir.join("head");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err("head: it is missing".to_owned()));
        }
        Err(error) => return Err(io(&path, error)),
    };
    let mut slots: Vec<Head> =
        bytes.chunks_exact(SLOT_BYTES).zip(0..2).filter_map(|(sealed, slot)| open(sealer, slot, sealed)).collect();
    slots.sort_by_key(|head| head.written);
    let before = slots.first().map_or(0, |head| head.written);
    Ok(match slots.pop() {
        Some(newest) if newest.written == 1 || before + 1 == newest.written => Ok(newest),
        Some(_) => Err("head: one of its slots cannot be opened".to_owned()),
        None => Err("head: it cannot be opened".to_owned()),
    })
}

fn open(sealer: &Sealer, slot: u64, sealed: &[u8]) -> Option<Head> {
    let plain = sealer.open(Purpose::Audit, &context(slot), sealed).ok()?;
    let number = |at: usize| Some(u64::from_le_bytes(plain.get(at..at + 8)?.try_into().ok()?));
    let hash = plain.get(24..)?.try_into().ok()?;
    Some(Head { written: number(0)?, first: number(8)?, next: number(16)?, hash })
}

/// Writes the head, which counts as written once more, and syncs it.
pub(super) fn write(dir: &Path, sealer: &Sealer, head: &mut Head) -> Result<(), Error> {
    let path = dir.join("head");
    head.written += 1;
    let mut plain = Vec::with_capacity(PLAIN_BYTES);
    for number in [head.written, head.first, head.next] {
        plain.extend_from_slice(&number.to_le_bytes());
    }
    plain.extend_from_slice(&head.hash);
    let slot = head.written % 2;
    let mut sealed = Vec::with_capacity(SLOT_BYTES);
    sealer.seal(Purpose::Audit, &context(slot), &plain, &mut sealed);
    let existed = path.exists();
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| io(&path, e))?;
    file.write_all_at(&sealed, slot * SLOT_BYTES as u64).and_then(|()| file.sync_data()).map_err(|e| io(&path, e))?;
    if existed { Ok(()) } else { super::sync_directory(dir) }
}

/// Tells which keys the slots are under.
pub(super) fn keys(dir: &Path, count: &mut dyn FnMut(u32)) -> Result<(), Error> {
    let path = dir.join("head");
    match std::fs::read(&path) {
        Ok(bytes) => bytes.chunks_exact(SLOT_BYTES).filter_map(key_id).for_each(count),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(&path, error)),
    }
    Ok(())
}
