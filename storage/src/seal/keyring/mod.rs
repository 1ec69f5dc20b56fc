//! The keyring: the data keys of a store, and how far a change of them has come.
//!
//! Owns which keys there are and the states between them; each change makes another keyring, which is on disk before it is
//! in use. Its bytes are in [`mod@file`]. Does not know where the master key comes from, and seals no record of the store.
//!
//! Invariant: one key is active. While records are brought from one key to another, or could not be, the other one is the
//! only retired key; at all other times there is none.

mod file;

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

pub(crate) use file::Wrapping;

use super::master::MasterKey;
use super::{Secret, random, replace_file};
use crate::Error;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// There was none.
    #[default]
    Idle,
    /// Records are brought from one key to the other.
    ReEncrypting,
    /// No record is under the key that was left, and it is erased.
    Completed,
    /// Something stopped it. Both keys are there.
    Failed,
}

impl Phase {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::ReEncrypting => "re-encrypting",
            Phase::Completed => "completed",
            Phase::Failed => "failed",
        }
    }
}

/// A change of the data key; the last one, when none is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// How far it has come.
    pub phase: Phase,
    /// The key that records are brought from; 0 when there was no rotation.
    pub from: u32,
    /// The key that they are brought to; 0 when there was no rotation.
    pub to: u32,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// When it was completed, milliseconds since 1970; 0 before.
    pub ended_ms: u64,
    /// How many records are re-sealed a second at most; 0: as many as can be.
    pub rate: u64,
    /// It waits for somebody to have it go on.
    pub paused: bool,
    /// It was turned round: the records are brought back.
    pub cancelled: bool,
    /// What stopped it, when it failed.
    pub error: String,
}

impl Rotation {
    /// Whether two keys are in use.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::ReEncrypting | Phase::Failed)
    }
}

/// One data key.
#[derive(Clone)]
pub(super) struct DataKey {
    info: KeyInfo,
    secret: Secret,
}

impl DataKey {
    fn generate(id: u32, created_ms: u64) -> DataKey {
        let info = KeyInfo { id, state: KeyState::Active, created_ms };
        DataKey { info, secret: Zeroizing::new(random()) }
    }

    fn into_state(mut self, state: KeyState) -> DataKey {
        self.info.state = state;
        self
    }

    pub(super) fn id(&self) -> u32 {
        self.info.id
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// The data keys of one database.
#[derive(Clone)]
pub struct Keyring {
    database_id: [u8; 16],
    history_id: [u8; 16],
    rotation: Rotation,
    active: DataKey,
    retired: Option<DataKey>,
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
        let path = file::path(dir);
        path.try_exists().map_err(|source| Error::Io { path, source })
    }

    /// Makes the keyring of a new database in an existing, empty directory: new ids and one data key.
    pub fn create(dir: &Path, master: &MasterKey, now_ms: u64) -> Result<Keyring, Error> {
        Keyring::create_in(dir, master, now_ms, random())
    }

    /// The same for a database that has the history of another.
    pub(crate) fn create_in(
        dir: &Path,
        master: &MasterKey,
        now_ms: u64,
        history_id: [u8; 16],
    ) -> Result<Keyring, Error> {
        if Keyring::exists(dir)? {
            return Err(Error::Refused(format!("{}: there is a keyring already", file::path(dir).display())));
        }
        let keyring = Keyring {
            database_id: random(),
            history_id,
            rotation: Rotation::default(),
            active: DataKey::generate(1, now_ms),
            retired: None,
        };
        keyring.save(dir, &Wrapping::new(master, &keyring.database_id))?;
        Ok(keyring)
    }

    /// Reads the keyring of a data directory. A wrong master key is [`Error::Refused`]; bytes that are not those
    /// written are [`Error::Damaged`].
    pub fn load(dir: &Path, master: &MasterKey) -> Result<Keyring, Error> {
        file::load(dir, master)
    }

    /// Replaces the file of the data directory by this keyring.
    pub(crate) fn save(&self, dir: &Path, wrapping: &Wrapping) -> Result<(), Error> {
        replace_file(&file::path(dir), &self.encode(wrapping))
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
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
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

    /// With a new active key, to which records are to be brought. None while a rotation is open.
    pub(crate) fn begun(&self, now_ms: u64, rate: u64) -> Option<Keyring> {
        if self.rotation.is_open() {
            return None;
        }
        let (from, to) = (self.active.id(), self.active.id().max(self.rotation.from).checked_add(1)?);
        let rotation =
            Rotation { phase: Phase::ReEncrypting, from, to, started_ms: now_ms, rate, ..Rotation::default() };
        Some(Keyring {
            rotation,
            active: DataKey::generate(to, now_ms),
            retired: Some(self.active.clone().into_state(KeyState::Retired)),
            ..self.clone()
        })
    }

    /// With the keys' parts exchanged: records are brought back. None where nothing is open, or it was turned already.
    pub(crate) fn turned(&self) -> Option<Keyring> {
        let retired = self.retired.clone().filter(|_| self.rotation.is_open() && !self.rotation.cancelled)?;
        let rotation = Rotation {
            phase: Phase::ReEncrypting,
            from: self.rotation.to,
            to: self.rotation.from,
            cancelled: true,
            paused: false,
            error: String::new(),
            ..self.rotation
        };
        Some(Keyring {
            rotation,
            active: retired.into_state(KeyState::Active),
            retired: Some(self.active.clone().into_state(KeyState::Retired)),
            ..self.clone()
        })
    }

    /// With a rotation that waits, or no longer does.
    pub(crate) fn paused(&self, paused: bool) -> Keyring {
        Keyring { rotation: Rotation { paused, ..self.rotation.clone() }, ..self.clone() }
    }

    /// With a rotation that something stopped.
    pub(crate) fn failed(&self, error: String) -> Keyring {
        Keyring { rotation: Rotation { phase: Phase::Failed, error, ..self.rotation.clone() }, ..self.clone() }
    }

    /// With a rotation that goes on.
    pub(crate) fn resumed(&self) -> Keyring {
        let error = String::new();
        let rotation = Rotation { phase: Phase::ReEncrypting, paused: false, error, ..self.rotation.clone() };
        Keyring { rotation, ..self.clone() }
    }

    /// Without the key that was left: to be called when nothing is sealed under it.
    pub(crate) fn completed(&self, now_ms: u64) -> Keyring {
        let rotation = Rotation { phase: Phase::Completed, ended_ms: now_ms, ..self.rotation.clone() };
        Keyring { rotation, retired: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
