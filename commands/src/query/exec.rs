//! Running a plan on one moment of the data: candidates in natural order, or in that of an index, asked the filter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use roaring::RoaringTreemap;
use veddb_storage::document::expression::Watch;
use veddb_storage::document::ordered::after;
use veddb_storage::document::{Filter, RawObject, Value};
use veddb_storage::{CollectionHandle, Document, KeyRange, RecordId, Scan, Trees};

use super::bad_filter;
use super::plan::{IndexPlan, Order, Plan};
use crate::context::ReadContext;
use crate::error::CommandError;

/// Every how many candidates it is asked whether to go on.
const CHECK_EVERY: u64 = 16;

/// So many bytes of a document are one step more.
const STEP_BYTES: usize = 16 << 10;

/// A scan for fewer matches than this is thought to end soon; it keeps so many documents in the cache.
const CACHED_DOCUMENTS: usize = 1000;

/// The most entries that a walk in the order of an index takes at a time, about.
const CHUNK_MAX: usize = 256;

/// What may be gathered of a plan's entries, bytes: of more than a million of them the documents are scanned instead.
const GATHERED_BYTES_MAX: usize = 32 << 20;

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
    let look = Look { context, filter: run.filter, variables: &[], max_time_ms: run.max_time_ms };
    context.planned(run.plan);
    let mut here = Examined::default();
    let outcome = (|| {
        let mut feed = Feed::new(&look, collection, run.plan, run.first, run.covered, &mut here)?;
        while let Some((record, found)) = feed.next(&look, &mut here)? {
            if !each(record, found) {
                break;
            }
        }
        Ok(())
    })();
    context.examined(here);
    examined.keys += here.keys;
    examined.documents += here.documents;
    outcome
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

/// What candidates are looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The data, and whether to go on.
    pub context: &'a ReadContext<'a>,
    /// What is asked of each.
    pub filter: &'a Filter,
    /// The values of the filter's variables.
    pub variables: &'a [Option<Value>],
    /// The query's own time limit.
    pub max_time_ms: Option<u64>,
}

/// A candidate: its record, and what its entry has of it, if that is all that is asked for.
type Candidate = (RecordId, Option<Box<[u8]>>);

/// The matches of a plan, one after the other: in the order of its index if it is ordered, else in natural order. Has to be
/// asked at one and the same moment of the data throughout.
pub struct Feed {
    collection: CollectionHandle,
    covered: bool,
    steps: u64,
    way: Way,
}

/// Where the candidates come from.
enum Way {
    Scan(Box<Scan>),
    /// All of them, in order.
    Listed(std::vec::IntoIter<Candidate>),
    /// All of them, of which only the first few are wanted: not worth sorting the rest. And the one before.
    Heap(BinaryHeap<Reverse<Candidate>>, Option<RecordId>),
    Ordered(Box<Ordered>),
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("collection", &self.collection.id()).finish_non_exhaustive()
    }
}

impl Feed {
    /// The matches of `plan`. `first`: how many of them are enough. `covered`: they may be read back from the index's
    /// entries. Where the plan does not give an order all of its entries are gathered here.
    pub fn new(
        look: &Look<'_>,
        collection: &CollectionHandle,
        plan: &Plan,
        first: usize,
        covered: bool,
        examined: &mut Examined,
    ) -> Result<Feed, CommandError> {
        look.context.check(look.max_time_ms)?;
        let mut feed =
            Feed { collection: collection.clone(), covered, steps: 0, way: Way::Listed(Vec::new().into_iter()) };
        feed.way = match plan {
            Plan::Scan => {
                let cached = if first < CACHED_DOCUMENTS { CACHED_DOCUMENTS } else { 0 };
                Way::Scan(Box::new(look.context.view.scan(collection).cached(cached)))
            }
            Plan::IdLookup(keys) => feed.gather(look, &[], keys, first, examined)?,
            Plan::Index(plan) => match plan.order {
                Some(order) => Way::Ordered(Box::new(Ordered::new(plan.clone(), order, first))),
                None => feed.gather(look, std::slice::from_ref(plan), &[], first, examined)?,
            },
            Plan::Union(union) => feed.gather(look, &union.indexes, &union.ids, first, examined)?,
        };
        Ok(feed)
    }

