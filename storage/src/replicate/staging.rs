//! Making a store of an export, beside the one that is there: `<dir>/sync`.

use std::path::Path;

use super::export::{ExportHash, ExportHeader};
use crate::seal::MasterKeySource;
use crate::{Error, Options};

/// A store that is being made of an export's chunks. What is there already stays as it is.
#[derive(Debug)]
pub struct Staging {
    header: ExportHeader,
}

impl Staging {
    /// Begins anew. What was staged before is taken away. The keyring is a new one under the same master key.
    pub fn begin(_options: &Options, _master: &MasterKeySource, _header: &ExportHeader) -> Result<Staging, Error> {
        Err(Error::Refused("this version stages nothing".into()))
    }

    /// Goes on with what was staged before, also by a process that ended: the staging, and the number of the chunk it wants.
    /// None: there is nothing to go on with.
    pub fn resume(_options: &Options, _master: &MasterKeySource) -> Result<Option<(Staging, u64)>, Error> {
        Ok(None)
    }

    /// Takes away what was staged in a data directory.
    pub fn discard(_dir: &Path) -> Result<(), Error> {
        Ok(())
    }

    /// The export's header.
    pub fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// The next chunk. A chunk that is not whole, or not the next, is refused and changes nothing.
    pub fn write(&mut self, _chunk: &[u8]) -> Result<(), Error> {
        Err(Error::Refused("this version stages nothing".into()))
    }

    /// All chunks were written, and this is the export's hash. What is staged is a whole store now.
    ///
    /// # Errors
    /// `Refused` when the hash is another one.
    pub fn finish(self, _hash: ExportHash) -> Result<Staged, Error> {
        Err(Error::Refused("this version stages nothing".into()))
    }
}

/// A whole store beside the one that is there.
#[derive(Debug)]
pub struct Staged {
    _private: (),
}

impl Staged {
    /// Puts it in the place of the old one, whose [`crate::Store::close`] has returned. A crash at any moment leaves one of the
    /// two, and the next start finishes what was begun. Then [`crate::Store::open`] opens the new one.
    ///
    /// # Errors
    /// `Busy` while somebody still holds a view or an export of the old one; nothing has changed then, and it may be called
    /// again.
    pub fn install(&self) -> Result<(), Error> {
        Err(Error::Refused("this version stages nothing".into()))
    }
}
