//! A sealed file that outlives the keyring: blocks under a key of the file's own, which the master key opens.
//!
//! ```text
//! offset  size  what (integers are little endian)
//! 0       8     "VEDDBFIL"
//! 8       2     format version, 1
//! 10      16    id: random; stands for the database id in what is derived and sealed here
//! 26      16    check of the master key, as in the keyring
//! 42      77    the file's key: a record under the master key's wrapping key, of key id 0 and purpose 0, whose context
//!               is the 42 bytes before it
//! 119           blocks: length u32 and a record of that length under the file's key, of key id 0 and purpose 0, whose
//!               context is the block's number u64; the last one is empty, and there is nothing after it
//! ```

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use zeroize::Zeroizing;

use super::keyring::Wrapping;
use super::master::MasterKey;
use super::record::{OVERHEAD, Place, SEAL_PREFIX, derive, open, seal_prefixed};
use super::{Secret, random};
use crate::Error;

const MAGIC: &[u8; 8] = b"VEDDBFIL";
const FORMAT: u16 = 1;
const HEADER: usize = 8 + 2 + 16 + 16;
const OWN_PURPOSE: u8 = 0;
const SEALED_KEY: usize = 32 + OVERHEAD;
const LABEL: &str = "sealed file";
/// No block is longer.
const BLOCK_BYTES_MAX: usize = 1 << 30;

/// A file that is being written, beside its name until it is finished.
pub(crate) struct SealedFileWriter {
    file: BufWriter<File>,
    path: PathBuf,
    id: [u8; 16],
    cipher: XChaCha20Poly1305,
    blocks: u64,
}

fn io(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::StorageFull => Error::NoSpace,
        _ => Error::Io { path: path.to_path_buf(), source },
    }
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

fn seal(cipher: &XChaCha20Poly1305, id: &[u8; 16], context: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut record = vec![0; SEAL_PREFIX];
    record.extend_from_slice(plain);
    let tag = seal_prefixed(cipher, 0, &Place { database_id: id, purpose: OWN_PURPOSE, context }, &mut record);
    record.extend_from_slice(&tag);
    record
}

impl SealedFileWriter {
    /// A new file of this name.
    pub(crate) fn create(path: &Path, wrap: impl FnOnce(&[u8; 16]) -> Wrapping) -> Result<SealedFileWriter, Error> {
        let id: [u8; 16] = random();
        let wrapping = wrap(&id);
        let secret: Secret = Zeroizing::new(random());
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&id);
        header.extend_from_slice(wrapping.check());
        let sealed = seal(wrapping.cipher(), &id, &header, &*secret);
        header.extend_from_slice(&sealed);
        let name = unfinished(path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&name);
        let mut file = BufWriter::new(opened.map_err(|e| io(&name, e))?);
        file.write_all(&header).map_err(|e| io(&name, e))?;
        let cipher = derive(&secret, &id, LABEL);
        Ok(SealedFileWriter { file, path: path.to_path_buf(), id, cipher, blocks: 0 })
    }

    /// Appends a block, which is not empty.
    pub(crate) fn write(&mut self, plain: &[u8]) -> Result<(), Error> {
        let sealed = seal(&self.cipher, &self.id, &self.blocks.to_le_bytes(), plain);
        self.blocks += 1;
        let written = self.file.write_all(&(sealed.len() as u32).to_le_bytes());
        written.and_then(|()| self.file.write_all(&sealed)).map_err(|e| io(&self.path, e))
    }

    /// Ends the file, which has its name and is on disk when this returns.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.write(&[])?;
        let SealedFileWriter { file, path, .. } = self;
        let file = file.into_inner().map_err(|e| io(&path, e.into_error()))?;
        let synced = file.sync_all().and_then(|()| std::fs::rename(unfinished(&path), &path));
        synced.map_err(|e| io(&path, e))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(|e| io(directory, e))
    }
}

/// A file that is being read.
pub(crate) struct SealedFileReader {
    file: BufReader<File>,
    path: PathBuf,
    id: [u8; 16],
    cipher: XChaCha20Poly1305,
    blocks: u64,
}

