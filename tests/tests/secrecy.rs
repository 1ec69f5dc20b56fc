//! Nothing that a user stores can be read in the data directory: not while the server runs, not after it has stopped,
//! not after it was killed.

use std::fs;
use std::path::Path;

use anyhow::Result;
use base64::Engine;
use veddb_tests::{Options, Server};

/// Long enough that none of its forms stands in a file by chance.
const MARKS: [&str; 8] = [
    "MarkedFieldName",
    "MarkedTextValue",
    "MarkedDocumentId",
    "MarkedCollection",
    "MarkedNestedName",
    "MarkedElement",
    "MarkedIndexName",
    "MarkedFilterValue",
];

/// The forms in which a mark could be found: as it is, in UTF-16, in hexadecimal, and in base64 at each alignment.
fn forms(mark: &str) -> Vec<Vec<u8>> {
    let raw = mark.as_bytes();
    let mut forms = vec![raw.to_vec(), raw.to_ascii_lowercase(), raw.to_ascii_uppercase()];
    forms.push(mark.encode_utf16().flat_map(u16::to_le_bytes).collect());
    forms.push(mark.encode_utf16().flat_map(u16::to_be_bytes).collect());
    forms.push(hex::encode(raw).into_bytes());
    forms.push(hex::encode_upper(raw).into_bytes());
    for shift in 0..3 {
        let shifted = [&vec![0; shift], raw].concat();
        for engine in
            [base64::engine::general_purpose::STANDARD_NO_PAD, base64::engine::general_purpose::URL_SAFE_NO_PAD]
        {
            let encoded = engine.encode(&shifted);
            // What is before and after depends on the neighbours: the characters that hold only bits of the mark stay.
            let begin = (shift * 8).div_ceil(6);
            let end = (shift + raw.len()) * 8 / 6;
            forms.push(encoded.as_bytes()[begin..end].to_vec());
        }
    }
    forms
}

fn search(directory: &Path, moment: &str) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files += search(&path, moment)?;
            continue;
        }
        // A file may go away while the server runs, as its background work replaces it.
        let Ok(bytes) = fs::read(&path) else { continue };
        files += 1;
        let name = path.to_string_lossy();
        for mark in MARKS {
            assert!(!name.contains(mark), "{moment}: a file's name holds {mark}: {name}");
            for form in forms(mark) {
                assert!(
                    memchr::memmem::find(&bytes, &form).is_none(),
                    "{moment}: {name} holds {mark} as {:?}",
                    String::from_utf8_lossy(&form)
                );
            }
        }
    }
    Ok(files)
}

fn write(server: &Server, round: usize) -> Result<()> {
    let mut client = server.client()?;
    for at in 0..500 {
        let filler = "x".repeat(at);
        let document = format!(
            r#"{{"_id":"MarkedDocumentId{round}-{at}","MarkedFieldName":"MarkedTextValue {filler}","n":{{"MarkedNestedName":["MarkedElement",{at}]}}}}"#
        );
        client.ask(&["DOC.INSERT", "MarkedCollection", &document])?;
    }
    client.ask(&[
        "DOC.UPDATE",
        "MarkedCollection",
        r#"{"n.MarkedNestedName":7}"#,
        r#"{"$set":{"MarkedFieldName":"MarkedTextValue"}}"#,
    ])?;
    client.ask(&["DOC.DEL", "MarkedCollection", &format!("MarkedDocumentId{round}-9")])?;
    let partial = r#"{"MarkedFieldName":{"$gt":"MarkedFilterValue"}}"#;
    client.ask(&[
        "IDX.CREATE",
        "MarkedCollection",
        "MarkedIndexName",
        r#"{"MarkedFieldName":1}"#,
        "PARTIAL",
        partial,
    ])?;
    let keys = r#"{"n.MarkedNestedName":-1}"#;
    client.ask(&["IDX.CREATE", "MarkedCollection", &format!("MarkedIndexName{round}"), keys, "SYNC"])?;
    client.ask(&["DOC.CREATE", &format!("MarkedCollection{round}")])?;
    client.ask(&["DOC.RENAME", &format!("MarkedCollection{round}"), &format!("MarkedCollectionOther{round}")])?;
    Ok(())
}

