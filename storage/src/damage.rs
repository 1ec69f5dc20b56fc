//! Bytes that are not what was written: flipped, cut short, or in another place. Each is an error that names the place, or the
//! right answer is there all the same; never wrong data. In a store whose key was never changed, in the middle of a rotation, and
//! after one.
//!
//! `VEDDB_DAMAGE_PLACES` (12; by hand 0, which is every byte) says how many bytes of the engine's files and of a segment are
//! flipped; of the keyring, the checkpoint and the rotation's progress each is, always. `VEDDB_DAMAGE_THREADS` (4) do it at once.
//! `VEDDB_SEED` repeats the choice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::document::json::{IdSource, ParseLimits, parse_document};
use crate::kv::fjall::Fjall;
use crate::kv::{Engine as _, Entry, Space};
use crate::seal::{MasterKeySource, Phase, key_id};
use crate::testing::Random;
use crate::{Error, FsyncPolicy, IndexDefinition, IndexSpec, Job, Options, Store, Transaction};

/// Collections of two databases; the same ids are in all of them.
const COLLECTIONS: [(u8, &str); 3] = [(0, "c"), (0, "d"), (1, "e")];
/// Documents of each that the last checkpoint has, and that only the log has.
const STORED: usize = 12;
const LOGGED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Which collection, and which id.
type Place = (usize, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Never,
    Within,
    After,
}

/// A store's files as a kill would leave them, and what is in it.
struct Sample {
    files: BTreeMap<PathBuf, File>,
    master_key: String,
    stored: BTreeMap<Place, Box<[u8]>>,
    logged: BTreeMap<Place, Box<[u8]>>,
}

/// A file without the zeros at its end: the engine's journal is 64 MiB of them.
struct File {
    bytes: Vec<u8>,
    length: u64,
}

