//! Which documents a filter has to look at.
//!
//! A plan only narrows: whatever it yields is still asked the whole filter, and ties of a sort are in natural order under
//! every plan, so every plan gives the same answer. What indexes would have to look at is counted in their trees.

mod index;
mod predicates;

use veddb_storage::document::Filter;
use veddb_storage::document::filter::Node;
use veddb_storage::{CollectionHandle, Trees};

pub use index::{IndexPlan, Order};
use predicates::Predicates;

use super::sort::Sort;
use crate::error::{CommandError, ErrorCode};

/// How the candidates of a query are found.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Looks these keys up in the `_id` index.
    IdLookup(Vec<Vec<u8>>),
    /// Walks ranges of an index.
    Index(IndexPlan),
    /// Does both for the branches of an `$or`.
    Union(Union),
    /// Looks at every document, in natural order.
    Scan,
}

/// The plans of an `$or`'s branches.
#[derive(Debug, Clone, Default)]
pub struct Union {
    /// Of those that an index has.
    pub indexes: Vec<IndexPlan>,
    /// Keys in the `_id` index, of those that pin `_id`.
    pub ids: Vec<Vec<u8>>,
}

impl Union {
    /// The indexes that it uses.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.indexes.iter().map(|plan| plan.index.spec().name()).collect();
        names.extend((!self.ids.is_empty()).then_some(ID_INDEX));
        names
    }
}

/// The index on `_id`, by which HINT may name it.
pub const ID_INDEX: &str = "_id_";
/// HINT's name for looking at every document, as in MongoDB.
pub const NATURAL: &str = "$natural";

/// What a query asks for beside its filter.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'q> {
    /// The order of the answer.
    pub sort: Option<&'q Sort>,
    /// How many of the first documents are enough; `usize::MAX` for all.
    pub first: usize,
    /// The index that a HINT named.
    pub hint: Option<&'q str>,
    /// Only their number is wanted.
    pub counting: bool,
}

impl Wanted<'_> {
    /// Every match, in natural order.
    pub const ALL: Wanted<'static> = Wanted { sort: None, first: usize::MAX, hint: None, counting: false };
}

/// A plan, what it is thought to cost, and those that were not taken.
#[derive(Debug)]
pub struct Choice {
    /// The plan taken.
    pub plan: Plan,
    /// Its cost.
    pub cost: Cost,
    /// The others.
    pub rejected: Vec<(Plan, Cost)>,
}

/// Nanoseconds, about, on one core with the data in memory.
pub type Cost = f64;

/// The most branches of an `$or` that are looked up one by one.
const BRANCHES_MAX: usize = 200;

/// What steps cost, ns; measured by `tests/benches/indexes` on documents of 350 bytes. Only their ratios matter.
mod ns {
    /// One entry of a walk.
    pub(super) const ENTRY: f64 = 40.0;
    /// One document found by its record and asked the filter.
    pub(super) const FETCH: f64 = 1200.0;
    /// One document of a scan, asked the filter.
    pub(super) const SCAN: f64 = 500.0;
    /// One document put in its place in a sort.
    pub(super) const SORT: f64 = 400.0;
    /// One seek in a tree.
    pub(super) const SEEK: f64 = 400.0;
}

/// What a look at every document costs.
pub fn cost_of_scan(documents: u64) -> Cost {
    documents as f64 * ns::SCAN
}

/// What it costs to look up so many ranges, or ids, and to fetch the documents of so many entries.
pub fn cost_of_lookup(ranges: usize, entries: u64) -> Cost {
    ranges as f64 * ns::SEEK + entries as f64 * (ns::ENTRY + ns::FETCH)
}

impl Choice {
    /// The cheapest plan for a filter on this collection.
    ///
    /// # Errors
    /// `NOINDEX` when a HINT names an index that is not there, not ready, or cannot give every match.
    pub fn new(
        trees: Trees<'_>,
        collection: &CollectionHandle,
        filter: &Filter,
        wanted: &Wanted<'_>,
    ) -> Result<Choice, CommandError> {
        let predicates = Predicates::of(filter.root());
        let alone = |plan: Plan, cost| Ok(Choice { plan, cost, rejected: Vec::new() });
        match wanted.hint {
            Some(NATURAL) => return alone(Plan::Scan, ns::SCAN * collection.count() as f64),
            None | Some(ID_INDEX) => {
                if let Some(keys) = filter.id_keys() {
                    let cost = keys.len() as f64 * (ns::SEEK + ns::FETCH);
                    return alone(Plan::IdLookup(keys), cost);
                }
                if wanted.hint.is_some() {
                    return alone(Plan::Scan, ns::SCAN * collection.count() as f64);
                }
            }
            Some(name) => {
                let plan = match collection.index(name) {
                    Some(index) => IndexPlan::new(trees, index, &predicates, wanted.sort, true)?,
                    None => None,
                };
                let refused = || CommandError::new(ErrorCode::NoIndex, IndexPlan::refusal(collection, name));
                let plan = plan.ok_or_else(refused)?;
                let matches = plan.entries;
                let cost = index_cost(&plan, wanted, matches);
                return alone(Plan::Index(plan), cost);
            }
        }
        let mut plans = Vec::new();
        for index in collection.indexes() {
            plans.extend(IndexPlan::new(trees, index, &predicates, wanted.sort, false)?.map(Plan::Index));
        }
        for branches in &predicates.any {
            plans.extend(union(trees, collection, &predicates, branches)?);
        }
        // No plan's bounds hold fewer entries than there are matches, if indexes with several entries a document are set aside.
        let documents = collection.count();
        let matches = plans.iter().map(Plan::entries).min().unwrap_or(documents).min(documents);
        let mut costed: Vec<(Plan, Cost)> = plans
            .into_iter()
            .map(|plan| {
                let cost = plan.cost(wanted, matches);
                (plan, cost)
            })
            .collect();
        costed.push((Plan::Scan, scan_cost(documents, matches, wanted)));
        costed.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let (plan, cost) = costed.remove(0);
        Ok(Choice { plan, cost, rejected: costed })
    }
}

