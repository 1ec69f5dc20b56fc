//! The keyring's file, `<dir>/keyring`: its layout, its reading and checking.
//!
//! ```text
//! offset  size  what (integers are little endian)
//! 0       8     "VEDDBKEY"
//! 8       2     format version, 2
//! 10      16    database id, random, given once
//! 26      16    check of the master key: HKDF-SHA256(master key, database id, "veddb 1 master key check")
//! 42      4     n, the length of the sealed part
//! 46      n     sealed part: a record (see `record.rs`) under the master key, of key id 0 and purpose 0,
//!               whose context is the 46 bytes before it
//! 46 + n  32    SHA-256 of all that is before it
//!
//! the sealed part, opened:
//! 0       16    history id, random
//! 16      1     rotation: 0 idle, 1 re-encrypting, 2 completed, 3 failed
//! 17      4     key that records are brought from, 0 when there was no rotation
//! 21      4     key that records are brought to, 0 when there was no rotation
//! 25      8     began, ms since 1970
//! 33      8     completed, ms since 1970
//! 41      8     records a second at most, 0 without a bound
//! 49      1     1 paused, 2 cancelled, 3 both
//! 50      4     e, the length of what stopped it
//! 54      e     what stopped it, UTF-8
//! 54 + e  4     k, the number of data keys
//! 58 + e  106k  each: id 4, state 1 (1 active, 2 retired), created in ms since 1970 8, key 32,
//!               canary 61: the record of "veddb data key" and two zero bytes under this key, for the label "canary"
//! ```
//!
//! Format 1 has the number of keys at offset 25, and no other rotation than 0.
//!
//! The plain checksum tells damage from a wrong master key without either key: a file that is whole but fails the
//! check was made under another master key.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::Secret;
use super::super::master::MasterKey;
use super::super::record::{OVERHEAD, Place, SEAL_PREFIX, derive, key_id, open, seal_prefixed};
use super::{DataKey, KeyInfo, KeyState, Keyring, Phase, Rotation};
use crate::Error;

const FILE_NAME: &str = "keyring";
const MAGIC: &[u8; 8] = b"VEDDBKEY";
const FORMAT: u16 = 2;
const FORMAT_OLDEST: u16 = 1;
const HEADER: usize = 8 + 2 + 16 + 16 + 4;
const CHECKSUM: usize = 32;
/// No keyring comes near this; a longer file is not read into memory.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What stopped a rotation is told in so many bytes at most.
const ERROR_BYTES_MAX: usize = 4096;

const CANARY: &[u8; 16] = b"veddb data key\0\0";
const SEALED_CANARY: usize = CANARY.len() + OVERHEAD;
pub(super) const KEY_ENTRY: usize = 4 + 1 + 8 + 32 + SEALED_CANARY;
/// The purpose number of records that no [`super::super::Purpose`] names: the keyring's own.
const OWN_PURPOSE: u8 = 0;

const PAUSED: u8 = 1;
const CANCELLED: u8 = 2;

/// What a master key is for, derived from it: the key that wraps the keyring, and what tells the master key again. Kept
/// in memory while the store is open, so that the master key need not be.
pub(crate) struct Wrapping {
    cipher: XChaCha20Poly1305,
    check: [u8; 16],
}

impl std::fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wrapping(..)")
    }
}

impl Wrapping {
    /// Of this master key, for this database.
    pub(crate) fn new(master: &MasterKey, database_id: &[u8; 16]) -> Wrapping {
        Wrapping { cipher: derive(master.bytes(), database_id, "keyring"), check: master_check(master, database_id) }
    }

    /// By which the master key is known again.
    pub(in crate::seal) fn check(&self) -> &[u8; 16] {
        &self.check
    }

    /// The key that wraps.
    pub(in crate::seal) fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }

    /// Whether it is of the same master key.
    pub(crate) fn is_of_the_key_of(&self, other: &Wrapping) -> bool {
        self.check.ct_eq(&other.check).into()
    }
}

/// The file of a data directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Reads the file of a data directory.
pub(super) fn load(dir: &Path, master: &MasterKey) -> Result<Keyring, Error> {
    let path = path(dir);
    let io = |source: io::Error| Error::Io { path: path.clone(), source };
    let mut bytes = Vec::new();
    File::open(&path).map_err(io)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    Keyring::decode(&bytes, master).map_err(|error| error.at(path))
}

