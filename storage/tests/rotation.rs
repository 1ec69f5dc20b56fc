//! Rotations of the data key: under writes, over restarts, turned round, stopped by damage; and that the old key opens
//! nothing afterwards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use common::commit;
use hkdf::Hkdf;
use sha2::Sha256;
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::{MasterKeySource, Origin, Phase};
use veddb_storage::{Error, FsyncPolicy, IndexDefinition, IndexSpec, KeyCounts, Options, Store};

/// In every document, near the beginning of its record.
const NEEDLE: &str = "needle";

/// What is passed over where it is found.
const ZEROS: [u8; 4096] = [0; 4096];

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("data.key")
    }

    fn open(&self) -> Store {
        self.try_open(&MasterKeySource::Unnamed).unwrap()
    }

    fn try_open(&self, master: &MasterKeySource) -> Result<Store, Error> {
        let options = Options {
            write_memory_bytes: 300_000,
            index_memory_bytes: 100_000,
            cache_memory_bytes: 100_000,
            log_segment_bytes: 100_000,
            disk_reserve_bytes: 0,
            fsync: FsyncPolicy::No,
            ..Options::new(self.dir())
        };
        Store::open(options, master)
    }
}

fn body(id: &str, padding: usize) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"p\":\"{}\"}}", "x".repeat(padding));
    let limits = ParseLimits { size: 16 << 20, depth: 128 };
    parse_document(text.as_bytes(), limits, IdSource::Given(id)).unwrap().body
}

/// What a collection holds: id -> version and padding.
type Model = BTreeMap<String, (u64, usize)>;

/// Writes or replaces a document, or deletes one that is there.
fn put(store: &Store, model: &mut Model, number: usize, padding: usize) {
    let id = format!("{NEEDLE}{number}");
    let version = model.get(&id).map_or(1, |(version, _)| version + 1);
    let delete = version > 1 && padding.is_multiple_of(7);
    if delete {
        model.remove(&id);
    } else {
        model.insert(id.clone(), (version, padding));
    }
    commit(store, move |t| {
        let c = t.collection_or_create(0, "c").unwrap();
        match t.find_id(c, id.as_bytes()).unwrap() {
            None => drop(t.insert(c, id.as_bytes(), body(&id, padding)).unwrap()),
            Some(record) => {
                let before = t.record(c, record).unwrap().unwrap();
                if delete {
                    t.delete(c, record, &before).unwrap();
                } else {
                    assert_eq!(t.replace(c, record, &before, body(&id, padding)).unwrap(), version);
                }
            }
        }
        true
    });
}

