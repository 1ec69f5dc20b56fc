//! How `$lookup` finds the documents of another collection that are equal at a path.
//!
//! As long as an index is thought to be cheaper, each row is looked up in it. Once that has cost as much as a look at the
//! whole collection would have, and where there is no index, rows are gathered, as many as memory allows, and one look at
//! the collection finds the documents of them all. So the way taken costs at most about twice the better one, and
//! nothing has to be known of the rows to come.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use veddb_storage::Document;
use veddb_storage::document::path::Path;

use crate::pipeline::foreign::{Foreign, Keys, values_at};
use crate::pipeline::memory::{Account, Held};
use crate::pipeline::{Failure, Input, Nothing, Row, Rows, Running};
use crate::query::plan::Cost;

/// What a key takes beside its bytes: in the table, and in the list of the rows that have it.
const KEY_BYTES: usize = 96;

/// What a gathered row takes beside itself.
const ROW_BYTES: usize = 64;

/// Gives each row of its input the documents that are equal to it.
pub(super) struct Joiner {
    foreign: Option<Foreign>,
    local: Path,
    /// What lookups in the index have cost since it was last thought to be cheaper.
    spent: Cost,
    /// Of how many rows.
    looked_up: usize,
    held: Held,
    batch: Batch,
    /// Rows that were read and did not fit.
    pending: VecDeque<Row>,
    /// What these take, bytes.
    waiting: usize,
}

/// Rows whose documents were found together.
#[derive(Default)]
struct Batch {
    rows: VecDeque<(Row, Answer)>,
    /// With the first row that has them; none where none of those at hand has.
    documents: Vec<(Option<Arc<Document>>, u32)>,
}

/// Which documents a row of a batch has.
enum Answer {
    /// These of the batch's.
    Listed(Vec<u32>),
    /// More than memory holds: it looks at the collection by itself.
    Scan(Keys),
}

impl Joiner {
    pub(super) fn new(from: Option<Foreign>, local: &Path, account: &Arc<Account>) -> Joiner {
        Joiner {
            foreign: from,
            local: local.clone(),
            spent: 0.0,
            looked_up: 0,
            held: account.part(),
            batch: Batch::default(),
            pending: VecDeque::new(),
            waiting: 0,
        }
    }

    /// The next row with its documents, in natural order. `left`: how many rows will be asked for at most.
    pub(super) fn next(
        &mut self,
        input: &mut Input,
        left: usize,
        running: &Running<'_>,
    ) -> Result<Option<(Row, Input)>, Failure> {
        loop {
            if let Some((row, answer)) = self.batch.rows.pop_front() {
                let found = self.answer(answer, running);
                return Ok(Some((row, found)));
            }
            self.batch = Batch::default();
            self.held.shrink(self.held.bytes().saturating_sub(self.waiting));
            let Some(row) = self.row(input, running)? else { return Ok(None) };
            let Some(foreign) = &self.foreign else { return Ok(Some((row, Box::new(Nothing)))) };
            let values = values_at(row.root(), &self.local);
            let all = foreign.cost_of_scan();
            if self.spent <= all
                && let Some(places) = foreign.places(&values, running)?
            {
                self.spent += places.cost;
                self.looked_up += 1;
                if self.spent <= all {
                    let found = foreign.found(Keys::of(&values), &places, running)?;
                    return Ok(Some((row, Box::new(found))));
                }
            }
            let foreign = foreign.clone();
            let rows = self.gather(row, input, left, running)?;
            self.find(&foreign, rows, running)?;
            // Where memory holds the documents of a few rows only, one look at all of them serves too few.
            let of_these = self.spent / self.looked_up.max(1) as f64 * self.batch.rows.len() as f64;
            if of_these < all {
                (self.spent, self.looked_up) = (0.0, 0);
            }
        }
    }

    fn row(&mut self, input: &mut Input, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        match self.pending.pop_front() {
            Some(row) => {
                self.held.shrink(row.size());
                self.waiting = self.waiting.saturating_sub(row.size());
                Ok(Some(row))
            }
            None => input.next(running),
        }
    }

    fn answer(&self, answer: Answer, running: &Running<'_>) -> Input {
        match (answer, &self.foreign) {
            (Answer::Listed(list), _) => {
                let document = |at: u32| self.batch.documents.get(at as usize)?.0.clone().map(Row::Stored);
                let rows: Vec<Row> = list.into_iter().filter_map(document).collect();
                Box::new(Listed(rows.into_iter()))
            }
            (Answer::Scan(keys), Some(foreign)) => Box::new(foreign.scanned(keys, running)),
            (Answer::Scan(_), None) => Box::new(Nothing),
        }
    }

