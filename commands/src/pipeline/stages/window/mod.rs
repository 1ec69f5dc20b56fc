//! `$setWindowFields`: sets members to what functions make of the rows around each row.
//!
//! The rows are sorted by partition and `sortBy`, in files if need be, and then go through one partition after the other.
//! Functions that only look back take each row as it passes. Where one has to look ahead, the rows of a partition wait, in
//! a file if need be; what the function needs of each of them is held in memory, and counted.

mod bounds;
mod fill;
mod moving;
mod over;
mod rank;
mod slide;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use veddb_storage::document::expression::{Expression, Root, Scope};
use veddb_storage::document::order::compare_values;
use veddb_storage::document::path::{Leaf, Path};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use self::bounds::Bounds;
use super::sample::{unwrap, wrap};
use super::{Place, StageOperator};
use crate::pipeline::accumulators;
use crate::pipeline::memory::Held;
use crate::pipeline::parse::{members, object, one};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::spool::Spool;
use crate::pipeline::stages::Parsed;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::project::{Project, Sight};
use crate::query::sort::{Sort, SortKey};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$setWindowFields",
    summary: "Sets members to what functions make of the rows around each row, in partitions and in an order.",
    place: Place::Anywhere,
    parse,
}];

/// A function of windows.
#[derive(Debug)]
pub struct WindowOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its operand.
    parse: fn(&Reader<'_>, ValueRef<'_>, Standing<'_>) -> Read,
}

/// What comes of reading a function.
type Read = Result<Box<dyn Function>, String>;

/// Where a function stands.
struct Standing<'p> {
    window: Option<Bounds>,
    sort: Option<&'p Sort>,
}

impl Standing<'_> {
    /// Functions that see to their rows themselves have no window.
    fn no_window(&self) -> Result<(), String> {
        if self.window.is_some() { Err("takes no window".into()) } else { Ok(()) }
    }
}

/// Every function that is no accumulator, by family.
pub const OPERATORS: &[&[WindowOperator]] = &[rank::OPERATORS, moving::OPERATORS, over::OPERATORS, fill::OPERATORS];

/// A parsed function: the same for every partition.
trait Function: std::fmt::Debug + Send + Sync {
    /// What it takes of one row; None is a missing value.
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String>;

    /// The state of a partition that has no row yet.
    fn start(&self, partition: &Scope<'_>) -> Result<Box<dyn Course>, String>;

    /// Whether it has to have all rows of a partition before it gives its first value.
    fn looks_ahead(&self) -> bool;
}

/// A function on its way through one partition: it takes every row and gives a value for every row, both in order. One that
/// does not look ahead is asked for a row's value as soon as it has the row.
trait Course: Send {
    /// Takes the next row.
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String>;

    /// The value for the next row; None is a missing value.
    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure>;

    /// What it holds, bytes, about.
    fn bytes(&self) -> usize {
        0
    }
}

/// Where a row stands.
struct At<'a> {
    /// The value at the first path of `sortBy`.
    key: Option<&'a Value>,
    /// Whether the row before it in the partition is equal to it in the order.
    tied: bool,
}

/// `$setWindowFields`
#[derive(Debug)]
struct SetWindowFields {
    partition_by: Option<Expression>,
    /// By partition and `sortBy`, of wrapped rows; none where the rows are taken as they come.
    order: Option<Arc<Sort>>,
    sort: Option<Arc<Sort>>,
    key: Option<Path>,
    functions: Vec<(String, Box<dyn Function>)>,
    /// Sets the members to variables that hold what the functions give.
    project: Option<Project>,
}

pub(super) fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [partition_by, sort_by, output] = members(operand, ["partitionBy", "sortBy", "output"])?;
    let partition_by = partition_by.map(|by| reader.expression(by).map_err(|what| format!("partitionBy: {what}")));
    let partition_by = partition_by.transpose()?.filter(|by| by.as_constant().is_none_or(|v| v.as_array().is_some()));
    let sort_by = match sort_by {
        None | Some(ValueRef::Null) => None,
        Some(by) => Some(object(by).map_err(|what| format!("sortBy: {what}"))?),
    };
    let sort = sort_by.filter(|by| !by.is_empty()).map(Sort::from_object).transpose();
    let sort = sort.map_err(|what| format!("sortBy: {what}"))?.map(Arc::new);
    let mut functions = Vec::new();
    let mut project = Vec::new();
    for (path, value) in object(output.ok_or("needs output")?).map_err(|what| format!("output: {what}"))?.iter() {
        let function = function(reader, value, sort_by.is_some(), sort.as_deref());
        functions.push((path.to_owned(), function.map_err(|what| format!("output: {path}: {what}"))?));
        project.push((path.to_owned(), Value::String(format!("$${}", variable(project.len())))));
    }
    let names: Vec<String> = (0..project.len()).map(variable).collect();
    let names: Vec<&str> = reader.names().chain(names.iter().map(String::as_str)).collect();
    let project = (!project.is_empty()).then(|| codec::pack_object(&Object(project)));
    let project = project.map(|project| Project::set(RawObject::from_body(&project), reader.limits, &names));
    let project = project.transpose().map_err(|what| format!("output: {what}"))?;
    let order = order(partition_by.is_some(), sort_by)?;
    let key = sort.as_ref().and_then(|sort| sort.keys().first()).map(|(path, _)| path.clone());
    one(SetWindowFields { partition_by, order, sort, key, functions, project })
}

