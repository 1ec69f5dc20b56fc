//! Rows kept in their order, in memory while they fit there and in a sealed temporary file otherwise.

use std::sync::Arc;

use veddb_storage::{Document, Error, SpillReader, SpillWriter, Spills};

use super::memory::{Account, Held};
use super::{Failure, Row, Running};

/// So many runs are merged at a time, at most.
const RUNS_MAX: usize = 64;

/// Rows of one block of a file, bytes, about.
const BLOCK_BYTES: usize = 64 << 10;

/// Writes rows to a temporary file.
#[derive(Debug)]
pub struct RowWriter {
    writer: SpillWriter,
    block: Vec<u8>,
    largest: usize,
    account: Arc<Account>,
}

/// Reads them back.
#[derive(Debug)]
pub struct RowReader {
    reader: SpillReader,
    block: Vec<u8>,
    at: usize,
    /// Of its largest row, bytes.
    largest: usize,
}

impl RowWriter {
    /// A new file.
    pub fn create(spills: &Spills, account: &Arc<Account>) -> Result<RowWriter, Error> {
        Ok(RowWriter { writer: spills.create()?, block: Vec::new(), largest: 0, account: Arc::clone(account) })
    }

    /// Appends a row.
    pub fn push(&mut self, row: &Row) -> Result<(), Error> {
        let version = if let Row::Stored(document) = row { document.version } else { 0 };
        self.put(version, row.body())
    }

    /// Appends a packed object.
    pub fn push_body(&mut self, body: &[u8]) -> Result<(), Error> {
        self.put(0, body)
    }

    fn put(&mut self, version: u64, body: &[u8]) -> Result<(), Error> {
        self.block.extend_from_slice(&version.to_le_bytes());
        self.block.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.block.extend_from_slice(body);
        self.largest = self.largest.max(body.len());
        if self.block.len() >= BLOCK_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        let before = self.writer.bytes();
        self.writer.write(&self.block)?;
        self.account.note_spilled(self.writer.bytes() - before);
        self.block.clear();
        Ok(())
    }

    /// Ends writing.
    pub fn finish(mut self) -> Result<RowReader, Error> {
        if !self.block.is_empty() {
            self.write()?;
        }
        Ok(RowReader { reader: self.writer.finish()?, block: Vec::new(), at: 0, largest: self.largest })
    }
}

impl RowReader {
    /// What it takes while it is merged with others, bytes: a block, a row, and as much again that the row is sorted by.
    pub fn weight(&self) -> usize {
        BLOCK_BYTES + 2 * self.largest
    }

    /// The next row, as it was when it was written; none at the end.
    pub fn read(&mut self) -> Result<Option<Row>, Error> {
        if self.at >= self.block.len() {
            let Some(block) = self.reader.read()? else { return Ok(None) };
            (self.block, self.at) = (block, 0);
        }
        let damaged = || Error::Engine("a temporary file is not what was written".into());
        let (version, rest) = self.block.get(self.at..).and_then(|b| b.split_first_chunk::<8>()).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (version, length) = (u64::from_le_bytes(*version), u32::from_le_bytes(*length) as usize);
        let body: Box<[u8]> = rest.get(..length).ok_or_else(damaged)?.into();
        self.at += 12 + length;
        if self.at >= self.block.len() {
            // A large row fills a block, and need not be held twice.
            self.block = Vec::new();
            self.at = 0;
        }
        // A stored document's version is at least 1.
        Ok(Some(if version > 0 { Row::Stored(Arc::new(Document::new(version, body))) } else { Row::Made(body) }))
    }

    /// Goes back to the first one.
    pub fn rewind(&mut self) -> Result<(), Error> {
        (self.block, self.at) = (Vec::new(), 0);
        self.reader.rewind()
    }
}

/// Runs: sorted files of rows, which were written one after the other. So many of them are merged to a longer one, and so
/// many of those again, so that a row is read and written as often as there are lengths. How many are merged at a time depends
/// on how large their rows are.
#[derive(Debug)]
pub struct Runs {
    /// By length, the shortest first; the rows of longer ones came earlier.
    lengths: Vec<Vec<RowReader>>,
    account: Arc<Account>,
}

/// Whether no more than these should be merged at a time, since they take half of what the query may hold.
fn is_full(runs: &[RowReader], account: &Account) -> bool {
    runs.len() >= RUNS_MAX || runs.iter().map(RowReader::weight).sum::<usize>() > account.limit() / 2
}

impl Runs {
    /// None yet.
    pub fn new(account: &Arc<Account>) -> Runs {
        Runs { lengths: Vec::new(), account: Arc::clone(account) }
    }

    /// One more. `merge` makes one of several, which come in the order in which they were written.
    pub fn push(
        &mut self,
        run: RowReader,
        mut merge: impl FnMut(Vec<RowReader>) -> Result<RowReader, Failure>,
    ) -> Result<(), Failure> {
        let mut run = run;
        for runs in &mut self.lengths {
            runs.push(run);
            if runs.len() < 2 || !is_full(runs, &self.account) {
                return Ok(());
            }
            run = merge(std::mem::take(runs))?;
        }
        self.lengths.push(vec![run]);
        Ok(())
    }

