//! Whether fjall's manifests are what it wrote: it keeps their checksums and does not look at them when it opens.
//!
//! A manifest says which tables a key space has, and from which moment on each counts; a changed byte there could hide or resurrect
//! values without a word, or have the engine panic while it panics, which nobody can catch.

use std::fs;
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

/// Looks at the manifests of the engine in this directory.
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
    Ok(())
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
}
