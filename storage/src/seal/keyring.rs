//! The keyring: the file `<dir>/keyring` that holds the data keys, sealed under the master key.
//!
//! Owns the file's layout, its reading, checking and atomic replacement. Does not know where the master key comes
//! from, and seals no record of the store.
//!
//! ```text
//! offset  size  what (integers are little endian)
//! 0       8     "VEDDBKEY"
//! 8       2     format version, 1
//! 10      16    database id, random, given once
//! 26      16    check of the master key: HKDF-SHA256(master key, database id, "veddb 1 master key check")
//! 42      4     n, the length of the sealed part
//! 46      n     sealed part: a record (see `record.rs`) under the master key, of key id 0 and purpose 0,
//!               whose context is the 46 bytes before it
//! 46 + n  32    SHA-256 of all that is before it
//!
//! the sealed part, opened:
//! 0       16    history id, random
//! 16      1     rotation state: 0 idle
//! 17      4     key that records are brought from, 0 when idle
//! 21      4     key that records are brought to, 0 when idle
//! 25      4     k, the number of data keys
//! 29      106k  each: id 4, state 1 (1 active, 2 retired), created in ms since 1970 8, key 32,
//!               canary 61: the record of "veddb data key" and two zero bytes under this key, for the label "canary"
//! ```
//!
//! The plain checksum tells damage from a wrong master key without either key: a file that is whole but fails the
//! check was made under another master key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::master::MasterKey;
use super::record::{OVERHEAD, Place, SEAL_PREFIX, derive, key_id, open, seal_prefixed};
use super::{Secret, random, replace_file};
use crate::Error;

const FILE_NAME: &str = "keyring";
const MAGIC: &[u8; 8] = b"VEDDBKEY";
const FORMAT: u16 = 1;
const HEADER: usize = 8 + 2 + 16 + 16 + 4;
const CHECKSUM: usize = 32;
/// No keyring comes near this; a longer file is not read into memory.
const FILE_BYTES_MAX: usize = 1 << 20;

const CANARY: &[u8; 16] = b"veddb data key\0\0";
const SEALED_CANARY: usize = CANARY.len() + OVERHEAD;
const KEY_ENTRY: usize = 4 + 1 + 8 + 32 + SEALED_CANARY;
/// The purpose number of records that no [`super::Purpose`] names: the keyring's own.
const OWN_PURPOSE: u8 = 0;

/// Whether new records are sealed under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// New records are sealed under it. One key is active.
    Active,
    /// It only opens records that were sealed before.
    Retired,
}

/// What may be told of a data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its number, from 1.
    pub id: u32,
    /// Active or retired.
    pub state: KeyState,
    /// Milliseconds since 1970.
    pub created_ms: u64,
}

/// How far a change of the data key has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// None is going on.
    Idle,
}

/// One data key.
pub(super) struct DataKey {
    info: KeyInfo,
    secret: Secret,
}

impl DataKey {
    fn generate(id: u32, created_ms: u64) -> DataKey {
        let info = KeyInfo { id, state: KeyState::Active, created_ms };
        DataKey { info, secret: Zeroizing::new(random()) }
    }

    pub(super) fn id(&self) -> u32 {
        self.info.id
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// The data keys of one database.
pub struct Keyring {
    database_id: [u8; 16],
    history_id: [u8; 16],
    active: DataKey,
    /// In ascending order of their ids.
    retired: Vec<DataKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<KeyInfo> = self.keys().collect();
        f.debug_struct("Keyring").field("database_id", &hex::encode(self.database_id)).field("keys", &keys).finish()
    }
}

impl Keyring {
    /// Whether the data directory has a keyring, and so is a store.
    pub fn exists(dir: &Path) -> Result<bool, Error> {
        let path = dir.join(FILE_NAME);
        path.try_exists().map_err(|source| Error::Io { path, source })
    }

