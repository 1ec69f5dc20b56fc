//! Projection text to a tree, within limits.

use veddb_storage::document::expression::{Expression, ExpressionLimits};
use veddb_storage::document::json::parse_value;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Filter, Object, RawArray, RawObject, Value, ValueRef, codec};

use super::{Branch, Computed, Cut, CutKind, Project, Twig, bad};
use crate::context::Limits;
use crate::error::CommandError;
use crate::query::{filter_limits, text_limits};

pub(super) fn argument(text: &[u8], limits: &Limits) -> Result<Option<Project>, CommandError> {
    let packed = parse_value(text, text_limits(limits)).map_err(|e| bad(e.to_string()))?;
    let ValueRef::Object(object) = packed.get() else {
        return Err(bad(format!("needs an object, not {}", packed.get().kind().name())));
    };
    if object.is_empty() {
        return Ok(None);
    }
    let entries = read(object, Use::Query, limits, &[]).map_err(bad)?;
    build(entries).map(Some).map_err(bad)
}

pub(super) fn stage(object: RawObject<'_>, limits: &Limits, variables: &[&str]) -> Result<Project, String> {
    if object.is_empty() {
        return Err("needs at least one path".into());
    }
    build(read(object, Use::Stage, limits, variables)?)
}

pub(super) fn set(object: RawObject<'_>, limits: &Limits, variables: &[&str]) -> Result<Project, String> {
    let mut project = Project { keep: false, tree: Branch::default(), cuts: Vec::new(), computes: true };
    for (path, entry) in read(object, Use::Set, limits, variables)? {
        if let Entry::Compute(computed) = entry {
            project.tree.add(&path, Twig::Computed(computed))?;
        }
    }
    Ok(project)
}

pub(super) fn unset(operand: ValueRef<'_>, limits: &Limits) -> Result<Project, String> {
    let mut paths = Vec::new();
    match operand {
        ValueRef::String(path) => paths.push(path),
        ValueRef::Array(list) if !list.is_empty() => {
            for path in list.iter() {
                let ValueRef::String(path) = path else { return Err("needs paths as strings".into()) };
                paths.push(path);
            }
        }
        _ => return Err("needs a path or an array of paths".into()),
    }
    let mut project = Project { keep: false, tree: Branch::default(), cuts: Vec::new(), computes: false };
    for path in paths {
        check_path(path, limits)?;
        project.tree.add(path, Twig::End)?;
    }
    Ok(project)
}

/// Where it stands: that decides what its values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// PROJECT, with the operators of queries.
    Query,
    /// `$project`
    Stage,
    /// `$set`, where every value is an expression.
    Set,
}

fn read(
    object: RawObject<'_>,
    place: Use,
    limits: &Limits,
    variables: &[&str],
) -> Result<Vec<(String, Entry)>, String> {
    let mut reading = Reading { place, limits, variables, entries: Vec::new(), nodes: 0 };
    reading.members("", object)?;
    Ok(reading.entries)
}

/// What is asked of one path.
enum Entry {
    Keep,
    Leave,
    Compute(Computed),
    Cut(CutKind),
}

/// An operator of projections; any other is an expression's.
pub struct ProjectionOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// What it takes, in the notation of the reference.
    pub operand: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    read: fn(&mut Reading<'_>, String, ValueRef<'_>) -> Result<(), String>,
}

/// The operators.
pub const OPERATORS: &[ProjectionOperator] = &[
    ProjectionOperator {
        name: "$elemMatch",
        operand: "{operator: .., ...}, or a filter",
        summary: "The first element of the array that matches, as an array; nothing if none does.",
        read: |reading, path, operand| reading.elem_match(path, operand),
    },
    ProjectionOperator {
        name: "$slice",
        operand: "n, or [skip, n]",
        summary: "The first elements of the array, the last ones if it is negative, or so many after those to skip.",
        read: |reading, path, operand| reading.slice(path, operand),
    },
];

struct Reading<'l> {
    place: Use,
    limits: &'l Limits,
    /// That expressions may use beside the system's.
    variables: &'l [&'l str],
    entries: Vec<(String, Entry)>,
    nodes: usize,
}