    /// The next match.
    pub fn next(
        &mut self,
        look: &Look<'_>,
        examined: &mut Examined,
    ) -> Result<Option<(RecordId, Found)>, CommandError> {
        loop {
            self.step(look)?;
            let (record, fields) = match &mut self.way {
                Way::Scan(scan) => {
                    let Some(scanned) = scan.next() else { return Ok(None) };
                    let (record, document) = scanned?;
                    self.examine(&document, examined);
                    if look.matches(document.root())? {
                        return Ok(Some((record, Found::Document(document))));
                    }
                    continue;
                }
                Way::Listed(candidates) => {
                    let Some(candidate) = candidates.next() else { return Ok(None) };
                    candidate
                }
                Way::Heap(heap, last) => {
                    let Some(Reverse(candidate)) = heap.pop() else { return Ok(None) };
                    if last.replace(candidate.0) == Some(candidate.0) {
                        continue;
                    }
                    candidate
                }
                Way::Ordered(ordered) => {
                    let Some(candidate) = ordered.next(look, self.covered, examined)? else { return Ok(None) };
                    candidate
                }
            };
            let found = match fields {
                Some(fields) => Found::Fields(fields),
                None => match look.context.view.record(&self.collection, record)? {
                    Some(document) => {
                        self.examine(&document, examined);
                        Found::Document(document)
                    }
                    None => {
                        examined.documents += 1;
                        continue;
                    }
                },
            };
            if look.matches(found.root())? {
                return Ok(Some((record, found)));
            }
        }
    }

    fn step(&mut self, look: &Look<'_>) -> Result<(), CommandError> {
        self.steps += 1;
        if self.steps < CHECK_EVERY {
            return Ok(());
        }
        self.steps = 0;
        look.context.check(look.max_time_ms)
    }

    /// Counts a look at a document, which takes longer the larger it is.
    fn examine(&mut self, document: &Document, examined: &mut Examined) {
        examined.documents += 1;
        self.steps += (document.body.len() / STEP_BYTES) as u64;
    }

    /// Gathers all entries, to be handed on in natural order. Where they are too many the documents are scanned instead: by then
    /// that takes no longer, and the answer is the same.
    fn gather(
        &mut self,
        look: &Look<'_>,
        plans: &[IndexPlan],
        ids: &[Vec<u8>],
        first: usize,
        examined: &mut Examined,
    ) -> Result<Way, CommandError> {
        let (mut gathered, mut bytes): (Vec<Candidate>, usize) = (Vec::new(), 0);
        for id in ids {
            self.step(look)?;
            examined.keys += 1;
            gathered.extend(look.context.view.find_id(&self.collection, id)?.map(|record| (record, None)));
        }
        for plan in plans {
            for range in &plan.ranges {
                let mut walk = look.context.view.trees().walk(&plan.index, range, false)?;
                while let Some(entry) = walk.entry() {
                    self.step(look)?;
                    examined.keys += 1;
                    let candidate = candidate(plan, &entry, self.covered);
                    bytes += size_of::<Candidate>() + candidate.1.as_ref().map_or(0, |fields| fields.len());
                    if bytes > GATHERED_BYTES_MAX {
                        return Ok(Way::Scan(Box::new(look.context.view.scan(&self.collection))));
                    }
                    gathered.push(candidate);
                    walk.advance()?;
                }
            }
        }
        if first < gathered.len() / 8 {
            return Ok(Way::Heap(gathered.into_iter().map(Reverse).collect(), None));
        }
        gathered.sort_unstable_by_key(|(record, _)| *record);
        gathered.dedup_by_key(|(record, _)| *record);
        Ok(Way::Listed(gathered.into_iter()))
    }
}

impl Look<'_> {
    fn matches(&self, document: RawObject<'_>) -> Result<bool, CommandError> {
        let matches = self.filter.test_with(document, self.context.now_ms, self.variables, Some(self));
        matches.map_err(|error| self.context.reason(self.max_time_ms, bad_filter(error)))
    }
}

impl Watch for Look<'_> {
    fn is_over(&self) -> bool {
        self.context.check(self.max_time_ms).is_err()
    }
}

fn candidate(plan: &IndexPlan, entry: &veddb_storage::Entry<'_>, covered: bool) -> Candidate {
    let fields = if covered { plan.index.spec().read_back(entry) } else { None };
    (entry.record, fields)
}

/// A walk in the order of an index. Documents that are equal in the sort come in natural order.
struct Ordered {
    plan: IndexPlan,
    order: Order,
    /// What is still to be walked, in the order of the walk.
    ranges: VecDeque<KeyRange>,
    /// Documents handed on, of an index in which one may have several entries.
    seen: RoaringTreemap,
    /// Candidates with what they still sort by: those at hand are equal in a sort, or a null among their values has put
    /// them out of order.
    held: Vec<(Box<[u8]>, Candidate)>,
    /// What those at hand have in common.
    region: Vec<u8>,
    ready: VecDeque<Candidate>,
    /// So many entries are taken at a time; few at first, since mostly few are wanted.
    chunk: usize,
}