    /// Makes the keyring of a new database in an existing, empty directory: new ids and one data key.
    pub fn create(dir: &Path, master: &MasterKey, now_ms: u64) -> Result<Keyring, Error> {
        let path = dir.join(FILE_NAME);
        if Keyring::exists(dir)? {
            return Err(Error::Refused(format!("{}: there is a keyring already", path.display())));
        }
        let keyring = Keyring {
            database_id: random(),
            history_id: random(),
            active: DataKey::generate(1, now_ms),
            retired: Vec::new(),
        };
        replace_file(&path, &keyring.encode(master))?;
        Ok(keyring)
    }

    /// Reads the keyring of a data directory. A wrong master key is [`Error::Refused`]; bytes that are not those
    /// written are [`Error::Damaged`].
    pub fn load(dir: &Path, master: &MasterKey) -> Result<Keyring, Error> {
        let path = dir.join(FILE_NAME);
        let io = |source: io::Error| Error::Io { path: path.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).map_err(io)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        Keyring::decode(&bytes, master).map_err(|error| error.at(path))
    }

    /// The database, which every record is bound to. Never changes.
    pub fn database_id(&self) -> [u8; 16] {
        self.database_id
    }

    /// The history that the log belongs to.
    pub fn history_id(&self) -> [u8; 16] {
        self.history_id
    }

    /// The state of a change of keys.
    pub fn rotation(&self) -> Rotation {
        Rotation::Idle
    }

    /// What may be told of the keys: the active one first.
    pub fn keys(&self) -> impl Iterator<Item = KeyInfo> + '_ {
        std::iter::once(&self.active).chain(&self.retired).map(|key| key.info)
    }

    pub(super) fn active(&self) -> &DataKey {
        &self.active
    }

    pub(super) fn retired(&self) -> impl Iterator<Item = &DataKey> {
        self.retired.iter()
    }

    /// The bytes of the file.
    fn encode(&self, master: &MasterKey) -> Vec<u8> {
        let mut body = Zeroizing::new(Vec::with_capacity(SEAL_PREFIX + 29 + KEY_ENTRY * (1 + self.retired.len())));
        body.extend_from_slice(&[0; SEAL_PREFIX]);
        body.extend_from_slice(&self.history_id);
        let Rotation::Idle = self.rotation();
        body.push(0);
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&length(1 + self.retired.len()).to_le_bytes());
        for key in std::iter::once(&self.active).chain(&self.retired) {
            body.extend_from_slice(&key.info.id.to_le_bytes());
            body.push(match key.info.state {
                KeyState::Active => 1,
                KeyState::Retired => 2,
            });
            body.extend_from_slice(&key.info.created_ms.to_le_bytes());
            body.extend_from_slice(key.secret.as_slice());
            body.extend_from_slice(&self.canary(key));
        }