    /// All of them, in the order in which they were written and as few as can be merged at a time; none are left. `merge` is as
    /// for [`Runs::push`].
    pub fn take(
        &mut self,
        mut merge: impl FnMut(Vec<RowReader>) -> Result<RowReader, Failure>,
    ) -> Result<Vec<RowReader>, Failure> {
        let mut all: Vec<RowReader> = std::mem::take(&mut self.lengths).into_iter().rev().flatten().collect();
        while all.len() > 2 && is_full(&all, &self.account) {
            let (mut fewer, mut some) = (Vec::new(), Vec::new());
            for run in all {
                some.push(run);
                if some.len() > 1 && is_full(&some, &self.account) {
                    fewer.push(merge(std::mem::take(&mut some))?);
                }
            }
            fewer.extend(some);
            all = fewer;
        }
        Ok(all)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.iter().all(Vec::is_empty)
    }
}

/// Rows in their order.
#[derive(Debug)]
pub struct Spool {
    held: Held,
    rows: Vec<Row>,
    file: File,
    /// Where reading is.
    at: usize,
}

#[derive(Debug)]
enum File {
    None,
    Writing(RowWriter),
    Reading(RowReader),
}

impl Spool {
    /// None yet.
    pub fn new(account: &Arc<Account>) -> Spool {
        Spool { held: account.part(), rows: Vec::new(), file: File::None, at: 0 }
    }

    /// Appends a row. Not to be called once [`Spool::read`] was.
    pub fn push(&mut self, row: Row, running: &Running<'_>) -> Result<(), Failure> {
        if let File::Writing(writer) = &mut self.file {
            return Ok(writer.push(&row)?);
        }
        if self.held.grow(row.size()) {
            self.rows.push(row);
            return Ok(());
        }
        self.spill(running)?;
        self.push(row, running)
    }

    /// Writes what is held to a file, as all rows from now on. Not to be called once [`Spool::read`] was.
    pub fn spill(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        if let File::None = self.file {
            let mut writer = RowWriter::create(running.context.view.spills(), self.held.account())?;
            for row in std::mem::take(&mut self.rows) {
                writer.push(&row)?;
            }
            self.held.release();
            self.file = File::Writing(writer);
        }
        Ok(())
    }

    /// The next row; none at the end.
    pub fn read(&mut self) -> Result<Option<Row>, Failure> {
        if let File::Writing(_) = self.file
            && let File::Writing(writer) = std::mem::replace(&mut self.file, File::None)
        {
            self.file = File::Reading(writer.finish()?);
        }
        if let File::Reading(reader) = &mut self.file {
            return Ok(reader.read()?);
        }
        let row = self.rows.get(self.at).cloned();
        self.at += 1;
        Ok(row)
    }

    /// Goes back to the first row.
    pub fn rewind(&mut self) -> Result<(), Failure> {
        self.at = 0;
        if let File::Reading(reader) = &mut self.file {
            reader.rewind()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::memory::QueryMemory;
    use crate::pipeline::tests::Bench;

    /// Writes so many runs of a row of this size each, in an account of this limit; answers how many were left to be merged at
    /// the end, and how many rows the merges before read.
    fn written_and_taken(count: usize, row: usize, limit: usize) -> (usize, usize) {
        let bench = Bench::new(1 << 20);
        let (view, account) = (bench.store().view(0), Account::new(&Arc::new(QueryMemory::new(limit, limit))));
        let create = || RowWriter::create(view.spills(), &account).unwrap();
        let (mut runs, mut read) = (Runs::new(&account), 0);
        let mut merge = |runs: Vec<RowReader>| {
            let mut writer = create();
            for mut run in runs {
                while let Some(row) = run.read()? {
                    read += 1;
                    writer.push(&row)?;
                }
            }
            Ok(writer.finish()?)
        };
        assert!(runs.is_empty());
        let mut body = vec![0; row];
        for number in 0..count {
            let mut writer = create();
            body[..8].copy_from_slice(&number.to_le_bytes());
            writer.push_body(&body).unwrap();
            runs.push(writer.finish().unwrap(), &mut merge).unwrap();
        }
        let taken = runs.take(&mut merge).unwrap();
        assert!(runs.is_empty());
        let left = taken.len();
        let mut all = Vec::new();
        for mut run in taken {
            while let Some(row) = run.read().unwrap() {
                all.push(usize::from_le_bytes(row.body()[..8].try_into().unwrap()));
            }
        }
        assert_eq!(all, (0..count).collect::<Vec<usize>>());
        (left, read)
    }

    #[test]
    fn runs_stay_in_order_and_are_merged_by_length() {
        let count = RUNS_MAX * RUNS_MAX + RUNS_MAX + 3;
        let (left, read) = written_and_taken(count, 8, 64 << 20);
        assert_eq!((left, read), (1 + 1 + 3, 2 * RUNS_MAX * RUNS_MAX + RUNS_MAX));
    }

    #[test]
    fn no_more_large_rows_are_merged_than_fit() {
        // Half of the limit are four of them and their blocks.
        let (left, read) = written_and_taken(50, 1 << 20, 18 << 20);
        assert!(left <= 5 && read < 50 * 4, "{left} are left, {read} were read");
        // However small the limit is, two are merged.
        assert_eq!(written_and_taken(3, 1 << 20, 1 << 20).0, 2);
    }
}