impl Ordered {
    fn new(plan: IndexPlan, order: Order, first: usize) -> Ordered {
        let mut ranges: VecDeque<KeyRange> = plan.ranges.iter().cloned().collect();
        if order.reverse {
            ranges.make_contiguous().reverse();
        }
        Ordered {
            plan,
            order,
            ranges,
            seen: RoaringTreemap::new(),
            held: Vec::new(),
            region: Vec::new(),
            ready: VecDeque::new(),
            chunk: first.clamp(1, CHUNK_MAX),
        }
    }

    fn next(
        &mut self,
        look: &Look<'_>,
        covered: bool,
        examined: &mut Examined,
    ) -> Result<Option<Candidate>, CommandError> {
        while self.ready.is_empty() {
            match self.ranges.pop_front() {
                Some(range) => {
                    let rest = self.walk(look, range, covered, examined)?;
                    if let Some(rest) = rest {
                        self.ranges.push_front(rest);
                    }
                }
                None if self.held.is_empty() => return Ok(None),
                None => self.flush(),
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Walks until there are enough candidates; what is left of the range then.
    fn walk(
        &mut self,
        look: &Look<'_>,
        range: KeyRange,
        covered: bool,
        examined: &mut Examined,
    ) -> Result<Option<KeyRange>, CommandError> {
        let Ordered { plan, order, .. } = self;
        let (index, order) = (plan.index.clone(), *order);
        let trees = look.context.view.trees();
        let mut walk = trees.walk(&index, &range, order.reverse)?;
        let mut key = Vec::new();
        let mut steps: u64 = 0;
        while let Some(entry) = walk.entry() {
            steps += 1;
            if steps.is_multiple_of(CHECK_EVERY) {
                look.context.check(look.max_time_ms)?;
            }
            // Up to its first null, the order of the index is that of the sort.
            let spec = index.spec();
            let (settled, has_null) = spec.sort_bytes(&entry, order.fields, &mut key).unwrap_or((0, true));
            let region = key.get(..settled).unwrap_or_default();
            if region != self.region {
                self.flush();
                self.region.clear();
                self.region.extend_from_slice(region);
            }
            if self.ready.len() >= self.chunk {
                self.chunk = self.chunk.saturating_mul(2).min(CHUNK_MAX);
                let here = walk.key().unwrap_or_default();
                return Ok(Some(if order.reverse {
                    // The next key that there can be.
                    KeyRange { from: range.from, to: Some([here, &[0]].concat()) }
                } else {
                    KeyRange { from: here.to_vec(), to: range.to }
                }));
            }
            // Entries of one key without a null are in natural order already.
            let whole = order.fields == spec.fields.len() && !has_null;
            if whole && order.reverse {
                let fields = entry.fields.to_vec();
                let group = KeyRange { from: fields.clone(), to: after(&fields) };
                let mut forward = trees.walk(&index, &group, false)?;
                while let Some(entry) = forward.entry() {
                    steps += 1;
                    if steps.is_multiple_of(CHECK_EVERY) {
                        look.context.check(look.max_time_ms)?;
                    }
                    examined.keys += 1;
                    let candidate = candidate(&self.plan, &entry, covered);
                    self.offer(candidate);
                    forward.advance()?;
                }
                walk = trees.walk(&index, &KeyRange { from: range.from.clone(), to: Some(fields) }, true)?;
                continue;
            }
            examined.keys += 1;
            let candidate = candidate(&self.plan, &entry, covered);
            if whole {
                self.offer(candidate);
            } else {
                let rest = key.get(settled..).unwrap_or_default();
                self.held.push((Box::from(rest), candidate));
            }
            walk.advance()?;
        }
        Ok(None)
    }

    fn offer(&mut self, candidate: Candidate) {
        if !self.plan.index.has_multikey() || self.seen.insert(candidate.0.0) {
            self.ready.push_back(candidate);
        }
    }

    /// Makes ready what was held back.
    fn flush(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable_by(|(key, (record, _)), (other_key, (other, _))| {
            let order = if self.order.reverse { other_key.cmp(key) } else { key.cmp(other_key) };
            order.then(record.cmp(other))
        });
        held.into_iter().for_each(|(_, candidate)| self.offer(candidate));
    }
}
