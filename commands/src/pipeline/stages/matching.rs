//! `$match`: lets through what matches a filter.

use std::sync::Arc;

use veddb_storage::document::expression::Expression;
use veddb_storage::document::{Filter, Object, RawObject, Value, ValueRef, codec};

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::{object, one};
use crate::pipeline::{Failure, Input, Kind, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::filter_limits;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$match",
    summary: "Lets through what matches a filter. At the beginning it uses indexes.",
    place: Place::Anywhere,
    parse,
}];

/// `$match`
#[derive(Debug)]
pub struct Match {
    filter: Arc<Filter>,
    /// Its operands, packed: those of all stages that it was joined of.
    bodies: Vec<Box<[u8]>>,
    /// What an `$expr` in it says of single paths: that they equal what can be computed without the document.
    equalities: Vec<(String, Expression)>,
    /// The variables in sight.
    names: Vec<String>,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Match::new(reader, object(operand)?)?)
}

impl Match {
    /// A stage of this filter.
    pub fn new(reader: &Reader<'_>, operand: RawObject<'_>) -> Result<Match, String> {
        let names: Vec<String> = reader.names().map(str::to_owned).collect();
        let mut equalities = Vec::new();
        // CURRENT, as a variable of one's own, stands behind each path.
        if !names.iter().any(|name| name == "CURRENT") {
            gather_from_filter(reader, &names, operand, &mut equalities);
        }
        let bodies = vec![codec::pack_object(&operand.to_object())];
        Ok(Match { filter: Arc::new(reader.filter(operand)?), bodies, equalities, names })
    }

    /// A filter that lets through at least the same and says more to indexes; none where there is no more to say. `$eq`
    /// of an expression does not look into arrays, so what is equal to a value that is no array is also to a filter.
    pub fn narrowed(&self, running: &Running<'_>) -> Option<Filter> {
        let mut all = Vec::new();
        for (path, expression) in &self.equalities {
            // One that has no value ends the query when a document is asked.
            let value = expression.evaluate(&running.scope(RawObject::EMPTY)).ok().flatten();
            if let Some(value) = value.filter(|value| !matches!(value, Value::Null | Value::Array(_))) {
                let equal = Value::Object(Object(vec![("$eq".to_owned(), value)]));
                all.push(Value::Object(Object(vec![(path.clone(), equal)])));
            }
        }
        if all.is_empty() {
            return None;
        }
        all.extend(operands(&self.bodies));
        let body = codec::pack_object(&Object(vec![("$and".to_owned(), Value::Array(all))]));
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let limits = filter_limits(running.context.limits);
        Filter::from_object_with(RawObject::from_body(&body), &limits, &names).ok()
    }

    /// The filter.
    pub fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// One stage that does what all of these do.
    pub fn all<'m>(reader: &Reader<'_>, parts: impl Iterator<Item = &'m Match>) -> Result<Match, String> {
        let bodies: Vec<Box<[u8]>> = parts.flat_map(|part| part.bodies.iter().cloned()).collect();
        // Side by side, so that many of them are no deeper than two.
        let all = Value::Array(operands(&bodies).collect());
        let body = codec::pack_object(&Object(vec![("$and".to_owned(), all)]));
        Ok(Match { bodies, ..Match::new(reader, RawObject::from_body(&body))? })
    }

    /// What it looks at; none where that is more than paths say.
    pub fn movable_paths(&self) -> Option<Vec<String>> {
        (!self.filter.reads_documents()).then(|| self.filter.paths())
    }
}

fn operands(bodies: &[Box<[u8]>]) -> impl Iterator<Item = Value> {
    bodies.iter().map(|body| Value::Object(RawObject::from_body(body).to_object()))
}

