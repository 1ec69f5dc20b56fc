//! The sealed record: the one form in which bytes go to disk.
//!
//! Owns the ciphers, nonces and the layout. Does not know the keyring's file, nor what is inside a record.
//!
//! ```text
//! offset  size  what
//! 0       1     version, 1
//! 1       4     id of the data key, little endian
//! 5       24    nonce, random
//! 29      n     ciphertext, as long as what was sealed
//! 29 + n  16    tag
//! ```
//!
//! XChaCha20-Poly1305 under a key derived by HKDF-SHA256 from the data key for one database and one purpose. The
//! associated data are the first five bytes, the database's id, the purpose and the caller's context, so a record
//! opens only in the place where it was put. A random nonce of 24 bytes is safe for 2^80 records under one key.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::cipher::{self, NONCE, VERSION};
use super::keyring::{DataKey, Keyring};
use crate::Error;

const HEADER: usize = 1 + 4;
const TAG: usize = 16;

/// Bytes before the ciphertext: what [`Sealer::seal_vec`] wants reserved at the front of its buffer.
pub const SEAL_PREFIX: usize = HEADER + NONCE;

/// How many bytes longer a sealed record is than what is in it.
pub const OVERHEAD: usize = SEAL_PREFIX + TAG;

/// What a record is for; each purpose has its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Documents in the key-value engine.
    Documents = 1,
    /// Pages of index trees.
    Pages = 2,
    /// The catalog of collections.
    Catalog = 3,
    /// Frames of the log.
    Log = 4,
    /// Temporary files of queries.
    Spill = 5,
    /// Backups.
    Backup = 6,
    /// The audit log.
    Audit = 7,
}

impl Purpose {
    const ALL: [Purpose; 7] = [
        Purpose::Documents,
        Purpose::Pages,
        Purpose::Catalog,
        Purpose::Log,
        Purpose::Spill,
        Purpose::Backup,
        Purpose::Audit,
    ];

    /// The word in key derivation and in messages. Part of the format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Documents => "documents",
            Purpose::Pages => "pages",
            Purpose::Catalog => "catalog",
            Purpose::Log => "log",
            Purpose::Spill => "spill",
            Purpose::Backup => "backup",
            Purpose::Audit => "audit",
        }
    }
}

/// The id of the data key that a record was sealed under, as its header says; `None` when it is too short to be one.
pub fn key_id(sealed: &[u8]) -> Option<u32> {
    if sealed.len() < OVERHEAD {
        return None;
    }
    sealed.get(1..HEADER)?.try_into().ok().map(u32::from_le_bytes)
}

/// Seals and opens records. Cheap to clone; clones share the keys, and a change of them.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    database_id: [u8; 16],
    keys: ArcSwap<Keys>,
}

/// The keys in use at one moment.
struct Keys {
    /// The key for new records.
    active: Arc<KeyCiphers>,
    /// Keys that older records may still be under.
    retired: Vec<Arc<KeyCiphers>>,
}

impl Keys {
    fn all(&self) -> impl Iterator<Item = &Arc<KeyCiphers>> {
        std::iter::once(&self.active).chain(&self.retired)
    }
}

/// One data key's ciphers, in the order of [`Purpose::ALL`].
struct KeyCiphers {
    id: u32,
    ciphers: [XChaCha20Poly1305; Purpose::ALL.len()],
}

impl KeyCiphers {
    fn new(key: &DataKey, database_id: &[u8; 16]) -> KeyCiphers {
        let ciphers = Purpose::ALL.map(|purpose| derive(key.secret(), database_id, purpose.as_str()));
        KeyCiphers { id: key.id(), ciphers }
    }

    fn cipher(&self, purpose: Purpose) -> &XChaCha20Poly1305 {
        self.ciphers.get(purpose as usize - 1).expect("purposes are numbered from 1 in the order of ALL")
    }

    fn seal_prefixed(&self, database_id: &[u8; 16], purpose: Purpose, context: &[u8], record: &mut [u8]) -> Tag {
        let place = Place { database_id, purpose: purpose as u8, context };
        seal_prefixed(self.cipher(purpose), self.id, &place, record)
    }

