//! Temporary files: sealed blocks that are written once and read back in order.
//!
//! A file has no name from the moment it is open, so it is gone with its process, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::io;
use crate::seal::{OwnKey, Purpose, Sealer};

/// Where temporary files are made.
#[derive(Debug, Clone)]
pub struct Spills {
    dir: PathBuf,
    sealer: Sealer,
    reserve_bytes: u64,
}

/// A file that is being written.
pub struct SpillWriter {
    file: BufWriter<File>,
    path: PathBuf,
    spills: Spills,
    /// The whole file is under one key, so that a change of keys need not know of it.
    key: OwnKey,
    id: [u8; 16],
    blocks: u64,
    bytes: u64,
}

/// A file that is being read.
pub struct SpillReader {
    file: BufReader<File>,
    path: PathBuf,
    key: OwnKey,
    id: [u8; 16],
    blocks: u64,
    at: u64,
}

/// Makes the directory of temporary files, or empties it.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(dir, error)),
        _ => {}
    }
    std::fs::create_dir(dir).map_err(|e| io(dir, e))
}

fn context(id: &[u8; 16], block: u64) -> [u8; 24] {
    let mut context = [0; 24];
    let (head, tail) = context.split_at_mut(16);
    head.copy_from_slice(id);
    tail.copy_from_slice(&block.to_le_bytes());
    context
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::StorageFull { Error::NoSpace } else { io(path, error) }
}

impl Spills {
    /// Files in this directory; less than `reserve_bytes` of the disk are left to others.
    pub(crate) fn new(dir: PathBuf, sealer: Sealer, reserve_bytes: u64) -> Spills {
        Spills { dir, sealer, reserve_bytes }
    }

    /// A new file.
    ///
    /// # Errors
    /// `NoSpace` where the disk is full, up to its reserve.
    pub fn create(&self) -> Result<SpillWriter, Error> {
        self.check_space()?;
        let id: [u8; 16] = rand::random();
        let path = self.dir.join(hex::encode(id));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| failed(&path, e))?;
        std::fs::remove_file(&path).map_err(|e| io(&path, e))?;
        let (spills, key) = (self.clone(), self.sealer.own_key());
        Ok(SpillWriter { file: BufWriter::new(file), path, spills, key, id, blocks: 0, bytes: 0 })
    }

    /// Whether there is room for more.
    pub(crate) fn check_space(&self) -> Result<(), Error> {
        let free = rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |s| s.f_bavail * s.f_frsize);
        if free < self.reserve_bytes { Err(Error::NoSpace) } else { Ok(()) }
    }
}

/// Every how many bytes it is asked whether there is room for more.
const CHECK_EVERY: u64 = 1 << 20;

impl SpillWriter {
    /// Appends a block, at most 4 GiB.
    ///
    /// # Errors
    /// `NoSpace` where the disk is full, up to its reserve.
    pub fn write(&mut self, plain: &[u8]) -> Result<(), Error> {
        let mut sealed = Vec::with_capacity(plain.len() + crate::seal::OVERHEAD);
        self.key.seal(Purpose::Spill, &context(&self.id, self.blocks), plain, &mut sealed);
        self.blocks += 1;
        let length = (sealed.len() as u32).to_le_bytes();
        let before = self.bytes;
        self.bytes += (length.len() + sealed.len()) as u64;
        if before / CHECK_EVERY != self.bytes / CHECK_EVERY {
            self.spills.check_space()?;
        }
        let written = self.file.write_all(&length).and_then(|()| self.file.write_all(&sealed));
        written.map_err(|e| failed(&self.path, e))
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends writing; what is read back begins with the first block.
    pub fn finish(self) -> Result<SpillReader, Error> {
        let SpillWriter { file, path, key, id, blocks, .. } = self;
        let mut file = file.into_inner().map_err(|e| failed(&path, e.into_error()))?;
        file.rewind().map_err(|e| io(&path, e))?;
        Ok(SpillReader { file: BufReader::new(file), path, key, id, blocks, at: 0 })
    }
}

impl std::fmt::Debug for SpillWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpillWriter").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SpillReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpillReader").field("blocks", &self.blocks).field("at", &self.at).finish_non_exhaustive()
    }
}

impl SpillReader {
    /// Goes back to the first block.
    pub fn rewind(&mut self) -> Result<(), Error> {
        self.file.rewind().map_err(|e| io(&self.path, e))?;
        self.at = 0;
        Ok(())
    }

    /// The next block; none at the end.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.at == self.blocks {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(|e| io(&self.path, e))?;
        let mut sealed = vec![0; u32::from_le_bytes(length) as usize];
        self.file.read_exact(&mut sealed).map_err(|e| io(&self.path, e))?;
        let plain = self.key.open(Purpose::Spill, &context(&self.id, self.at), &sealed)?;
        self.at += 1;
        Ok(Some(plain.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn blocks_come_back_and_no_name_stays() {
        let (dir, _engine, sealer) = testing::engine();
        let tmp = dir.path().join("tmp");
        prepare(&tmp).unwrap();
        let mut writer = Spills::new(tmp.clone(), sealer, 0).create().unwrap();
        writer.write(b"one").unwrap();
        writer.write(&[7; 100_000]).unwrap();
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        let mut reader = writer.finish().unwrap();
        assert_eq!(reader.read().unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(reader.read().unwrap().map(|block| block.len()), Some(100_000));
        assert_eq!(reader.read().unwrap(), None);
        reader.rewind().unwrap();
        assert_eq!(reader.read().unwrap().as_deref(), Some(&b"one"[..]));
    }
}
