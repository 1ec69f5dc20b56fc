//! What fjall does not look at when it opens, or looks at too late: its manifests' checksums, and how long a table's list of sections is.
//!
//! A manifest says which tables a key space has, and from which moment on each counts; a changed byte there could hide or resurrect
//! values without a word, or have the engine panic while it panics. The memory for a list is asked for before its checksum is known,
//! gigabytes where one bit is another. Either ends the process, and nobody can catch it. All else is the engine's to find, by its checksums.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::{Error, error::io};

/// The directory of the key spaces, below the engine's.
const KEYSPACES: &str = "keyspaces";
/// The file of a key space that names its manifest: its number, its checksum, and which kind of checksum that is (lsm-tree 3.1,
/// `version/persist.rs`).
const CURRENT: &str = "current";
const CURRENT_LENGTH: usize = 8 + 16 + 1;
/// XXH3 of 128 bits.
const XXH3: u8 = 0;

/// Where a key space has its tables.
const TABLES: &str = "tables";
/// The end of a table: `SFA!`, a version, a kind of checksum, 16 bytes of checksum, where its list of sections begins, how long that is.
const TRAILER: usize = 4 + 1 + 1 + 16 + 8 + 8;
const TRAILER_MAGIC: &[u8] = b"SFA!";
/// What a list of sections begins with, before their number (sfa 1.0, `toc/writer.rs`).
const LIST_MAGIC: &[u8] = b"TOC!";
/// The least that a section takes there: where it is, how long it is, and how long its name is.
const SECTION_MIN: u64 = 8 + 8 + 2;

/// Looks at the manifests and tables of the engine in this directory.
///
/// # Errors
/// `Damaged`, which names the file, where one is not what was written.
pub(super) fn check(engine: &Path) -> Result<(), Error> {
    let keyspaces = engine.join(KEYSPACES);
    let entries = match fs::read_dir(&keyspaces) {
        Ok(entries) => entries,
        // The engine says itself what it misses.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(&keyspaces, error)),
    };
    for entry in entries {
        check_keyspace(&entry.map_err(|e| io(&keyspaces, e))?.path())?;
    }
    Ok(())
}

fn check_keyspace(keyspace: &Path) -> Result<(), Error> {
    let path = keyspace.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(current) => current,
        // One that was being made when the process ended.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(&path, error)),
    };
    let damaged =
        |path: &Path, at: &str, what: String| Error::Damaged { path: path.to_path_buf(), at: at.into(), what };
    let parts = current.split_first_chunk::<8>().filter(|_| current.len() == CURRENT_LENGTH);
    let parts = parts.and_then(|(number, rest)| rest.split_first_chunk::<16>().map(|(sum, kind)| (number, sum, kind)));
    let Some((number, checksum, [XXH3])) = parts else {
        return Err(damaged(&path, "its whole", "it does not name a manifest".into()));
    };
    let path = keyspace.join(format!("v{}", u64::from_le_bytes(*number)));
    let manifest = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(&path, "its whole", "the manifest is not there".into()),
        _ => io(&path, error),
    })?;
    if xxh3_128(&manifest) != u128::from_le_bytes(*checksum) {
        return Err(damaged(&path, "its checksum", "it is not what the engine wrote".into()));
    }
    let tables = keyspace.join(TABLES);
    let entries = match fs::read_dir(&tables) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(&tables, error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| io(&tables, e))?.path();
        if let Some(count) = impossible_sections(&path).map_err(|e| io(&path, e))? {
            return Err(damaged(&path, "its list of sections", format!("{count} of them are more than fit into it")));
        }
    }
    Ok(())
}

/// How many sections a table says that it has, where that cannot be. One that was being written when the process ended is none of these:
/// the engine takes it away.
fn impossible_sections(path: &Path) -> std::io::Result<Option<u64>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut trailer = [0; TRAILER];
    let Some(at) = length.checked_sub(TRAILER as u64) else { return Ok(None) };
    file.read_exact_at(&mut trailer, at)?;
    let number = trailer.get(22..30).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
    let Some(list_at) = number.filter(|at| trailer.starts_with(TRAILER_MAGIC) && at.saturating_add(8) <= length) else {
        return Ok(None);
    };
    let mut list = [0; 8];
    file.read_exact_at(&mut list, list_at)?;
    let count = list.strip_prefix(LIST_MAGIC).and_then(|bytes| bytes.first_chunk());
    let count = count.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    Ok(Some(count).filter(|count| *count * SECTION_MIN > length))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Fjall;
    use super::*;
    use crate::kv::{Engine as _, Space};

    #[test]
    fn every_flipped_byte_and_every_cut_of_a_manifest_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Fjall::open(dir.path()).unwrap();
        for n in 0..3_u8 {
            engine.ingest(Space::Documents, &mut [(Bytes::from(vec![n]), Some(Bytes::from("v")))].into_iter()).unwrap();
        }
        drop(engine);
        check(dir.path()).unwrap();
        let mut flipped = 0;
        for keyspace in fs::read_dir(dir.path().join(KEYSPACES)).unwrap() {
            let keyspace = keyspace.unwrap().path();
            let current = fs::read(keyspace.join(CURRENT)).unwrap();
            let manifest = format!("v{}", u64::from_le_bytes(*current.first_chunk().unwrap()));
            for name in [CURRENT, &manifest] {
                let path = keyspace.join(name);
                let whole = fs::read(&path).unwrap();
                for at in 0..whole.len() {
                    let mut bytes = whole.clone();
                    bytes[at] ^= 1 << (at % 8);
                    fs::write(&path, &bytes).unwrap();
                    assert!(matches!(check(dir.path()), Err(Error::Damaged { .. })), "byte {at} of {}", path.display());
                    fs::write(&path, &whole[..at]).unwrap();
                    assert!(
                        matches!(check(dir.path()), Err(Error::Damaged { .. })),
                        "{at} bytes of {}",
                        path.display()
                    );
                    flipped += 1;
                }
                fs::write(&path, &whole).unwrap();
            }
        }
        assert!(flipped > 500, "only {flipped}");
        check(dir.path()).unwrap();
    }

    #[test]
    fn a_list_that_cannot_be_is_found_before_memory_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Fjall::open(dir.path()).unwrap();
        engine.ingest(Space::Documents, &mut [(Bytes::from("k"), Some(Bytes::from("v")))].into_iter()).unwrap();
        drop(engine);
        let mut found = 0;
        for keyspace in fs::read_dir(dir.path().join(KEYSPACES)).unwrap() {
            for table in fs::read_dir(keyspace.unwrap().path().join(TABLES)).unwrap() {
                let path = table.unwrap().path();
                let whole = fs::read(&path).unwrap();
                let list = whole.windows(4).rposition(|bytes| bytes == LIST_MAGIC).unwrap();
                assert_eq!(impossible_sections(&path).unwrap(), None);
                for bit in 0..32 {
                    let mut bytes = whole.clone();
                    bytes[list + 4 + bit / 8] ^= 1 << (bit % 8);
                    fs::write(&path, &bytes).unwrap();
                    let too_many = impossible_sections(&path).unwrap().is_some();
                    assert!(too_many || bit < 16, "bit {bit}");
                    found += usize::from(too_many);
                }
                for length in [0, 1, TRAILER - 1, TRAILER, whole.len() - 1] {
                    fs::write(&path, &whole[..length]).unwrap();
                    assert_eq!(impossible_sections(&path).unwrap(), None, "{length} bytes are the engine's to judge");
                }
                fs::write(&path, &whole).unwrap();
            }
        }
        assert!(found >= 16, "only {found}");
        check(dir.path()).unwrap();
    }
}