/// The variable that holds what a function gives.
fn variable(number: usize) -> String {
    format!("window{number}")
}

/// The order of rows that are wrapped up with their partition.
fn order(partitioned: bool, sort_by: Option<RawObject<'_>>) -> Result<Option<Arc<Sort>>, String> {
    let mut keys = Object::default();
    if partitioned {
        keys.0.push(("p".to_owned(), Value::Int32(1)));
    }
    for (path, direction) in sort_by.iter().flat_map(RawObject::iter) {
        keys.0.push((format!("d.{path}"), direction.to_value()));
    }
    if keys.0.is_empty() {
        return Ok(None);
    }
    let keys = codec::pack_object(&keys);
    let sort =
        Sort::from_object(RawObject::from_body(&keys)).map_err(|what| format!("sortBy and partitionBy: {what}"))?;
    Ok(Some(Arc::new(sort)))
}

fn function(reader: &Reader<'_>, value: ValueRef<'_>, sorted: bool, sort: Option<&Sort>) -> Read {
    let (name, operand, window) = bounds::field(value)?;
    let window = window.map(Bounds::parse).transpose().map_err(|what| format!("window: {what}"))?;
    match &window {
        Some(Bounds::Range(..)) => match sort.map(Sort::keys) {
            Some([(_, false)]) => {}
            _ => return Err("window: a range needs a sortBy of one ascending key".into()),
        },
        Some(bounds) if !bounds.is_whole() && !sorted => return Err("window: needs a sortBy".into()),
        _ => {}
    }
    let wrong = |what: String| format!("{name}: {what}");
    if let Some(operator) = OPERATORS.iter().flat_map(|family| family.iter()).find(|operator| operator.name == name) {
        return (operator.parse)(reader, operand, Standing { window, sort }).map_err(wrong);
    }
    let own = accumulators::COVARIANCES.iter().find(|operator| operator.name == name);
    let operator = own.or_else(|| accumulators::find(name)).ok_or_else(|| format!("unknown function {name}"))?;
    let accumulator = (operator.parse)(reader, operand).map_err(wrong)?;
    Ok(Box::new(slide::Accumulated::new(name, accumulator, window.unwrap_or(Bounds::WHOLE))))
}

impl Stage for SetWindowFields {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let sorter = self.order.as_ref().map(|order| Sorter::new(order, usize::MAX, opening.account));
        let held = opening.account.part();
        let ahead = self.functions.iter().any(|(_, function)| function.looks_ahead());
        let source = Source { input, sorter, sorted: None, next: None };
        Box::new(Passing { stage: self, source, held, ahead, begun: false, partition: None })
    }
}

/// The rows in the order of partitions.
struct Source {
    input: Input,
    /// Takes all rows before the first is given.
    sorter: Option<Sorter>,
    sorted: Option<InOrder>,
    /// The next row with its partition.
    next: Option<(Value, Row)>,
}

impl Source {
    /// Goes to the next row; answers the one that was.
    fn take(&mut self, stage: &SetWindowFields, running: &Running<'_>) -> Result<Option<(Value, Row)>, Failure> {
        if let Some(mut sorter) = self.sorter.take() {
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                let partition = Value::Object(Object(vec![("v".to_owned(), stage.partition(&row, running)?)]));
                let wrapped = wrap("p", codec::pack_value(&partition).get(), &row);
                sorter.push(wrapped, running).map_err(|failure| match failure {
                    // Nobody but us knows that the rows are wrapped up.
                    Failure::Stage(what) => Failure::Stage(format!("sortBy: {}", what.replace(" d.", " "))),
                    other => other,
                })?;
            }
            sorter.make_room(running)?;
            self.sorted = Some(sorter.finish(running)?);
        }
        let next = match &mut self.sorted {
            None => self.input.next(running)?.map(|row| (Value::Null, row)),
            Some(sorted) => sorted.read()?.map(|row| {
                let partition = match row.root().get("p") {
                    Some(ValueRef::Object(partition)) => partition.get("v").map(ValueRef::to_value),
                    _ => None,
                };
                (partition.unwrap_or(Value::Null), unwrap(&row))
            }),
        };
        running.step()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// A run.
struct Passing {
    stage: Arc<SetWindowFields>,
    source: Source,
    held: Held,
    /// Whether a function has to have the whole partition first.
    ahead: bool,
    begun: bool,
    partition: Option<Partition>,
}

/// The partition that is passing.
struct Partition {
    value: Value,
    courses: Vec<Box<dyn Course>>,
    /// Its rows, where they have to wait.
    rows: Option<Spool>,
    /// What the row before was sorted by: as the courses took it that look ahead, and as the others did.
    before: [Option<SortKey>; 2],
}

impl SetWindowFields {
    fn partition(&self, row: &Row, running: &Running<'_>) -> Result<Value, Failure> {
        let Some(by) = &self.partition_by else { return Ok(Value::Null) };
        match by.evaluate(&running.scope(row.root()))? {
            Some(Value::Array(_)) => Err(Failure::Stage("partitionBy must not be an array".into())),
            value => Ok(value.unwrap_or(Value::Null)),
        }
    }

