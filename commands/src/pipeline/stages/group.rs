//! `$group`, `$count` and `$sortByCount`: one row for all rows of one key.
//!
//! Groups are held in memory, by their key's bytes. When they no longer fit they are written, sorted by these bytes, to a
//! temporary file, with what their accumulators know; at the end the files are merged.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use veddb_storage::document::expression::{Expression, Root, Scope};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec, ordered};

use super::sort::Sorted;
use super::{Parsed, Place, StageOperator};
use crate::pipeline::accumulators::{self, Accumulator, State, block, size_of_state, size_of_value};
use crate::pipeline::memory::{Account, Held};
use crate::pipeline::parse::{object, one};
use crate::pipeline::sorter::sort_by;
use crate::pipeline::spool::{RowReader, RowWriter, Runs};
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[
    StageOperator {
        name: "$group",
        summary: "Makes one row of all rows that have the same `_id`, with accumulators.",
        place: Place::Anywhere,
        parse,
    },
    StageOperator {
        name: "$count",
        summary: "Makes one row of all, which says how many they were.",
        place: Place::Anywhere,
        parse: count,
    },
    StageOperator {
        name: "$sortByCount",
        summary: "Makes a row of each different value, with how often it is there, the most frequent first.",
        place: Place::Anywhere,
        parse: sort_by_count,
    },
];

/// `$group`
#[derive(Debug)]
struct Group {
    id: Expression,
    fields: Vec<(String, Box<dyn Accumulator>)>,
}

pub(super) fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let mut id = None;
    let mut fields = Vec::new();
    for (name, value) in object(operand)?.iter() {
        if name == "_id" {
            check_id(value)?;
            id = Some(reader.expression(value)?);
            continue;
        }
        check_name(name)?;
        fields.push((name.to_owned(), accumulators::parse(reader, value).map_err(|what| format!("{name}: {what}"))?));
    }
    one(Group { id: id.ok_or("needs _id")?, fields })
}

/// An object of fields is made of expressions; that of a projection is taken for a mistake, as in MongoDB.
fn check_id(id: ValueRef<'_>) -> Result<(), String> {
    let ValueRef::Object(object) = id else { return Ok(()) };
    for (name, value) in object.iter() {
        if !name.starts_with('$') && (value.kind().is_number() || matches!(value, ValueRef::Bool(_))) {
            return Err(format!("_id.{name}: keeps nothing as $project would: it needs an expression"));
        }
    }
    Ok(())
}

/// Whether a row that an accumulator is part of may have a member of this name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.contains(['.', '\0']) || name.starts_with('$') {
        return Err(format!("{name:?} is not a field's name: it may not have dots or zero bytes, nor begin with $"));
    }
    Ok(())
}

fn count(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let ValueRef::String(name) = operand else { return Err("needs a field's name".into()) };
    check_name(name)?;
    if name.is_empty() || name == "_id" {
        return Err(format!("the field cannot be {name:?}"));
    }
    let one = Value::Object(Object(vec![("$sum".to_owned(), Value::Int32(1))]));
    let group = Object(vec![("_id".to_owned(), Value::Null), (name.to_owned(), one)]);
    let mut stages = parse(reader, codec::pack_value(&Value::Object(group)).get())?;
    let shown = Object(vec![("_id".to_owned(), Value::Bool(false))]);
    stages.extend(super::project::project_stage(reader, codec::pack_value(&Value::Object(shown)).get())?);
    Ok(stages)
}

fn sort_by_count(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let expression = match operand {
        ValueRef::String(path) => path.starts_with('$'),
        ValueRef::Object(object) => object.iter().next().is_some_and(|(name, _)| name.starts_with('$')),
        _ => false,
    };
    if !expression {
        return Err("needs a path that begins with $ or an expression".into());
    }
    let one = Value::Object(Object(vec![("$sum".to_owned(), Value::Int32(1))]));
    let group = Object(vec![("_id".to_owned(), operand.to_value()), ("count".to_owned(), one)]);
    let mut stages = parse(reader, codec::pack_value(&Value::Object(group)).get())?;
    let order = codec::pack_object(&Object(vec![("count".to_owned(), Value::Int32(-1))]));
    stages.push(Arc::new(Sorted::new(Sort::from_object(RawObject::from_body(&order))?)));
    Ok(stages)
}

impl Stage for Group {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let held = opening.account.part();
        let groups = Groups { stage: self, held, by_key: IndexMap::default(), runs: Runs::new(opening.account) };
        Box::new(Grouping { input, state: Phase::Gathering(groups) })
    }
}

/// One key's rows so far.
#[derive(Debug)]
struct Grouped {
    id: Value,
    states: Vec<Box<dyn State>>,
}

