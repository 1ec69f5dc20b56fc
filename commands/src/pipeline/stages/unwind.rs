//! `$unwind`: a row for each element of an array.

use std::sync::Arc;

use veddb_storage::document::{Object, Value, ValueRef};

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::one;
use crate::pipeline::{Failure, Input, Kind, Opening, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$unwind",
    summary: "Makes a row for each element of an array.",
    place: Place::Anywhere,
    parse,
}];

/// `$unwind`
#[derive(Debug)]
pub struct Unwind {
    path: Vec<String>,
    index: Option<Vec<String>>,
    keep_empty: bool,
}

fn parse(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let (mut path, mut index, mut keep_empty) = (None, None, false);
    match operand {
        ValueRef::String(text) => path = Some(text),
        ValueRef::Object(object) => {
            for (name, value) in object.iter() {
                match (name, value) {
                    ("path", ValueRef::String(text)) => path = Some(text),
                    ("path", _) => return Err("path needs a string".into()),
                    ("includeArrayIndex", ValueRef::String(text)) if !text.is_empty() && !text.starts_with('$') => {
                        index = Some(segments(text)?);
                    }
                    ("includeArrayIndex", _) => {
                        return Err("includeArrayIndex needs a name that does not begin with $".into());
                    }
                    ("preserveNullAndEmptyArrays", ValueRef::Bool(keep)) => keep_empty = keep,
                    ("preserveNullAndEmptyArrays", _) => {
                        return Err("preserveNullAndEmptyArrays needs true or false".into());
                    }
                    _ => return Err(format!("does not take {name}")),
                }
            }
        }
        other => return Err(format!("needs a path or an object, not {}", other.kind().name())),
    }
    let path = path.ok_or("needs a path")?;
    let path = path.strip_prefix('$').ok_or_else(|| format!("the path {path} has to begin with $"))?;
    one(Unwind { path: segments(path)?, index, keep_empty })
}

/// The most steps of a path, as in MongoDB.
const STEPS_MAX: usize = 200;

/// The steps of a path that leads through objects only.
pub(super) fn segments(path: &str) -> Result<Vec<String>, String> {
    let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
    // What a DBRef is made of may stand after another step.
    let reference = |at: usize, segment: &str| at > 0 && matches!(segment, "$ref" | "$id" | "$db");
    let bad = |(at, segment): (usize, &String)| {
        segment.is_empty() || segment.contains('\0') || segment.starts_with('$') && !reference(at, segment)
    };
    if segments.iter().enumerate().any(bad) {
        return Err(format!("{path:?} is not a path"));
    }
    if segments.len() > STEPS_MAX {
        return Err(format!("a path of more than {STEPS_MAX} steps"));
    }
    Ok(segments)
}

impl Unwind {
    /// The path of the array.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Where the element's index is put.
    pub fn index(&self) -> Option<&[String]> {
        self.index.as_deref()
    }

    /// Whether a row without elements stays.
    pub fn keeps_empty(&self) -> bool {
        self.keep_empty
    }
}

impl Stage for Unwind {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Unwinding { stage: self, input, array: None })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Unwind(self)
    }

    fn passes_through(&self, path: &str) -> bool {
        let first = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
        let touched = |segments: &[String]| segments.first().is_some_and(|segment| *segment == first(path));
        !touched(&self.path) && !self.index.as_deref().is_some_and(touched)
    }
}

struct Unwinding {
    stage: Arc<Unwind>,
    input: Input,
    /// A row whose array is being taken apart: without it, and what is left of it.
    array: Option<(Object, std::iter::Enumerate<std::vec::IntoIter<Value>>)>,
}

/// What stands at a path of objects.
fn reach<'o>(object: &'o mut Object, path: &[String]) -> Option<&'o mut Value> {
    let (last, before) = path.split_last()?;
    let mut place = object;
    for segment in before {
        match place.get_mut(segment) {
            Some(Value::Object(inner)) => place = inner,
            _ => return None,
        }
    }
    place.get_mut(last)
}

pub(super) fn remove(object: &mut Object, path: &[String]) {
    let Some((last, before)) = path.split_last() else { return };
    let mut place = object;
    for segment in before {
        match place.get_mut(segment) {
            Some(Value::Object(inner)) => place = inner,
            _ => return,
        }
    }
    place.remove(last);
}

/// Sets what stands at a path, with objects on the way where there are none.
pub(super) fn put(object: &mut Object, path: &[String], value: Value) {
    let Some((last, before)) = path.split_last() else { return };
    let mut place = object;
    for segment in before {
        if !matches!(place.get(segment), Some(Value::Object(_))) {
            place.set(segment, Value::Object(Object::default()));
        }
        match place.get_mut(segment) {
            Some(Value::Object(inner)) => place = inner,
            _ => return,
        }
    }
    place.set(last, value);
}

impl Unwind {
    fn row(&self, mut object: Object, index: Option<usize>) -> Row {
        if let Some(path) = &self.index {
            put(&mut object, path, index.map_or(Value::Null, |at| Value::Int64(i64::try_from(at).unwrap_or(i64::MAX))));
        }
        Row::of(&object)
    }
}

impl Rows for Unwinding {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let stage = &self.stage;
        loop {
            if let Some((object, elements)) = &mut self.array {
                match elements.next() {
                    Some((at, element)) => {
                        if let Some(place) = reach(object, &stage.path) {
                            *place = element;
                        }
                        return Ok(Some(stage.row(object.clone(), Some(at))));
                    }
                    None => self.array = None,
                }
            }
            running.step()?;
            let Some(row) = self.input.next(running)? else { return Ok(None) };
            let mut object = row.root().to_object();
            match reach(&mut object, &stage.path) {
                Some(Value::Array(elements)) if !elements.is_empty() => {
                    let elements = std::mem::take(elements);
                    self.array = Some((object, elements.into_iter().enumerate()));
                }
                Some(Value::Array(_)) if stage.keep_empty => {
                    remove(&mut object, &stage.path);
                    return Ok(Some(stage.row(object, None)));
                }
                Some(Value::Null) | None if stage.keep_empty => return Ok(Some(stage.row(object, None))),
                Some(Value::Array(_) | Value::Null) | None => {}
                Some(_) => return Ok(Some(stage.row(object, None))),
            }
        }
    }
}
