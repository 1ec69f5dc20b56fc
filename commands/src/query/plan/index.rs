//! How one index would find the candidates of a query.

use veddb_storage::document::bounds::Bounds;
use veddb_storage::{CollectionHandle, Error, Index, KeyRange, Trees};

use super::predicates::Predicates;
use crate::query::sort::Sort;

/// The most combinations of points after which a plan goes on to the next field.
const COMBINATIONS_MAX: usize = 1000;
/// The most ranges of a plan. Of more, only their ends count.
const RANGES_MAX: usize = 10_000;

/// A walk over ranges of an index.
#[derive(Debug, Clone)]
pub struct IndexPlan {
    /// The index, as it was when the plan was made.
    pub index: Index,
    /// On its first fields; all but the last are points.
    pub bounds: Vec<Bounds>,
    /// The keys between them, ascending.
    pub ranges: Vec<KeyRange>,
    /// Entries in the ranges: counted, not guessed.
    pub entries: u64,
    /// The entries are the matches, one each.
    pub exact: bool,
    /// In which order they give the documents that SORT asks for, if they do.
    pub order: Option<Order>,
}

/// A walk in the order of a SORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// From the end of the index to its beginning.
    pub reverse: bool,
    /// Documents that are equal in so many of the index's first fields are equal in the sort.
    pub fields: usize,
}

impl IndexPlan {
    /// The plan of this index; none when it has nothing to give, neither bounds nor the order. `forced`: walk it all then.
    pub(super) fn new(
        trees: Trees<'_>,
        index: &Index,
        predicates: &Predicates<'_>,
        sort: Option<&Sort>,
        forced: bool,
    ) -> Result<Option<IndexPlan>, Error> {
        if !index.is_ready() {
            return Ok(None);
        }
        let spec = index.spec();
        if spec.partial.as_ref().is_some_and(|filter| !predicates.imply(filter.root())) {
            return Ok(None);
        }
        let (bounds, used) = choose_bounds(trees, index, predicates)?;
        // A sparse index knows nothing of documents without its fields.
        if spec.definition.sparse && !bounds.iter().any(|bounds| !bounds.has_missing()) {
            return Ok(None);
        }
        let order = sort.and_then(|sort| order(index, &bounds, sort));
        let (ranges, cut) = spec.key_ranges(&bounds);
        let order = order.filter(|_| !cut);
        if bounds.is_empty() && order.is_none() && !forced {
            return Ok(None);
        }
        let entries = count(trees, index, &ranges)?;
        let one_entry_each = bounds.iter().enumerate().all(|(at, b)| !index.is_multikey(at) || is_point(b))
            && (bounds.len()..spec.fields.len()).all(|at| !index.is_multikey(at));
        let exact =
            !predicates.more && used == predicates.all.len() && one_entry_each && !index.has_shortened() && !cut;
        Ok(Some(IndexPlan { index: index.clone(), bounds, ranges, entries, exact, order }))
    }

    /// Why an index cannot answer; for a HINT.
    pub(super) fn refusal(collection: &CollectionHandle, name: &str) -> String {
        match collection.index(name) {
            None => format!("no index {name}"),
            Some(index) if !index.is_ready() => format!("index {name} is {}", index.state()),
            Some(_) => format!("index {name} is sparse or partial and may not have every match of this filter"),
        }
    }
}

pub(super) fn count(trees: Trees<'_>, index: &Index, ranges: &[KeyRange]) -> Result<u64, Error> {
    let mut sum = 0;
    for range in ranges {
        sum += trees.count(index, range)?;
    }
    Ok(sum)
}

fn is_point(bounds: &Bounds) -> bool {
    matches!(bounds.intervals(), [only] if only.as_point().is_some())
}

fn points(bounds: &Bounds) -> Option<usize> {
    let all = bounds.intervals().iter().all(|interval| interval.as_point().is_some());
    all.then_some(bounds.intervals().len())
}

