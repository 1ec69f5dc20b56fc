//! Chains that are whole, and every way in which one can be not.

use super::*;
use crate::seal::{Keyring, MasterKey};

fn open(dir: &Path, sealer: &Sealer) -> Audit {
    let audit = Audit::new(dir.join("audit"), sealer.clone());
    audit.recover().unwrap();
    audit
}

fn records(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|n| (n, format!(r#"{{"n":{n},"who":"somebody"}}"#))).collect()
}

fn append(audit: &Audit, records: &[(u64, String)], file_bytes: u64, files_max: usize) -> Result<(), Error> {
    let texts: Vec<&str> = records.iter().map(|(_, text)| text.as_str()).collect();
    audit.append(&texts, file_bytes, files_max)
}

/// Twelve records, each in its frame, in four files, and the names of these.
fn filled() -> (tempfile::TempDir, Sealer, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(&Keyring::create(dir.path(), &MasterKey::generate(), 0).unwrap());
    let audit = open(dir.path(), &sealer);
    for at in 1..=12 {
        // Each a frame of its own; every third begins a file.
        append(&audit, &records(at, at), if at % 3 == 1 { 1 } else { 1 << 20 }, 0).unwrap();
    }
    let files = list(&dir.path().join("audit")).unwrap().into_iter().map(|(_, path)| path).collect();
    (dir, sealer, files)
}

#[test]
fn records_come_back_over_files_and_starts() {
    let (dir, sealer, files) = filled();
    assert_eq!(files.len(), 4);
    let audit = open(dir.path(), &sealer);
    append(&audit, &records(13, 14), 1 << 20, 0).unwrap();
    assert_eq!(audit.tail(4).unwrap(), records(11, 14));
    assert_eq!(audit.tail(100).unwrap(), records(1, 14));
    assert_eq!(audit.read(1, 100).unwrap(), records(1, 14));
    assert_eq!(audit.read(6, 4).unwrap(), records(6, 9));
    assert_eq!((audit.read(15, 4).unwrap(), audit.next_position()), (Vec::new(), 15));
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 14, from: 1, to: 14, bad: Vec::new() });
    let empty = tempfile::tempdir().unwrap();
    let none = open(empty.path(), &sealer);
    assert_eq!((none.verify(None).unwrap(), none.tail(1).unwrap()), (Audited::default(), Vec::new()));
}

#[test]
fn many_records_are_many_frames() {
    let (dir, sealer, _) = filled();
    let audit = open(dir.path(), &sealer);
    let long: Vec<(u64, String)> = (13..300).map(|n| (n, "x".repeat(n as usize * 40))).collect();
    append(&audit, &long, 1 << 30, 0).unwrap();
    assert_eq!(audit.read(13, 1000).unwrap(), long);
    assert_eq!(audit.tail(5).unwrap(), long[282..]);
    assert_eq!(audit.read(150, 2).unwrap(), long[137..139]);
    drop(audit);
    assert_eq!(
        open(dir.path(), &sealer).verify(None).unwrap(),
        Audited { records: 299, from: 1, to: 299, bad: vec![] }
    );
}

#[test]
fn what_the_store_names_is_there_or_found_missing() {
    let (dir, sealer, files) = filled();
    let end = |next, hash| AuditEnd { next, hash, ..AuditEnd::of(&sealer, 7) };
    let audit = open(dir.path(), &sealer);
    let head = audit.state.lock().head.clone();
    // Where it ends, and a place within that a frame ends at.
    let within = audit.hash_of(7, &head).unwrap().unwrap();
    for good in [end(13, head.hash), end(8, within)] {
        audit.meet(&good).unwrap();
        assert_eq!(audit.verify(Some(&good)).unwrap(), Audited { records: 12, from: 1, to: 12, bad: Vec::new() });
    }
    for bad in [end(14, head.hash), end(13, within), end(8, head.hash)] {
        let (dir, _, _) = filled();
        std::fs::remove_dir_all(dir.path().join("audit")).unwrap();
        std::fs::create_dir(dir.path().join("audit")).unwrap();
        for path in files.iter().chain([&files[0].with_file_name("head")]) {
            std::fs::copy(path, dir.path().join("audit").join(path.file_name().unwrap())).unwrap();
        }
        let audit = open(dir.path(), &sealer);
        assert!(!audit.verify(Some(&bad)).unwrap().bad.is_empty());
        audit.meet(&bad).unwrap();
        append(&audit, &records(20, 20), 1 << 20, 0).unwrap();
        // Also when the store names another one, or none.
        drop(audit);
        assert!(!open(dir.path(), &sealer).verify(None).unwrap().bad.is_empty());
    }
}

