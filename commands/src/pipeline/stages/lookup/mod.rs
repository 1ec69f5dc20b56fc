//! `$lookup`: joins to each row the documents of another collection that are equal at a path, that a pipeline gives, or
//! both: then the pipeline is given the equal ones.
//!
//! Documents are read at the query's own moment. A `$unwind` right after it is part of it, so the array that it would take
//! apart is never made.

mod join;

use std::sync::Arc;

use veddb_storage::document::expression::{Expression, check_variable_name};
use veddb_storage::document::path::Path;
use veddb_storage::document::{RawArray, RawObject, Value, ValueRef, codec};

use super::unwind::{Unwind, put, remove, segments};
use super::{Parsed, Place, StageOperator};
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::foreign::Foreign;
use crate::pipeline::parse::{object, one};
use crate::pipeline::spool::Spool;
use crate::pipeline::{Failure, Input, Kind, Opening, Pipeline, Reader, Row, Rows, Running, Stage};
use join::Joiner;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$lookup",
    summary: "Joins documents of another collection to each row, as an array. It uses indexes.",
    place: Place::Anywhere,
    parse,
}];

/// `$lookup`
#[derive(Debug)]
pub struct Lookup {
    join: Arc<Join>,
    unwind: Option<Apart>,
}

/// What is joined.
#[derive(Debug)]
struct Join {
    /// None where the pipeline brings its own documents.
    from: Option<String>,
    /// The paths whose values are equal: the row's and the document's.
    on: Option<(Path, Path)>,
    variables: Vec<Expression>,
    pipeline: Option<Pipeline>,
    /// The pipeline gives every row the same.
    same: bool,
    place: Vec<String>,
}

/// A `$unwind` that is part of the stage.
#[derive(Debug)]
struct Apart {
    index: Option<Vec<String>>,
    keeps_empty: bool,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let (mut from, mut local, mut foreign, mut place) = (None, None, None, None);
    let (mut bindings, mut pipeline) = (None, None);
    for (name, value) in object(operand)?.iter() {
        let slot = match name {
            "from" => &mut from,
            "localField" => &mut local,
            "foreignField" => &mut foreign,
            "as" => &mut place,
            "let" | "pipeline" => {
                match (name, value) {
                    // As where it is not there.
                    (_, ValueRef::Null) => {}
                    ("let", ValueRef::Object(object)) => bindings = Some(object),
                    ("let", _) => return Err("let needs an object".into()),
                    (_, ValueRef::Array(list)) => pipeline = Some(list),
                    _ => return Err("pipeline needs an array".into()),
                }
                continue;
            }
            _ => return Err(format!("does not take {name}")),
        };
        match value {
            ValueRef::Null => {}
            ValueRef::String(text) => *slot = Some(text),
            _ => return Err(format!("{name} needs a string")),
        }
    }
    let on = match (local, foreign) {
        (Some(""), Some("")) if pipeline.is_some() => None,
        (Some(local), Some(foreign)) => Some((path(local)?, path(foreign)?)),
        (None, None) => None,
        _ => return Err("needs both localField and foreignField, or neither".into()),
    };
    if on.is_none() && pipeline.is_none() {
        return Err("needs localField and foreignField, or a pipeline".into());
    }
    if bindings.is_some() && pipeline.is_none() {
        return Err("let needs a pipeline".into());
    }
    let place = segments(place.ok_or("needs as")?).map_err(|what| format!("as: {what}"))?;
    let (names, variables) = variables(reader, bindings.unwrap_or(RawObject::EMPTY))?;
    let same = pipeline.is_some_and(|list| on.is_none() && is_same(list, &names));
    let pipeline = pipeline.map(|list| reader.inner("$lookup", list, names)).transpose()?;
    let brings_rows = pipeline.as_ref().is_some_and(Pipeline::brings_rows);
    let from = match from {
        Some("") => return Err("from needs the name of a collection".into()),
        Some(_) if brings_rows => return Err("from cannot stand beside a pipeline that begins with $documents".into()),
        Some(name) => {
            reader.named.push((name.to_owned(), false));
            Some(name.to_owned())
        }
        None if brings_rows && on.is_none() => None,
        None => return Err("needs from".into()),
    };
    one(Lookup { join: Arc::new(Join { from, on, variables, pipeline, same, place }), unwind: None })
}

/// A path of which each step has a name.
pub(super) fn path(text: &str) -> Result<Path, String> {
    segments(text)?;
    let path = Path::new(text);
    if path.is_ambiguous() { Err(format!("{text} has too many array indexes")) } else { Ok(path) }
}

