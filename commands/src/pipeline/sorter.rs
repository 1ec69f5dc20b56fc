//! Sorting rows that memory may not hold: sorted runs in sealed temporary files, merged while they are read.
//!
//! Rows are sorted in small pieces, and these merged as well, so that a sort of many rows ends when it is told to.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::memory::{Account, Held};
use super::spool::{RowReader, RowWriter, Runs};
use super::{Failure, Row, Running};
use crate::query::sort::{Sort, SortKey};

/// So many rows are sorted at a time: some milliseconds.
const PIECE_ROWS: usize = 8192;

/// What a row takes beside itself and its key: its place, and what the allocator adds.
const ROW_BYTES: usize = 64;

/// A row with what it sorts by.
type Keyed = (SortKey, Row);

/// Sorts rows; equal ones stay in the order in which they came.
#[derive(Debug)]
pub struct Sorter {
    sort: Arc<Sort>,
    /// How many of the first are kept.
    keep: usize,
    held: Held,
    rows: Vec<Keyed>,
    /// Sorted, in the order in which their rows came.
    pieces: Vec<VecDeque<Keyed>>,
    /// How many rows are in these.
    in_pieces: usize,
    runs: Runs,
}

/// Rows in order.
#[derive(Debug)]
pub struct InOrder {
    left: usize,
    /// The first row of each source that still has one.
    heads: BinaryHeap<Head>,
    sources: Vec<Source>,
    held: Held,
}

/// The first row of a source.
#[derive(Debug)]
struct Head {
    sort: Arc<Sort>,
    row: Keyed,
    source: usize,
}

#[derive(Debug)]
enum Source {
    Memory(VecDeque<Keyed>),
    File(RowReader),
}

impl Sorter {
    /// Keeps the first `keep` rows of this order.
    pub fn new(sort: &Arc<Sort>, keep: usize, account: &Arc<Account>) -> Sorter {
        Sorter {
            sort: Arc::clone(sort),
            keep,
            held: account.part(),
            rows: Vec::new(),
            pieces: Vec::new(),
            in_pieces: 0,
            runs: Runs::new(account),
        }
    }

    /// One more row.
    pub fn push(&mut self, row: Row, running: &Running<'_>) -> Result<(), Failure> {
        if self.keep == 0 {
            return Ok(());
        }
        let row = (self.sort.key(row.root())?, row);
        let size = size_of_row(&row);
        if !self.held.grow(size) {
            let before = self.held.bytes();
            self.cut(running)?;
            // Only what was cut off may have been in the way; where that is little it is soon in the way again.
            if self.held.bytes() > before / 4 * 3 || !self.held.grow(size) {
                self.write(running)?;
                self.held.force(size);
            }
        }
        self.rows.push(row);
        if self.rows.len() >= PIECE_ROWS {
            self.put_in_piece();
        }
        if self.rows.len() + self.in_pieces >= self.keep.saturating_mul(2).max(1024) {
            self.cut(running)?;
        }
        Ok(())
    }

    /// Makes a piece of what came since the last one.
    fn put_in_piece(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|(a, _), (b, _)| self.sort.compare(a, b));
        self.in_pieces += rows.len();
        self.pieces.push(rows.into());
    }

    /// What is in memory, in order; none of it is left here.
    fn take_pieces(&mut self) -> Result<InOrder, Failure> {
        self.put_in_piece();
        self.in_pieces = 0;
        let sources = self.pieces.drain(..).map(Source::Memory).collect();
        InOrder::new(&self.sort, self.keep, sources, self.held.account().part())
    }

    /// Lets go of the rows in memory that are not among the first of them.
    fn cut(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        if self.rows.len() + self.in_pieces <= self.keep {
            return Ok(());
        }
        let mut merged = self.take_pieces()?;
        let (mut kept, mut bytes) = (VecDeque::new(), 0);
        while let Some(row) = merged.take()? {
            running.step()?;
            bytes += size_of_row(&row);
            kept.push_back(row);
        }
        self.held.shrink(self.held.bytes().saturating_sub(bytes));
        self.in_pieces = kept.len();
        self.pieces.push(kept);
        Ok(())
    }

    /// Writes what is held to a run.
    fn write(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        let run = written(self.take_pieces()?, running)?;
        // What they took goes with them.
        self.held.release();
        let Sorter { sort, keep, held, runs, .. } = self;
        runs.push(run, |runs| merged(runs, sort, *keep, held.account(), running))
    }

    /// Writes what is held to a file where that is more than a quarter of what the query may hold: for those who have to hold
    /// something else while they read the rows.
    pub fn make_room(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        if self.held.bytes() > self.held.account().limit() / 4 { self.write(running) } else { Ok(()) }
    }

    /// All rows, in order; none are left here.
    pub fn finish(&mut self, running: &Running<'_>) -> Result<InOrder, Failure> {
        if !self.runs.is_empty() && self.held.bytes() > 0 {
            // Then merging them has all the room.
            self.write(running)?;
        }
        self.put_in_piece();
        self.in_pieces = 0;
        let Sorter { sort, keep, held, runs, pieces, .. } = self;
        let files = runs.take(|runs| merged(runs, sort, *keep, held.account(), running))?;
        let sources = files.into_iter().map(Source::File).chain(pieces.drain(..).map(Source::Memory)).collect();
        let nothing = held.account().part();
        InOrder::new(sort, *keep, sources, std::mem::replace(held, nothing))
    }
}