#[test]
fn old_files_are_taken_away_and_the_head_says_so() {
    let (dir, sealer, _) = filled();
    let audit = open(dir.path(), &sealer);
    append(&audit, &records(13, 13), 1, 2).unwrap();
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 4, from: 10, to: 13, bad: Vec::new() });
    assert_eq!(open(dir.path(), &sealer).tail(9).unwrap(), records(10, 13));
}

/// Whatever is changed, in a log that is open or between two starts, is found.
#[track_caller]
fn is_found(what: &str, change: impl Fn(&[PathBuf])) {
    for while_open in [true, false] {
        let (dir, sealer, files) = filled();
        let before = while_open.then(|| open(dir.path(), &sealer));
        change(&files);
        let audit = before.unwrap_or_else(|| open(dir.path(), &sealer));
        assert!(!audit.verify(None).unwrap().bad.is_empty(), "{what} was not found, {while_open}");
        // It goes on, and what was found stays found. But for the head, which is written anew from memory.
        let lasts = !(while_open && what == "a changed head");
        append(&audit, &records(13, 15), 1 << 20, 0).unwrap();
        assert!(!lasts || !audit.verify(None).unwrap().bad.is_empty(), "{what} was forgotten");
        // What is appended to a file that was changed meanwhile shares its lot.
        let texts = |records: Vec<(u64, String)>| records.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert!(while_open || texts(audit.tail(3).unwrap()) == texts(records(13, 15)), "{what}");
        drop(audit);
        assert!(
            !lasts || !open(dir.path(), &sealer).verify(None).unwrap().bad.is_empty(),
            "{what} was forgotten by a start"
        );
    }
}

fn edit(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let length = std::fs::metadata(&filled().2[3]).unwrap().len() as usize;
    for at in 0..length {
        // The other files are some bytes shorter.
        let within = |bytes: &Vec<u8>| at.min(bytes.len() - 1);
        let (change, cut) = (format!("a changed byte {at}"), format!("a cut at {at}"));
        is_found(&format!("{change} of the last file"), |files| edit(&files[3], |bytes| bytes[at] ^= 1));
        is_found(&format!("{change} of the first file"), |files| {
            edit(&files[0], |bytes| {
                let at = within(bytes);
                bytes[at] ^= 4;
            });
        });
        is_found(&format!("{cut} of the last file"), |files| edit(&files[3], |bytes| bytes.truncate(at)));
        is_found(&format!("{cut} of the second file"), |files| {
            edit(&files[1], |bytes| bytes.truncate(within(bytes)));
        });
    }
}

