//! The master key: where it comes from and the file it is kept in.
//!
//! Owns finding, checking and, at the first start, making the key that wraps the keyring. Does not know the keyring.
//! The key is never an argument of the command line, since those can be read by every user of the machine.
//!
//! Invariant: with data there and no key, nothing is made or changed.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::{Secret, random, replace_file};
use crate::Error;

/// The name under which systemd hands the key over (`LoadCredential=veddb-master-key:...`).
const CREDENTIAL: &str = "veddb-master-key";

/// Hexadecimal digits in a key file, before its newline.
const DIGITS: usize = 64;

/// The key that wraps the keyring.
#[derive(Clone)]
pub struct MasterKey(Secret);

impl MasterKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> MasterKey {
        MasterKey(Zeroizing::new(random()))
    }

    /// Reads 64 hexadecimal digits and at most one newline; the error says what is wrong and quotes nothing.
    pub fn parse(text: &[u8]) -> Result<MasterKey, &'static str> {
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        if digits.len() != DIGITS {
            return Err("a master key is 64 hexadecimal digits and a newline, and this is of another length");
        }
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, key.as_mut_slice())
            .map_err(|_| "a master key is 64 hexadecimal digits and a newline, and this has other characters")?;
        Ok(MasterKey(key))
    }

    /// The 32 bytes, for deriving what wraps the keyring.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a key file holds.
    fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(vec![b'\n'; DIGITS + 1]);
        if let Some(digits) = text.get_mut(..DIGITS) {
            hex::encode_to_slice(self.0.as_slice(), digits).expect("64 digits hold 32 bytes");
        }
        text
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Where the settings say the master key is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MasterKeySource {
    /// `master-key-file`.
    File(PathBuf),
    /// `master-key-env`: the name of an environment variable that holds the 64 digits.
    Environment(String),
    /// Nothing is named: systemd's credential `veddb-master-key` if there is one, else the file `<dir>.key` beside
    /// the data directory, which the first start makes.
    #[default]
    Unnamed,
}

/// Where the key was found; for the log line at start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Read from this file.
    File(PathBuf),
    /// Read from the environment variable of this name.
    Environment(String),
    /// Handed over by systemd in this file.
    Credential(PathBuf),
    /// Made just now and written to this file, which whoever runs the server has to keep.
    Created(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Credential(path) => write!(f, "systemd credential {}", path.display()),
            Origin::Created(path) => write!(f, "new file {}", path.display()),
        }
    }
}

/// Finds the master key, or makes one when nothing is named, no `<dir>.key` exists and there is no data yet.
///
/// `dir` is the data directory, which the caller has locked against other processes; `data_exists` says whether it
/// holds a store already.
pub fn resolve(source: &MasterKeySource, dir: &Path, data_exists: bool) -> Result<(MasterKey, Origin), Error> {
    resolve_in(source, dir, data_exists, &|name| std::env::var_os(name))
}

/// The master key in this file, which is made where there is none; and whether it was.
pub(crate) fn named_file(path: &Path) -> Result<(MasterKey, bool), Error> {
    if let Some(key) = read_key(path, Access::OwnerOnly)? {
        return Ok((key, false));
    }
    let key = MasterKey::generate();
    replace_file(path, &key.to_text())?;
    Ok((key, true))
}

fn resolve_in(
    source: &MasterKeySource,
    dir: &Path,
    data_exists: bool,
    environment: &dyn Fn(&OsStr) -> Option<OsString>,
) -> Result<(MasterKey, Origin), Error> {
    match source {
        MasterKeySource::File(path) => match read_key(path, Access::OwnerOnly)? {
            Some(key) => Ok((key, Origin::File(path.clone()))),
            None => Err(Error::Refused(format!("{}: there is no such master key file", path.display()))),
        },
        MasterKeySource::Environment(name) => {
            let mut value = environment(OsStr::new(name))
                .ok_or_else(|| {
                    Error::Refused(format!("the environment variable {name}, named for the master key, is not set"))
                })?
                .into_encoded_bytes();
            let key = MasterKey::parse(&value);
            value.zeroize();
            let key = key.map_err(|what| Error::Refused(format!("environment variable {name}: {what}")))?;
            Ok((key, Origin::Environment(name.clone())))
        }
        MasterKeySource::Unnamed => resolve_unnamed(dir, data_exists, environment),
    }
}

fn resolve_unnamed(
    dir: &Path,
    data_exists: bool,
    environment: &dyn Fn(&OsStr) -> Option<OsString>,
) -> Result<(MasterKey, Origin), Error> {
    if let Some(credentials) = environment(OsStr::new("CREDENTIALS_DIRECTORY")) {
        let path = Path::new(&credentials).join(CREDENTIAL);
        if let Some(key) = read_key(&path, Access::GivenBySystemd)? {
            return Ok((key, Origin::Credential(path)));
        }
    }
    let path = beside(dir)?;
    if let Some(key) = read_key(&path, Access::OwnerOnly)? {
        return Ok((key, Origin::File(path)));
    }
    if data_exists {
        return Err(Error::Refused(format!(
            "{} holds data, but no master key is named and {} does not exist; put the key file back, or name it with \
             master-key-file or master-key-env",
            dir.display(),
            path.display()
        )));
    }
    let key = MasterKey::generate();
    replace_file(&path, &key.to_text())?;
    Ok((key, Origin::Created(path)))
}