struct OneUnit(Box<dyn FnMut(&mut Transaction<'_>) + Send>, Sender<Result<(), Error>>);

impl Job for OneUnit {
    fn units(&self) -> usize {
        1
    }
    fn run(&mut self, _: usize, transaction: &mut Transaction<'_>) -> bool {
        (self.0)(transaction);
        true
    }
    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        self.1.send(outcome).unwrap();
    }
}

fn commit(store: &Store, unit: impl FnMut(&mut Transaction<'_>) + Send + 'static) {
    let (done, wait) = channel();
    assert!(store.submit(Box::new(OneUnit(Box::new(unit), done))).is_ok());
    wait.recv().unwrap().unwrap();
}

fn body(collection: usize, id: &str) -> Box<[u8]> {
    let text = format!(r#"{{"_id":{id:?},"in":{collection},"p":"{}"}}"#, "x".repeat(40));
    parse_document(text.as_bytes(), ParseLimits { size: 16 << 20, depth: 128 }, IdSource::Given(id)).unwrap().body
}

fn put(store: &Store, into: &mut BTreeMap<Place, Box<[u8]>>, ids: std::ops::Range<usize>) {
    for number in ids {
        for (at, (db, name)) in COLLECTIONS.into_iter().enumerate() {
            let id = format!("id{number}");
            into.insert((at, id.clone()), body(at, &id));
            commit(store, move |t| {
                let c = t.collection_or_create(db, name).unwrap();
                t.insert(c, id.as_bytes(), body(at, &id)).unwrap();
            });
        }
    }
}

fn open(home: &Path) -> Result<Store, Error> {
    let options = Options {
        write_memory_bytes: 300_000,
        index_memory_bytes: 100_000,
        cache_memory_bytes: 100_000,
        disk_reserve_bytes: 0,
        fsync: FsyncPolicy::No,
        ..Options::new(home.join("data"))
    };
    Store::open(options, &MasterKeySource::Unnamed)
}

#[track_caller]
fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Sample {
    fn new(when: When) -> Sample {
        let home = tempfile::tempdir().unwrap();
        let (mut stored, mut logged) = (BTreeMap::new(), BTreeMap::new());
        {
            let store = open(home.path()).unwrap();
            put(&store, &mut stored, 0..STORED);
            commit(&store, |t| {
                let c = t.collection(0, "c").unwrap();
                let named = IndexDefinition { name: "by_p".into(), keys: r#"{"p":1}"#.into(), ..Default::default() };
                t.create_index(c, IndexSpec::new(named).unwrap()).unwrap();
            });
            wait("the index", || store.view(0).collection(0, "c").unwrap().index("by_p").unwrap().is_ready());
        }
        let store = open(home.path()).unwrap();
        match when {
            When::Never => {}
            When::Within => {
                // Six records at a time, so that it can be stopped in between.
                store.data_keys().rotate(5, 60).unwrap();
                wait("progress", || store.data_keys().status().figures.done >= 6);
                store.data_keys().pause().unwrap();
            }
            When::After => {
                store.data_keys().rotate(5, 0).unwrap();
                wait("the end", || store.data_keys().rotation().phase == Phase::Completed);
            }
        }
        put(&store, &mut logged, STORED..STORED + LOGGED);
        store.sync().unwrap();
        let mut files = BTreeMap::new();
        keep(&home.path().join("data"), Path::new(""), &mut files);
        drop(store);
        let master_key = fs::read_to_string(home.path().join("data.key")).unwrap();
        let sample = Sample { files, master_key, stored, logged };
        if when == When::Within {
            let keys: BTreeSet<_> = sample.records(Space::Documents).iter().map(|(_, value)| key_id(value)).collect();
            assert_eq!(keys, BTreeSet::from([Some(1), Some(2)]), "records under both keys");
        }
        assert_eq!(sample.judge(&sample.home(), "as it was"), Found::default());
        sample
    }

    /// A fresh copy.
    fn home(&self) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("data.key"), &self.master_key).unwrap();
        let only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(home.path().join("data.key"), only).unwrap();
        self.restore(home.path());
        home
    }

    fn restore(&self, home: &Path) {
        let data = home.join("data");
        if data.exists() {
            fs::remove_dir_all(&data).unwrap();
        }
        for (path, kept) in &self.files {
            let path = data.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            kept.write(&path);
        }
    }

    /// What the engine has, by key.
    fn records(&self, space: Space) -> Vec<(Bytes, Bytes)> {
        let home = self.home();
        let engine = Fjall::open(&home.path().join("data/kv")).unwrap();
        let records = engine.snapshot().range(space, &[], &[0xff; 13]);
        records.collect::<Result<_, _>>().unwrap()
    }

    /// Opens the copy and reads all of it: what is there is right. Answers what could not be read.
    fn judge(&self, home: &tempfile::TempDir, what: &str) -> Found {
        let mut found = Found::default();
        let store = match open(home.path()) {
            Ok(store) => store,
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains(&*home.path().to_string_lossy()), "{what}: no place is named: {said}");
                found.refused = Some(said);
                return found;
            }
        };
        self.read(&store, what, &mut found);
        // A rotation over it makes nothing right of what is wrong.
        if store.data_keys().rotation().paused {
            store.data_keys().resume().unwrap();
            wait("the rotation's end", || store.data_keys().rotation().phase != Phase::ReEncrypting);
            let before = found.errors.len();
            self.read(&store, what, &mut found);
            let failed = store.data_keys().rotation().phase == Phase::Failed;
            assert!(failed || found.errors.len() == before, "{what}: completed, and {:?} are lost", found.errors);
        }
        found
    }

    fn read(&self, store: &Store, what: &str, found: &mut Found) {
        let view = store.view(0);
        for (at, (db, name)) in COLLECTIONS.into_iter().enumerate() {
            let Some(collection) = view.collection(db, name) else { panic!("{what}: collection {name} is gone") };
            for (place, body) in self.stored.iter().chain(&self.logged).filter(|((of, _), _)| *of == at) {
                match view.get(&collection, place.1.as_bytes()) {
                    Ok(Some(document)) => assert_eq!(document.body, *body, "{what}: {place:?}"),
                    Ok(None) => drop(found.gone.insert(place.clone())),
                    Err(error) => drop(found.errors.insert(place.clone(), error.to_string())),
                }
            }
            for document in view.scan(&collection).map_while(Result::ok) {
                let id = String::from_utf8(document.1.id().into()).unwrap();
                assert_eq!(document.1.body, body(at, &id), "{what}: {id} in {name}");
            }
        }
    }
}