    fn seal(&self, database_id: &[u8; 16], purpose: Purpose, context: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        out.reserve(plain.len() + OVERHEAD);
        let start = out.len();
        out.extend_from_slice(&[0; SEAL_PREFIX]);
        out.extend_from_slice(plain);
        let record = out.get_mut(start..).expect("out has just been extended past start");
        let tag = self.seal_prefixed(database_id, purpose, context, record);
        out.extend_from_slice(&tag);
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("active", &self.active_key_id()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// A sealer over all the keys of a keyring; derives each purpose's key once.
    pub fn new(keyring: &Keyring) -> Sealer {
        let database_id = keyring.database_id();
        let ciphers = |key: &DataKey| Arc::new(KeyCiphers::new(key, &database_id));
        let keys = Keys { active: ciphers(keyring.active()), retired: keyring.retired().map(ciphers).collect() };
        Sealer(Arc::new(Inner { database_id, keys: ArcSwap::from_pointee(keys) }))
    }

    /// Goes over to the keys of a later keyring of the same database. A key that it does not have is erased once nobody
    /// uses it any more.
    pub(crate) fn change(&self, keyring: &Keyring) {
        let before = self.0.keys.load_full();
        let ciphers = |key: &DataKey| {
            let known = before.all().find(|known| known.id == key.id());
            known.map_or_else(|| Arc::new(KeyCiphers::new(key, &self.0.database_id)), Arc::clone)
        };
        let keys = Keys { active: ciphers(keyring.active()), retired: keyring.retired().map(ciphers).collect() };
        self.0.keys.store(Arc::new(keys));
    }

    /// The database that records are bound to.
    pub fn database_id(&self) -> [u8; 16] {
        self.0.database_id
    }

    /// The data key that new records are sealed under.
    pub fn active_key_id(&self) -> u32 {
        self.0.keys.load().active.id
    }

    /// The keys of this moment, whatever becomes of them: for whoever reads a record first and opens it later.
    pub(crate) fn held(&self) -> HeldKeys {
        HeldKeys { database_id: self.0.database_id, keys: self.0.keys.load_full() }
    }

    /// The active key of this moment alone, for what is as short-lived as the process.
    pub(crate) fn own_key(&self) -> OwnKey {
        OwnKey { database_id: self.0.database_id, key: Arc::clone(&self.0.keys.load().active) }
    }

    /// How many [`OwnKey`]s there are of a key that is retired.
    pub(crate) fn own_keys(&self, id: u32) -> usize {
        let keys = self.0.keys.load();
        keys.retired.iter().filter(|key| key.id == id).map(|key| Arc::strong_count(key) - 1).sum()
    }

    /// Appends the sealed form of `plain` to `out`.
    pub fn seal(&self, purpose: Purpose, context: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        self.0.keys.load().active.seal(&self.0.database_id, purpose, context, plain, out);
    }

    /// Seals in place: `buffer` holds [`SEAL_PREFIX`] bytes of any value and then what is to be sealed.
    ///
    /// # Panics
    /// When the buffer is shorter than the prefix.
    pub fn seal_vec(&self, purpose: Purpose, context: &[u8], mut buffer: Vec<u8>) -> Vec<u8> {
        let keys = self.0.keys.load();
        let tag = keys.active.seal_prefixed(&self.0.database_id, purpose, context, &mut buffer);
        buffer.extend_from_slice(&tag);
        buffer
    }

    /// Opens a record. The error names purpose and context, never contents.
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        open_with(&self.0.keys.load(), &self.0.database_id, purpose, context, sealed)
    }
}

/// Opens a record with the one of these keys that its header names.
fn open_with(
    keys: &Keys,
    database_id: &[u8; 16],
    purpose: Purpose,
    context: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let fail = |what: &dyn fmt::Display| {
        Error::Sealing(format!("the {} record of context {}: {what}", purpose.as_str(), shorten(context)))
    };
    let id = key_id(sealed).ok_or_else(|| fail(&format_args!("{} bytes are too few", sealed.len())))?;
    let key = keys.all().find(|key| key.id == id).ok_or_else(|| fail(&format_args!("no key {id} in the keyring")))?;
    let place = Place { database_id, purpose: purpose as u8, context };
    open(key.cipher(purpose), &place, sealed).map_err(|what| fail(&what))
}

/// See [`Sealer::held`].
pub(crate) struct HeldKeys {
    database_id: [u8; 16],
    keys: Arc<Keys>,
}

impl HeldKeys {
    /// Opens a record. The error names purpose and context, never contents.
    pub(crate) fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        open_with(&self.keys, &self.database_id, purpose, context, sealed)
    }
}

/// See [`Sealer::own_key`].
#[derive(Clone)]
pub(crate) struct OwnKey {
    database_id: [u8; 16],
    key: Arc<KeyCiphers>,
}

impl OwnKey {
    /// Appends the sealed form of `plain` to `out`.
    pub(crate) fn seal(&self, purpose: Purpose, context: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        self.key.seal(&self.database_id, purpose, context, plain, out);
    }

