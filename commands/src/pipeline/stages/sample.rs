//! `$sample`: so many rows drawn at random. Each gets a random number, and those with the least are kept.

use std::sync::Arc;

use veddb_storage::document::expression::reckon::whole_number;
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use super::{Place, StageOperator};
use crate::pipeline::parse::{members, one};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::stages::Parsed;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$sample",
    summary: "Lets through `size` rows drawn at random, in random order.",
    place: Place::Anywhere,
    parse,
}];

/// `$sample`
#[derive(Debug)]
struct Sample {
    size: usize,
    by_number: Arc<Sort>,
}

fn parse(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [size] = members(operand, ["size"])?;
    let size = size.ok_or("needs size")?.to_value();
    if !size.kind().is_number() {
        return Err(format!("size must be a number, not {}", size.kind().name()));
    }
    let size = whole_number(&size).filter(|size| *size > 0).ok_or("size must be greater than zero")?;
    one(Sample { size: usize::try_from(size).unwrap_or(usize::MAX), by_number: sort_by("r")? })
}

/// The order of one member of a row that is wrapped up for sorting.
pub(super) fn sort_by(member: &str) -> Result<Arc<Sort>, String> {
    let order = codec::pack_object(&Object(vec![(member.to_owned(), Value::Int32(1))]));
    Ok(Arc::new(Sort::from_object(RawObject::from_body(&order))?))
}

/// A row with what it is sorted by beside it.
pub(super) fn wrap(name: &str, key: ValueRef<'_>, row: &Row) -> Row {
    Row::Made(codec::pack_members(&[(name, key), ("d", ValueRef::Object(row.root()))]))
}

/// The row that was wrapped up.
pub(super) fn unwrap(row: &Row) -> Row {
    match row.root().get("d") {
        Some(ValueRef::Object(inner)) => Row::Made(codec::pack_inner(inner)),
        _ => row.clone(),
    }
}

impl Stage for Sample {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let keep = self.size.min(opening.wanted);
        Box::new(Sampling { input, state: State::Gathering(Sorter::new(&self.by_number, keep, opening.account)) })
    }
}

struct Sampling {
    input: Input,
    state: State,
}

enum State {
    Gathering(Sorter),
    Giving(InOrder),
    Done,
}

impl Rows for Sampling {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if let State::Gathering(sorter) = &mut self.state {
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                sorter.push(wrap("r", ValueRef::Int64(rand::random()), &row), running)?;
            }
            if let State::Gathering(mut sorter) = std::mem::replace(&mut self.state, State::Done) {
                self.state = State::Giving(sorter.finish(running)?);
            }
        }
        match &mut self.state {
            State::Giving(rows) => Ok(rows.read()?.map(|row| unwrap(&row))),
            State::Gathering(_) | State::Done => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::pipeline::tests::{Bench, check};

    #[test]
    fn so_many_and_none_twice() {
        check(&[
            (r#"[{"x":1},{"x":1}]"#, r#"{"$sample":{"size":5}}"#, r#"{"x":1} {"x":1}"#),
            (r#"[{"x":1},{"x":1}]"#, r#"{"$sample":{"size":1.9}}"#, r#"{"x":1}"#),
            ("[]", r#"{"$sample":{"size":0.5}}"#, "error: size must be greater than zero"),
            ("[]", r#"{"$sample":{"size":"1"}}"#, "error: size must be a number"),
            ("[]", r#"{"$sample":{"size":1,"n":1}}"#, "error: unknown member n"),
        ]);
        let documents: Vec<String> = (0..1000).map(|n| format!(r#"{{"x":{n}}}"#)).collect();
        let pipeline = format!(r#"[{{"$documents":[{}]}},{{"$sample":{{"size":500}}}}]"#, documents.join(","));
        let (rows, _) = Bench::new(64 << 20).run(&pipeline).unwrap();
        let different: HashSet<&String> = rows.iter().collect();
        assert_eq!((rows.len(), different.len()), (500, 500));
        // One run in 2^500 has none of the second half.
        assert!(documents.iter().skip(500).any(|document| different.contains(document)));
    }
}