/// What came of damage. Nothing at all where it does not matter.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// The store does not open, and says why.
    refused: Option<String>,
    /// These cannot be read, and why.
    errors: BTreeMap<Place, String>,
    /// These are not there.
    gone: BTreeSet<Place>,
}

impl File {
    fn write(&self, path: &Path) {
        fs::write(path, &self.bytes).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_len(self.length).unwrap();
    }
}

fn keep(dir: &Path, below: &Path, files: &mut BTreeMap<PathBuf, File>) {
    for entry in fs::read_dir(dir.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        if dir.join(&path).is_dir() {
            keep(dir, &path, files);
        } else {
            let mut bytes = fs::read(dir.join(&path)).unwrap();
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            files.insert(path, File { bytes, length });
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Which bytes of a file are to be flipped.
fn places(path: &Path, length: usize, random: &mut Random) -> Vec<usize> {
    let count = setting("VEDDB_DAMAGE_PLACES", 12) as usize;
    // They are looked at before the engine is opened, so each is quick.
    let quick = ["keyring", "checkpoint", "rotation"].iter().any(|name| path == Path::new(name));
    if quick || count == 0 || length <= count {
        return (0..length).collect();
    }
    let mut places: Vec<usize> = (2..count).map(|_| random.below(length as u64) as usize).collect();
    places.extend([0, length - 1]);
    places
}

/// One file, and what is done to it.
struct Case<'s> {
    path: &'s Path,
    kept: &'s File,
    harm: Harm,
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip { at: usize, bit: u32 },
    Cut { length: usize },
}

impl Case<'_> {
    /// Does it to a copy, looks what came of it, and mends the copy.
    fn run(&self, sample: &Sample, home: &tempfile::TempDir, what: &str) -> Found {
        let Case { path, kept, harm } = self;
        let damaged = home.path().join("data").join(path);
        let found = match *harm {
            Harm::Flip { at, bit } => {
                let mut bytes = kept.bytes.clone();
                bytes[at] ^= 1 << bit;
                File { bytes, length: kept.length }.write(&damaged);
                let found = sample.judge(home, what);
                assert_eq!(found.gone, BTreeSet::new(), "{what}");
                found
            }
            Harm::Cut { length } => {
                let bytes = kept.bytes[..length.min(kept.bytes.len())].to_vec();
                File { bytes, length: length as u64 }.write(&damaged);
                let found = sample.judge(home, what);
                // A cut log has a torn tail: what was never said to be durable may go, newest first.
                let stored = found.gone.iter().find(|place| sample.stored.contains_key(*place));
                let of_log = path.starts_with("log");
                assert!(found.gone.is_empty() || (of_log && stored.is_none()), "{what}: {:?} are gone", found.gone);
                let kept_numbers =
                    (STORED..STORED + LOGGED).map(|number| !found.gone.contains(&(0, format!("id{number}"))));
                assert!(kept_numbers.is_sorted_by(|a, b| a >= b), "{what}: {:?} are gone", found.gone);
                found
            }
        };
        // A start that was refused has changed nothing.
        if found.refused.is_some() {
            kept.write(&damaged)
        } else {
            sample.restore(home.path())
        }
        found
    }
}

fn flip_and_cut(when: When) {
    let seed = setting("VEDDB_SEED", 20_261_127);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let sample = Sample::new(when);
    let mut cases = Vec::new();
    for (path, kept) in &sample.files {
        for at in places(path, kept.bytes.len(), &mut random) {
            cases.push(Case { path, kept, harm: Harm::Flip { at, bit: random.below(8) as u32 } });
        }
        let whole = kept.length as usize;
        let lengths =
            [0, 1, 4, 29, 45, 101, 140, 512, 4096, whole / 2, whole.saturating_sub(45), whole.saturating_sub(1)];
        let lengths = BTreeSet::from(lengths).into_iter().filter(|length| *length < whole);
        cases.extend(lengths.map(|length| Case { path, kept, harm: Harm::Cut { length } }));
    }
    let (next, [refused, unread, harmless]) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    // A rotation that goes on takes its time, so there are more threads than processors.
    let threads = setting("VEDDB_DAMAGE_THREADS", 4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let home = sample.home();
                while let Some(case) = cases.get(next.fetch_add(1, SeqCst)) {
                    let what = format!("{when:?}: {:?} of {} (seed {seed})", case.harm, case.path.display());
                    let found = case.run(&sample, &home, &what);
                    let of = match (&found.refused, found.errors.is_empty()) {
                        (Some(_), _) => &refused,
                        (None, false) => &unread,
                        (None, true) => &harmless,
                    };
                    of.fetch_add(1, SeqCst);
                }
            });
        }
    });
    println!("{when:?}: {refused:?} refused, {unread:?} with errors where it was read, {harmless:?} without effect");
    assert!(refused.into_inner() > 0 && unread.into_inner() > 0);
}