/// The equalities that hold wherever the filter does.
// The text's depth limit bounds the recursion.
fn gather_from_filter(
    reader: &Reader<'_>,
    names: &[String],
    filter: RawObject<'_>,
    found: &mut Vec<(String, Expression)>,
) {
    for (name, value) in filter.iter() {
        match (name, value) {
            ("$expr", expression) => gather_equalities(reader, names, expression, found),
            ("$and", ValueRef::Array(all)) => {
                for one in all.iter() {
                    if let ValueRef::Object(one) = one {
                        gather_from_filter(reader, names, one, found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The equalities that hold wherever the expression is true. What cannot be read is left to the filter to refuse.
// The text's depth limit bounds the recursion.
fn gather_equalities(
    reader: &Reader<'_>,
    names: &[String],
    expression: ValueRef<'_>,
    found: &mut Vec<(String, Expression)>,
) {
    let ValueRef::Object(object) = expression else { return };
    match (object.get("$eq"), object.get("$and")) {
        (_, Some(ValueRef::Array(all))) => {
            all.iter().for_each(|one| gather_equalities(reader, names, one, found));
        }
        (Some(ValueRef::Array(sides)), None) => {
            let (Some(a), Some(b), None) = (sides.get(0), sides.get(1), sides.get(2)) else { return };
            for (path, other) in [(a, b), (b, a)] {
                if let Some(path) = plain_path(path)
                    && is_fixed(other, names)
                    && let Ok(other) = reader.expression(other)
                {
                    found.push((path.to_owned(), other));
                }
            }
        }
        _ => {}
    }
}

/// The path of a member of the document.
fn plain_path(value: ValueRef<'_>) -> Option<&str> {
    let ValueRef::String(text) = value else { return None };
    text.strip_prefix('$').filter(|path| !path.is_empty() && !path.starts_with('$'))
}

/// Whether it is plain to see that a value does not depend on the document.
fn is_fixed(value: ValueRef<'_>, names: &[String]) -> bool {
    match value {
        ValueRef::String(text) => match text.strip_prefix("$$") {
            Some(variable) => {
                let name = variable.split('.').next().unwrap_or_default();
                names.iter().any(|known| known == name)
            }
            None => !text.starts_with('$'),
        },
        ValueRef::Object(object) => {
            let mut members = object.iter();
            matches!((members.next(), members.next()), (Some(("$literal", _)), None))
        }
        ValueRef::Array(_) => false,
        _ => true,
    }
}

impl Stage for Match {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Matching { stage: self, input })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Match(self)
    }
}

struct Matching {
    stage: Arc<Match>,
    input: Input,
}

impl Rows for Matching {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        while let Some(row) = self.input.next(running)? {
            running.step()?;
            let matches =
                self.stage.filter.test_with(row.root(), running.context.now_ms, running.variables, Some(running));
            if matches.map_err(|error| Failure::Stage(error.0))? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Limits;
    use veddb_storage::document::json::{ParseLimits, parse_value};

    #[test]
    fn what_an_expression_says_of_single_paths() {
        for (expression, expected) in [
            (r#"{"$eq":["$a",5]}"#, "a"),
            (r#"{"$eq":["$$v.b","$a.c"]}"#, "a.c"),
            (r#"{"$and":[{"$eq":["$a","$$v"]},{"$gt":["$b",1]},{"$eq":[{"$literal":"$x"},"$c"]}]}"#, "a c"),
            (r#"{"$eq":["$a","$b"]}"#, ""),
            (r#"{"$eq":["$a","$$ROOT.b"]}"#, ""),
            (r#"{"$eq":["$a",{"$add":["$b",1]}]}"#, ""),
            (r#"{"$or":[{"$eq":["$a",1]}]}"#, ""),
            (r#"{"$ne":["$a",1]}"#, ""),
        ] {
            let limits = Limits::default();
            let reader = Reader::new(&limits, vec!["v".to_owned()]);
            let packed = parse_value(expression.as_bytes(), ParseLimits::default()).unwrap();
            let mut found = Vec::new();
            gather_equalities(&reader, &["v".to_owned()], packed.get(), &mut found);
            let paths: Vec<String> = found.into_iter().map(|(path, _)| path).collect();
            assert_eq!(paths.join(" "), expected, "{expression}");
        }
    }

    #[test]
    fn joined_filters_say_what_each_says() {
        let limits = Limits::default();
        let reader = Reader::new(&limits, Vec::new());
        let of = |text: &str| {
            let packed = parse_value(text.as_bytes(), ParseLimits::default()).unwrap();
            Match::new(&reader, object(packed.get()).unwrap()).unwrap()
        };
        let first = of(r#"{"$expr":{"$eq":["$a",1]},"b":2}"#);
        let second = of(r#"{"$and":[{"c":3},{"$expr":{"$eq":["$d",4]}}]}"#);
        let third = of(r#"{"$or":[{"$expr":{"$eq":["$e",5]}}]}"#);
        let joined = Match::all(&reader, [&first, &second].into_iter()).unwrap();
        let joined = Match::all(&reader, [&joined, &third].into_iter()).unwrap();
        let paths: Vec<&str> = joined.equalities.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a", "d"]);
    }
}