/// `<dir>.key`, beside the data directory and not inside it, so that a copy of the data does not carry its key.
fn beside(dir: &Path) -> Result<PathBuf, Error> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    let real = match fs::canonicalize(dir) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(dir).map_err(io)?,
        Err(error) => return Err(io(error)),
    };
    let Some(name) = real.file_name() else {
        return Err(Error::Refused(format!(
            "there is no place beside the data directory {} for a master key; name one with master-key-file",
            dir.display()
        )));
    };
    let mut name = name.to_owned();
    name.push(".key");
    Ok(real.with_file_name(name))
}

/// Who may be able to read a key file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The file's owner and nobody else.
    OwnerOnly,
    /// systemd guards the directory, and grants a service's user by an access list that shows as group bits.
    GivenBySystemd,
}

/// Reads a key file; `None` when there is no such file.
fn read_key(path: &Path, access: Access) -> Result<Option<MasterKey>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let refused = |what: &str| Error::Refused(format!("{}: {what}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(refused("not a file, so not a master key"));
    }
    let mode = metadata.mode() & 0o777;
    if access == Access::OwnerOnly && mode & 0o077 != 0 {
        return Err(refused(&format!(
            "mode {mode:04o} lets others than its owner reach the master key; use chmod 600"
        )));
    }
    // One byte more than a key has shows that a file is too long, and no more of it is read.
    let mut text = Zeroizing::new(Vec::with_capacity(DIGITS + 2));
    file.take(DIGITS as u64 + 2).read_to_end(&mut text).map_err(io)?;
    MasterKey::parse(&text).map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn nothing(_: &OsStr) -> Option<OsString> {
        None
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn message(result: Result<(MasterKey, Origin), Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_key_is_64_digits() {
        assert_eq!(MasterKey::parse(TEXT.as_bytes()).unwrap().bytes()[..3], [0x00, 0x11, 0x22]);
        assert!(MasterKey::parse(format!("{TEXT}\n").as_bytes()).is_ok());
        for wrong in ["", "\n", &TEXT[1..], &format!("{TEXT}0"), &format!("{TEXT}\n\n"), &TEXT.replace('0', "g")] {
            assert!(MasterKey::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn text_and_key_agree() {
        let key = MasterKey::generate();
        assert_eq!(MasterKey::parse(&key.to_text()).unwrap().bytes(), key.bytes());
    }

    #[test]
    fn debug_prints_nothing() {
        assert_eq!(format!("{:?}", MasterKey::parse(TEXT.as_bytes()).unwrap()), "MasterKey(..)");
    }

    #[test]
    fn the_first_start_makes_a_file_beside_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let (made, origin) = resolve_in(&MasterKeySource::Unnamed, &dir, false, &nothing).unwrap();
        let path = home.path().canonicalize().unwrap().join("data.key");
        assert_eq!(origin, Origin::Created(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), *made.to_text());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary file is left");

        fs::create_dir(&dir).unwrap();
        let (found, origin) = resolve_in(&MasterKeySource::Unnamed, &dir.join("."), true, &nothing).unwrap();
        assert_eq!(origin, Origin::File(path));
        assert_eq!(found.bytes(), made.bytes());
    }

    #[test]
    fn data_without_a_key_is_refused_and_nothing_made() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        fs::create_dir(&dir).unwrap();
        let said = message(resolve_in(&MasterKeySource::Unnamed, &dir, true, &nothing));
        assert!(said.contains("data.key does not exist"), "{said}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_named_file_has_to_be_there_and_be_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let source = MasterKeySource::File(path.clone());
        let ask = || resolve_in(&source, &home.path().join("data"), false, &nothing);
        assert!(message(ask()).contains("no such master key file"));
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            write(&path, TEXT, mode);
            assert!(message(ask()).contains("chmod 600"), "{mode:o}");
        }
        write(&path, &TEXT[1..], 0o600);
        assert!(message(ask()).contains("another length"));
        write(&path, TEXT, 0o400);
        assert_eq!(ask().unwrap().1, Origin::File(path));
    }

    #[test]
    fn a_named_variable_has_to_be_set() {
        let source = MasterKeySource::Environment("VEDDB_KEY".into());
        let dir = Path::new("data");
        assert!(message(resolve_in(&source, dir, false, &nothing)).contains("VEDDB_KEY"));
        let said = message(resolve_in(&source, dir, false, &|_| Some("secret".into())));
        assert!(said.contains("another length") && !said.contains("secret"), "{said}");
        let (_, origin) = resolve_in(&source, dir, false, &|_| Some(TEXT.into())).unwrap();
        assert_eq!(origin, Origin::Environment("VEDDB_KEY".into()));
    }

    #[test]
    fn a_credential_wins_over_the_file_beside_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        resolve_in(&MasterKeySource::Unnamed, &dir, false, &nothing).unwrap();
        let credentials = home.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        let environment = |_: &OsStr| Some(credentials.clone().into_os_string());
        let without = resolve_in(&MasterKeySource::Unnamed, &dir, true, &environment).unwrap();
        assert!(matches!(without.1, Origin::File(_)));
        write(&credentials.join(CREDENTIAL), TEXT, 0o440);
        let with = resolve_in(&MasterKeySource::Unnamed, &dir, true, &environment).unwrap();
        assert_eq!(with.1, Origin::Credential(credentials.join(CREDENTIAL)));
    }

    #[test]
    fn the_root_directory_has_nothing_beside_it() {
        assert!(message(resolve_in(&MasterKeySource::Unnamed, Path::new("/"), false, &nothing)).contains("no place"));
    }
}