#[test]
fn flips_and_cuts_in_a_store_whose_key_was_never_changed() {
    flip_and_cut(When::Never);
}

#[test]
fn flips_and_cuts_in_the_middle_of_a_rotation() {
    flip_and_cut(When::Within);
}

#[test]
fn flips_and_cuts_after_a_rotation() {
    flip_and_cut(When::After);
}

/// Puts values under keys of a copy's engine.
fn put_in(home: &Path, space: Space, mut entries: Vec<(Bytes, Bytes)>) {
    entries.sort();
    let engine = Fjall::open(&home.join("data/kv")).unwrap();
    engine.ingest(space, &mut entries.into_iter().map(|(key, value)| -> Entry { (key, Some(value)) })).unwrap();
}

/// What was put in another place cannot be read there, and the rest can.
fn judge_moved(sample: &Sample, what: &str, into: Space, entries: Vec<(Bytes, Bytes)>) {
    let home = sample.home();
    put_in(home.path(), into, entries);
    let found = sample.judge(&home, what);
    assert_eq!(found.gone, BTreeSet::new(), "{what}");
    assert!(found.refused.is_some() || !found.errors.is_empty(), "{what}: went unnoticed");
    assert!(found.errors.values().all(|said| !said.is_empty()));
}

#[test]
fn a_record_opens_nowhere_but_in_its_place() {
    for when in [When::Never, When::Within, When::After] {
        let (sample, other) = (Sample::new(when), Sample::new(when));
        let is_marker = |key: &Bytes| key.iter().all(|byte| *byte == 0xff);
        let parts =
            |of: &Sample, space| of.records(space).into_iter().partition::<Vec<_>, _>(|(key, _)| !is_marker(key));
        let (documents, marker) = parts(&sample, Space::Documents);
        let (pages, page_marker) = parts(&sample, Space::Pages);
        let (others, _) = parts(&other, Space::Documents);
        let (other_pages, _) = parts(&other, Space::Pages);
        assert!(documents.len() >= 3 * STORED && pages.len() >= 3 && marker.len() == 1 && page_marker.len() == 1);
        let of = |collection: u32| documents.iter().filter(move |(key, _)| key.starts_with(&collection.to_be_bytes()));
        let (one, two) = (of(1).next().unwrap(), of(1).nth(5).unwrap());
        let exchanged =
            |a: &(Bytes, Bytes), b: &(Bytes, Bytes)| vec![(a.0.clone(), b.1.clone()), (b.0.clone(), a.1.clone())];
        let judge = |what: &str, into, entries| judge_moved(&sample, &format!("{when:?}: {what}"), into, entries);
        judge("within a collection", Space::Documents, exchanged(one, two));
        judge("between collections", Space::Documents, exchanged(one, of(2).next().unwrap()));
        judge("between databases of one store", Space::Documents, exchanged(one, of(3).next().unwrap()));
        judge("a page as a document", Space::Documents, vec![(one.0.clone(), pages[0].1.clone())]);
        judge("a marker as a document", Space::Documents, vec![(one.0.clone(), marker[0].1.clone())]);
        judge("a document as a marker", Space::Documents, vec![(marker[0].0.clone(), one.1.clone())]);
        judge("the marker of the other space", Space::Documents, vec![(marker[0].0.clone(), page_marker[0].1.clone())]);
        let same_place = others.iter().find(|(key, _)| *key == one.0).unwrap();
        judge("the same place of another database", Space::Documents, vec![same_place.clone()]);
        for pair in pages.windows(2) {
            judge("pages", Space::Pages, exchanged(&pair[0], &pair[1]));
        }
        judge(
            "a document as a page",
            Space::Pages,
            pages.iter().map(|(key, _)| (key.clone(), one.1.clone())).collect(),
        );
        judge("the pages of another database", Space::Pages, other_pages.clone());
        if when == When::Within {
            // The number of the key is in the header, and is authenticated with it.
            let under = |id: u32| documents.iter().find(|(_, value)| key_id(value) == Some(id)).unwrap();
            judge("between keys", Space::Documents, exchanged(under(1), under(2)));
            let mut renamed = under(1).1.to_vec();
            renamed[1..5].copy_from_slice(&2_u32.to_le_bytes());
            judge("the other key's number", Space::Documents, vec![(under(1).0.clone(), renamed.into())]);
        }
    }
}

