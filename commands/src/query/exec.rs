//! Running a plan on one moment of the data: candidates in natural order, or in that of an index, asked the filter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use veddb_storage::document::ordered::after;
use veddb_storage::document::{Filter, RawObject};
use veddb_storage::{CollectionHandle, Document, KeyRange, RecordId, Trees};

use super::bad_filter;
use super::plan::{IndexPlan, Order, Plan};
use crate::context::ReadContext;
use crate::error::CommandError;

/// Every how many candidates it is asked whether to go on.
const CHECK_EVERY: u64 = 64;

/// A scan for fewer matches than this is thought to end soon; it keeps so many documents in the cache.
const CACHED_DOCUMENTS: usize = 1000;

/// What was looked at while a plan ran.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Examined {
    /// Entries of indexes, and ids looked up.
    pub keys: u64,
    /// Documents.
    pub documents: u64,
}

/// How a query is run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'r> {
    /// Which documents.
    pub filter: &'r Filter,
    /// How they are found.
    pub plan: &'r Plan,
    /// How many of the first are enough, where the plan gives them in the right order.
    pub first: usize,
    /// The query reads nothing but fields of the plan's index: documents may be read back from its entries.
    pub covered: bool,
    /// The query's own time limit.
    pub max_time_ms: Option<u64>,
}

/// A match.
#[derive(Debug)]
pub enum Found {
    /// The document.
    Document(Arc<Document>),
    /// Its fields that the query reads, from an entry of an index.
    Fields(Box<[u8]>),
}

impl Found {
    /// Its members.
    pub fn root(&self) -> RawObject<'_> {
        match self {
            Found::Document(document) => document.root(),
            Found::Fields(body) => RawObject::from_body(body),
        }
    }
}

/// Hands each match to `each` until it answers false: in the order of the plan's index if it is ordered, else in
/// natural order.
pub fn matching(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    run: Run<'_>,
    examined: &mut Examined,
    each: &mut dyn FnMut(RecordId, Found) -> bool,
) -> Result<(), CommandError> {
    let mut runner = Runner { context, collection, run, examined, each, steps: 0 };
    match run.plan {
        Plan::Scan => runner.scan(),
        Plan::IdLookup(keys) => runner.look_up(keys),
        Plan::Index(plan) => match plan.order {
            Some(order) => runner.ordered(plan, order),
            None => runner.natural(std::slice::from_ref(plan), &[]),
        },
        Plan::Union(union) => runner.natural(&union.indexes, &union.ids),
    }
}

/// The records of a plan's candidates in natural order, for a unit that looks while nobody else writes.
pub fn candidates(
    trees: Trees<'_>,
    collection: &CollectionHandle,
    plans: &[IndexPlan],
    ids: &[Vec<u8>],
) -> Result<Vec<RecordId>, CommandError> {
    let mut records = Vec::new();
    for id in ids {
        records.extend(trees.find_id(collection, id)?);
    }
    for plan in plans {
        for range in &plan.ranges {
            let mut walk = trees.walk(&plan.index, range, false)?;
            while let Some(entry) = walk.entry() {
                records.push(entry.record);
                walk.advance()?;
            }
        }
    }
    records.sort_unstable();
    records.dedup();
    Ok(records)
}

struct Runner<'a, 'r> {
    context: &'a ReadContext<'a>,
    collection: &'a CollectionHandle,
    run: Run<'r>,
    examined: &'a mut Examined,
    each: &'a mut dyn FnMut(RecordId, Found) -> bool,
    steps: u64,
}

/// A candidate: its record, and what its entry has of it, if that is all that is asked for.
type Candidate = (RecordId, Option<Box<[u8]>>);

