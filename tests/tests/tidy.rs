//! The rules of the house that a program can keep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use veddb_tests::repository;

const ROOMS: [&str; 3] = ["storage", "commands", "server"];
const LINES_MAX: usize = 600;
/// Words that say nothing of what a file is about.
const EMPTY_WORDS: [&str; 6] = ["utils", "util", "manager", "impl", "extensions", "helpers"];

/// Every tracked or new file that git does not ignore, relative to the root.
fn files() -> Result<Vec<PathBuf>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .context("git ls-files")?;
    let text = String::from_utf8(listed.stdout)?;
    let files: Vec<PathBuf> =
        text.lines().map(PathBuf::from).filter(|path| repository().join(path).is_file()).collect();
    assert!(files.len() > 20, "git ls-files lists only {} files", files.len());
    Ok(files)
}

fn rust_files() -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for path in files()?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(repository().join(&path))?;
        found.push((path, text));
    }
    Ok(found)
}

/// The lines before the tests of a file, which stand last.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() -> Result<()> {
    let broken = rust_files()?.into_iter().filter(|(_, text)| !text.starts_with("//! "));
    none(broken.map(|(path, _)| path.display().to_string()).collect(), "files that do not begin with a //! header");
    Ok(())
}

#[test]
fn no_file_is_too_long() -> Result<()> {
    let mut broken = Vec::new();
    for (path, text) in rust_files()?.into_iter().filter(|(path, _)| !path.starts_with("tests")) {
        let lines = code(&text).lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{} ({lines} lines)", path.display()));
        }
    }
    none(broken, "files of more than 600 lines: which two things are they?");
    Ok(())
}

#[test]
fn names_say_something() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        if stem.split(['_', '-', '.']).any(|word| EMPTY_WORDS.contains(&word)) {
            broken.push(path.display().to_string());
        }
    }
    none(broken, "file names with a word that says nothing");
    Ok(())
}

#[test]
fn dependencies_point_one_way() -> Result<()> {
    let depends = |room: &str| -> Result<BTreeSet<String>> {
        let manifest = fs::read_to_string(repository().join(room).join("Cargo.toml"))?;
        let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned);
        Ok(names.collect())
    };
    for (at, room) in ROOMS.iter().enumerate() {
        let depends = depends(room)?;
        for later in &ROOMS[at + 1..] {
            assert!(!depends.contains(&format!("veddb-{later}")), "{room} depends on {later}");
        }
        assert!(!depends.contains("veddb-tests"), "{room} depends on tests");
    }
    let commands = depends("commands")?;
    for foreign in ["tokio", "socket2", "redis-protocol", "fjall"] {
        assert!(!commands.contains(foreign), "commands depends on {foreign}");
    }
    for foreign in ["tokio", "socket2", "redis-protocol"] {
        assert!(!depends("storage")?.contains(foreign), "storage depends on {foreign}");
    }
    Ok(())
}

#[test]
fn each_part_is_named_in_its_place() -> Result<()> {
    // A word in code, and the only path where it may stand; comments may speak of anything.
    let places = [("fjall", "storage/src/kv/fjall.rs"), ("tokio", "server/"), ("redis_protocol", "server/")];
    let mut broken = Vec::new();
    let ours = |path: &Path| !path.starts_with("tests") && !path.starts_with("compat");
    for (path, text) in rust_files()?.into_iter().filter(|(path, _)| ours(path)) {
        for (at, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or(line);
            for (word, place) in places {
                let named = line.contains(&format!("{word}::")) || line.contains(&format!("use {word};"));
                let own_module = line.contains(&format!("kv::{word}::")) || line.contains(&format!("self::{word}::"));
                if named && !own_module && !path.starts_with(place) && path != Path::new(place) {
                    broken.push(format!("{}:{}: {word}", path.display(), at + 1));
                }
            }
        }
    }
    none(broken, "parts named outside of their place");
    Ok(())
}

#[test]
fn nothing_is_left_to_do() -> Result<()> {
    let mut broken = Vec::new();
    for (path, text) in rust_files()?.into_iter().filter(|(path, _)| !path.ends_with("tidy.rs")) {
        for (at, line) in text.lines().enumerate() {
            if ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[ignore"].iter().any(|mark| line.contains(mark))
            {
                broken.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    none(broken, "things left to do");
    Ok(())
}

#[test]
fn the_reference_is_in_step() -> Result<()> {
    for name in ["commands", "language", "metrics"] {
        let output = Command::new(veddb_tests::server::binary()?).args(["docs", name]).output()?;
        assert!(output.status.success(), "veddb docs {name}: {}", output.status);
        let written = fs::read_to_string(repository().join("docs").join(name).with_extension("md"))?;
        assert_eq!(String::from_utf8(output.stdout)?, written, "docs/{name}.md is not what `veddb docs {name}` prints");
    }
    Ok(())
}

#[test]
fn links_between_documents_hold() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(repository().join(&path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or(link);
            let outside = file.is_empty() || file.contains("://") || file.contains(' ');
            if !outside && !repository().join(folder).join(file).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    none(broken, "links to nothing");
    Ok(())
}