    /// Opens what it sealed.
    pub(crate) fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let place = Place { database_id: &self.database_id, purpose: purpose as u8, context };
        open(self.key.cipher(purpose), &place, sealed).map_err(|what| {
            Error::Sealing(format!("the {} record of context {}: {what}", purpose.as_str(), shorten(context)))
        })
    }
}

/// A context in hexadecimal, of its first bytes only: some contexts are long, and the first bytes tell the place.
fn shorten(context: &[u8]) -> String {
    const SHOWN: usize = 48;
    match context.get(..SHOWN) {
        Some(shown) if context.len() > SHOWN => format!("{}..", hex::encode(shown)),
        _ => hex::encode(context),
    }
}

/// The cipher of one data key for one use in one database.
pub(super) fn derive(key: &[u8; 32], database_id: &[u8; 16], label: &str) -> XChaCha20Poly1305 {
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(database_id), key)
        .expand_multi_info(&[b"veddb 1 ", label.as_bytes()], derived.as_mut_slice())
        .expect("32 bytes are within what HKDF-SHA256 gives");
    XChaCha20Poly1305::new((&*derived).into())
}

/// What a record is bound to beside its key.
pub(super) struct Place<'a> {
    pub(super) database_id: &'a [u8; 16],
    pub(super) purpose: u8,
    pub(super) context: &'a [u8],
}

impl Place<'_> {
    fn associated_data(&self, header: &[u8; HEADER]) -> SmallVec<[u8; 128]> {
        let mut data = SmallVec::new();
        data.extend_from_slice(header);
        data.extend_from_slice(self.database_id);
        data.push(self.purpose);
        data.extend_from_slice(self.context);
        data
    }
}

/// Fills header and nonce in, encrypts what follows them in place, and returns the tag.
pub(super) fn seal_prefixed(cipher: &XChaCha20Poly1305, id: u32, place: &Place<'_>, record: &mut [u8]) -> Tag {
    let (prefix, body) =
        record.split_first_chunk_mut::<SEAL_PREFIX>().expect("a buffer to seal begins with SEAL_PREFIX reserved bytes");
    let [a, b, c, d] = id.to_le_bytes();
    let header: [u8; HEADER] = [VERSION, a, b, c, d];
    let nonce: [u8; NONCE] = cipher::nonce();
    if let Some((head, tail)) = prefix.split_first_chunk_mut::<HEADER>() {
        *head = header;
        tail.copy_from_slice(&nonce);
    }
    cipher::encrypt(cipher, nonce, &place.associated_data(&header), body)
}