impl Keyring {
    /// The bytes of the file.
    pub(super) fn encode(&self, wrapping: &Wrapping) -> Vec<u8> {
        let rotation = &self.rotation;
        let error = rotation.error.get(..rotation.error.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or_default();
        // Never moved to a larger buffer: that would leave the keys behind in the smaller one.
        let capacity = SEAL_PREFIX + 58 + error.len() + KEY_ENTRY * 2;
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        body.extend_from_slice(&[0; SEAL_PREFIX]);
        body.extend_from_slice(&self.history_id);
        body.push(match rotation.phase {
            Phase::Idle => 0,
            Phase::ReEncrypting => 1,
            Phase::Completed => 2,
            Phase::Failed => 3,
        });
        body.extend_from_slice(&rotation.from.to_le_bytes());
        body.extend_from_slice(&rotation.to.to_le_bytes());
        for number in [rotation.started_ms, rotation.ended_ms, rotation.rate] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.push(if rotation.paused { PAUSED } else { 0 } | if rotation.cancelled { CANCELLED } else { 0 });
        body.extend_from_slice(&length(error.len()).to_le_bytes());
        body.extend_from_slice(error.as_bytes());
        body.extend_from_slice(&length(self.keys().count()).to_le_bytes());
        for key in std::iter::once(&self.active).chain(&self.retired) {
            self.put_key(key, &mut body);
        }
        seal_body(self.database_id, FORMAT, wrapping, body)
    }

    fn put_key(&self, key: &DataKey, body: &mut Vec<u8>) {
        body.extend_from_slice(&key.info.id.to_le_bytes());
        body.push(match key.info.state {
            KeyState::Active => 1,
            KeyState::Retired => 2,
        });
        body.extend_from_slice(&key.info.created_ms.to_le_bytes());
        body.extend_from_slice(key.secret.as_slice());
        body.extend_from_slice(&self.canary(key));
    }

    fn canary(&self, key: &DataKey) -> Vec<u8> {
        let mut record = vec![0; SEAL_PREFIX];
        record.extend_from_slice(CANARY);
        let place = Place { database_id: &self.database_id, purpose: OWN_PURPOSE, context: b"" };
        let tag = seal_prefixed(&canary_cipher(key.secret(), &self.database_id), key.id(), &place, &mut record);
        record.extend_from_slice(&tag);
        record
    }

    pub(super) fn decode(bytes: &[u8], master: &MasterKey) -> Result<Keyring, Unreadable> {
        let mut file = Reader { bytes, at: 0 };
        if file.take::<8>()? != *MAGIC {
            return Err(file.damaged("not the first bytes of a keyring"));
        }
        if bytes.len() > FILE_BYTES_MAX {
            return Err(file.damaged("longer than any keyring"));
        }
        let (before, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(|| file.damaged("cut short"))?;
        if *checksum != *Sha256::digest(before) {
            return Err(file.damaged("the checksum is of other bytes"));
        }
        let format = u16::from_le_bytes(file.take()?);
        if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
            let what = format!("keyring format {format} is not known to this version");
            return Err(Unreadable::Refused(what));
        }
        let database_id = file.take()?;
        let check: [u8; 16] = file.take()?;
        let wrapping = Wrapping::new(master, &database_id);
        if !bool::from(check.ct_eq(&wrapping.check)) {
            return Err(Unreadable::WrongMaster);
        }
        let sealed_length = file.count()?;
        let sealed = file.slice(sealed_length)?;
        if file.at != before.len() {
            return Err(file.damaged("more bytes than the sealed part has"));
        }
        let context = before.get(..HEADER).unwrap_or_default();
        let place = Place { database_id: &database_id, purpose: OWN_PURPOSE, context };
        let body = open(&wrapping.cipher, &place, sealed).map_err(|what| Unreadable::Damaged { at: HEADER, what })?;
        Keyring::decode_body(&Zeroizing::new(body), format, database_id)
    }

    fn decode_body(body: &[u8], format: u16, database_id: [u8; 16]) -> Result<Keyring, Unreadable> {
        let mut body = Reader { bytes: body, at: 0 };
        let history_id = body.take()?;
        let rotation = decode_rotation(&mut body, format)?;
        let mut keys = Vec::new();
        for _ in 0..body.count()? {
            keys.push(decode_key(&mut body, &database_id)?);
        }
        if body.at != body.bytes.len() {
            return Err(body.damaged("more bytes than the keys have"));
        }
        let (active, mut retired): (Vec<DataKey>, Vec<DataKey>) =
            keys.into_iter().partition(|key| key.info.state == KeyState::Active);
        let [active] = <[DataKey; 1]>::try_from(active).map_err(|_| body.damaged("not one data key is active"))?;
        let other = retired.pop();
        let fits = match (&other, rotation.is_open()) {
            (Some(other), true) => rotation.from == other.id() && rotation.to == active.id(),
            (None, open) => !open,
            (Some(_), false) => false,
        };
        if !fits || !retired.is_empty() {
            return Err(body.damaged("the data keys are not those of the rotation's state"));
        }
        Ok(Keyring { database_id, history_id, rotation, active, retired: other })
    }
}

fn decode_rotation(body: &mut Reader<'_>, format: u16) -> Result<Rotation, Unreadable> {
    let [phase] = body.take()?;
    let phase = match (phase, format) {
        (0, _) => Phase::Idle,
        (1, 2..) => Phase::ReEncrypting,
        (2, 2..) => Phase::Completed,
        (3, 2..) => Phase::Failed,
        _ => return Err(Unreadable::Refused(format!("rotation state {phase} is not known to this version"))),
    };
    let (from, to) = (u32::from_le_bytes(body.take()?), u32::from_le_bytes(body.take()?));
    if format == FORMAT_OLDEST {
        return Ok(Rotation::default());
    }
    let mut number = || body.take().map(u64::from_le_bytes);
    let (started_ms, ended_ms, rate) = (number()?, number()?, number()?);
    let [flags] = body.take()?;
    if flags & !(PAUSED | CANCELLED) != 0 {
        return Err(Unreadable::Refused(format!("rotation flags {flags} are not known to this version")));
    }
    let length = body.count()?;
    let error = body.slice(length)?;
    let error = std::str::from_utf8(error).map_err(|_| body.damaged("what stopped the rotation is no text"))?;
    Ok(Rotation {
        phase,
        from,
        to,
        started_ms,
        ended_ms,
        rate,
        paused: flags & PAUSED != 0,
        cancelled: flags & CANCELLED != 0,
        error: error.to_owned(),
    })
}

fn decode_key(body: &mut Reader<'_>, database_id: &[u8; 16]) -> Result<DataKey, Unreadable> {
    let id = u32::from_le_bytes(body.take()?);
    let [state] = body.take()?;
    let created_ms = u64::from_le_bytes(body.take()?);
    let secret: Secret = Zeroizing::new(body.take()?);
    let canary: [u8; SEALED_CANARY] = body.take()?;
    let place = Place { database_id, purpose: OWN_PURPOSE, context: b"" };
    let opened = open(&canary_cipher(&secret, database_id), &place, &canary);
    if key_id(&canary) != Some(id) || opened.as_deref() != Ok(CANARY) {
        return Err(body.damaged(&format!("data key {id} does not open its canary")));
    }
    let state = match state {
        1 => KeyState::Active,
        2 => KeyState::Retired,
        _ => return Err(body.damaged(&format!("data key {id} has the state {state}"))),
    };
    Ok(DataKey { info: KeyInfo { id, state, created_ms }, secret })
}

/// The file around a sealed part, which begins with [`SEAL_PREFIX`] bytes of any value.
fn seal_body(database_id: [u8; 16], format: u16, wrapping: &Wrapping, mut body: Zeroizing<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER + body.len() + OVERHEAD + CHECKSUM);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&format.to_le_bytes());
    file.extend_from_slice(&database_id);
    file.extend_from_slice(&wrapping.check);
    file.extend_from_slice(&length(body.len() - SEAL_PREFIX + OVERHEAD).to_le_bytes());
    let place = Place { database_id: &database_id, purpose: OWN_PURPOSE, context: &file };
    let tag = seal_prefixed(&wrapping.cipher, 0, &place, &mut body);
    file.extend_from_slice(&body);
    file.extend_from_slice(&tag);
    let checksum = Sha256::digest(&file);
    file.extend_from_slice(&checksum);
    file
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a keyring is far below 4 GiB")
}