/// Bounds for the index's first fields, and how many predicates they take in.
fn choose_bounds(trees: Trees<'_>, index: &Index, predicates: &Predicates<'_>) -> Result<(Vec<Bounds>, usize), Error> {
    let spec = index.spec();
    let mut chosen: Vec<Bounds> = Vec::new();
    let (mut used, mut combinations) = (0, 1);
    // The first steps of fields that met arrays and are bounded: what one element of an array meets, another need not.
    let mut arrays: Vec<&str> = Vec::new();
    for (at, field) in spec.fields.iter().enumerate() {
        let mut of_field = predicates.all.iter().filter(|p| p.path == field.text).map(|p| &p.bounds);
        let first_step = field.path.segments().first().map_or("", |segment| &*segment.name);
        let found = if !index.is_multikey(at) {
            let Some(first) = of_field.next().cloned() else { break };
            used += 1;
            of_field.fold(first, |a, b| {
                used += 1;
                a.intersect(b)
            })
        } else {
            if arrays.contains(&first_step) {
                break;
            }
            // Two predicates may be met by two elements, so only one of them bounds: the one with the fewest entries.
            let mut best: Option<(u64, &Bounds)> = None;
            for bounds in of_field {
                if combinations * bounds.intervals().len() > RANGES_MAX {
                    best = best.or(Some((u64::MAX, bounds)));
                    continue;
                }
                let tried = [&*chosen, std::slice::from_ref(bounds)].concat();
                let entries = count(trees, index, &spec.key_ranges(&tried).0)?;
                if best.is_none_or(|(fewest, _)| entries < fewest) {
                    best = Some((entries, bounds));
                }
            }
            let Some((_, bounds)) = best else { break };
            used += 1;
            arrays.push(first_step);
            bounds.clone()
        };
        if combinations * found.intervals().len() > RANGES_MAX {
            // What is between the first and the last value has all of them.
            chosen.push(found.hull());
            used -= 1;
            break;
        }
        let points = points(&found).filter(|points| combinations * points <= COMBINATIONS_MAX);
        chosen.push(found);
        match points {
            Some(points) => combinations *= points.max(1),
            None => break,
        }
    }
    Ok((chosen, used))
}

/// Whether walking these bounds gives the order of a sort, and how.
fn order(index: &Index, bounds: &[Bounds], sort: &Sort) -> Option<Order> {
    if index.has_shortened() {
        return None;
    }
    let fields = &index.spec().fields;
    let pinned = |at: usize| bounds.get(at).is_some_and(is_point);
    let first_step = |at: usize| fields.get(at).and_then(|f| f.path.segments().first()).map(|s| &*s.name);
    let mut reverse: Option<bool> = None;
    let mut arrays = false;
    let mut at = 0;
    for (path, descending) in sort.keys() {
        let path = path.to_string();
        // One value for all documents that the walk meets.
        let constant = |at: usize| pinned(at) && !index.is_multikey(at);
        if fields.iter().take(at).enumerate().any(|(before, field)| field.text == path && constant(before)) {
            continue;
        }
        while fields.get(at).is_some_and(|field| field.text != path) && pinned(at) {
            at += 1;
        }
        let field = fields.get(at).filter(|field| field.text == path)?;
        if !constant(at) {
            if index.is_multikey(at) {
                // A document is met first at its least value (or greatest), if all of its values are met, and alone.
                let others = (0..fields.len()).filter(|other| *other != at && index.is_multikey(*other));
                let paired = others.clone().any(|other| first_step(other) == first_step(at));
                let bounded = (0..bounds.len()).any(|other| index.is_multikey(other));
                if arrays || paired || bounded {
                    return None;
                }
                arrays = true;
            }
            let wanted = field.descending != *descending;
            if *reverse.get_or_insert(wanted) != wanted {
                return None;
            }
        }
        at += 1;
    }
    Some(Order { reverse: reverse.unwrap_or(false), fields: at })
}