    /// Counts so many bytes more, as long as all of it is no more than so many quarters of the query's memory: what is left
    /// is for the other stages.
    fn grow(&mut self, bytes: usize, quarters: usize) -> bool {
        self.held.bytes() + bytes <= self.held.account().limit() / 4 * quarters && self.held.grow(bytes)
    }

    /// Gathers rows, as many as fit.
    fn gather(
        &mut self,
        first: Row,
        input: &mut Input,
        left: usize,
        running: &Running<'_>,
    ) -> Result<Vec<(Row, Keys)>, Failure> {
        let mut rows: Vec<(Row, Keys)> = Vec::new();
        let mut next = Some(first);
        while let Some(row) = next {
            running.step()?;
            let keys = Keys::of(&values_at(row.root(), &self.local));
            let size = row.size() + ROW_BYTES + 2 * keys.size() + keys.iter().count() * KEY_BYTES;
            // A part is left to the documents.
            if !self.grow(size, 2) {
                if !rows.is_empty() {
                    self.wait(row);
                    break;
                }
                self.held.force(size);
            }
            rows.push((row, keys));
            next = if rows.len() < left { self.row(input, running)? } else { None };
        }
        Ok(rows)
    }

    fn wait(&mut self, row: Row) {
        self.held.force(row.size());
        self.waiting += row.size();
        self.pending.push_front(row);
    }

    /// Finds the documents of these rows. Where they do not fit only the first rows have theirs found; the others wait.
    fn find(&mut self, foreign: &Foreign, rows: Vec<(Row, Keys)>, running: &Running<'_>) -> Result<(), Failure> {
        let mut by_key: FxHashMap<&[u8], Vec<u32>> = FxHashMap::default();
        for (at, (_, keys)) in (0u32..).zip(&rows) {
            keys.iter().for_each(|key| by_key.entry(key).or_default().push(at));
        }
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); rows.len()];
        let mut documents: Vec<(Option<Arc<Document>>, u32)> = Vec::new();
        let mut buffer = Vec::new();
        let mut fits = true;
        'documents: for scanned in foreign.scan(running) {
            running.step()?;
            let (_, document) = scanned?;
            running.examined.borrow_mut().documents += 1;
            let number = documents.len() as u32;
            let (mut first, mut count) = (u32::MAX, 0);
            foreign.any_key(document.root(), &mut buffer, &mut |key| {
                for at in by_key.get(key).into_iter().flatten() {
                    if let Some(list) = lists.get_mut(*at as usize)
                        && list.last() != Some(&number)
                    {
                        list.push(number);
                        first = first.min(*at);
                        count += 1;
                    }
                }
                false
            });
            if count == 0 {
                continue;
            }
            let size = size_of_document(&document) + count * size_of::<u32>();
            while !self.grow(size, 3) {
                if lists.len() <= 1 {
                    fits = false;
                    break 'documents;
                }
                lists.truncate(lists.len() / 2);
                let stays = lists.len() as u32;
                for (document, first) in &mut documents {
                    if *first >= stays
                        && let Some(document) = document.take()
                    {
                        self.held.shrink(size_of_document(&document));
                    }
                }
                if first >= stays {
                    continue 'documents;
                }
            }
            documents.push((Some(document), first));
        }
        drop(by_key);
        let mut rows = rows;
        for (row, _) in rows.drain(lists.len()..).rev() {
            self.wait(row);
        }
        if fits {
            let listed = rows.into_iter().zip(lists).map(|((row, _), list)| (row, Answer::Listed(list)));
            self.batch = Batch { rows: listed.collect(), documents };
        } else {
            let alone = rows.into_iter().map(|(row, keys)| (row, Answer::Scan(keys)));
            self.batch = Batch { rows: alone.collect(), documents: Vec::new() };
        }
        Ok(())
    }
}

fn size_of_document(document: &Document) -> usize {
    document.body.len() + size_of::<Document>() + size_of::<(Option<Arc<Document>>, u32)>()
}

/// Rows that are at hand.
struct Listed(std::vec::IntoIter<Row>);

impl Rows for Listed {
    fn next(&mut self, _: &Running<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.0.next())
    }
}