fn canary_cipher(key: &[u8; 32], database_id: &[u8; 16]) -> XChaCha20Poly1305 {
    derive(key, database_id, "canary")
}

/// 16 bytes by which a master key is known to be the right one, and from which nothing of it follows.
fn master_check(master: &MasterKey, database_id: &[u8; 16]) -> [u8; 16] {
    let mut check = [0; 16];
    Hkdf::<Sha256>::new(Some(database_id), master.bytes())
        .expand(b"veddb 1 master key check", &mut check)
        .expect("16 bytes are within what HKDF-SHA256 gives");
    check
}

/// Why a keyring's bytes are no keyring, before the file is named.
#[derive(Debug, PartialEq)]
pub(super) enum Unreadable {
    WrongMaster,
    Refused(String),
    Damaged { at: usize, what: String },
}

impl Unreadable {
    fn at(self, path: PathBuf) -> Error {
        match self {
            Unreadable::WrongMaster => Error::Refused(format!(
                "{}: the master key is not the one this keyring was sealed with",
                path.display()
            )),
            Unreadable::Refused(what) => Error::Refused(format!("{}: {what}", path.display())),
            Unreadable::Damaged { at, what } => Error::Damaged { path, at: format!("byte {at}"), what },
        }
    }
}

/// Reads bytes from front to back and knows where it is.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let end = self.at.checked_add(length);
        let slice = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| self.damaged("cut short"))?;
        self.at += length;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let slice = self.slice(N)?;
        slice.try_into().map_err(|_| self.damaged("cut short"))
    }

    fn count(&mut self) -> Result<usize, Unreadable> {
        let count = u32::from_le_bytes(self.take()?);
        usize::try_from(count).map_err(|_| self.damaged("a length beyond this machine's memory"))
    }

    fn damaged(&self, what: &str) -> Unreadable {
        Unreadable::Damaged { at: self.at, what: what.to_owned() }
    }
}

#[cfg(test)]
impl Keyring {
    /// The bytes of a file of format 1, which had no rotations.
    pub(super) fn encode_format_1(&self, wrapping: &Wrapping) -> Vec<u8> {
        let mut body = Zeroizing::new(vec![0; SEAL_PREFIX]);
        body.extend_from_slice(&self.history_id);
        body.extend_from_slice(&[0; 9]);
        body.extend_from_slice(&1_u32.to_le_bytes());
        self.put_key(&self.active, &mut body);
        seal_body(self.database_id, 1, wrapping, body)
    }
}
