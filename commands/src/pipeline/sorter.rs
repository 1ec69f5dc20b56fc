//! Sorting rows that memory may not hold: sorted runs in sealed temporary files, merged while they are read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::memory::{Account, Held};
use super::spool::{RowReader, RowWriter};
use super::{Failure, Row, Running};
use crate::query::sort::{Sort, SortKey};

/// So many runs are merged at a time; more become one first.
const RUNS_MAX: usize = 64;

/// Sorts rows; equal ones stay in the order in which they came.
#[derive(Debug)]
pub struct Sorter {
    sort: Arc<Sort>,
    /// How many of the first are kept.
    keep: usize,
    held: Held,
    rows: Vec<(SortKey, Row)>,
    /// Sorted, in the order in which their rows came.
    runs: Vec<RowReader>,
}

/// Rows in order.
#[derive(Debug)]
pub struct InOrder {
    sort: Arc<Sort>,
    left: usize,
    sources: Vec<Run>,
    _held: Held,
}

/// A sorted run with its first row.
#[derive(Debug)]
struct Run {
    head: Option<(SortKey, Row)>,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    Memory(VecDeque<(SortKey, Row)>),
    File(RowReader),
}

impl Sorter {
    /// Keeps the first `keep` rows of this order.
    pub fn new(sort: &Arc<Sort>, keep: usize, account: &Arc<Account>) -> Sorter {
        Sorter { sort: Arc::clone(sort), keep, held: account.part(), rows: Vec::new(), runs: Vec::new() }
    }

    /// One more row.
    pub fn push(&mut self, row: Row, running: &Running<'_>) -> Result<(), Failure> {
        if self.keep == 0 {
            return Ok(());
        }
        let key = self.sort.key(row.root())?;
        let size = key.size() + row.size();
        if !self.held.grow(size) {
            let before = self.held.bytes();
            self.settle();
            // Only what was cut off may have been in the way; where that is little it is soon in the way again.
            if self.held.bytes() > before / 4 * 3 || !self.held.grow(size) {
                self.write(running)?;
                self.held.force(size);
            }
        }
        self.rows.push((key, row));
        if self.rows.len() >= self.keep.saturating_mul(2).max(1024) {
            self.settle();
        }
        Ok(())
    }

    fn settle(&mut self) {
        let sort = &self.sort;
        self.rows.sort_by(|(a, _), (b, _)| sort.compare(a, b));
        if self.rows.len() > self.keep {
            let cut: usize = self.rows.drain(self.keep..).map(|(key, row)| key.size() + row.size()).sum();
            self.held.shrink(cut);
        }
    }

    /// Writes what is held to a run.
    fn write(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        let spills = running.context.view.spills();
        let mut writer = RowWriter::create(spills, self.held.account())?;
        for (_, row) in self.rows.drain(..) {
            writer.push(&row)?;
        }
        // What it took goes with it.
        self.rows = Vec::new();
        self.held.release();
        self.runs.push(writer.finish()?);
        if self.runs.len() >= RUNS_MAX {
            let mut writer = RowWriter::create(spills, self.held.account())?;
            let mut merged = self.merge()?;
            while let Some(row) = merged.read()? {
                running.step()?;
                writer.push(&row)?;
            }
            self.runs.push(writer.finish()?);
        }
        Ok(())
    }

    /// Writes what is held to a file where that is more than a quarter of what the query may hold: for those who have to hold
    /// something else while they read the rows.
    pub fn make_room(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        if self.held.bytes() > self.held.account().limit() / 4 {
            self.settle();
            self.write(running)?;
        }
        Ok(())
    }

    /// The runs, merged.
    fn merge(&mut self) -> Result<InOrder, Failure> {
        let mut sources = Vec::with_capacity(self.runs.len());
        for reader in self.runs.drain(..) {
            sources.push(Run::of(Rest::File(reader), &self.sort)?);
        }
        Ok(InOrder { sort: Arc::clone(&self.sort), left: self.keep, sources, _held: self.held.account().part() })
    }

    /// All rows, in order; none are left here.
    pub fn finish(&mut self) -> Result<InOrder, Failure> {
        self.settle();
        let mut merged = self.merge()?;
        let rows = std::mem::take(&mut self.rows);
        merged.sources.push(Run::of(Rest::Memory(rows.into()), &self.sort)?);
        let nothing = self.held.account().part();
        merged._held = std::mem::replace(&mut self.held, nothing);
        Ok(merged)
    }
}

impl Run {
    fn of(rest: Rest, sort: &Sort) -> Result<Run, Failure> {
        let mut run = Run { head: None, rest };
        run.advance(sort)?;
        Ok(run)
    }

    /// Takes the first row.
    fn advance(&mut self, sort: &Sort) -> Result<Option<Row>, Failure> {
        let next = match &mut self.rest {
            Rest::Memory(rows) => rows.pop_front(),
            Rest::File(reader) => match reader.read()? {
                Some(row) => Some((sort.key(row.root())?, row)),
                None => None,
            },
        };
        Ok(std::mem::replace(&mut self.head, next).map(|(_, row)| row))
    }
}

impl InOrder {
    /// The next row; none at the end.
    pub fn read(&mut self) -> Result<Option<Row>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut first: Option<(&SortKey, usize)> = None;
        for (at, source) in self.sources.iter().enumerate() {
            let Some((key, _)) = &source.head else { continue };
            // Of equal ones that of the earlier run.
            if first.is_none_or(|(best, _)| self.sort.compare(key, best).is_lt()) {
                first = Some((key, at));
            }
        }
        let Some(at) = first.map(|(_, at)| at) else { return Ok(None) };
        self.left -= 1;
        match self.sources.get_mut(at) {
            Some(source) => source.advance(&self.sort),
            None => Ok(None),
        }
    }
}