fn filled(store: &Store, documents: usize) -> Model {
    let mut model = Model::new();
    (0..documents).for_each(|number| put(store, &mut model, number, number % 60));
    commit(store, |t| {
        let c = t.collection(0, "c").unwrap();
        let definition =
            IndexDefinition { name: "by_p".into(), keys: r#"{"p":1}"#.into(), ..IndexDefinition::default() };
        t.create_index(c, IndexSpec::new(definition).unwrap()).unwrap();
        true
    });
    wait("the index", || {
        let view = store.view(0);
        view.collection(0, "c").unwrap().index("by_p").unwrap().is_ready()
    });
    model
}

fn check(store: &Store, model: &Model) {
    let view = store.view(0);
    let collection = view.collection(0, "c").unwrap();
    let found: Model = view
        .scan(&collection)
        .map(|found| {
            let document = found.unwrap().1;
            let id = String::from_utf8(document.id().into()).unwrap();
            let padding = document.body.len() - body(&id, 0).len();
            (id, (document.version, padding))
        })
        .collect();
    let expected: Model = model
        .iter()
        .map(|(id, (version, padding))| (id.clone(), (*version, body(id, *padding).len() - body(id, 0).len())))
        .collect();
    assert!(found == expected, "{} documents, {} expected", found.len(), expected.len());
    for id in model.keys() {
        assert!(view.get(&collection, id.as_bytes()).unwrap().is_some(), "{id}");
    }
    let verified = view.verify(&collection, None, "_id_", || Ok::<(), Error>(())).unwrap();
    assert_eq!((verified.missing, verified.dangling), (0, 0));
}

#[track_caller]
fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
fn wait_for(store: &Store, phase: Phase) {
    wait(phase.as_str(), || store.data_keys().rotation().phase == phase);
}

fn counts(store: &Store) -> KeyCounts {
    store.data_keys().count(&store.view(0), || Ok::<(), Error>(())).unwrap()
}

fn ids(store: &Store) -> Vec<u32> {
    store.data_keys().status().keys.iter().map(|key| key.id).collect()
}

/// The data keys of a keyring, read as docs/formats.md says, and the database's id.
fn data_keys(home: &Home) -> (Vec<(u32, [u8; 32])>, [u8; 16]) {
    let master = hex::decode(fs::read_to_string(home.key_file()).unwrap().trim()).unwrap();
    let file = fs::read(home.dir().join("keyring")).unwrap();
    let database: [u8; 16] = file[10..26].try_into().unwrap();
    let sealed = &file[46..file.len() - 32];
    let cipher = subkey(&master, &database, "keyring");
    let associated = [&sealed[..5], &database[..], &[0], &file[..46]].concat();
    let payload = chacha20poly1305::aead::Payload { msg: &sealed[29..], aad: &associated };
    let body = cipher.decrypt(&XNonce::try_from(&sealed[5..29]).unwrap(), payload).unwrap();
    let number = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
    let keys_at = 54 + number(50) as usize;
    let key = |at: usize| (number(at), body[at + 13..at + 45].try_into().unwrap());
    let keys = (0..number(keys_at) as usize).map(|key_at| key(keys_at + 4 + 106 * key_at)).collect();
    (keys, database)
}

fn subkey(key: &[u8], database: &[u8; 16], word: &str) -> XChaCha20Poly1305 {
    let mut derived = [0; 32];
    let info = [b"veddb 1 ", word.as_bytes()].concat();
    Hkdf::<Sha256>::new(Some(database), key).expand(&info, &mut derived).unwrap();
    XChaCha20Poly1305::new(&derived.into())
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// How often this key opens something in the directory: at every offset of every file the 24 bytes there are taken for a
/// nonce, what follows is deciphered under the key of the purpose that the file is for (behind what looks like a record's
/// header, of every purpose), and it is looked whether that says something that the store was given or that its formats begin
/// with. Where a record would end plays no part.
fn opened_with(dir: &Path, (id, key): (u32, &[u8; 32]), database: &[u8; 16]) -> usize {
    let [documents, pages, catalog, log] =
        ["documents", "pages", "catalog", "log"].map(|word| subkey(key, database, word));
    let mut paths = Vec::new();
    files(dir, &mut paths);
    assert!(paths.len() > 5);
    let mut opened = 0;
    let header = [&[1][..], &id.to_le_bytes()].concat();
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        let below = |folder: &str| path.starts_with(dir.join(folder));
        let likely = match () {
            () if below("kv/keyspaces/1") => vec![&documents],
            () if below("kv/keyspaces/2") => vec![&pages],
            () if below("log") => vec![&log],
            () => vec![&catalog],
        };
        let last = bytes.len().saturating_sub(24 + 16);
        let mut at = 0;
        while at < last {
            // fjall's journal is 64 MiB of zeros.
            if bytes[at..].starts_with(&ZEROS) {
                at += ZEROS.len() - 24;
                continue;
            }
            let nonce: [u8; 24] = bytes[at..at + 24].try_into().unwrap();
            let text = &bytes[at + 24..(at + 24 + 64).min(bytes.len())];
            let after_header = at >= 5 && bytes[at - 5..at] == header;
            let purposes = if after_header { vec![&documents, &pages, &catalog, &log] } else { likely.clone() };
            let is_open = purposes.iter().any(|cipher| {
                let stream = cipher.encrypt(&XNonce::from(nonce), &[0; 64][..]).unwrap();
                let plain: Vec<u8> = text.iter().zip(&stream).map(|(a, b)| a ^ b).collect();
                [NEEDLE.as_bytes(), b"{\"format\""].iter().any(|known| memchr::memmem::find(&plain, known).is_some())
            });
            opened += usize::from(is_open);
            at += 1;
        }
    }
    opened
}

#[test]
fn under_writes_all_comes_under_the_new_key_and_the_old_one_opens_nothing() {
    let home = Home::new();
    let store = home.open();
    let mut model = filled(&store, 120);
    let (old, database) = data_keys(&home);
    let [(1, old)] = old[..] else { panic!("one key") };
    assert_eq!(counts(&store).into_keys().collect::<Vec<_>>(), [1]);
    assert!(opened_with(&home.dir(), (1, &old), &database) > 120, "before, it opens what is there");

    assert_eq!(store.data_keys().rotate(5, 150).unwrap(), 2);
    assert_eq!(ids(&store), [2, 1]);
    let mut number = 0;
    while store.data_keys().rotation().phase == Phase::ReEncrypting {
        number += 1;
        put(&store, &mut model, number * 7 % 150, number % 60);
        if number % 100 == 0 {
            check(&store, &model);
        }
    }
    let status = store.data_keys().status();
    assert_eq!((status.rotation.phase, status.percent()), (Phase::Completed, 100.0), "{status:?}");
    assert_eq!((status.rotation.from, status.rotation.to, status.keys.len()), (1, 2, 1));
    assert!(number > 20, "{number} writes meanwhile");
    check(&store, &model);
    let after = counts(&store);
    assert_eq!(after.keys().collect::<Vec<_>>(), [&2]);
    assert!(after[&2] > model.len() as u64, "documents and pages");
    assert!(!home.dir().join("rotation").exists());
    assert_eq!(opened_with(&home.dir(), (1, &old), &database), 0, "the old key opens something");

    drop(store);
    assert_eq!(opened_with(&home.dir(), (1, &old), &database), 0, "the old key opens something after the store's end");
    let (keys, _) = data_keys(&home);
    assert_eq!(keys.len(), 1);
    assert!(opened_with(&home.dir(), (2, &keys[0].1), &database) > 120, "the new one does");
    let store = home.open();
    assert_eq!(ids(&store), [2]);
    check(&store, &model);
}

#[test]
fn a_rotation_goes_on_over_restarts_and_stays_paused() {
    let home = Home::new();
    let mut model;
    {
        let store = home.open();
        model = filled(&store, 1500);
        store.data_keys().rotate(5, 300).unwrap();
        assert!(matches!(store.data_keys().rotate(6, 0), Err(Error::Busy(_))));
        wait("progress", || store.data_keys().status().figures.done > 100);
        put(&store, &mut model, 1, 8);
        // The end is not waited for.
    }
    {
        let store = home.open();
        let status = store.data_keys().status();
        assert_eq!(status.rotation.phase, Phase::ReEncrypting);
        assert!(status.figures.done > 100, "{status:?}");
        store.data_keys().pause().unwrap();
        put(&store, &mut model, 2, 8);
        check(&store, &model);
    }
    let store = home.open();
    assert!(store.data_keys().rotation().paused);
    let done = store.data_keys().status().figures.done;
    put(&store, &mut model, 3, 8);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(store.data_keys().status().figures.done, done, "it waits");
    assert_eq!(store.data_keys().status().eta_s(), None);
    store.data_keys().resume().unwrap();
    assert!(matches!(store.data_keys().resume(), Err(Error::Refused(_))));
    wait_for(&store, Phase::Completed);
    assert_eq!(counts(&store).into_keys().collect::<Vec<_>>(), [2]);
    check(&store, &model);
    assert!(matches!(store.data_keys().pause(), Err(Error::Refused(_))));
}

#[test]
fn the_rate_is_kept() {
    let home = Home::new();
    let store = home.open();
    let model = filled(&store, 1000);
    let began = Instant::now();
    store.data_keys().rotate(5, 500).unwrap();
    wait_for(&store, Phase::Completed);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1900), "1000 documents at 500 a second took {took:?}");
    check(&store, &model);
}