impl Reading<'_> {
    // The text's depth limit bounds the recursion: nested objects name paths too, `{"a": {"b": 1}}` is `{"a.b": 1}`.
    fn members(&mut self, before: &str, object: RawObject<'_>) -> Result<(), String> {
        for (name, value) in object.iter() {
            self.nodes += 1;
            if self.nodes > self.limits.max_query_nodes {
                return Err(format!("more than {} paths", self.limits.max_query_nodes));
            }
            if !before.is_empty() && self.place != Use::Query && name.contains('.') {
                return Err(format!("{before}: {name} has a dot inside an object"));
            }
            let path = if before.is_empty() { name.to_owned() } else { format!("{before}.{name}") };
            if let Some(array) = path.strip_suffix(".$").filter(|_| self.place == Use::Query) {
                check_path(array, self.limits)?;
                match flag(value) {
                    Some(true) => self.entries.push((array.to_owned(), Entry::Cut(CutKind::Positional))),
                    Some(false) => return Err(format!("{path}: an element cannot be left out")),
                    None => return Err(format!("{path} needs 1, not a value of type {}", value.kind().name())),
                }
                continue;
            }
            check_path(&path, self.limits)?;
            match (flag(value).filter(|_| self.place != Use::Set), value) {
                (Some(true), _) => self.entries.push((path, Entry::Keep)),
                (Some(false), _) => self.entries.push((path, Entry::Leave)),
                (None, ValueRef::Object(inner)) => self.object(path, inner)?,
                (None, constant) => self.compute(path, constant)?,
            }
        }
        Ok(())
    }

    fn object(&mut self, path: String, object: RawObject<'_>) -> Result<(), String> {
        let mut members = object.iter();
        let Some((name, operand)) = members.next() else {
            if self.place == Use::Set {
                return self.compute(path, ValueRef::Object(object));
            }
            return Err(format!("{path}: an empty object asks for nothing"));
        };
        if !name.starts_with('$') {
            return self.members(&path, object);
        }
        if let Some((other, _)) = members.next() {
            return Err(format!("{path}: {name} cannot stand beside {other}"));
        }
        let own = OPERATORS.iter().find(|operator| operator.name == name && self.place == Use::Query);
        match own {
            Some(operator) => (operator.read)(self, path, operand),
            None if name == "$meta" && self.place == Use::Query => Err(format!("{path}: unknown operator $meta")),
            None => self.compute(path, ValueRef::Object(object)),
        }
    }

    fn slice(&mut self, path: String, operand: ValueRef<'_>) -> Result<(), String> {
        let Some(cut) = cut(operand) else {
            // Anything but numbers makes it the expression of the same name.
            let expression = Object(vec![("$slice".to_owned(), operand.to_value())]);
            let body = codec::pack_object(&expression);
            return self.compute(path, ValueRef::Object(RawObject::from_body(&body)));
        };
        let cut = cut.map_err(|what| format!("$slice at {path}: {what}"))?;
        self.entries.push((path, Entry::Cut(cut)));
        Ok(())
    }

    fn elem_match(&mut self, path: String, operand: ValueRef<'_>) -> Result<(), String> {
        if path.contains('.') {
            return Err(format!("$elemMatch at {path}: cannot stand under a path with dots"));
        }
        if !matches!(operand, ValueRef::Object(_)) {
            return Err(format!("$elemMatch at {path}: needs an object, not {}", operand.kind().name()));
        }
        let condition = Object(vec![("$elemMatch".to_owned(), operand.to_value())]);
        let body = codec::pack_object(&Object(vec![(path.clone(), Value::Object(condition))]));
        let filter = Filter::from_object(RawObject::from_body(&body), &filter_limits(self.limits)).map_err(|e| e.0)?;
        let computed = Computed::ElemMatch(Box::new(filter), Path::new(&path));
        self.entries.push((path, Entry::Compute(computed)));
        Ok(())
    }

    fn compute(&mut self, path: String, value: ValueRef<'_>) -> Result<(), String> {
        let limits = ExpressionLimits { nodes: self.limits.max_query_nodes, regex_size: self.limits.max_regex_size };
        let expression =
            Expression::parse_with(value, &limits, self.variables).map_err(|error| format!("{path}: {}", error.0))?;
        self.entries.push((path, Entry::Compute(Computed::Expression(Box::new(expression)))));
        Ok(())
    }
}

fn check_path(path: &str, limits: &Limits) -> Result<(), String> {
    if path.split('.').any(|segment| segment.is_empty() || segment.starts_with('$') || segment.contains('\0')) {
        return Err(format!("{path} is not a path"));
    }
    if path.split('.').count() > limits.max_document_depth {
        return Err(format!("{path} has more than {} levels", limits.max_document_depth));
    }
    Ok(())
}

/// Whether a value says "keep" or "leave out".
fn flag(value: ValueRef<'_>) -> Option<bool> {
    Some(match value {
        ValueRef::Bool(keep) => keep,
        ValueRef::Int32(n) => n != 0,
        ValueRef::Int64(n) => n != 0,
        ValueRef::Double(n) => n != 0.0,
        ValueRef::Decimal(n) => !n.is_zero(),
        _ => return None,
    })
}

