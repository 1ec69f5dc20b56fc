//! Every transcript under `tests/scripts`, under RESP2 and RESP3; and that no command and no error code is without one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use veddb_tests::script::{self, Script};
use veddb_tests::{Options, Value, repository};

/// Codes that storage's errors become, beside those that the commands and the server name themselves.
const FROM_STORAGE: [&str; 5] = ["ERR", "DUPKEY", "CONFLICT", "BADDOC", "TOOBIG"];

/// Codes that no transcript can bring about, and the suite that does; or why none can.
const ELSEWHERE: [(&str, &str); 5] = [
    ("NOSPACE", "startup.rs"),
    ("MISCONF", "startup.rs"),
    ("DENIED", "startup.rs"),
    ("TIMEOUT", "hostile.rs"),
    ("LOADING", "replication, while a snapshot is put in place"),
];

fn scripts() -> Result<Vec<Script>> {
    script::find(&repository().join("tests/scripts"))?.iter().map(|path| Script::load(path)).collect()
}

#[test]
fn every_transcript_holds() -> Result<()> {
    let update = std::env::var_os("UPDATE").is_some();
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let mut wrong = Vec::new();
    let paths = script::find(&repository().join("tests/scripts"))?;
    assert!(!paths.is_empty(), "there are no transcripts");
    for path in paths.iter().filter(|path| path.to_string_lossy().contains(&only)) {
        wrong.extend(Script::load(path)?.check(update)?);
    }
    assert!(wrong.is_empty(), "{} replies differ:\n\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[test]
fn every_command_has_a_transcript() -> Result<()> {
    let seen: BTreeSet<String> = scripts()?.iter().flat_map(|script| script.commands().collect::<Vec<_>>()).collect();
    let server = Options::new().start()?;
    let docs = server.client_speaking(3)?.ask(&["COMMAND", "DOCS"])?;
    let Value::Map(commands) = docs else { panic!("COMMAND DOCS is not a map") };
    assert!(commands.len() > 20, "COMMAND DOCS knows only {} commands", commands.len());
    let mut missing = Vec::new();
    for (name, described) in &commands {
        let name = name.expect_text().to_ascii_uppercase();
        match described.get("subcommands") {
            Some(Value::Map(subcommands)) => {
                let names = subcommands.iter().map(|(name, _)| name.expect_text().to_ascii_uppercase());
                missing.extend(names.filter(|name| !seen.contains(name)));
            }
            _ if seen.contains(&name) => {}
            _ => missing.push(name),
        }
    }
    assert!(missing.is_empty(), "commands without a transcript: {missing:?}");
    Ok(())
}

#[test]
fn every_error_code_has_a_transcript() -> Result<()> {
    let scripts = scripts()?;
    let seen: BTreeSet<&str> = scripts.iter().flat_map(Script::error_codes).collect();
    let spelled = spellings()?;
    let mut given: BTreeSet<&str> = FROM_STORAGE.into();
    for room in ["commands/src", "server/src"] {
        for path in rust_files(&repository().join(room))? {
            if path.ends_with("commands/src/error.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            for (variant, code) in &spelled {
                let name = format!("ErrorCode::{variant}");
                let whole = |end: usize| !text[end..].starts_with(|next: char| next.is_alphanumeric());
                if text.match_indices(&name).any(|(at, found)| whole(at + found.len())) {
                    given.insert(code);
                }
            }
        }
    }
    for (code, _) in ELSEWHERE {
        given.remove(code);
    }
    let missing: Vec<&&str> = given.difference(&seen).collect();
    assert!(missing.is_empty(), "error codes without a transcript: {missing:?}");
    Ok(())
}

/// Variant -> spelling, as `commands/src/error.rs` declares them.
fn spellings() -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(repository().join("commands/src/error.rs"))?;
    let declared = text.lines().filter_map(|line| {
        let (variant, spelling) = line.trim().strip_prefix("ErrorCode::")?.split_once(" => \"")?;
        Some((variant.to_owned(), spelling.strip_suffix("\",")?.to_owned()))
    });
    let declared: BTreeMap<String, String> = declared.collect();
    assert!(declared.len() > 20, "the spellings in commands/src/error.rs were not found");
    Ok(declared)
}

fn rust_files(under: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(under)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
