//! `$out` and `$merge`: how they read. What they do is in [`crate::pipeline::output`].

use std::sync::Arc;

use veddb_storage::document::{RawArray, RawObject, Value, ValueRef};

use super::lookup::{mentions, path, variables};
use super::{Parsed, Place, StageOperator};
use crate::pipeline::output::{Collection, Matched, Merge, NotMatched, Target, Variable};
use crate::pipeline::parse::one;
use crate::pipeline::{Input, Kind, Opening, Reader, Stage};
use crate::query::update::{Pipeline as Changes, Terms};

pub(super) const STAGES: &[StageOperator] = &[
    StageOperator {
        name: "$out",
        summary: "Replaces a collection by the rows, all at once.",
        place: Place::Last,
        parse: out,
    },
    StageOperator { name: "$merge", summary: "Merges the rows into a collection.", place: Place::Last, parse: merge },
];

/// A stage that writes. Pulled at, it hands the rows on: whoever pulls writes them.
#[derive(Debug)]
struct Write(Target);

impl Stage for Write {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        input
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Write(&self.0)
    }
}

/// A collection's name, or `{"db", "coll"}`.
fn collection(value: ValueRef<'_>) -> Result<Collection, String> {
    let object = match value {
        ValueRef::String(name) => return checked(None, name),
        ValueRef::Object(object) => object,
        other => return Err(format!("needs a collection's name or an object, not {}", other.kind().name())),
    };
    let (mut db, mut coll) = (None, None);
    for (name, value) in object.iter() {
        match (name, value) {
            ("db", ValueRef::String(text)) => db = Some(text.to_owned()),
            ("db", value) => {
                let number = value.to_value().as_integer().ok_or("db needs the number of a database")?;
                db = Some(number.to_string());
            }
            ("coll", ValueRef::String(text)) => coll = Some(text),
            ("coll", _) => return Err("coll needs a string".into()),
            _ => return Err(format!("does not take {name}")),
        }
    }
    checked(db, coll.ok_or("needs coll")?)
}

fn checked(db: Option<String>, name: &str) -> Result<Collection, String> {
    veddb_storage::check_name(name).map_err(|error| error.to_string())?;
    Ok(Collection { db, name: name.to_owned() })
}

fn out(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let target = collection(operand)?;
    reader.named.push((target.name.clone(), true));
    one(Write(Target::Out(Arc::new(target))))
}

fn merge(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let object = match operand {
        ValueRef::String(_) => RawObject::EMPTY,
        ValueRef::Object(object) => object,
        other => return Err(format!("needs a collection's name or an object, not {}", other.kind().name())),
    };
    let mut into = if let ValueRef::String(name) = operand { Some(checked(None, name)?) } else { None };
    let (mut on, mut bindings, mut matched, mut not_matched) = (None, None, None, NotMatched::Insert);
    for (name, value) in object.iter() {
        match (name, value) {
            ("into", value) => into = Some(collection(value).map_err(|what| format!("into: {what}"))?),
            ("on", value) => on = Some(fields(value).map_err(|what| format!("on: {what}"))?),
            ("let", ValueRef::Object(object)) => bindings = Some(object),
            ("let", ValueRef::Null) => {}
            ("let", _) => return Err("let needs an object".into()),
            ("whenMatched", ValueRef::String(_) | ValueRef::Array(_)) => matched = Some(value),
            ("whenMatched", _) => return Err("whenMatched needs a word or a pipeline".into()),
            ("whenNotMatched", ValueRef::Null) => {}
            ("whenNotMatched", ValueRef::String(word)) => {
                not_matched = match word {
                    "insert" => NotMatched::Insert,
                    "discard" => NotMatched::Discard,
                    "fail" => NotMatched::Fail,
                    other => return Err(format!("whenNotMatched is insert, discard or fail, not {other:?}")),
                }
            }
            ("whenNotMatched", _) => return Err("whenNotMatched needs a word".into()),
            _ => return Err(format!("does not take {name}")),
        }
    }
    let mut merge = Merge {
        into: into.inspect(|into| reader.named.push((into.name.clone(), true))).ok_or("needs into")?,
        on: on.unwrap_or_else(|| vec!["_id".to_owned()]),
        variables: Vec::new(),
        matched: Matched::Merge,
        not_matched,
    };
    match matched {
        Some(ValueRef::Array(list)) => {
            let wrong = |what: String| format!("whenMatched: {what}");
            (merge.variables, merge.matched) = changes(reader, list, bindings).map_err(wrong)?;
        }
        _ if bindings.is_some() => return Err("let needs a pipeline in whenMatched".into()),
        None => {}
        Some(word) => {
            merge.matched = match word {
                ValueRef::String("replace") => Matched::Replace,
                ValueRef::String("keepExisting") => Matched::KeepExisting,
                ValueRef::String("merge") => Matched::Merge,
                ValueRef::String("fail") => Matched::Fail,
                _ => return Err("whenMatched is replace, keepExisting, merge, fail or a pipeline".into()),
            }
        }
    }
    // The others do nothing, or what another word says better; MongoDB refuses them as well.
    if matches!(merge.matched, Matched::KeepExisting | Matched::Fail) && not_matched != NotMatched::Insert {
        return Err("whenMatched keepExisting and fail need insert in whenNotMatched".into());
    }
    one(Write(Target::Merge(Arc::new(merge))))
}

/// The fields that tell whether two documents are the same.
fn fields(value: ValueRef<'_>) -> Result<Vec<String>, String> {
    let mut fields: Vec<String> = Vec::new();
    let mut add = |value: ValueRef<'_>| {
        let ValueRef::String(text) = value else { return Err("needs a path or an array of paths".to_owned()) };
        path(text)?;
        if fields.iter().any(|field| field == text) {
            return Err(format!("{text} stands there twice"));
        }
        fields.push(text.to_owned());
        Ok(())
    };
    match value {
        ValueRef::Array(list) => list.iter().try_for_each(&mut add)?,
        one => add(one)?,
    }
    if fields.is_empty() { Err("needs at least one path".into()) } else { Ok(fields) }
}

/// A pipeline that changes the document that is there, and its variables: `new` is the row.
fn changes(
    reader: &Reader<'_>,
    list: RawArray<'_>,
    bindings: Option<RawObject<'_>>,
) -> Result<(Vec<Variable>, Matched), String> {
    let bindings = bindings.unwrap_or(RawObject::EMPTY);
    match bindings.get("new") {
        None | Some(ValueRef::String("$$ROOT")) => {}
        Some(_) => return Err("let: new is the row, and nothing else".into()),
    }
    let (names, expressions) = variables(reader, bindings)?;
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("new");
    let stages: Vec<Value> = list.iter().map(ValueRef::to_value).collect();
    let terms = Terms { limits: reader.limits, now_ms: 0 };
    if let Some(other) = list.iter().find(|stage| !matches!(stage, ValueRef::Object(_))) {
        return Err(format!("a stage is an object, not {}", other.kind().name()));
    }
    // As in MongoDB one that cannot be does no harm where nothing is written.
    let matched = match Changes::parse(&stages, &terms, &all) {
        Ok(changes) => Matched::Pipeline(changes),
        Err(error) => Matched::Wrong(format!("whenMatched: {}", error.message)),
    };
    let variable = |(name, expression): (String, _)| {
        let needed = mentions(ValueRef::Array(list), std::slice::from_ref(&name));
        Variable { name, expression, needed }
    };
    Ok((names.into_iter().zip(expressions).map(variable).collect(), matched))
}