    fn start(&self, value: Value, running: &Running<'_>) -> Result<Partition, Failure> {
        let empty = Object::default();
        let root = Root::Owned(value.as_object().unwrap_or(&empty));
        let scope = Scope { root, now_ms: running.now_ms(), variables: running.variables, watch: Some(running) };
        let mut courses = Vec::with_capacity(self.functions.len());
        for (path, function) in &self.functions {
            courses.push(function.start(&scope).map_err(|what| format!("output: {path}: {what}"))?);
        }
        Ok(Partition { value, courses, rows: None, before: [None, None] })
    }

    /// Hands a row to the functions that look ahead, or to the others.
    fn take(&self, partition: &mut Partition, row: &Row, ahead: bool, running: &Running<'_>) -> Result<(), Failure> {
        let key = self.key.as_ref().and_then(|path| {
            let mut key = None;
            path.any(row.root(), Leaf::Whole, &mut |value| {
                key = value.map(ValueRef::to_value);
                true
            });
            key
        });
        let before = partition.before.get_mut(usize::from(ahead));
        let tied = match (&self.sort, before) {
            (Some(sort), Some(before)) => {
                let own = sort.key(row.root())?;
                before.replace(own).zip(before.as_ref()).is_some_and(|(a, b)| sort.compare(&a, b).is_eq())
            }
            _ => false,
        };
        let scope = running.scope(row.root());
        let at = At { key: key.as_ref(), tied };
        for ((path, function), course) in self.functions.iter().zip(&mut partition.courses) {
            if function.looks_ahead() == ahead {
                let wrong = |what: String| format!("output: {path}: {what}");
                course.take(function.argument(&scope).map_err(wrong)?, &at).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// The row with what the functions give for it.
    fn give(&self, partition: &mut Partition, row: &Row, running: &Running<'_>) -> Result<Row, Failure> {
        let Some(project) = &self.project else { return Ok(row.clone()) };
        let mut variables = running.variables.to_vec();
        for ((path, _), course) in self.functions.iter().zip(&mut partition.courses) {
            variables.push(course.give(running).map_err(|failure| match failure {
                Failure::Stage(what) => Failure::Stage(format!("output: {path}: {what}")),
                other => other,
            })?);
        }
        let now_ms = running.context.now_ms;
        let sight = Sight { filter: None, now_ms, variables: &variables, watch: Some(running) };
        Ok(Row::of(&project.apply(row.root(), sight)?))
    }
}

impl Passing {
    /// Makes the rows of the next partition wait until the functions have seen all of them.
    fn gather(&mut self, partition: &mut Partition, running: &Running<'_>) -> Result<(), Failure> {
        let mut spool = Spool::new(self.held.account());
        while self.source.next.as_ref().is_some_and(|(value, _)| compare_values(value, &partition.value).is_eq()) {
            let Some((_, row)) = self.source.take(&self.stage, running)? else { break };
            self.stage.take(partition, &row, true, running)?;
            let bytes = partition.courses.iter().map(|course| course.bytes()).sum();
            if self.held.set(bytes).is_err() {
                spool.spill(running)?;
                self.held.set(bytes)?;
            }
            spool.push(row, running)?;
        }
        partition.rows = Some(spool);
        Ok(())
    }

    /// The next row of the partition.
    fn row(&mut self, partition: &mut Partition, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if let Some(rows) = &mut partition.rows {
            return rows.read();
        }
        if !self.source.next.as_ref().is_some_and(|(value, _)| compare_values(value, &partition.value).is_eq()) {
            return Ok(None);
        }
        Ok(self.source.take(&self.stage, running)?.map(|(_, row)| row))
    }
}

impl Rows for Passing {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let stage = Arc::clone(&self.stage);
        if !std::mem::replace(&mut self.begun, true) {
            self.source.take(&stage, running)?;
        }
        loop {
            let mut partition = match self.partition.take() {
                Some(partition) => partition,
                None => {
                    let Some((value, _)) = &self.source.next else { return Ok(None) };
                    let mut partition = stage.start(value.clone(), running)?;
                    if self.ahead {
                        self.gather(&mut partition, running)?;
                    }
                    partition
                }
            };
            running.step()?;
            if let Some(row) = self.row(&mut partition, running)? {
                stage.take(&mut partition, &row, false, running)?;
                let given = stage.give(&mut partition, &row, running)?;
                self.held.set(partition.courses.iter().map(|course| course.bytes()).sum())?;
                self.partition = Some(partition);
                return Ok(Some(given));
            }
            self.held.release();
        }
    }
}