impl Runner<'_, '_> {
    fn step(&mut self) -> Result<(), CommandError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_EVERY) { self.context.check(self.run.max_time_ms) } else { Ok(()) }
    }

    fn scan(&mut self) -> Result<(), CommandError> {
        self.context.check(self.run.max_time_ms)?;
        let scan = self.context.view.scan(self.collection);
        let cached = if self.run.first < CACHED_DOCUMENTS { CACHED_DOCUMENTS } else { 0 };
        for found in scan.cached(cached) {
            self.step()?;
            let (record, document) = found?;
            self.examined.documents += 1;
            if self.matches(document.root())? && !(self.each)(record, Found::Document(document)) {
                break;
            }
        }
        Ok(())
    }

    fn look_up(&mut self, keys: &[Vec<u8>]) -> Result<(), CommandError> {
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            self.step()?;
            self.examined.keys += 1;
            records.extend(self.context.view.find_id(self.collection, key)?);
        }
        records.sort_unstable();
        for record in records {
            if !self.offer((record, None))? {
                break;
            }
        }
        Ok(())
    }

    /// Asks a candidate the filter and hands it on; false: enough.
    fn offer(&mut self, (record, fields): Candidate) -> Result<bool, CommandError> {
        self.step()?;
        let found = match fields {
            Some(fields) => Found::Fields(fields),
            None => {
                self.examined.documents += 1;
                match self.context.view.record(self.collection, record)? {
                    Some(document) => Found::Document(document),
                    None => return Ok(true),
                }
            }
        };
        Ok(!self.matches(found.root())? || (self.each)(record, found))
    }

    fn matches(&self, document: RawObject<'_>) -> Result<bool, CommandError> {
        self.run.filter.test(document, self.context.now_ms).map_err(bad_filter)
    }

    /// Gathers all entries, then hands them on in natural order.
    fn natural(&mut self, plans: &[IndexPlan], ids: &[Vec<u8>]) -> Result<(), CommandError> {
        let mut gathered: Vec<Candidate> = Vec::new();
        for id in ids {
            self.step()?;
            self.examined.keys += 1;
            gathered.extend(self.context.view.find_id(self.collection, id)?.map(|record| (record, None)));
        }
        for plan in plans {
            for range in &plan.ranges {
                let mut walk = self.context.view.trees().walk(&plan.index, range, false)?;
                while let Some(entry) = walk.entry() {
                    self.step()?;
                    self.examined.keys += 1;
                    gathered.push(self.candidate(plan, &entry));
                    walk.advance()?;
                }
            }
        }
        if self.run.first < gathered.len() / 8 {
            // Only the first few are wanted: no need to sort the rest.
            return self.first_of(gathered);
        }
        gathered.sort_unstable_by_key(|(record, _)| *record);
        gathered.dedup_by_key(|(record, _)| *record);
        for candidate in gathered {
            if !self.offer(candidate)? {
                break;
            }
        }
        Ok(())
    }

    fn first_of(&mut self, gathered: Vec<Candidate>) -> Result<(), CommandError> {
        let mut heap: BinaryHeap<Reverse<Candidate>> = gathered.into_iter().map(Reverse).collect();
        let mut last = None;
        while let Some(Reverse(candidate)) = heap.pop() {
            if last.replace(candidate.0) != Some(candidate.0) && !self.offer(candidate)? {
                break;
            }
        }
        Ok(())
    }

    /// Walks in the order of the index. Documents that are equal in the sort are handed on in natural order.
    fn ordered(&mut self, plan: &IndexPlan, order: Order) -> Result<(), CommandError> {
        let mut ties = Ties { plan, order, seen: HashSet::new(), held: Vec::new(), region: Vec::new() };
        let ranges: Vec<&KeyRange> =
            if order.reverse { plan.ranges.iter().rev().collect() } else { plan.ranges.iter().collect() };
        for range in ranges {
            if !self.ordered_range(&mut ties, range)? {
                return Ok(());
            }
        }
        self.flush(&mut ties).map(|_| ())
    }

    fn ordered_range(&mut self, ties: &mut Ties<'_>, range: &KeyRange) -> Result<bool, CommandError> {
        let (index, spec) = (&ties.plan.index, ties.plan.index.spec());
        let trees = self.context.view.trees();
        let mut walk = trees.walk(index, range, ties.order.reverse)?;
        let mut key = Vec::new();
        while let Some(entry) = walk.entry() {
            self.step()?;
            // Up to its first null, the order of the index is that of the sort.
            let (settled, has_null) = spec.sort_bytes(&entry, ties.order.fields, &mut key).unwrap_or((0, true));
            let region = key.get(..settled).unwrap_or_default();
            if region != ties.region {
                if !self.flush(ties)? {
                    return Ok(false);
                }
                ties.region = region.to_vec();
            }
            // Entries of one key without a null are in natural order already.
            let whole = ties.order.fields == spec.fields.len() && !has_null;
            if whole && ties.order.reverse {
                let fields = entry.fields.to_vec();
                let group = KeyRange { from: fields.clone(), to: after(&fields) };
                let mut forward = trees.walk(index, &group, false)?;
                while let Some(entry) = forward.entry() {
                    self.examined.keys += 1;
                    let candidate = self.candidate(ties.plan, &entry);
                    if ties.is_new(candidate.0) && !self.offer(candidate)? {
                        return Ok(false);
                    }
                    forward.advance()?;
                }
                walk = trees.walk(index, &KeyRange { from: range.from.clone(), to: Some(fields) }, true)?;
                continue;
            }
            self.examined.keys += 1;
            let candidate = self.candidate(ties.plan, &entry);
            if !whole {
                let rest = key.get(settled..).unwrap_or_default();
                ties.held.push((Box::from(rest), candidate));
            } else if ties.is_new(candidate.0) && !self.offer(candidate)? {
                return Ok(false);
            }
            walk.advance()?;
        }
        Ok(true)
    }

    fn candidate(&self, plan: &IndexPlan, entry: &veddb_storage::Entry<'_>) -> Candidate {
        let fields = if self.run.covered { plan.index.spec().read_back(entry) } else { None };
        (entry.record, fields)
    }

    /// Hands on what was held back; false: enough.
    fn flush(&mut self, ties: &mut Ties<'_>) -> Result<bool, CommandError> {
        let mut held = std::mem::take(&mut ties.held);
        held.sort_unstable_by(|(key, (record, _)), (other_key, (other, _))| {
            let order = if ties.order.reverse { other_key.cmp(key) } else { key.cmp(other_key) };
            order.then(record.cmp(other))
        });
        for (_, candidate) in held {
            if ties.is_new(candidate.0) && !self.offer(candidate)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The documents at hand that are equal in a sort, or that a null among their values has put out of order.
struct Ties<'p> {
    plan: &'p IndexPlan,
    order: Order,
    /// Documents handed on, of an index in which one may have several entries.
    seen: HashSet<RecordId>,
    /// Candidates with what they still sort by.
    held: Vec<(Box<[u8]>, Candidate)>,
    /// What those at hand have in common.
    region: Vec<u8>,
}

impl Ties<'_> {
    fn is_new(&mut self, record: RecordId) -> bool {
        !self.plan.index.has_multikey() || self.seen.insert(record)
    }
}