/// Where the frames of a segment are, as docs/formats.md says.
fn frames(segment: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (101, Vec::new());
    while let Some(head) = segment.get(at..at + 40) {
        assert_eq!(head[..4], *b"VFr1");
        let end = at + 40 + u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        found.push(at..end);
        at = end;
    }
    found
}

#[test]
fn a_frame_and_a_file_open_nowhere_but_in_their_place() {
    for when in [When::Never, When::Within, When::After] {
        let (sample, other) = (Sample::new(when), Sample::new(when));
        let refused = |what: &str, changes: &[(&Path, &[u8])]| {
            let home = sample.home();
            for (path, bytes) in changes {
                fs::write(home.path().join("data").join(path), bytes).unwrap();
            }
            let found = sample.judge(&home, what);
            assert!(found.refused.is_some(), "{when:?}: {what} went unnoticed: {found:?}");
        };
        let log = sample.files.keys().rfind(|path| path.starts_with("log")).unwrap();
        let (segment, others) = (&sample.files[log].bytes, &other.files[log].bytes);
        let at = frames(segment);
        assert!(at.len() >= 3 * LOGGED, "{} frames", at.len());
        let join = |parts: &[&[u8]]| parts.concat();
        for pair in at.windows(2) {
            let [a, b] = pair else { panic!("pairs") };
            let (head, tail) = (&segment[..a.start], &segment[b.end..]);
            let swapped = join(&[head, &segment[b.clone()], &segment[a.clone()], tail]);
            refused("two frames exchanged", &[(log, &swapped)]);
            let lost = join(&[head, &segment[b.clone()], tail]);
            refused("a frame taken out", &[(log, &lost)]);
            let twice = join(&[head, &segment[a.clone()], &segment[a.clone()], &segment[b.clone()], tail]);
            refused("a frame put in twice", &[(log, &twice)]);
            // The header of one with the units of the other.
            let units = |range: &std::ops::Range<usize>| range.start + 40..range.end;
            if units(a).len() == units(b).len() {
                let mut mixed = segment.clone();
                mixed[units(a)].copy_from_slice(&segment[units(b)]);
                refused("a frame with another's units", &[(log, &mixed)]);
            }
        }
        let theirs = frames(others);
        let (mine, foreign) = (at[0].clone(), theirs[0].clone());
        let mixed = join(&[&segment[..mine.start], &others[foreign], &segment[mine.end..]]);
        refused("a frame of another database", &[(log, &mixed)]);
        for name in ["checkpoint", "rotation"].map(Path::new) {
            if let Some(foreign) = other.files.get(name) {
                refused("a file of another database", &[(name, &foreign.bytes)]);
            }
        }
        refused("a segment of another database", &[(log, others)]);
        refused("the keyring of another database", &[(Path::new("keyring"), &other.files[Path::new("keyring")].bytes)]);
        let (checkpoint, progress) = (Path::new("checkpoint"), Path::new("rotation"));
        if when == When::Within {
            let (a, b) = (&sample.files[checkpoint].bytes, &sample.files[progress].bytes);
            refused("the checkpoint and the progress exchanged", &[(checkpoint, b), (progress, a)]);
        }
    }
}