#[test]
fn cancelled_all_records_are_under_the_key_that_was_left() {
    let home = Home::new();
    let mut model;
    {
        let store = home.open();
        model = filled(&store, 120);
        assert!(matches!(store.data_keys().cancel(), Err(Error::Refused(_))));
        store.data_keys().rotate(5, 100).unwrap();
        wait("progress", || store.data_keys().status().figures.done > 50);
        put(&store, &mut model, 5, 8);
        assert_eq!(store.data_keys().cancel().unwrap(), 1);
        assert!(matches!(store.data_keys().cancel(), Err(Error::Busy(_))));
        put(&store, &mut model, 6, 9);
    }
    let given_up = data_keys(&home).0;
    let store = home.open();
    wait_for(&store, Phase::Completed);
    let rotation = store.data_keys().rotation();
    assert_eq!((rotation.from, rotation.to, rotation.cancelled), (2, 1, true));
    assert_eq!((ids(&store), counts(&store).into_keys().collect::<Vec<_>>()), (vec![1], vec![1]));
    check(&store, &model);
    let (_, database) = data_keys(&home);
    let Some((_, given_up)) = given_up.into_iter().find(|(id, _)| *id == 2) else { panic!("two keys before") };
    assert_eq!(opened_with(&home.dir(), (2, &given_up), &database), 0);
    assert_eq!(store.data_keys().rotate(9, 0).unwrap(), 3, "a number is not given twice");
    wait_for(&store, Phase::Completed);
    check(&store, &model);
}

