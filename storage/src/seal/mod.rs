//! Sealing: the master key, the keyring of data keys, and the one form in which bytes go to disk.
//!
//! Owns every secret of the store and every use of a cipher. Does not know what the sealed bytes mean or where they
//! are kept: callers name a [`Purpose`] and a context (collection and key; history, term and LSN), and bytes opened
//! under any other purpose or context are an error.
//!
//! Invariant: there is no plaintext mode (but for a build that is only there to be measured, see [`cipher`]), and no secret
//! leaves this directory except inside the types that erase it when dropped and never print it.

mod cipher;
mod file;
mod keyring;
mod master;
mod record;

pub(crate) use file::{SealedFileReader, SealedFileWriter};
pub(crate) use keyring::Wrapping;
pub use keyring::{KeyInfo, KeyState, Keyring, Phase, Rotation};
pub(crate) use master::named_file;
pub use master::{MasterKey, MasterKeySource, Origin, resolve};
pub(crate) use record::OwnKey;
pub use record::{OVERHEAD, Purpose, SEAL_PREFIX, Sealer, key_id};

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::Rng;
use zeroize::Zeroizing;

use crate::Error;

/// What records are sealed with. Another name in a build that seals nothing, which is only there to be measured.
pub const CIPHER: &str = cipher::NAME;
/// Whether records are sealed at all, as they are in every build but that one.
pub const SEALS: bool = !cfg!(feature = "pass-through-cipher");

/// 32 secret bytes; erased when dropped, and not printable.
type Secret = Zeroizing<[u8; 32]>;

/// Fresh bytes for nonces and keys: ChaCha12 per thread, seeded and reseeded from the operating system, because a
/// system call for each record costs more than sealing it.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// Replaces a file so that a crash at any instant leaves the old contents or the new: a temporary file beside it
/// (mode 0600), synced, renamed over it, and the directory synced.
pub(crate) fn replace_file(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let io = |path: &Path, source: io::Error| Error::Io { path: path.to_owned(), source };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(temporary, error)),
        _ => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(temporary, path)) {
        // The first error is the one to report; a leftover temporary file is replaced by the next attempt.
        let _ = fs::remove_file(temporary);
        return Err(io(path, error));
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|error| io(directory, error))
}