/// Variables with the expressions that make their values.
pub(super) fn variables(
    reader: &Reader<'_>,
    bindings: RawObject<'_>,
) -> Result<(Vec<String>, Vec<Expression>), String> {
    let (mut names, mut expressions) = (Vec::new(), Vec::new());
    for (name, value) in bindings.iter() {
        check_variable_name(name).map_err(|what| format!("let: {name:?}: {what}"))?;
        expressions.push(reader.expression(value).map_err(|what| format!("let: {name}: {what}"))?);
        names.push(name.to_owned());
    }
    Ok((names, expressions))
}

/// Whether the pipeline gives the same whatever these variables are, and each time. Only its text is looked at, so it may
/// be so without being seen.
fn is_same(list: RawArray<'_>, names: &[String]) -> bool {
    // CURRENT stands behind each path.
    let hidden = names.iter().any(|name| name == "CURRENT");
    !hidden && list.iter().all(|value| !mentions(value, names))
}

/// Whether there is a mention of a variable of these names, or of what is different each time.
// The text's depth limit bounds the recursion.
pub(super) fn mentions(value: ValueRef<'_>, names: &[String]) -> bool {
    match value {
        ValueRef::String(text) => text.strip_prefix("$$").is_some_and(|rest| {
            let name = rest.split('.').next().unwrap_or_default();
            names.iter().any(|known| known == name)
        }),
        ValueRef::Object(object) => object
            .iter()
            .any(|(name, value)| matches!(name, "$rand" | "$sample" | "$sampleRate") || mentions(value, names)),
        ValueRef::Array(array) => array.iter().any(|element| mentions(element, names)),
        _ => false,
    }
}

impl Lookup {
    /// The same with a `$unwind` after it; none where it is of something else.
    pub fn unwound(&self, unwind: &Unwind) -> Option<Lookup> {
        let same = self.unwind.is_none() && unwind.path() == self.join.place.as_slice();
        same.then(|| Lookup {
            join: Arc::clone(&self.join),
            unwind: Some(Apart { index: unwind.index().map(<[String]>::to_vec), keeps_empty: unwind.keeps_empty() }),
        })
    }
}

impl Stage for Lookup {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let current = None;
        let (wanted, spool) = (opening.wanted, Spool::new(opening.account));
        Box::new(Looking { stage: self, input, wanted, joiner: None, spool, spooled: false, current })
    }

    fn takes(&self, wanted: usize) -> usize {
        // A row without documents gives none.
        if self.unwind.as_ref().is_none_or(|unwind| unwind.keeps_empty) { wanted } else { usize::MAX }
    }

    fn kind(&self) -> Kind<'_> {
        if self.unwind.is_none() { Kind::Lookup(self) } else { Kind::Other }
    }

    fn passes_through(&self, path: &str) -> bool {
        let first = path.split('.').next().unwrap_or_default();
        let touched = |segments: &[String]| segments.first().is_some_and(|segment| segment == first);
        let index = self.unwind.as_ref().and_then(|unwind| unwind.index.as_deref());
        !touched(&self.join.place) && !index.is_some_and(touched)
    }
}

struct Looking {
    stage: Arc<Lookup>,
    input: Input,
    /// How many rows will be asked for at most.
    wanted: usize,
    /// Made when the first row is asked for: only then the moment of the data is known.
    joiner: Option<Joiner>,
    /// What a pipeline gave that gives every row the same.
    spool: Spool,
    spooled: bool,
    /// The row at hand.
    current: Option<Current>,
}

/// A row, and what is joined to it.
struct Current {
    row: Row,
    found: Joined,
    variables: Vec<Option<Value>>,
    /// How many documents it has had.
    count: usize,
}

enum Joined {
    Input(Input),
    /// What stands in the spool.
    Spool,
}

impl Looking {
    /// The next row, with what is joined to it not yet read.
    fn advance(&mut self, running: &Running<'_>) -> Result<Option<Current>, Failure> {
        let join = &self.stage.join;
        let (row, found) = match &join.on {
            Some((local, foreign)) => {
                let joiner = match &mut self.joiner {
                    Some(joiner) => joiner,
                    None => {
                        let from = join.from.as_deref().and_then(|name| Foreign::open(name, foreign, running));
                        self.joiner.insert(Joiner::new(from, local, running.account))
                    }
                };
                let Some((row, found)) = joiner.next(&mut self.input, self.wanted, running)? else { return Ok(None) };
                (row, Some(found))
            }
            None => {
                let Some(row) = self.input.next(running)? else { return Ok(None) };
                (row, None)
            }
        };
        self.wanted = self.wanted.saturating_sub(1).max(1);
        let mut variables = Vec::new();
        if !join.variables.is_empty() {
            variables.extend_from_slice(running.variables);
            for expression in &join.variables {
                variables.push(expression.evaluate(&running.scope(row.root()))?);
            }
        }
        let inner = inner(running, &variables);
        let found = match (&join.pipeline, found) {
            (None, Some(found)) => Joined::Input(found),
            (Some(pipeline), Some(found)) => Joined::Input(pipeline.open(found, running.account, usize::MAX)),
            (Some(pipeline), None) => {
                let collection =
                    join.from.as_ref().and_then(|name| running.context.view.collection(running.context.db, name));
                if !join.same {
                    Joined::Input(pipeline.plan(collection, &inner)?.open(&inner)?)
                } else {
                    if !self.spooled {
                        let mut rows = pipeline.plan(collection, &inner)?.open(&inner)?;
                        while let Some(row) = rows.next(&inner).map_err(Failure::inside)? {
                            running.step()?;
                            self.spool.push(row, running)?;
                        }
                        self.spooled = true;
                    }
                    self.spool.rewind()?;
                    Joined::Spool
                }
            }
            (None, None) => return Err(Failure::Stage("has nothing to join".into())),
        };
        Ok(Some(Current { row, found, variables, count: 0 }))
    }