/// Groups by their key's bytes, in the order of their first rows.
type ByKey = IndexMap<Box<[u8]>, Grouped, FxBuildHasher>;

/// So many places are made at first.
const PLACES_LEAST: usize = 256;

/// A group's place among them, bytes: with its hash, in a table of numbers that is at least seven sixteenths full, and among
/// the numbers that are sorted when they are written.
const PLACE_BYTES: usize = size_of::<(u64, Box<[u8]>, Grouped)>() + 9 * 16 / 7 + 2 * size_of::<usize>();

#[derive(Debug)]
struct Groups {
    stage: Arc<Group>,
    held: Held,
    by_key: ByKey,
    runs: Runs,
}

struct Grouping {
    input: Input,
    state: Phase,
}

enum Phase {
    Gathering(Groups),
    Giving(indexmap::map::IntoValues<Box<[u8]>, Grouped>, Groups),
    Merging(Merge, Groups),
    Done,
}

impl Group {
    fn start(&self, id: Value, running: &Running<'_>) -> Result<Grouped, Failure> {
        let mut states = Vec::with_capacity(self.fields.len());
        let empty = Object::default();
        let root = Root::Owned(id.as_object().unwrap_or(&empty));
        let scope = Scope { root, now_ms: running.now_ms(), variables: running.variables, watch: Some(running) };
        for (name, accumulator) in &self.fields {
            states.push(accumulator.start(&scope).map_err(|what| format!("{name}: {what}"))?);
        }
        Ok(Grouped { id, states })
    }

    fn row(&self, group: &Grouped) -> Result<Row, Failure> {
        let mut object = Object(Vec::with_capacity(1 + self.fields.len()));
        object.0.push(("_id".to_owned(), group.id.clone()));
        for ((name, _), state) in self.fields.iter().zip(&group.states) {
            if let Some(value) = state.value().map_err(|what| format!("{name}: {what}"))? {
                object.0.push((name.clone(), value));
            }
        }
        Ok(Row::of(&object))
    }
}

impl Groups {
    fn add(&mut self, row: &Row, key: &mut Vec<u8>, running: &Running<'_>) -> Result<(), Failure> {
        let stage = Arc::clone(&self.stage);
        let scope = running.scope(row.root());
        key.clear();
        // Mostly it is a stored value, and the group is there already: then nothing is copied.
        let computed;
        let id = match stage.id.look(row.root()) {
            Some(found) => found.unwrap_or(ValueRef::Null),
            None => {
                computed = codec::pack_value(&stage.id.evaluate(&scope)?.unwrap_or(Value::Null));
                computed.get()
            }
        };
        ordered::put(key, id);
        let mut grown = 0;
        if self.by_key.len() == self.by_key.capacity() && !self.by_key.contains_key(key.as_slice()) {
            self.widen(running)?;
        }
        let group = match self.by_key.get_mut(key.as_slice()) {
            Some(group) => group,
            None => {
                let id = id.to_value();
                grown += block(key.len()) + size_of_value(&id);
                let group = stage.start(id, running)?;
                grown += group.states.iter().map(|state| size_of_state(&**state)).sum::<usize>();
                self.by_key.entry(key.as_slice().into()).or_insert(group)
            }
        };
        for ((name, accumulator), state) in stage.fields.iter().zip(&mut group.states) {
            let wrong = |what: String| format!("{name}: {what}");
            grown += state.add(accumulator.argument(&scope).map_err(wrong)?).map_err(wrong)?;
        }
        if grown > 0 && !self.held.grow(grown) {
            self.write(running)?;
        }
        Ok(())
    }

    /// Makes places for twice as many groups, or writes those that there are.
    fn widen(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        let (mut before, mut wanted) = (self.by_key.capacity(), (2 * self.by_key.capacity()).max(PLACES_LEAST));
        // While they are moved there are both.
        if !self.held.grow(wanted * PLACE_BYTES) {
            self.write(running)?;
            (before, wanted) = (0, PLACES_LEAST);
            self.held.force(wanted * PLACE_BYTES);
        }
        self.by_key.reserve_exact(wanted - self.by_key.len());
        self.held.shrink(before * PLACE_BYTES);
        Ok(())
    }

