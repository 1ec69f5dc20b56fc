//! One file of the audit log: a header and sealed frames of records, each with the hash of the one before it. The bytes are in
//! `docs/formats.md`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Hash, name, sync_directory};
use crate::Error;
use crate::error::io;
use crate::seal::{OVERHEAD, Purpose, Sealer, key_id};

/// Begins every file; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"VedDBau\x01";
/// The magic, the position of the first record, the hash of the record before it.
const PLAIN_BYTES: usize = 8 + 8 + 32;
const HEADER_BYTES: usize = PLAIN_BYTES + OVERHEAD;
/// Before a frame's sealed bytes, and before a record's: how many they are.
const LENGTH_BYTES: usize = 4;
/// The longest frame that is believed, sealed.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// So many bytes and records make a frame full; one more may be in it. What is damaged in one is lost with all of it.
const FRAME_BYTES: usize = 32 << 10;
const FRAME_RECORDS: usize = 64;

/// Where the chain stands between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The next record.
    pub(super) position: u64,
    /// The hash of the record before it; None where that is not known.
    pub(super) before: Option<Hash>,
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame {
    /// The position of its first record.
    pub(super) first: u64,
    pub(super) texts: Vec<String>,
    /// Of all of it, and what is before it.
    pub(super) hash: Hash,
    /// Where it ends in its file.
    end: usize,
}

impl Frame {
    /// The position behind it.
    pub(super) fn next(&self) -> u64 {
        self.first + self.texts.len() as u64
    }

    /// Its records with their positions.
    pub(super) fn records(self) -> impl Iterator<Item = (u64, String)> {
        (self.first..).zip(self.texts)
    }
}

/// Every file with the position of its first record, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| io(dir, e))? {
        let path = entry.map_err(|e| io(dir, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digits = name.strip_suffix(".audit").filter(|digits| digits.len() == 16);
        if let Some(position) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            files.push((position, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The hash of a frame: of the position of its first record, and of what is in it, which begins with the hash of the one before it.
fn hash(first: u64, plain: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(first.to_le_bytes());
    hash.update(plain);
    hash.finalize().into()
}

fn context(position: u64) -> [u8; 13] {
    let mut context = *b"audit\0\0\0\0\0\0\0\0";
    if let Some(number) = context.last_chunk_mut::<8>() {
        *number = position.to_le_bytes();
    }
    context
}

/// Appends to a file.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    bytes: u64,
    pending: Vec<u8>,
}

impl Writer {
    /// Makes the file that begins with this record. What a crash left of that name holds nothing that was acknowledged.
    pub(super) fn create(dir: &Path, sealer: &Sealer, position: u64, before: Hash) -> Result<Writer, Error> {
        let path = dir.join(format!("{position:016x}.audit"));
        let header = header(sealer, position, &before);
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
        let mut file = file.map_err(|e| io(&path, e))?;
        file.write_all(&header).map_err(|e| failed(&path, e))?;
        sync_directory(dir)?;
        Ok(Writer { file, path, bytes: header.len() as u64, pending: Vec::new() })
    }

    /// Goes on with a file behind the frame that ends before `next`, cutting what follows. Why not, where the file is damaged up to there.
    pub(super) fn reopen(
        path: &Path,
        sealer: &Sealer,
        next: u64,
        last: &Hash,
    ) -> Result<Result<Writer, String>, Error> {
        let mut reader = match Reader::open(path, sealer)? {
            Ok(reader) => reader,
            Err(damage) => return Ok(Err(damage)),
        };
        while reader.link().position < next {
            match reader.next() {
                Some(Ok(_)) => {}
                Some(Err(damage)) => return Ok(Err(damage)),
                None => return Ok(Err(format!("{}: it ends before record {}", name(path), next - 1))),
            }
        }
        if reader.link().before != Some(*last) {
            return Ok(Err(format!("{}: record {} is not the one that the head names", name(path), next - 1)));
        }
        let file = OpenOptions::new().append(true).open(path).map_err(|e| io(path, e))?;
        file.set_len(reader.at as u64).and_then(|()| file.sync_data()).map_err(|e| io(path, e))?;
        Ok(Ok(Writer { file, path: path.to_path_buf(), bytes: reader.at as u64, pending: Vec::new() }))
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds records, which [`Writer::sync`] writes, and moves the link behind them.
    pub(super) fn push(&mut self, sealer: &Sealer, link: (&mut u64, &mut Hash), records: &[&str]) {
        let (next, before) = link;
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(FRAME_RECORDS).take_while(|text| {
                let room = bytes < FRAME_BYTES;
                bytes += text.len();
                room
            });
            let (frame, after) = rest.split_at(fits.count());
            *before = seal(sealer, *next, before, frame.iter().copied(), &mut self.pending);
            *next += frame.len() as u64;
            rest = after;
        }
    }

    /// Writes what was added, and syncs.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.file.write_all(&self.pending).map_err(|e| failed(&self.path, e))?;
        self.file.sync_data().map_err(|e| failed(&self.path, e))?;
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::NoSpace,
        _ => io(path, error),
    }
}

fn header(sealer: &Sealer, position: u64, before: &Hash) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&position.to_le_bytes());
    header.extend_from_slice(before);
    let plain = header.clone();
    sealer.seal(Purpose::Audit, &plain, &[], &mut header);
    header
}