    /// The next document of the row at hand.
    fn document(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let Some(current) = &mut self.current else { return Ok(None) };
        running.step()?;
        let next = match &mut current.found {
            Joined::Spool => self.spool.read()?,
            Joined::Input(rows) => rows.next(&inner(running, &current.variables)).map_err(Failure::inside)?,
        };
        current.count += usize::from(next.is_some());
        Ok(next)
    }

    /// The next row with all of its documents.
    fn whole(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        self.current = self.advance(running)?;
        let Some(mut size) = self.current.as_ref().map(|current| current.row.body().len()) else { return Ok(None) };
        let mut documents = Vec::new();
        let mut held = running.account.part();
        while let Some(document) = self.document(running)? {
            size += document.body().len();
            check_size(size, running)?;
            held.force(document.size());
            documents.push(document);
        }
        let Some(current) = self.current.take() else { return Ok(None) };
        Ok(Some(with_array(&current.row, &self.stage.join.place, &documents)))
    }

    /// The next row with one of its documents.
    fn apart(&mut self, unwind: &Apart, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        loop {
            if self.current.is_none() {
                self.current = self.advance(running)?;
                if self.current.is_none() {
                    return Ok(None);
                }
            }
            let document = self.document(running)?;
            let Some(current) = &self.current else { return Ok(None) };
            if document.is_none() && !(current.count == 0 && unwind.keeps_empty) {
                self.current = None;
                continue;
            }
            let place = &self.stage.join.place;
            let mut row = match &document {
                Some(document) => {
                    check_size(current.row.body().len() + document.body().len(), running)?;
                    with_member(&current.row, place, ValueRef::Object(document.root()))
                }
                None => without(&current.row, place),
            };
            if let Some(index) = &unwind.index {
                let number = i64::try_from(current.count.saturating_sub(1)).unwrap_or(i64::MAX);
                let number = if document.is_some() { ValueRef::Int64(number) } else { ValueRef::Null };
                row = with_member(&row, index, number);
            }
            if document.is_none() {
                self.current = None;
            }
            return Ok(Some(row));
        }
    }
}

impl Rows for Looking {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let stage = Arc::clone(&self.stage);
        match &stage.unwind {
            None => self.whole(running),
            Some(unwind) => self.apart(unwind, running),
        }
    }
}

/// The run of the pipeline inside: with its variables, if it has any of its own.
fn inner<'b>(running: &'b Running<'_>, variables: &'b [Option<Value>]) -> Running<'b> {
    running.inner(if variables.is_empty() { running.variables } else { variables })
}

/// No row may be larger than a document.
pub(super) fn check_size(bytes: usize, running: &Running<'_>) -> Result<(), Failure> {
    let most = running.context.limits.max_document_size;
    if bytes > most {
        let message = format!("a row of the pipeline would have more than {most} bytes");
        return Err(CommandError::new(ErrorCode::TooBig, message).into());
    }
    Ok(())
}

/// The row with an array at this path.
pub(super) fn with_array(row: &Row, path: &[String], rows: &[Row]) -> Row {
    match path {
        [name] => Row::Made(codec::pack_with_array(row.root(), name, rows.iter().map(Row::root))),
        path => {
            let mut object = row.root().to_object();
            put(
                &mut object,
                path,
                Value::Array(rows.iter().map(|row| Value::Object(row.root().to_object())).collect()),
            );
            Row::of(&object)
        }
    }
}

/// The row with this at a path.
pub(super) fn with_member(row: &Row, path: &[String], value: ValueRef<'_>) -> Row {
    match path {
        [name] => Row::Made(codec::pack_with_member(row.root(), name, value)),
        path => {
            let mut object = row.root().to_object();
            put(&mut object, path, value.to_value());
            Row::of(&object)
        }
    }
}

/// The row with nothing at a path, as a `$unwind` leaves it of an empty array that was put there: with the objects that
/// lead to it.
fn without(row: &Row, path: &[String]) -> Row {
    let mut object = row.root().to_object();
    put(&mut object, path, Value::Null);
    remove(&mut object, path);
    Row::of(&object)
}