    /// Writes what is held to a file, sorted by key.
    fn write(&mut self, running: &Running<'_>) -> Result<(), Failure> {
        let groups = std::mem::take(&mut self.by_key);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        let key = |at: usize| groups.get_index(at).map(|(key, _)| key);
        sort_by(&mut order, |a, b| key(*a).cmp(&key(*b)), running)?;
        let mut writer = RowWriter::create(running.context.view.spills(), self.held.account())?;
        for (key, group) in order.into_iter().filter_map(|at| groups.get_index(at)) {
            running.step()?;
            writer.push_body(&saved(key, group))?;
        }
        drop(groups);
        self.held.release();
        let Groups { stage, held, runs, .. } = self;
        runs.push(writer.finish()?, |runs| merged(runs, stage, held, running))
    }

    /// The files, as few as can be merged.
    fn merge(&mut self, running: &Running<'_>) -> Result<Merge, Failure> {
        let Groups { stage, held, runs, .. } = self;
        let runs = runs.take(|runs| merged(runs, stage, held, running))?;
        Merge::of(runs, held.account())
    }
}

/// One file of several.
fn merged(runs: Vec<RowReader>, stage: &Group, held: &mut Held, running: &Running<'_>) -> Result<RowReader, Failure> {
    let mut writer = RowWriter::create(running.context.view.spills(), held.account())?;
    let mut merge = Merge::of(runs, held.account())?;
    while let Some((key, group)) = merge.next(stage, held, running)? {
        writer.push_body(&saved(&key, &group))?;
    }
    held.release();
    Ok(writer.finish()?)
}

/// A group with its key's bytes.
type Keyed = (Box<[u8]>, Grouped);

/// A group as it is written.
fn saved(key: &[u8], group: &Grouped) -> Box<[u8]> {
    codec::pack_object(&Object(vec![
        ("k".to_owned(), Value::Binary { subtype: 0, bytes: key.to_vec() }),
        ("i".to_owned(), group.id.clone()),
        ("s".to_owned(), Value::Array(group.states.iter().map(|state| state.save()).collect())),
    ]))
}

/// Files of groups, each sorted by key.
struct Merge {
    /// Each with its first group.
    runs: Vec<(RowReader, Option<Row>)>,
    /// What they take.
    _held: Held,
}

fn key_of(row: &Row) -> &[u8] {
    match row.root().get("k") {
        Some(ValueRef::Binary { bytes, .. }) => bytes,
        _ => &[],
    }
}

impl Merge {
    fn of(readers: Vec<RowReader>, account: &Arc<Account>) -> Result<Merge, Failure> {
        let mut held = account.part();
        held.force(readers.iter().map(RowReader::weight).sum());
        let mut runs = Vec::with_capacity(readers.len());
        for mut reader in readers {
            let head = reader.read()?;
            runs.push((reader, head));
        }
        Ok(Merge { runs, _held: held })
    }

    /// The next group, of all files. What it takes is all that is held then: it cannot be written away once more.
    fn next(&mut self, stage: &Group, held: &mut Held, running: &Running<'_>) -> Result<Option<Keyed>, Failure> {
        held.release();
        let least = self.runs.iter().filter_map(|(_, head)| head.as_ref().map(key_of)).min();
        let Some(key) = least.map(Box::<[u8]>::from) else { return Ok(None) };
        let mut group: Option<Grouped> = None;
        for (reader, head) in &mut self.runs {
            let Some(row) = head.take_if(|row| key_of(row) == &*key) else { continue };
            running.step()?;
            let object = row.root();
            let group = match &mut group {
                Some(group) => group,
                None => {
                    let id = object.get("i").map_or(Value::Null, ValueRef::to_value);
                    group.insert(stage.start(id, running)?)
                }
            };
            if let Some(ValueRef::Array(states)) = object.get("s") {
                for (state, saved) in group.states.iter_mut().zip(states.iter()) {
                    held.claim(state.absorb(saved.to_value())?)?;
                }
            }
            *head = reader.read()?;
        }
        Ok(group.map(|group| (key, group)))
    }
}

impl Rows for Grouping {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if let Phase::Gathering(groups) = &mut self.state {
            let mut key = Vec::new();
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                groups.add(&row, &mut key, running)?;
            }
            if let Phase::Gathering(mut groups) = std::mem::replace(&mut self.state, Phase::Done) {
                self.state = if groups.runs.is_empty() {
                    Phase::Giving(std::mem::take(&mut groups.by_key).into_values(), groups)
                } else {
                    groups.write(running)?;
                    Phase::Merging(groups.merge(running)?, groups)
                };
            }
        }
        match &mut self.state {
            Phase::Giving(all, groups) => all.next().map(|group| groups.stage.row(&group)).transpose(),
            Phase::Merging(merge, groups) => merge
                .next(&groups.stage, &mut groups.held, running)?
                .map(|(_, group)| groups.stage.row(&group))
                .transpose(),
            Phase::Gathering(_) | Phase::Done => Ok(None),
        }
    }
}