/// Appends a frame; its hash.
fn seal<'a>(
    sealer: &Sealer,
    first: u64,
    before: &Hash,
    texts: impl Iterator<Item = &'a str>,
    out: &mut Vec<u8>,
) -> Hash {
    let mut plain = Vec::with_capacity(FRAME_BYTES);
    plain.extend_from_slice(before);
    for text in texts {
        plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        plain.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&((plain.len() + OVERHEAD) as u32).to_le_bytes());
    sealer.seal(Purpose::Audit, &context(first), &plain, out);
    hash(first, &plain)
}

/// Reads the frames of a file, in order. After an error there is nothing more.
pub(super) struct Reader<'a> {
    path: &'a Path,
    sealer: &'a Sealer,
    bytes: Vec<u8>,
    at: usize,
    position: u64,
    before: Hash,
    damaged: bool,
}

impl<'a> Reader<'a> {
    /// A reader of this file; what is wrong with its header, where that is damaged.
    pub(super) fn open(path: &'a Path, sealer: &'a Sealer) -> Result<Result<Reader<'a>, String>, Error> {
        let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
        let damaged = || Ok(Err(format!("{}: the header does not authenticate", name(path))));
        let Some((plain, sealed)) = bytes.get(..HEADER_BYTES).and_then(|header| header.split_at_checked(PLAIN_BYTES))
        else {
            return damaged();
        };
        let opened = plain.starts_with(&MAGIC) && sealer.open(Purpose::Audit, plain, sealed).is_ok();
        let position = plain.get(8..16).and_then(|number| number.try_into().ok()).map(u64::from_le_bytes);
        let before = plain.get(16..).and_then(|hash| hash.try_into().ok());
        match (opened, position, before) {
            (true, Some(position), Some(before)) => {
                Ok(Ok(Reader { path, sealer, bytes, at: HEADER_BYTES, position, before, damaged: false }))
            }
            _ => damaged(),
        }
    }

    /// The same of the first bytes.
    pub(super) fn up_to(mut self, length: usize) -> Reader<'a> {
        self.bytes.truncate(length);
        self
    }

    /// Where it stands.
    pub(super) fn link(&self) -> Link {
        Link { position: self.position, before: Some(self.before) }
    }

    fn read(&mut self) -> Option<Frame> {
        let rest = self.bytes.get(self.at..)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let sealed = rest.get(..length).filter(|_| length <= FRAME_BYTES_MAX)?;
        let plain = self.sealer.open(Purpose::Audit, &context(self.position), sealed).ok()?;
        let (before, mut rest) = plain.split_first_chunk::<32>()?;
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            texts.push(String::from_utf8(text.to_vec()).ok()?);
            rest = behind;
        }
        let is_next = *before == self.before && !texts.is_empty();
        let (hash, end) = (hash(self.position, &plain), self.at + LENGTH_BYTES + length);
        is_next.then_some(Frame { first: self.position, texts, hash, end })
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Frame, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.damaged || self.at >= self.bytes.len() {
            return None;
        }
        match self.read() {
            Some(frame) => {
                (self.at, self.position, self.before) = (frame.end, frame.next(), frame.hash);
                Some(Ok(frame))
            }
            None => {
                self.damaged = true;
                let (name, position, at) = (name(self.path), self.position, self.at);
                Some(Err(format!("{name}: record {position} at offset {at} is not as it was written")))
            }
        }
    }
}

/// Writes a file's records, sealed by another, into the file `to`, which may be the same one. The chain stays what it was.
pub(super) fn reseal(path: &Path, sealer: &Sealer, to: &Path, other: &Sealer) -> Result<(), Error> {
    let damaged = |what: String| Error::Damaged { path: path.to_path_buf(), at: "audit".into(), what };
    let reader = Reader::open(path, sealer)?.map_err(damaged)?;
    let Link { position, before } = reader.link();
    let mut before = before.unwrap_or_default();
    let mut out = header(other, position, &before);
    for frame in reader {
        let frame = frame.map_err(damaged)?;
        before = seal(other, frame.first, &before, frame.texts.iter().map(String::as_str), &mut out);
    }
    crate::seal::replace_file(to, &out)
}

/// Tells which keys the header and the frames are under. Ends where no whole frame follows.
pub(super) fn keys(path: &Path, count: &mut dyn FnMut(u32)) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
    bytes.get(PLAIN_BYTES..HEADER_BYTES).and_then(key_id).into_iter().for_each(&mut *count);
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let Some((sealed, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        key_id(sealed).into_iter().for_each(&mut *count);
        rest = behind;
    }
    Ok(())
}