/// Opens a record with this cipher; the error is a phrase that says what is wrong.
pub(super) fn open(cipher: &XChaCha20Poly1305, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, String> {
    let too_short = || format!("{} bytes are too few", sealed.len());
    let (header, rest) = sealed.split_first_chunk::<HEADER>().ok_or_else(too_short)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or_else(too_short)?;
    let (body, tag) = rest.split_last_chunk::<TAG>().ok_or_else(too_short)?;
    let [version, ..] = *header;
    if version != VERSION {
        return Err(format!("unknown record version {version}"));
    }
    let mut plain = body.to_vec();
    if !cipher::decrypt(cipher, *nonce, &place.associated_data(header), &mut plain, Tag::from(*tag)) {
        return Err("its bytes, its place or its key are not those it was sealed with".to_owned());
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Keyring, MasterKey};

    fn sealer() -> Sealer {
        let dir = tempfile::tempdir().unwrap();
        Sealer::new(&Keyring::create(dir.path(), &MasterKey::generate(), 1).unwrap())
    }

    fn seal(sealer: &Sealer, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(Purpose::Documents, b"place", plain, &mut out);
        out
    }

    #[test]
    fn what_is_sealed_opens() {
        let sealer = sealer();
        for length in [0, 1, 63, 64, 65, 350, 100_000] {
            let plain = vec![7; length];
            let mut out = b"before".to_vec();
            sealer.seal(Purpose::Pages, b"place", &plain, &mut out);
            let sealed = out.strip_prefix(b"before").unwrap();
            assert_eq!(sealed.len(), length + OVERHEAD);
            assert_eq!(key_id(sealed), Some(sealer.active_key_id()));
            assert_eq!(sealer.open(Purpose::Pages, b"place", sealed).unwrap(), plain);

            let mut buffer = vec![9; SEAL_PREFIX];
            buffer.extend_from_slice(&plain);
            let sealed = sealer.seal_vec(Purpose::Pages, b"place", buffer);
            assert_eq!(sealer.open(Purpose::Pages, b"place", &sealed).unwrap(), plain);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_an_error() {
        let sealer = sealer();
        let mut sealed = seal(&sealer, b"a document");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                sealed[at] ^= 1 << bit;
                assert!(sealer.open(Purpose::Documents, b"place", &sealed).is_err(), "byte {at}, bit {bit}");
                sealed[at] ^= 1 << bit;
            }
            assert!(sealer.open(Purpose::Documents, b"place", &sealed[..at]).is_err(), "length {at}");
        }
        assert!(sealer.open(Purpose::Documents, b"place", &sealed).is_ok());
        sealed.push(0);
        assert!(sealer.open(Purpose::Documents, b"place", &sealed).is_err(), "one byte more");
    }

    /// As the build that measures what sealing costs writes them: whoever would have them read unsealed data as sealed.
    #[test]
    fn a_record_that_nobody_sealed_is_refused() {
        let sealer = sealer();
        let [_, a, b, c, d] = *seal(&sealer, b"").first_chunk::<HEADER>().unwrap();
        let body = br#"{"_id":"x"}"#;
        for version in (0..=255).filter(|version| *version != VERSION) {
            let mut record = vec![version, a, b, c, d];
            record.extend_from_slice(&[0; NONCE]);
            record.extend_from_slice(body);
            record.extend_from_slice(&[0; TAG]);
            let said = sealer.open(Purpose::Documents, b"place", &record).unwrap_err().to_string();
            assert!(said.contains(&format!("unknown record version {version}")), "{said}");
        }
    }

    #[test]
    fn a_record_opens_only_in_its_place() {
        let sealer = sealer();
        let sealed = seal(&sealer, b"a document");
        for purpose in Purpose::ALL {
            assert_eq!(sealer.open(purpose, b"place", &sealed).is_ok(), purpose == Purpose::Documents);
        }
        for context in [&b""[..], b"plac", b"places", b"Place"] {
            assert!(sealer.open(Purpose::Documents, context, &sealed).is_err());
        }
        assert!(self::sealer().open(Purpose::Documents, b"place", &sealed).is_err(), "another database");
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let sealer = sealer();
        assert_ne!(seal(&sealer, b"a document"), seal(&sealer, b"a document"));
    }

    #[test]
    fn errors_name_the_place_and_not_the_contents() {
        let sealer = sealer();
        let mut sealed = seal(&sealer, b"contents");
        sealed[SEAL_PREFIX] ^= 1;
        let said = sealer.open(Purpose::Documents, &[0xab; 60], &sealed).unwrap_err().to_string();
        assert!(said.starts_with("cannot open the documents record of context abab"), "{said}");
        assert!(said.len() < 250 && !said.contains("contents"), "{said}");
    }

    #[test]
    fn a_change_of_keys_reaches_every_clone_and_erases_what_nobody_holds() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keyring::create(dir.path(), &MasterKey::generate(), 1).unwrap();
        let sealer = Sealer::new(&first);
        let own = sealer.own_key();
        let (clone, old, held) = (sealer.clone(), seal(&sealer, b"old"), sealer.held());
        let both = first.begun(2, 0).unwrap();
        sealer.change(&both);
        let new = seal(&clone, b"new");
        assert_eq!((key_id(&old), key_id(&new)), (Some(1), Some(2)));
        assert!(clone.open(Purpose::Documents, b"place", &old).is_ok());
        assert!(held.open(Purpose::Documents, b"place", &new).is_err(), "keys of a moment stay as they were");
        assert!(sealer.own_keys(1) > 0);
        drop((own, held));
        let own = sealer.own_key();
        assert_eq!((sealer.own_keys(1), sealer.own_keys(2)), (0, 0), "a temporary file of the active key");
        sealer.change(&both.turned().unwrap());
        assert_eq!(sealer.own_keys(2), 1);
        let mut block = Vec::new();
        own.seal(Purpose::Spill, b"block", b"spilled", &mut block);
        assert_eq!(own.open(Purpose::Spill, b"block", &block).unwrap(), b"spilled");
        drop(own);
        assert_eq!(sealer.own_keys(2), 0);
        sealer.change(&both.turned().unwrap().completed(3));
        let said = clone.open(Purpose::Documents, b"place", &new).unwrap_err().to_string();
        assert!(said.contains("no key 2"), "{said}");
        assert!(clone.open(Purpose::Documents, b"place", &old).is_ok());
    }

    #[test]
    fn purposes_are_numbered_as_the_table_lists_them() {
        for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, at + 1);
        }
    }
}
