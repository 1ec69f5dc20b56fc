//! Tests of the keyring and its file.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

use super::file::{KEY_ENTRY, Unreadable};
use super::*;
use crate::seal::{OVERHEAD, Purpose, Sealer};

const CHECKSUM: usize = 32;

fn one_key() -> Keyring {
    Keyring {
        database_id: random(),
        history_id: random(),
        rotation: Rotation::default(),
        active: DataKey::generate(1, 10),
        retired: None,
    }
}

fn two_keys() -> Keyring {
    one_key().begun(20, 500).unwrap()
}

fn encode(keyring: &Keyring, master: &MasterKey) -> Vec<u8> {
    keyring.encode(&Wrapping::new(master, &keyring.database_id))
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
    assert_eq!(*loaded.rotation(), Rotation::default());
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
    let file = encode(&keyring, &master);
    assert_eq!(KEY_ENTRY, 106);
    assert_eq!(file.len(), 46 + 58 + 2 * 106 + OVERHEAD + 32);
    assert_eq!(&file[..10], b"VEDDBKEY\x02\x00");
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
    let mut file = encode(&two_keys(), &master);
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
    let file = encode(&two_keys(), &master);
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
    let before = one_key();
    let mut sealed = Vec::new();
    Sealer::new(&before).seal(Purpose::Log, b"at", b"frame", &mut sealed);
    let keyring = before.begun(20, 0).unwrap();
    let master = MasterKey::generate();
    let after = Sealer::new(&Keyring::decode(&encode(&keyring, &master), &master).unwrap());
    assert_eq!(after.open(Purpose::Log, b"at", &sealed).unwrap(), b"frame");
    assert_eq!(after.active_key_id(), 2);
}

#[test]
fn every_state_comes_back_from_its_file() {
    let master = MasterKey::generate();
    let open = two_keys();
    let states = [
        one_key(),
        open.clone(),
        open.paused(true),
        open.failed("the disk is full".into()),
        open.failed("the disk is full".into()).resumed(),
        open.turned().unwrap(),
        open.completed(30),
        open.turned().unwrap().completed(30),
    ];
    for keyring in states {
        let read = Keyring::decode(&encode(&keyring, &master), &master).unwrap();
        assert_eq!(read.rotation, keyring.rotation);
        assert!(read.keys().eq(keyring.keys()), "{:?}", keyring.rotation);
        assert_eq!(read.active.secret, keyring.active.secret);
    }
    let long = open.failed("\u{e4}".repeat(4000));
    let read = Keyring::decode(&encode(&long, &master), &master).unwrap();
    assert_eq!(read.rotation.error.len(), 4096);
}

#[test]
fn a_rotation_goes_from_state_to_state() {
    let first = one_key();
    assert!(first.turned().is_none());
    let open = first.begun(20, 500).unwrap();
    assert!(open.begun(30, 0).is_none(), "one at a time");
    let rotation = open.rotation();
    assert_eq!((rotation.from, rotation.to, rotation.rate, rotation.started_ms), (1, 2, 500, 20));
    assert!(open.failed(String::new()).begun(30, 0).is_none(), "both keys are in use");
    let done = open.completed(40);
    assert_eq!(done.keys().map(|key| key.id).collect::<Vec<_>>(), [2]);
    assert!(done.turned().is_none());

    let back = open.failed("why".into()).turned().unwrap();
    assert_eq!((back.rotation().from, back.rotation().to, back.rotation().phase), (2, 1, Phase::ReEncrypting));
    assert!(back.turned().is_none(), "once is enough");
    let done = back.completed(50);
    assert_eq!(done.keys().map(|key| key.id).collect::<Vec<_>>(), [1]);
    // The number of a key that was given up is not given again.
    assert_eq!(done.begun(60, 0).unwrap().rotation().to, 3);
}

#[test]
fn format_1_is_read_and_written_anew() {
    let master = MasterKey::generate();
    let keyring = one_key();
    let file = keyring.encode_format_1(&Wrapping::new(&master, &keyring.database_id));
    assert_eq!(file.len(), 46 + 29 + 106 + OVERHEAD + 32);
    let read = Keyring::decode(&file, &master).unwrap();
    assert_eq!(read.rotation, Rotation::default());
    assert_eq!(read.active.secret, keyring.active.secret);
    assert_eq!(&encode(&read, &master)[8..10], [2, 0]);
}

#[test]
fn keys_that_do_not_fit_the_state_are_refused() {
    let master = MasterKey::generate();
    let open = two_keys();
    let idle = Keyring { rotation: Rotation::default(), ..open.clone() };
    let lost = Keyring { retired: None, ..open.clone() };
    let other = Keyring { rotation: Rotation { from: 7, ..open.rotation.clone() }, ..open };
    for keyring in [idle, lost, other] {
        let read = Keyring::decode(&encode(&keyring, &master), &master);
        assert!(matches!(read, Err(Unreadable::Damaged { .. })), "{:?}", keyring.rotation);
    }
}

#[test]
fn debug_prints_no_key() {
    let keyring = two_keys();
    let printed = format!("{keyring:?} {:?}", Sealer::new(&keyring));
    assert!(!printed.contains(&hex::encode(keyring.active.secret.as_slice())));
    assert!(!printed.contains(&format!("{:?}", keyring.active.secret.as_slice())));
}