/// `$slice`'s operand: how many, or how many to skip and how many then. None where it is not made of numbers.
fn cut(operand: ValueRef<'_>) -> Option<Result<CutKind, String>> {
    match operand {
        ValueRef::Array(list) => pair(list).map(|pair| match pair {
            (_, None | Some(i64::MIN..=0)) => Err("needs a number above 0 after the one to skip".into()),
            (skip, Some(limit)) => Ok(CutKind::Slice { skip, limit }),
        }),
        number => whole(number).map(|n| {
            Ok(if n < 0 { CutKind::Slice { skip: n, limit: i64::MAX } } else { CutKind::Slice { skip: 0, limit: n } })
        }),
    }
}

fn pair(list: RawArray<'_>) -> Option<(i64, Option<i64>)> {
    let mut values = list.iter();
    match (values.next().and_then(whole), values.next(), values.next()) {
        (Some(skip), Some(limit), None) => Some((skip, whole(limit))),
        _ => None,
    }
}

/// A number without its fraction, at the nearest bound if it is too large; NaN is 0.
fn whole(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int32(n) => Some(i64::from(n)),
        ValueRef::Int64(n) => Some(n),
        // The cast saturates, cuts the fraction off, and makes NaN 0.
        ValueRef::Double(n) => Some(n as i64),
        ValueRef::Decimal(n) => Some(n.to_string().parse::<f64>().map_or(0, |n| n as i64)),
        _ => None,
    }
}

fn build(entries: Vec<(String, Entry)>) -> Result<Project, String> {
    let keep = keeps(&entries)?;
    let mut project = Project { keep, tree: Branch::default(), cuts: Vec::new(), computes: false };
    let (mut id, mut id_named) = (true, false);
    for (path, entry) in entries {
        if path == "_id" {
            if std::mem::replace(&mut id_named, true) {
                return Err("_id collides with another path".into());
            }
            match entry {
                Entry::Keep => continue,
                Entry::Leave => {
                    id = false;
                    continue;
                }
                Entry::Compute(_) | Entry::Cut(_) => {}
            }
        }
        let twig = match entry {
            Entry::Keep | Entry::Leave => Twig::End,
            Entry::Compute(computed) => Twig::Computed(computed),
            Entry::Cut(kind) => {
                project.cuts.push(Cut { path: Path::new(&path), kind });
                Twig::Whole
            }
        };
        project.tree.add(&path, twig)?;
    }
    // Cuts by position come last, as in MongoDB.
    project.cuts.sort_by_key(|cut| matches!(cut.kind, CutKind::Positional));
    // In the tree `_id` is one of the named: kept unless it is left out by name.
    if id == keep && project.tree.get("_id").is_none() {
        project.tree.push("_id", Twig::End);
    }
    project.computes = !project.cuts.is_empty() || project.tree.computes();
    Ok(project)
}

/// Whether the named paths are those that are kept; checks that what is asked can stand together.
fn keeps(entries: &[(String, Entry)]) -> Result<bool, String> {
    let mut keep: Option<bool> = None;
    let mut decide = |path: &str, wanted: bool| match keep {
        Some(other) if other != wanted => {
            Err(format!("{path}: paths to keep and paths to leave out cannot stand together"))
        }
        _ => {
            keep = Some(wanted);
            Ok(())
        }
    };
    let (mut elem_match, mut slice, mut positional) = (false, false, 0);
    for (path, entry) in entries {
        match entry {
            Entry::Keep | Entry::Leave if path == "_id" => {}
            Entry::Keep => decide(path, true)?,
            Entry::Leave => decide(path, false)?,
            Entry::Compute(Computed::Expression(_)) => decide(path, true)?,
            Entry::Compute(Computed::ElemMatch(..)) => elem_match = true,
            Entry::Cut(CutKind::Slice { .. }) => slice = true,
            Entry::Cut(CutKind::Positional) => {
                positional += 1;
                decide(path, true)?;
            }
        }
    }
    match positional {
        0 => {}
        1 if elem_match => return Err("the positional .$ cannot stand beside $elemMatch".into()),
        1 => {}
        _ => return Err("the positional .$ can stand in one path only".into()),
    }
    let id = entries.iter().any(|(path, entry)| path == "_id" && matches!(entry, Entry::Keep));
    // Where nothing but operators and `_id` says it: $elemMatch shows itself alone, $slice shows everything.
    Ok(keep.unwrap_or(elem_match || (id && !slice)))
}
