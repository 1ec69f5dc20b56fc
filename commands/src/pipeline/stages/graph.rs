//! `$graphLookup`: the documents that can be reached from a row, from value to value.
//!
//! The search goes breadth first, so each document is reached at its least depth, and no document is reached twice. As long
//! as an index is thought to be cheaper, values are looked up in it; after that, and where there is none, the collection
//! is read once into a table, or, where that does not fit, once for each level.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use veddb_storage::document::expression::Expression;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Filter, Packed, RawObject, Value, ValueRef, codec};
use veddb_storage::{Document, RecordId};

use super::lookup::{check_size, path, with_array, with_member};
use super::unwind::segments;
use super::{Parsed, Place, StageOperator};
use crate::pipeline::foreign::{Foreign, Found, Keys, gather_at, key};
use crate::pipeline::memory::Held;
use crate::pipeline::parse::{object, one};
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::plan::Cost;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$graphLookup",
    summary: "Joins the documents that can be reached from each row, from value to value. It uses indexes.",
    place: Place::Anywhere,
    parse,
}];

/// `$graphLookup`
#[derive(Debug)]
struct Graph {
    from: String,
    start: Expression,
    connect_from: Path,
    connect_to: Path,
    place: Vec<String>,
    max_depth: Option<u64>,
    depth_field: Option<Vec<String>>,
    restrict: Option<Filter>,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let (mut from, mut start, mut connect_from, mut connect_to) = (None, None, None, None);
    let (mut place, mut max_depth, mut depth_field, mut restrict) = (None, None, None, None);
    for (name, value) in object(operand)?.iter() {
        match (name, value) {
            ("startWith", value) => {
                start = Some(reader.expression(value).map_err(|what| format!("startWith: {what}"))?)
            }
            ("maxDepth", value) => {
                let depth = value.kind().is_number().then(|| value.to_value().as_integer()).flatten();
                let depth = depth.and_then(|depth| u64::try_from(depth).ok());
                max_depth = Some(depth.ok_or("maxDepth needs a whole number of at least 0")?);
            }
            ("restrictSearchWithMatch", ValueRef::Object(filter)) => restrict = Some(reader.filter(filter)?),
            ("restrictSearchWithMatch", _) => return Err("restrictSearchWithMatch needs a filter".into()),
            ("from" | "connectFromField" | "connectToField" | "as" | "depthField", ValueRef::String(text)) => {
                let place = match name {
                    "from" => &mut from,
                    "connectFromField" => &mut connect_from,
                    "connectToField" => &mut connect_to,
                    "as" => &mut place,
                    _ => &mut depth_field,
                };
                *place = Some(text);
            }
            ("from" | "connectFromField" | "connectToField" | "as" | "depthField", _) => {
                return Err(format!("{name} needs a string"));
            }
            _ => return Err(format!("does not take {name}")),
        }
    }
    let from = from.filter(|name| !name.is_empty()).ok_or("needs from, the name of a collection")?;
    reader.named.push((from.to_owned(), false));
    one(Graph {
        from: from.to_owned(),
        start: start.ok_or("needs startWith")?,
        connect_from: path(connect_from.ok_or("needs connectFromField")?)?,
        connect_to: path(connect_to.ok_or("needs connectToField")?)?,
        place: segments(place.ok_or("needs as")?)?,
        max_depth,
        depth_field: depth_field.map(segments).transpose()?,
        restrict,
    })
}

impl Stage for Graph {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let held = opening.account.part();
        Box::new(Searching { stage: self, input, search: None, held })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted
    }

    fn passes_through(&self, path: &str) -> bool {
        let first = path.split('.').next().unwrap_or_default();
        self.place.first().is_none_or(|segment| segment != first)
    }
}

struct Searching {
    stage: Arc<Graph>,
    input: Input,
    /// Made when the first row is asked for: only then the moment of the data is known.
    search: Option<Search>,
    /// What a table of the collection takes.
    held: Held,
}

/// Where documents are looked for.
struct Search {
    foreign: Option<Foreign>,
    /// What lookups in the index have cost so far.
    spent: Cost,
    table: Table,
}

/// The collection in memory, by the values that lead to its documents.
enum Table {
    NotTried,
    TooLarge,
    Made { by_key: FxHashMap<Box<[u8]>, Vec<u32>>, documents: Vec<(RecordId, Arc<Document>)> },
}

impl Graph {
    fn lets_pass(&self, document: RawObject<'_>, running: &Running<'_>) -> Result<bool, Failure> {
        let Some(filter) = &self.restrict else { return Ok(true) };
        filter
            .test_with(document, running.context.now_ms, running.variables, Some(running))
            .map_err(|error| Failure::Stage(format!("restrictSearchWithMatch: {}", error.0)))
    }