#[test]
fn what_is_taken_away_swapped_or_put_back_is_found() {
    for at in 0..4 {
        is_found("a missing file", |files| std::fs::remove_file(&files[at]).unwrap());
    }
    is_found("two files swapped", |files| {
        let first = std::fs::read(&files[0]).unwrap();
        std::fs::copy(&files[1], &files[0]).unwrap();
        std::fs::write(&files[1], first).unwrap();
    });
    is_found("two records swapped", |files| {
        edit(&files[2], |bytes| {
            // Their texts have one length, so they have as well.
            let record = (bytes.len() - file_header()) / 3;
            let at = file_header();
            let (first, second) = (bytes[at..at + record].to_vec(), bytes[at + record..at + 2 * record].to_vec());
            bytes[at..at + record].copy_from_slice(&second);
            bytes[at + record..at + 2 * record].copy_from_slice(&first);
        });
    });
    is_found("a record taken out", |files| {
        edit(&files[3], |bytes| {
            let record = (bytes.len() - file_header()) / 3;
            bytes.drain(file_header()..file_header() + record);
        });
    });
    is_found("no head", |files| std::fs::remove_file(files[0].with_file_name("head")).unwrap());
    for at in 0..202 {
        is_found("a changed head", |files| edit(&files[0].with_file_name("head"), |bytes| bytes[at] ^= 1));
    }
    is_found("everything", |files| {
        for path in files {
            std::fs::remove_file(path).unwrap();
        }
    });
    is_found("an old head and what it says", |files| {
        edit(&files[0].with_file_name("head"), |bytes| {
            // The fourth batch's is in slot 0, the third's in slot 1.
            let half = bytes.len() / 2;
            bytes.copy_within(half.., 0);
        });
        std::fs::remove_file(&files[3]).unwrap();
    });
}

fn file_header() -> usize {
    48 + crate::seal::OVERHEAD
}

#[test]
fn what_follows_the_head_after_a_crash_is_cut() {
    let (dir, sealer, files) = filled();
    edit(&files[3], |bytes| bytes.extend_from_slice(&[9; 50]));
    let audit = open(dir.path(), &sealer);
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 12, from: 1, to: 12, bad: Vec::new() });
    // A file that was begun, and nothing in it acknowledged.
    drop(audit);
    std::fs::write(files[3].with_file_name(format!("{:016x}.audit", 13)), b"begun").unwrap();
    let audit = open(dir.path(), &sealer);
    append(&audit, &records(13, 13), 1, 0).unwrap();
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 13, from: 1, to: 13, bad: Vec::new() });
}

#[test]
fn resealing_keeps_the_chain() {
    let (dir, sealer, _) = filled();
    let audit = open(dir.path(), &sealer);
    let keys = || {
        let mut keys = Vec::new();
        audit.count_keys(&mut |key| keys.push(key)).unwrap();
        keys
    };
    // Four headers, twelve records, two slots.
    assert_eq!(keys(), [1; 18]);
    audit.reseal().unwrap();
    assert_eq!(keys().len(), 18);
    append(&audit, &records(13, 13), 1 << 20, 0).unwrap();
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 13, from: 1, to: 13, bad: Vec::new() });
}

#[test]
fn a_store_with_other_keys_gets_the_chain_as_it_is() {
    for damaged in [false, true] {
        let (dir, sealer, files) = filled();
        if damaged {
            edit(&files[1], |bytes| bytes[200] ^= 1);
        }
        let other_dir = tempfile::tempdir().unwrap();
        let other = Sealer::new(&Keyring::create(other_dir.path(), &MasterKey::generate(), 0).unwrap());
        carry(&dir.path().join("audit"), &sealer, &other_dir.path().join("audit"), &other).unwrap();
        let audit = open(other_dir.path(), &other);
        append(&audit, &records(13, 13), 1 << 20, 0).unwrap();
        assert_eq!(audit.verify(None).unwrap().bad.is_empty(), !damaged);
        assert_eq!(audit.tail(4).unwrap(), records(10, 13));
    }
}

#[test]
fn an_old_head_that_is_put_back_has_no_record_go() {
    let (dir, sealer, files) = filled();
    let head = files[0].with_file_name("head");
    let old = std::fs::read(&head).unwrap();
    let audit = open(dir.path(), &sealer);
    for at in 4..9 {
        append(&audit, &records(at * 3 + 1, at * 3 + 3), if at % 2 == 0 { 1 } else { 1 << 20 }, 0).unwrap();
    }
    drop(audit);
    std::fs::write(&head, old).unwrap();
    let audit = open(dir.path(), &sealer);
    assert_eq!(audit.verify(None).unwrap(), Audited { records: 27, from: 1, to: 27, bad: Vec::new() });
    append(&audit, &records(28, 28), 1 << 20, 0).unwrap();
    assert_eq!(audit.tail(100).unwrap(), records(1, 28));
}