        let mut file = Vec::with_capacity(HEADER + body.len() + OVERHEAD + CHECKSUM);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&FORMAT.to_le_bytes());
        file.extend_from_slice(&self.database_id);
        file.extend_from_slice(&master_check(master, &self.database_id));
        file.extend_from_slice(&length(body.len() - SEAL_PREFIX + OVERHEAD).to_le_bytes());
        let place = Place { database_id: &self.database_id, purpose: OWN_PURPOSE, context: &file };
        let tag = seal_prefixed(&wrapping_cipher(master, &self.database_id), 0, &place, &mut body);
        file.extend_from_slice(&body);
        file.extend_from_slice(&tag);
        let checksum = Sha256::digest(&file);
        file.extend_from_slice(&checksum);
        file
    }

    fn canary(&self, key: &DataKey) -> Vec<u8> {
        let mut record = vec![0; SEAL_PREFIX];
        record.extend_from_slice(CANARY);
        let place = Place { database_id: &self.database_id, purpose: OWN_PURPOSE, context: b"" };
        let tag = seal_prefixed(&canary_cipher(key.secret(), &self.database_id), key.id(), &place, &mut record);
        record.extend_from_slice(&tag);
        record
    }

    fn decode(bytes: &[u8], master: &MasterKey) -> Result<Keyring, Unreadable> {
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
        if format != FORMAT {
            let what = format!("keyring format {format} is not known to this version");
            return Err(Unreadable::Refused(what));
        }
        let database_id = file.take()?;
        let check: [u8; 16] = file.take()?;
        if !bool::from(check.ct_eq(&master_check(master, &database_id))) {
            return Err(Unreadable::WrongMaster);
        }
        let sealed_length = file.count()?;
        let sealed = file.slice(sealed_length)?;
        if file.at != before.len() {
            return Err(file.damaged("more bytes than the sealed part has"));
        }
        let context = before.get(..HEADER).unwrap_or_default();
        let place = Place { database_id: &database_id, purpose: OWN_PURPOSE, context };
        let body = open(&wrapping_cipher(master, &database_id), &place, sealed)
            .map_err(|what| Unreadable::Damaged { at: HEADER, what })?;
        Keyring::decode_body(&Zeroizing::new(body), database_id)
    }

    fn decode_body(body: &[u8], database_id: [u8; 16]) -> Result<Keyring, Unreadable> {
        let mut body = Reader { bytes: body, at: 0 };
        let history_id = body.take()?;
        let [rotation] = body.take()?;
        let _from_and_to: [u8; 8] = body.take()?;
        if rotation != 0 {
            return Err(Unreadable::Refused(format!("rotation state {rotation} is not known to this version")));
        }
        let mut active = None;
        let mut retired: Vec<DataKey> = Vec::new();
        for _ in 0..body.count()? {
            let id = u32::from_le_bytes(body.take()?);
            let [state] = body.take()?;
            let created_ms = u64::from_le_bytes(body.take()?);
            let secret: Secret = Zeroizing::new(body.take()?);
            let canary: [u8; SEALED_CANARY] = body.take()?;
            let place = Place { database_id: &database_id, purpose: OWN_PURPOSE, context: b"" };
            let opened = open(&canary_cipher(&secret, &database_id), &place, &canary);
            if key_id(&canary) != Some(id) || opened.as_deref() != Ok(CANARY) {
                return Err(body.damaged(&format!("data key {id} does not open its canary")));
            }
            let known = |info: KeyInfo| DataKey { info, secret: secret.clone() };
            match state {
                1 if active.is_none() => active = Some(known(KeyInfo { id, state: KeyState::Active, created_ms })),
                2 => retired.push(known(KeyInfo { id, state: KeyState::Retired, created_ms })),
                _ => return Err(body.damaged(&format!("data key {id} has the state {state}"))),
            }
        }
        if body.at != body.bytes.len() {
            return Err(body.damaged("more bytes than the keys have"));
        }
        let active = active.ok_or_else(|| body.damaged("no data key is active"))?;
        Ok(Keyring { database_id, history_id, active, retired })
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a keyring is far below 4 GiB")
}