/// Changes a byte in each table of the documents, and answers what they were.
fn damage(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    use std::os::unix::fs::FileExt as _;
    let mut tables = Vec::new();
    // The first key space is that of the documents.
    files(&home.dir().join("kv/keyspaces/1/tables"), &mut tables);
    let mut before = Vec::new();
    for path in tables {
        let bytes = fs::read(&path).unwrap();
        if bytes.len() > 20_000 {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[9000] ^ 1], 9000).unwrap();
            before.push((path, bytes));
        }
    }
    assert!(!before.is_empty());
    before
}

#[test]
fn damage_stops_it_with_both_keys_and_it_goes_on_when_the_cause_is_gone() {
    let home = Home::new();
    let model = {
        let store = home.open();
        filled(&store, 1500)
    };
    let before;
    {
        let store = home.open();
        before = damage(&home);
        store.data_keys().rotate(5, 0).unwrap();
        wait_for(&store, Phase::Failed);
        let status = store.data_keys().status();
        assert!(!status.rotation.error.is_empty() && ids(&store) == [2, 1], "{status:?}");
        // It serves on.
        let mut other = Model::new();
        put(&store, &mut other, 5000, 3);
        let view = store.view(0);
        assert!(view.get(&view.collection(0, "c").unwrap(), b"needle5000").unwrap().is_some());
        assert!(matches!(store.data_keys().rotate(6, 0), Err(Error::Busy(_))));
    }
    for (path, bytes) in before {
        if path.exists() {
            fs::write(path, bytes).unwrap();
        }
    }
    let store = home.open();
    assert_eq!(store.data_keys().rotation().phase, Phase::Failed, "it does not begin by itself");
    store.data_keys().resume().unwrap();
    wait_for(&store, Phase::Completed);
    assert_eq!(ids(&store), [2]);
    let mut model = model;
    model.insert("needle5000".into(), (1, 3));
    check(&store, &model);
}

#[test]
fn without_the_master_key_no_key_is_erased() {
    let home = Home::new();
    let store = home.open();
    let model = filled(&store, 300);
    let aside = home.0.path().join("aside");
    fs::rename(home.key_file(), &aside).unwrap();
    assert!(matches!(store.data_keys().rotate(5, 0), Err(Error::Refused(_))));
    assert_eq!(store.data_keys().rotation().phase, Phase::Idle);
    fs::rename(&aside, home.key_file()).unwrap();
    store.data_keys().rotate(5, 300).unwrap();
    fs::rename(home.key_file(), &aside).unwrap();
    wait_for(&store, Phase::Failed);
    let rotation = store.data_keys().rotation();
    assert!(rotation.error.contains("data.key"), "{rotation:?}");
    assert_eq!(ids(&store), [2, 1]);
    fs::rename(&aside, home.key_file()).unwrap();
    store.data_keys().resume().unwrap();
    wait_for(&store, Phase::Completed);
    check(&store, &model);
}