/// One run of several.
fn merged(
    runs: Vec<RowReader>,
    sort: &Arc<Sort>,
    keep: usize,
    account: &Arc<Account>,
    running: &Running<'_>,
) -> Result<RowReader, Failure> {
    let sources = runs.into_iter().map(Source::File).collect();
    written(InOrder::new(sort, keep, sources, account.part())?, running)
}

/// The rows as a run.
fn written(mut rows: InOrder, running: &Running<'_>) -> Result<RowReader, Failure> {
    let mut writer = RowWriter::create(running.context.view.spills(), rows.held.account())?;
    while let Some(row) = rows.read()? {
        running.step()?;
        writer.push(&row)?;
    }
    Ok(writer.finish()?)
}

fn size_of_row((key, row): &Keyed) -> usize {
    row.size() + key.size() + ROW_BYTES
}

/// Sorts a slice, in an order in which no two are equal; asks meanwhile whether to go on.
pub fn sort_by<T>(rows: &mut [T], compare: impl Fn(&T, &T) -> Ordering, running: &Running<'_>) -> Result<(), Failure> {
    let mut size = PIECE_ROWS;
    loop {
        for piece in rows.chunks_mut(size) {
            running.check()?;
            // It finds what is sorted in it already, and merges that.
            piece.sort_by(&compare);
        }
        if size >= rows.len() {
            return Ok(());
        }
        size = size.saturating_mul(8);
    }
}

impl Source {
    fn next(&mut self, sort: &Sort) -> Result<Option<Keyed>, Failure> {
        match self {
            Source::Memory(rows) => Ok(rows.pop_front()),
            Source::File(reader) => match reader.read()? {
                Some(row) => Ok(Some((sort.key(row.root())?, row))),
                None => Ok(None),
            },
        }
    }
}

impl InOrder {
    fn new(sort: &Arc<Sort>, left: usize, sources: Vec<Source>, mut held: Held) -> Result<InOrder, Failure> {
        for source in &sources {
            if let Source::File(run) = source {
                held.force(run.weight());
            }
        }
        let mut all = InOrder { left, heads: BinaryHeap::new(), sources, held };
        for (number, source) in all.sources.iter_mut().enumerate() {
            if let Some(row) = source.next(sort)? {
                all.heads.push(Head { sort: Arc::clone(sort), row, source: number });
            }
        }
        Ok(all)
    }

    /// The next row; none at the end.
    pub fn read(&mut self) -> Result<Option<Row>, Failure> {
        Ok(self.take()?.map(|(_, row)| row))
    }

    fn take(&mut self) -> Result<Option<Keyed>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let source = self.sources.get_mut(head.source);
        let was_held = matches!(source, Some(Source::Memory(_)));
        let next = match source {
            Some(source) => source.next(&head.sort)?,
            None => None,
        };
        let row = match next {
            Some(next) => std::mem::replace(&mut head.row, next),
            None => PeekMut::pop(head).row,
        };
        if was_held {
            self.held.shrink(size_of_row(&row));
        }
        Ok(Some(row))
    }
}

impl Ord for Head {
    /// The greatest is the one that comes first; of equal ones that of the earlier source.
    fn cmp(&self, other: &Head) -> Ordering {
        let order = self.sort.compare(&self.row.0, &other.row.0);
        order.then(self.source.cmp(&other.source)).reverse()
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}