/// The cipher that the master key seals the keyring with.
fn wrapping_cipher(master: &MasterKey, database_id: &[u8; 16]) -> XChaCha20Poly1305 {
    derive(master.bytes(), database_id, "keyring")
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
enum Unreadable {
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
mod tests {
    use super::*;
    use crate::seal::{Purpose, Sealer};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn two_keys() -> Keyring {
        let mut retired = DataKey::generate(1, 10);
        retired.info.state = KeyState::Retired;
        Keyring {
            database_id: random(),
            history_id: random(),
            active: DataKey::generate(2, 20),
            retired: vec![retired],
        }
    }

    #[test]
    fn what_is_created_loads() {
        let dir = tempfile::tempdir().unwrap();
        let master = MasterKey::generate();
        assert!(!Keyring::exists(dir.path()).unwrap());
        let made = Keyring::create(dir.path(), &master, 1234).unwrap();
        assert!(Keyring::exists(dir.path()).unwrap());
        let loaded = Keyring::load(dir.path(), &master).unwrap();
        assert_eq!(loaded.database_id(), made.database_id());
        assert_eq!(loaded.history_id(), made.history_id());
        assert_eq!(loaded.rotation(), Rotation::Idle);
        let expected = KeyInfo { id: 1, state: KeyState::Active, created_ms: 1234 };
        assert_eq!(loaded.keys().collect::<Vec<_>>(), [expected]);
        let mode = fs::metadata(dir.path().join("keyring")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        let again = Keyring::create(dir.path(), &master, 1234).unwrap_err();
        assert!(matches!(again, Error::Refused(_)), "{again}");
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let master = MasterKey::generate();
        let keyring = two_keys();
        let file = keyring.encode(&master);
        assert_eq!(KEY_ENTRY, 106);
        assert_eq!(file.len(), 46 + 29 + 2 * 106 + OVERHEAD + 32);
        assert_eq!(&file[..10], b"VEDDBKEY\x01\x00");
        assert_eq!(file[10..26], keyring.database_id);
    }

    #[test]
    fn a_wrong_master_key_is_told_from_damage() {
        let dir = tempfile::tempdir().unwrap();
        Keyring::create(dir.path(), &MasterKey::generate(), 1).unwrap();
        let error = Keyring::load(dir.path(), &MasterKey::generate()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("master key"), "{error}");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_damage() {
        let master = MasterKey::generate();
        let mut file = two_keys().encode(&master);
        let damaged = |bytes: &[u8]| matches!(Keyring::decode(bytes, &master), Err(Unreadable::Damaged { .. }));
        for at in 0..file.len() {
            for bit in 0..8 {
                file[at] ^= 1 << bit;
                assert!(damaged(&file), "byte {at}, bit {bit}");
                file[at] ^= 1 << bit;
            }
            assert!(damaged(&file[..at]), "length {at}");
        }
        assert!(Keyring::decode(&file, &master).is_ok());
        file.push(0);
        assert!(damaged(&file), "one byte more");
    }

    #[test]
    fn a_forged_checksum_does_not_help() {
        let master = MasterKey::generate();
        let file = two_keys().encode(&master);
        let end = file.len() - CHECKSUM;
        for at in 0..end {
            let mut forged = file[..end].to_vec();
            forged[at] ^= 1;
            let checksum = Sha256::digest(&forged);
            forged.extend_from_slice(&checksum);
            assert!(Keyring::decode(&forged, &master).is_err(), "byte {at}");
        }
    }

    #[test]
    fn damage_names_the_file_and_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let master = MasterKey::generate();
        Keyring::create(dir.path(), &master, 1).unwrap();
        let path = dir.path().join("keyring");
        let mut bytes = fs::read(&path).unwrap();
        bytes[60] ^= 1;
        fs::write(&path, bytes).unwrap();
        let said = Keyring::load(dir.path(), &master).unwrap_err().to_string();
        assert!(said.starts_with(path.to_str().unwrap()) && said.contains("checksum"), "{said}");
    }

    #[test]
    fn a_retired_key_still_opens() {
        let keyring = two_keys();
        let before = Keyring {
            database_id: keyring.database_id,
            history_id: keyring.history_id,
            active: DataKey {
                info: KeyInfo { id: 1, state: KeyState::Active, created_ms: 10 },
                secret: keyring.retired[0].secret.clone(),
            },
            retired: Vec::new(),
        };
        let mut sealed = Vec::new();
        Sealer::new(&before).seal(Purpose::Log, b"at", b"frame", &mut sealed);
        let master = MasterKey::generate();
        let after = Sealer::new(&Keyring::decode(&keyring.encode(&master), &master).unwrap());
        assert_eq!(after.open(Purpose::Log, b"at", &sealed).unwrap(), b"frame");
        assert_eq!(after.active_key_id(), 2);
    }

    #[test]
    fn debug_prints_no_key() {
        let keyring = two_keys();
        let printed = format!("{keyring:?} {:?}", Sealer::new(&keyring));
        assert!(!printed.contains(&hex::encode(keyring.active.secret.as_slice())));
        assert!(!printed.contains(&format!("{:?}", keyring.active.secret.as_slice())));
    }
}