    /// The documents that can be reached from a row.
    fn reach(
        &self,
        row: &Row,
        search: &mut Search,
        table_held: &mut Held,
        running: &Running<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let mut reached = Vec::new();
        let mut held = running.account.part();
        let mut size = row.body().len();
        let mut records: FxHashSet<RecordId> = FxHashSet::default();
        let mut values: FxHashSet<Box<[u8]>> = FxHashSet::default();
        let mut frontier: Vec<Packed> = match self.start.evaluate(&running.scope(row.root()))? {
            Some(Value::Array(list)) => list.iter().map(codec::pack_value).collect(),
            Some(value) => vec![codec::pack_value(&value)],
            None => Vec::new(),
        };
        frontier.retain(|value| values.insert(key(value.get())));
        let mut depth = 0;
        while !frontier.is_empty() && self.max_depth.is_none_or(|most| depth <= most) {
            let sought: Vec<ValueRef<'_>> = frontier.iter().map(Packed::get).collect();
            let mut found = search.find(self, &sought, table_held, running)?;
            let mut next = Vec::new();
            while let Some((record, document)) = found.next(running)? {
                running.step()?;
                if records.contains(&record) || !self.lets_pass(document.root(), running)? {
                    continue;
                }
                records.insert(record);
                size += document.body().len();
                check_size(size, running)?;
                let mut leads = Vec::new();
                gather_at(document.root(), &self.connect_from, &mut leads);
                for value in leads {
                    let key = key(value);
                    if !values.contains(&key) {
                        held.force(2 * key.len() + 64);
                        next.push(Packed::from_ref(value));
                        values.insert(key);
                    }
                }
                held.force(document.size() + 16);
                reached.push(match &self.depth_field {
                    Some(field) => {
                        let depth = ValueRef::Int64(i64::try_from(depth).unwrap_or(i64::MAX));
                        with_member(&document, field, depth)
                    }
                    None => document,
                });
            }
            frontier = next;
            depth += 1;
        }
        Ok(reached)
    }
}

impl Search {
    /// The documents to which one of these values leads, in natural order.
    fn find(
        &mut self,
        graph: &Graph,
        values: &[ValueRef<'_>],
        held: &mut Held,
        running: &Running<'_>,
    ) -> Result<Candidates<'_>, Failure> {
        let Some(foreign) = &self.foreign else { return Ok(Candidates::Listed(Vec::new().into_iter(), &[])) };
        let keys = Keys::of(values);
        let all = foreign.cost_of_scan();
        if self.spent <= all
            && let Some(places) = foreign.places(values, running)?
        {
            self.spent += places.cost;
            if self.spent <= all {
                return Ok(Candidates::Found(foreign.found(keys, &places, running)?));
            }
        }
        if matches!(self.table, Table::NotTried) {
            self.table = make_table(graph, foreign, held, running)?;
        }
        let Table::Made { by_key, documents } = &self.table else {
            return Ok(Candidates::Found(foreign.scanned(keys, running)));
        };
        let mut places: Vec<u32> = keys.iter().filter_map(|key| by_key.get(key)).flatten().copied().collect();
        running.check()?;
        places.sort_unstable();
        places.dedup();
        running.check()?;
        Ok(Candidates::Listed(places.into_iter(), documents))
    }
}

/// Documents to which a value leads.
enum Candidates<'t> {
    Found(Found),
    /// Places in the table.
    Listed(std::vec::IntoIter<u32>, &'t [(RecordId, Arc<Document>)]),
}

impl Candidates<'_> {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<(RecordId, Row)>, Failure> {
        match self {
            Candidates::Found(found) => found.next_record(running),
            Candidates::Listed(places, documents) => {
                let found = places.find_map(|place| documents.get(place as usize));
                Ok(found.map(|(record, document)| (*record, Row::Stored(Arc::clone(document)))))
            }
        }
    }
}

fn make_table(graph: &Graph, foreign: &Foreign, held: &mut Held, running: &Running<'_>) -> Result<Table, Failure> {
    let mut by_key: FxHashMap<Box<[u8]>, Vec<u32>> = FxHashMap::default();
    let mut documents = Vec::new();
    let mut buffer = Vec::new();
    for scanned in foreign.scan(running) {
        running.step()?;
        let (record, document) = scanned?;
        running.examined.borrow_mut().documents += 1;
        if !graph.lets_pass(document.root(), running)? {
            continue;
        }
        let number = documents.len() as u32;
        let mut grown = document.body.len() + size_of::<Document>() + 32;
        foreign.any_key(document.root(), &mut buffer, &mut |key| {
            match by_key.get_mut(key) {
                Some(list) => list.push(number),
                None => {
                    grown += key.len() + 64;
                    by_key.insert(key.into(), vec![number]);
                }
            }
            grown += size_of::<u32>();
            false
        });
        if held.bytes() + grown > held.account().limit() / 2 || !held.grow(grown) {
            held.release();
            return Ok(Table::TooLarge);
        }
        documents.push((record, document));
    }
    Ok(Table::Made { by_key, documents })
}

impl Rows for Searching {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        running.step()?;
        let Some(row) = self.input.next(running)? else { return Ok(None) };
        let stage = &self.stage;
        let search = self.search.get_or_insert_with(|| Search {
            foreign: Foreign::open(&stage.from, &stage.connect_to, running),
            spent: 0.0,
            table: Table::NotTried,
        });
        let reached = stage.reach(&row, search, &mut self.held, running)?;
        Ok(Some(with_array(&row, &stage.place, &reached)))
    }
}