#[test]
fn no_mark_is_found_in_any_file() -> Result<()> {
    // Small budgets, so that documents and pages are really written out and read again.
    let mut server = Options::new()
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .start()?;
    write(&server, 0)?;
    assert!(search(&server.dir(), "while running")? > 1);
    server.stop()?;
    assert!(search(&server.dir(), "after SIGTERM")? > 1);
    server.restart()?;
    write(&server, 1)?;
    server.kill()?;
    assert!(search(&server.dir(), "after kill -9")? > 1);
    server.restart()?;
    assert!(search(&server.dir(), "after recovery")? > 1);
    let mut client = server.client()?;
    assert_eq!(client.ask(&["DOC.COUNT", "MarkedCollection"])?.expect_integer(), 998);
    let log = server.log();
    for mark in MARKS {
        assert!(!log.contains(mark), "the server's log holds {mark}");
    }
    Ok(())
}

/// All the time that the keys are changed, while somebody writes.
#[test]
fn no_mark_is_found_while_the_key_is_changed() -> Result<()> {
    let mut server = Options::new()
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .start()?;
    write(&server, 0)?;
    let mut client = server.client()?;
    client.ask(&["KEY.ROTATE", "RATE", "60"])?;
    let mut looks = 0;
    while client.figure("encryption", "rotation_state")? == "re-encrypting" {
        client.ask(&[
            "DOC.SET",
            "MarkedCollection",
            &format!("MarkedDocumentId{looks}"),
            r#"{"MarkedFieldName":1}"#,
        ])?;
        search(&server.dir(), "during a rotation")?;
        looks += 1;
    }
    assert!(looks > 1, "it was looked {looks} times");
    assert_eq!(client.figure("encryption", "rotation_state")?, "completed");
    client.ask(&["KEY.ROTATE", "RATE", "60"])?;
    server.kill()?;
    search(&server.dir(), "killed in a rotation")?;
    server.restart()?;
    search(&server.dir(), "after recovery in a rotation")?;
    let log = server.log();
    for mark in MARKS {
        assert!(!log.contains(mark), "the server's log holds {mark}");
    }
    Ok(())
}

/// While an index is built its entries go through temporary files, which have no name to be found by: they are read by
/// way of the process that has them open.
#[test]
fn no_mark_is_found_in_temporary_files() -> Result<()> {
    let server = Options::new().set("maxmemory-index-build", "1mb").start()?;
    let mut client = server.client()?;
    let filler = "x".repeat(200);
    for part in 0..20 {
        let document =
            |at: usize| format!(r#"{{"_id":"{part}-{at}","MarkedFieldName":"MarkedTextValue{filler}{at}"}}"#);
        let documents = (0..1000).map(document);
        let request: Vec<String> = ["DOC.INSERT", "c"].map(str::to_owned).into_iter().chain(documents).collect();
        client.ask(&request)?;
    }
    client.ask(&["IDX.CREATE", "c", "i", r#"{"MarkedFieldName":1}"#])?;
    let descriptors = format!("/proc/{}/fd", server.pid().unwrap_or_default());
    let mut seen = 0;
    while !client.ask(&["IDX.LIST", "c"])?.to_string().contains("ready") {
        for entry in fs::read_dir(&descriptors)? {
            let path = entry?.path();
            let Ok(target) = fs::read_link(&path) else { continue };
            if !target.to_string_lossy().contains("/tmp/") || !target.to_string_lossy().ends_with("(deleted)") {
                continue;
            }
            let Ok(bytes) = fs::read(&path) else { continue };
            seen += usize::from(!bytes.is_empty());
            for mark in MARKS {
                for form in forms(mark) {
                    assert!(memchr::memmem::find(&bytes, &form).is_none(), "a temporary file holds {mark}");
                }
            }
        }
    }
    assert!(seen > 0, "no temporary file was seen");
    assert_eq!(fs::read_dir(server.dir().join("tmp"))?.count(), 0, "a temporary file has a name");
    Ok(())
}

#[test]
fn a_mark_would_be_found() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let text = format!("before{}after", MARKS[0]);
    let engine = base64::engine::general_purpose::STANDARD;
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let planted = [
        text.clone().into_bytes(),
        utf16,
        hex::encode(&text).into_bytes(),
        engine.encode(&text).into_bytes(),
        engine.encode(&text[1..]).into_bytes(),
        engine.encode(&text[2..]).into_bytes(),
    ];
    for (at, bytes) in planted.iter().enumerate() {
        fs::write(directory.path().join("file"), bytes)?;
        let found = std::panic::catch_unwind(|| search(directory.path(), "planted"));
        assert!(found.is_err(), "form {at} was not found");
    }
    Ok(())
}
