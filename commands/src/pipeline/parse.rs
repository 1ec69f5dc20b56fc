//! Pipeline text to stages, within limits, and stages in a better order.

use std::sync::Arc;

use veddb_storage::document::expression::{Expression, ExpressionLimits};
use veddb_storage::document::json::parse_value;
use veddb_storage::document::{Filter, RawArray, RawObject, ValueRef};

use super::stages::{Match, Parsed, Place, find};
use super::{Kind, Pipeline, Placed, bad};
use crate::context::Limits;
use crate::error::CommandError;
use crate::query::{filter_limits, text_limits};

/// The most stages of one pipeline, as in MongoDB.
const STAGES_MAX: usize = 1000;

/// The most stages, those of pipelines inside it included: each is pulled at by the one behind it, which takes stack.
const STAGES_TOTAL_MAX: usize = 2000;

/// The most levels of pipelines inside pipelines, as in MongoDB.
const LEVELS_MAX: usize = 20;

/// Reads one pipeline and what stands in it.
#[derive(Debug)]
pub struct Reader<'l> {
    /// The language's bounds.
    pub limits: &'l Limits,
    /// The variables in sight, beside the system's.
    pub variables: Vec<String>,
    /// The collections that stages name, and whether they write them.
    pub named: Vec<(String, bool)>,
    stages: usize,
    level: usize,
    /// Of the stage that is read, whose pipelines inside may hold less than others: its name.
    inside: Option<&'static str>,
    /// How many `$facet` the stage that is read stands in.
    facets: usize,
}

impl Pipeline {
    /// Reads an array of stages from JSON text.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Pipeline, CommandError> {
        Pipeline::parse_named(text, limits).map(|(pipeline, _)| pipeline)
    }

    /// The collections that its stages name, and whether they write them; none where it cannot be read, for then it does not run.
    pub fn collections(text: &[u8], limits: &Limits) -> Vec<(String, bool)> {
        // Whatever names another collection has one of these in its name, unless it is written with escapes.
        let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
        let may = ["$lookup", "$graphLookup", "$unionWith", "$out", "$merge", "\\u"];
        if !may.iter().any(|word| has(word.as_bytes())) {
            return Vec::new();
        }
        Pipeline::parse_named(text, limits).map(|(_, named)| named).unwrap_or_default()
    }

    fn parse_named(text: &[u8], limits: &Limits) -> Result<(Pipeline, Vec<(String, bool)>), CommandError> {
        let packed = parse_value(text, text_limits(limits)).map_err(|error| bad(error.to_string()))?;
        let ValueRef::Array(list) = packed.get() else {
            return Err(bad(format!("a pipeline is an array of stages, not {}", packed.get().kind().name())));
        };
        let mut nodes = 0;
        count_nodes(packed.get(), &mut nodes);
        if nodes > limits.max_query_nodes {
            return Err(bad(format!("more than {} operators and fields", limits.max_query_nodes)));
        }
        let mut reader = Reader::new(limits, Vec::new());
        let pipeline = reader.pipeline(list).map_err(bad)?;
        Ok((pipeline, reader.named))
    }
}

/// Members of objects; the documents of `$documents` are no part of the language.
// The text's depth limit bounds the recursion.
fn count_nodes(value: ValueRef<'_>, nodes: &mut usize) {
    match value {
        ValueRef::Object(object) => {
            for (name, value) in object.iter() {
                *nodes += 1;
                if name != "$documents" {
                    count_nodes(value, nodes);
                }
            }
        }
        ValueRef::Array(array) => array.iter().for_each(|element| count_nodes(element, nodes)),
        _ => {}
    }
}