impl Plan {
    /// In the words of DOC.EXPLAIN, with the indexes that it uses: `IXSCAN by_age`.
    pub fn summary(&self) -> String {
        match self {
            Plan::Scan => "COLLSCAN".to_owned(),
            Plan::IdLookup(_) => "IDLOOKUP".to_owned(),
            Plan::Index(plan) => format!("IXSCAN {}", plan.index.spec().name()),
            Plan::Union(union) => format!("IXSCAN {}", union.names().join(",")),
        }
    }

    /// Entries that it walks.
    pub fn entries(&self) -> u64 {
        match self {
            Plan::IdLookup(keys) => keys.len() as u64,
            Plan::Index(plan) => plan.entries,
            Plan::Union(union) => union.indexes.iter().map(|plan| plan.entries).sum::<u64>() + union.ids.len() as u64,
            Plan::Scan => 0,
        }
    }

    /// Whether it gives the documents in the order of the query's SORT.
    pub fn is_ordered(&self) -> bool {
        matches!(self, Plan::Index(plan) if plan.order.is_some())
    }

    /// Counts a use of each index it walks.
    pub fn note_use(&self, now_ms: u64) {
        match self {
            Plan::Index(plan) => plan.index.note_use(now_ms),
            Plan::Union(union) => union.indexes.iter().for_each(|plan| plan.index.note_use(now_ms)),
            Plan::IdLookup(_) | Plan::Scan => {}
        }
    }

    fn cost(&self, wanted: &Wanted<'_>, matches: u64) -> Cost {
        match self {
            Plan::Index(plan) => index_cost(plan, wanted, matches),
            _ => gathered_cost(self.entries(), wanted, matches, ns::SEEK),
        }
    }
}

/// How many of `candidates` have to be looked at for the first matches, if these lie evenly among them.
fn looked_at(candidates: u64, matches: u64, wanted: &Wanted<'_>) -> f64 {
    let (candidates, matches) = (candidates as f64, matches.max(1) as f64);
    (wanted.first as f64 * (candidates / matches).max(1.0)).min(candidates)
}

fn index_cost(plan: &IndexPlan, wanted: &Wanted<'_>, matches: u64) -> Cost {
    let seeks = ns::SEEK * plan.ranges.len() as f64;
    if wanted.counting && plan.exact {
        // The tree knows how many there are.
        return seeks;
    }
    match plan.order {
        Some(_) => seeks + looked_at(plan.entries, matches, wanted) * (ns::ENTRY + ns::FETCH),
        None => gathered_cost(plan.entries, wanted, matches, seeks),
    }
}

/// All entries are gathered and put in natural order before the first document is looked at.
fn gathered_cost(entries: u64, wanted: &Wanted<'_>, matches: u64, seeks: f64) -> Cost {
    let all = entries as f64;
    match wanted.sort {
        Some(_) => seeks + all * (ns::ENTRY + ns::FETCH + ns::SORT),
        None => seeks + all * ns::ENTRY + looked_at(entries, matches, wanted) * ns::FETCH,
    }
}

fn scan_cost(documents: u64, matches: u64, wanted: &Wanted<'_>) -> Cost {
    match wanted.sort {
        Some(_) => documents as f64 * ns::SCAN + matches as f64 * ns::SORT,
        None => looked_at(documents, matches, wanted) * ns::SCAN,
    }
}

/// The best index for each branch of an `$or`; none when a branch has none.
fn union<'f>(
    trees: Trees<'_>,
    collection: &CollectionHandle,
    root: &Predicates<'f>,
    branches: &'f [Node],
) -> Result<Option<Plan>, CommandError> {
    if branches.len() > BRANCHES_MAX {
        return Ok(None);
    }
    let mut found = Union::default();
    for branch in branches {
        if let Some(keys) = branch.id_keys() {
            found.ids.extend(keys);
            continue;
        }
        // What holds for the whole filter holds in each branch as well.
        let mut predicates = root.clone();
        predicates.add(branch);
        let mut best: Option<IndexPlan> = None;
        for index in collection.indexes() {
            if let Some(plan) = IndexPlan::new(trees, index, &predicates, None, false)?
                && best.as_ref().is_none_or(|best| plan.entries < best.entries)
            {
                best = Some(plan);
            }
        }
        match best {
            Some(plan) => found.indexes.push(plan),
            None => return Ok(None),
        }
    }
    Ok(Some(Plan::Union(found)))
}