#[test]
fn a_reader_holds_up_the_end_and_nothing_else() {
    let home = Home::new();
    let store = home.open();
    let mut model = filled(&store, 400);
    let (view, then) = (store.view(0), model.clone());
    store.data_keys().rotate(5, 0).unwrap();
    wait("that it waits", || store.data_keys().status().figures.step.contains("readers"));
    put(&store, &mut model, 3, 10);
    let collection = view.collection(0, "c").unwrap();
    assert_eq!(
        view.scan(&collection).filter(|found| found.is_ok()).count(),
        then.len(),
        "its moment can still be read"
    );
    assert_eq!(store.data_keys().rotation().phase, Phase::ReEncrypting);
    drop(view);
    // So does a temporary file that was begun under the old key; this one is under the new.
    let mut writer = store.view(0).spills().create().unwrap();
    writer.write(b"spilled").unwrap();
    let mut reader = writer.finish().unwrap();
    wait_for(&store, Phase::Completed);
    assert_eq!(reader.read().unwrap().as_deref(), Some(&b"spilled"[..]));
    store.data_keys().rotate(6, 0).unwrap();
    wait("that it waits", || store.data_keys().status().figures.step.contains("temporary"));
    assert_eq!(ids(&store), [3, 2]);
    reader.rewind().unwrap();
    assert_eq!(reader.read().unwrap().as_deref(), Some(&b"spilled"[..]));
    drop(reader);
    wait_for(&store, Phase::Completed);
    check(&store, &model);
}

#[test]
fn readers_see_no_rotation() {
    let home = Home::new();
    let store = home.open();
    let model = filled(&store, 600);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    check(&store, &model);
                }
            });
        }
        for _ in 0..3 {
            store.data_keys().rotate(5, 0).unwrap();
            wait_for(&store, Phase::Completed);
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(ids(&store), [4]);
}

#[test]
fn another_master_key_opens_and_the_one_before_does_not() {
    let home = Home::new();
    let other = home.0.path().join("other.key");
    let model = {
        let store = home.open();
        let model = filled(&store, 100);
        let inside = store.data_keys().rotate_master(&home.dir().join("tmp/../key"));
        assert!(matches!(inside, Err(Error::Refused(_))), "{inside:?}");
        assert!(matches!(store.data_keys().rotate_master(&home.key_file()), Err(Error::Refused(_))), "the same key");
        fs::write(&other, "too short").unwrap();
        assert!(store.data_keys().rotate_master(&other).is_err(), "open to others, and no key");
        fs::remove_file(&other).unwrap();
        store.data_keys().rotate_master(&other).unwrap();
        assert!(matches!(store.data_keys().origin(), Origin::Created(_)));
        // A rotation looks for it there.
        store.data_keys().rotate(5, 0).unwrap();
        wait_for(&store, Phase::Completed);
        check(&store, &model);
        model
    };
    let error = home.try_open(&MasterKeySource::Unnamed).unwrap_err();
    assert!(matches!(error, Error::Refused(_)) && error.to_string().contains("master key"), "{error}");
    let store = home.try_open(&MasterKeySource::File(other)).unwrap();
    check(&store, &model);
}

#[test]
fn damaged_progress_is_an_error_that_names_it() {
    let home = Home::new();
    {
        let store = home.open();
        filled(&store, 500);
        store.data_keys().rotate(5, 100).unwrap();
        wait("progress", || store.data_keys().status().figures.done > 20);
    }
    let path = home.dir().join("rotation");
    let bytes = fs::read(&path).unwrap();
    for at in [0, 3, 20, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        let error = home.try_open(&MasterKeySource::Unnamed).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if path.ends_with("rotation")), "{at}: {error}");
    }
    // Without it the pass begins again.
    fs::remove_file(&path).unwrap();
    let store = home.open();
    store.data_keys().pause().unwrap();
    store.data_keys().resume().unwrap();
    assert_eq!(store.data_keys().rotation().phase, Phase::ReEncrypting);
}