impl<'l> Reader<'l> {
    /// Reads within these limits, with these variables in sight.
    pub fn new(limits: &'l Limits, variables: Vec<String>) -> Reader<'l> {
        Reader { limits, variables, named: Vec::new(), stages: 0, level: 0, inside: None, facets: 0 }
    }

    /// Reads the stages of a pipeline, or of one inside it.
    pub fn pipeline(&mut self, list: RawArray<'_>) -> Result<Pipeline, String> {
        if self.level > LEVELS_MAX {
            return Err(format!("more than {LEVELS_MAX} levels of pipelines"));
        }
        let mut stages = Vec::new();
        let count = list.len();
        for (number, stage) in list.iter().enumerate() {
            self.stages += 1;
            if number >= STAGES_MAX {
                return Err(format!("more than {STAGES_MAX} stages"));
            }
            if self.stages > STAGES_TOTAL_MAX {
                return Err(format!("more than {STAGES_TOTAL_MAX} stages with those of pipelines inside"));
            }
            let ValueRef::Object(members) = stage else {
                return Err(format!("stage {number}: is an object, not {}", stage.kind().name()));
            };
            let mut members = members.iter();
            let (Some((name, operand)), None) = (members.next(), members.next()) else {
                return Err(format!("stage {number}: is an object with one member, the name of a stage"));
            };
            let Some(operator) = find(name) else {
                return Err(format!("stage {number}: unknown stage {name}"));
            };
            let name = operator.name;
            let wrong = |what: String| format!("stage {number}: {name}: {what}");
            match operator.place {
                Place::First if number > 0 => return Err(wrong("has to be the first stage".into())),
                Place::Last if number + 1 < count => return Err(wrong("has to be the last stage".into())),
                Place::Last if self.level > 0 => return Err(wrong("cannot stand in a pipeline inside another".into())),
                _ => {}
            }
            let first = self.inside == Some("$facet") && operator.place == Place::First;
            if first || name == "$facet" && self.facets > 0 {
                return Err(wrong("cannot stand inside $facet".into()));
            }
            for stage in (operator.parse)(self, operand).map_err(wrong)? {
                stages.push(Placed { number, name, stage });
            }
        }
        Ok(Pipeline { stages: self.reorder(stages) })
    }

    /// Moves each `$match` as far to the front as that gives the same, and joins those that meet. A `$unwind` of what the
    /// `$lookup` before it makes becomes part of it.
    fn reorder(&self, stages: Vec<Placed>) -> Vec<Placed> {
        let mut ordered: Vec<Placed> = Vec::with_capacity(stages.len());
        for placed in stages {
            if let Some(before) = ordered.last_mut()
                && let (Kind::Lookup(lookup), Kind::Unwind(unwind)) = (before.stage.kind(), placed.stage.kind())
                && let Some(joined) = lookup.unwound(unwind)
            {
                before.stage = Arc::new(joined);
                continue;
            }
            let Kind::Match(found) = placed.stage.kind() else {
                ordered.push(placed);
                continue;
            };
            let paths = found.movable_paths();
            let mut at = ordered.len();
            while at > 0 && ordered.get(at - 1).is_some_and(|before| lets_pass(before, paths.as_deref())) {
                at -= 1;
            }
            ordered.insert(at, placed);
        }
        self.join(ordered)
    }

    /// Joins each `$match` with those right after it: all at once, since each join reads the whole filter.
    fn join(&self, stages: Vec<Placed>) -> Vec<Placed> {
        let mut joined: Vec<Placed> = Vec::with_capacity(stages.len());
        let is_match = |placed: &Placed| matches!(placed.stage.kind(), Kind::Match(_));
        for run in stages.chunk_by(|a, b| is_match(a) && is_match(b)) {
            let matches = run.iter().filter_map(|placed| match placed.stage.kind() {
                Kind::Match(found) => Some(found),
                _ => None,
            });
            // Each could be read, so together they can, unless they are too many nodes.
            if let [first, _, ..] = run
                && let Ok(all) = Match::all(self, matches)
            {
                joined.push(Placed { stage: Arc::new(all), ..first.clone() });
            } else {
                joined.extend_from_slice(run);
            }
        }
        joined
    }

    /// Reads the stages of a pipeline inside the stage `inside`, with these variables beside those in sight.
    pub fn inner(
        &mut self,
        inside: &'static str,
        list: RawArray<'_>,
        variables: Vec<String>,
    ) -> Result<Pipeline, String> {
        let count = self.variables.len();
        self.variables.extend(variables);
        let before = self.inside.replace(inside);
        self.level += 1;
        self.facets += usize::from(inside == "$facet");
        let pipeline = self.pipeline(list);
        self.facets -= usize::from(inside == "$facet");
        self.level -= 1;
        self.inside = before;
        self.variables.truncate(count);
        pipeline
    }

    /// Reads an expression.
    pub fn expression(&self, value: ValueRef<'_>) -> Result<Expression, String> {
        self.expression_with(value, &[])
    }

    /// Reads an expression with these variables beside those in sight.
    pub fn expression_with(&self, value: ValueRef<'_>, more: &[&str]) -> Result<Expression, String> {
        let limits = ExpressionLimits { nodes: self.limits.max_query_nodes, regex_size: self.limits.max_regex_size };
        let names: Vec<&str> = self.names().chain(more.iter().copied()).collect();
        Expression::parse_with(value, &limits, &names).map_err(|error| error.0)
    }

    /// Reads a filter.
    pub fn filter(&self, object: RawObject<'_>) -> Result<Filter, String> {
        let names: Vec<&str> = self.names().collect();
        Filter::from_object_with(object, &filter_limits(self.limits), &names).map_err(|error| error.0)
    }

    /// The names of the variables in sight.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }
}

/// The operand as an object.
pub(super) fn object(operand: ValueRef<'_>) -> Result<RawObject<'_>, String> {
    match operand {
        ValueRef::Object(object) => Ok(object),
        other => Err(format!("needs an object, not {}", other.kind().name())),
    }
}

/// The members of an operand that is an object, each of these names or missing.
pub(super) fn members<'v, const N: usize>(
    operand: ValueRef<'v>,
    names: [&str; N],
) -> Result<[Option<ValueRef<'v>>; N], String> {
    let mut found = [None; N];
    for (name, value) in object(operand)?.iter() {
        let place = names.iter().zip(&mut found).find(|(other, _)| **other == name);
        *place.ok_or_else(|| format!("unknown member {name}"))?.1 = Some(value);
    }
    Ok(found)
}

/// Whether a stage gives the same behind a `$match` as before it.
fn lets_pass(before: &Placed, paths: Option<&[String]>) -> bool {
    match before.stage.kind() {
        Kind::Sort(_) => true,
        // What looks at no path may still say no to every row, also to those that the stage brings.
        _ => paths.is_some_and(|paths| !paths.is_empty() && paths.iter().all(|path| before.stage.passes_through(path))),
    }
}

/// One stage.
pub(super) fn one(stage: impl super::Stage + 'static) -> Parsed {
    Ok(vec![Arc::new(stage)])
}