impl SealedFileReader {
    /// Opens a file.
    ///
    /// # Errors
    /// `Refused` when it was sealed under another master key or is of another format, `Damaged`.
    pub(crate) fn open(path: &Path, master: &MasterKey) -> Result<SealedFileReader, Error> {
        let damaged =
            |what: &str| Error::Damaged { path: path.to_path_buf(), at: "offset 0".into(), what: what.into() };
        let mut file = BufReader::new(File::open(path).map_err(|e| io(path, e))?);
        let (mut header, mut sealed) = ([0; HEADER], [0; SEALED_KEY]);
        let read = file.read_exact(&mut header).and_then(|()| file.read_exact(&mut sealed));
        read.map_err(|_| damaged("cut short"))?;
        let [magic @ .., _, _] = *header.first_chunk::<10>().unwrap_or(&[0; 10]);
        if magic != *MAGIC {
            return Err(damaged("not a sealed file"));
        }
        let format = header.get(8..10).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes);
        if format != FORMAT {
            return Err(Error::Refused(format!("{}: format {format} is not known to this version", path.display())));
        }
        let id: [u8; 16] = header.get(10..26).and_then(|b| b.try_into().ok()).unwrap_or_default();
        let wrapping = Wrapping::new(master, &id);
        if header.get(26..) != Some(&wrapping.check()[..]) {
            let what = "it was sealed under another master key, or its header is damaged";
            return Err(Error::Refused(format!("{}: {what}", path.display())));
        }
        let place = Place { database_id: &id, purpose: OWN_PURPOSE, context: &header };
        let secret = open(wrapping.cipher(), &place, &sealed).map(Zeroizing::new);
        let secret = secret.map_err(|_| damaged("the file's key does not open"))?;
        let secret: &[u8; 32] = secret.first_chunk().ok_or_else(|| damaged("the file's key is cut short"))?;
        Ok(SealedFileReader { file, path: path.to_path_buf(), id, cipher: derive(secret, &id, LABEL), blocks: 0 })
    }

    /// The next block; none at the end.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let number = self.blocks;
        let damaged =
            |what: &str| Error::Damaged { path: self.path.clone(), at: format!("block {number}"), what: what.into() };
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(|_| damaged("cut short"))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(damaged("longer than any block"));
        }
        let mut sealed = Vec::new();
        let read = self.file.by_ref().take(length as u64).read_to_end(&mut sealed);
        if read.map_err(|e| io(&self.path, e))? != length {
            return Err(damaged("cut short"));
        }
        let context = number.to_le_bytes();
        let place = Place { database_id: &self.id, purpose: OWN_PURPOSE, context: &context };
        let plain = open(&self.cipher, &place, &sealed).map_err(|what| damaged(&what))?;
        self.blocks += 1;
        if !plain.is_empty() {
            return Ok(Some(plain));
        }
        match self.file.read(&mut [0]).map_err(|e| io(&self.path, e))? {
            0 => Ok(None),
            _ => {
                Err(Error::Damaged { path: self.path.clone(), at: "its end".into(), what: "more bytes follow".into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, master: &MasterKey) -> Result<Vec<Vec<u8>>, Error> {
        let mut reader = SealedFileReader::open(path, master)?;
        let mut blocks = Vec::new();
        while let Some(block) = reader.read()? {
            blocks.push(block);
        }
        Ok(blocks)
    }

    #[test]
    fn blocks_come_back_and_any_change_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (path, master) = (dir.path().join("a.sealed"), MasterKey::generate());
        let mut writer = SealedFileWriter::create(&path, |id| Wrapping::new(&master, id)).unwrap();
        writer.write(b"sentinel one").unwrap();
        writer.write(b"two").unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        assert_eq!(read(&path, &master).unwrap(), [b"sentinel one".to_vec(), b"two".to_vec()]);
        assert!(matches!(read(&path, &MasterKey::generate()), Err(Error::Refused(_))));
        let whole = std::fs::read(&path).unwrap();
        assert!(!whole.windows(8).any(|bytes| bytes == b"sentinel"));
        let check = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path, &master).is_err(), "{what}");
        };
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            check(&changed, &format!("byte {at}"));
            check(&whole[..at], &format!("length {at}"));
        }
        check(&[&whole[..], b"x"].concat(), "more");
    }
}
