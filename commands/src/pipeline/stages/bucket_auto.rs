//! `$bucketAuto`: so many ranges of a value with about as many rows in each. The rows are sorted first, in files if need be.

use std::sync::Arc;

use veddb_storage::document::expression::reckon::{number, plus};
use veddb_storage::document::expression::{Expression, Root, Scope};
use veddb_storage::document::order::compare_values;
use veddb_storage::document::{Object, Value, ValueRef, codec};

use super::bucket::{check_group_by, read_output};
use super::granularity::Granularity;
use super::sample::{sort_by, unwrap, wrap};
use super::{Place, StageOperator};
use crate::pipeline::accumulators::{self, Accumulator};
use crate::pipeline::memory::Held;
use crate::pipeline::parse::{members, one};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::stages::Parsed;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$bucketAuto",
    summary: "Makes so many rows as `buckets` says, each of a range of `groupBy`, with about as many rows in each.",
    place: Place::Anywhere,
    parse,
}];

/// `$bucketAuto`
#[derive(Debug)]
struct BucketAuto {
    group_by: Expression,
    buckets: usize,
    granularity: Option<Granularity>,
    fields: Vec<(String, Box<dyn Accumulator>)>,
    by_key: Arc<Sort>,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [group_by, buckets, output, granularity] = members(operand, ["groupBy", "buckets", "output", "granularity"])?;
    let group_by = group_by.ok_or("needs groupBy")?;
    check_group_by(group_by)?;
    let buckets = buckets.ok_or("needs buckets")?.to_value();
    let whole =
        buckets.as_integer().filter(|n| *n > 0 && i32::try_from(*n).is_ok()).and_then(|n| usize::try_from(n).ok());
    let buckets = whole.ok_or("buckets must be a whole number greater than zero, of 32 bits")?;
    let granularity = match granularity {
        None => None,
        Some(ValueRef::String(name)) => {
            Some(Granularity::named(name).ok_or_else(|| format!("granularity: unknown series {name:?}"))?)
        }
        Some(other) => return Err(format!("granularity must be a string, not {}", other.kind().name())),
    };
    let mut fields = Vec::new();
    for (name, value) in read_output(output)? {
        let accumulator = accumulators::parse(reader, codec::pack_value(&value).get());
        fields.push((name.clone(), accumulator.map_err(|what| format!("output: {name}: {what}"))?));
    }
    let group_by = reader.expression(group_by).map_err(|what| format!("groupBy: {what}"))?;
    // The key stands in an object of its own, so that arrays are compared as a whole.
    one(BucketAuto { group_by, buckets, granularity, fields, by_key: sort_by("k")? })
}

impl Stage for BucketAuto {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let sorter = Sorter::new(&self.by_key, usize::MAX, opening.account);
        let held = opening.account.part();
        Box::new(Bucketing { stage: self, input, held, state: State::Gathering(sorter, 0) })
    }
}

struct Bucketing {
    stage: Arc<BucketAuto>,
    input: Input,
    held: Held,
    state: State,
}

enum State {
    /// How many rows there are.
    Gathering(Sorter, usize),
    Giving(Buckets),
    Done,
}

/// The rows in order, of which some went into buckets.
struct Buckets {
    rows: InOrder,
    /// The next row, with its key.
    next: Option<(Value, Row)>,
    /// About how many rows go into one.
    size: usize,
    /// How many there were already.
    given: usize,
    /// Where the last one ended.
    end: Option<Value>,
}

fn key_of(row: &Row) -> Value {
    match row.root().get("k") {
        Some(ValueRef::Object(key)) => key.get("v").map_or(Value::Null, ValueRef::to_value),
        _ => Value::Null,
    }
}

impl Buckets {
    fn new(rows: InOrder, count: usize, buckets: usize) -> Result<Buckets, Failure> {
        let size = ((count as f64 / buckets as f64).round() as usize).max(1);
        let mut all = Buckets { rows, next: None, size, given: 0, end: None };
        all.take()?;
        Ok(all)
    }

    /// Takes the next row.
    fn take(&mut self) -> Result<Option<(Value, Row)>, Failure> {
        let next = self.rows.read()?.map(|row| (key_of(&row), unwrap(&row)));
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl BucketAuto {
    fn key(&self, row: &Row, running: &Running<'_>) -> Result<Value, Failure> {
        let key = self.group_by.evaluate(&running.scope(row.root()))?.unwrap_or(Value::Null);
        if self.granularity.is_some() {
            match number(&key) {
                None => {
                    return Err(format!("groupBy must be a number for a granularity, not {}", key.kind().name()).into());
                }
                Some(n) if n.is_nan() || n < 0.0 => {
                    return Err(Failure::Stage("groupBy must not be NaN or less than zero for a granularity".into()));
                }
                Some(_) => {}
            }
        }
        Ok(key)
    }

    /// The next bucket.
    fn bucket(&self, all: &mut Buckets, held: &mut Held, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let Some((first, _)) = &all.next else { return Ok(None) };
        let round = |n: &Value, to: fn(&Granularity, f64) -> f64| {
            let rounded =
                number(n).zip(self.granularity.as_ref()).map(|(n, granularity)| Value::Double(to(granularity, n)));
            // A decimal stays one.
            rounded.map(|to| if let Value::Decimal(_) = n { plus(&Value::Decimal(0.into()), &to) } else { to })
        };
        let start = match all.end.take() {
            Some(end) if self.granularity.is_some() => end,
            _ => round(first, Granularity::down).unwrap_or_else(|| first.clone()),
        };
        let empty = Object::default();
        let scope = Scope {
            root: Root::Owned(&empty),
            now_ms: running.now_ms(),
            variables: running.variables,
            watch: Some(running),
        };
        let mut states = Vec::with_capacity(self.fields.len());
        for (name, accumulator) in &self.fields {
            states.push(accumulator.start(&scope).map_err(|what| format!("output: {name}: {what}"))?);
        }
        all.given += 1;
        let wanted = if all.given >= self.buckets { usize::MAX } else { all.size };
        let (mut count, mut last) = (0, start.clone());
        // Once it is full, what it goes on to: a granularity's number, else the last key and those equal to it.
        let mut end: Option<Value> = None;
        while let Some((key, _)) = &all.next {
            if count >= wanted {
                let end = match &end {
                    Some(end) => end,
                    None => {
                        // Zero is in no series: what comes after it begins where the next number does.
                        let zero = number(&last) == Some(0.0);
                        let rounded = if zero { round(key, Granularity::down) } else { round(&last, Granularity::up) };
                        end.insert(rounded.unwrap_or_else(|| last.clone()))
                    }
                };
                let order = compare_values(key, end);
                let belongs = if self.granularity.is_some() { order.is_lt() } else { order.is_eq() };
                if !belongs {
                    break;
                }
            }
            let Some((key, row)) = all.take()? else { break };
            running.step()?;
            let scope = running.scope(row.root());
            for ((name, accumulator), state) in self.fields.iter().zip(&mut states) {
                let wrong = |what: String| format!("output: {name}: {what}");
                held.claim(state.add(accumulator.argument(&scope).map_err(wrong)?).map_err(wrong)?)?;
            }
            last = key;
            count += 1;
        }
        let end = match (end, &all.next) {
            (Some(end), _) if self.granularity.is_some() => end,
            (_, Some((next, _))) => next.clone(),
            (_, None) => round(&last, Granularity::up).unwrap_or(last),
        };
        let range = Object(vec![("min".to_owned(), start), ("max".to_owned(), end.clone())]);
        all.end = Some(end);
        let mut object = Object(vec![("_id".to_owned(), Value::Object(range))]);
        for ((name, _), state) in self.fields.iter().zip(&states) {
            if let Some(value) = state.value().map_err(|what| format!("output: {name}: {what}"))? {
                object.0.push((name.clone(), value));
            }
        }
        held.release();
        Ok(Some(Row::of(&object)))
    }
}

impl Rows for Bucketing {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let stage = Arc::clone(&self.stage);
        if let State::Gathering(sorter, count) = &mut self.state {
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                let key = Value::Object(Object(vec![("v".to_owned(), stage.key(&row, running)?)]));
                sorter.push(wrap("k", codec::pack_value(&key).get(), &row), running)?;
                *count += 1;
            }
            if let State::Gathering(mut sorter, count) = std::mem::replace(&mut self.state, State::Done) {
                sorter.make_room(running)?;
                self.state = State::Giving(Buckets::new(sorter.finish(running)?, count, stage.buckets)?);
            }
        }
        match &mut self.state {
            State::Giving(all) => stage.bucket(all, &mut self.held, running),
            State::Gathering(..) | State::Done => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::{Bench, check};

    #[test]
    fn ranges() {
        let documents = r#"[{"x":5},{"x":1},{"x":3},{"x":3},{"x":4}]"#;
        let decades = r#"[{"x":1},{"x":10},{"x":100},{"x":1000}]"#;
        check(&[
            (
                documents,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":2}}"#,
                r#"{"_id":{"min":1,"max":4},"count":3} {"_id":{"min":4,"max":5},"count":2}"#,
            ),
            (
                r#"[{"x":7},{"x":7}]"#,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":9}}"#,
                r#"{"_id":{"min":7,"max":7},"count":2}"#,
            ),
            ("[]", r#"{"$bucketAuto":{"groupBy":"$x","buckets":9}}"#, ""),
            (
                r#"[{"x":[2]},{"x":[1,9]},{}]"#,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":3,"output":{"x":{"$push":"$x"}}}}"#,
                r#"{"_id":{"min":null,"max":[1,9]},"x":[]} {"_id":{"min":[1,9],"max":[2]},"x":[[1,9]]} {"_id":{"min":[2],"max":[2]},"x":[[2]]}"#,
            ),
            (
                decades,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":3,"granularity":"R5"}}"#,
                r#"{"_id":{"min":0.63,"max":1.6},"count":1} {"_id":{"min":1.6,"max":16.0},"count":1} {"_id":{"min":16.0,"max":1600.0},"count":2}"#,
            ),
            (
                r#"[{"x":0},{"x":0},{"x":3}]"#,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":2,"granularity":"POWERSOF2"}}"#,
                r#"{"_id":{"min":0.0,"max":2.0},"count":2} {"_id":{"min":2.0,"max":4.0},"count":1}"#,
            ),
            (
                r#"[{"x":-1}]"#,
                r#"{"$bucketAuto":{"groupBy":"$x","buckets":2,"granularity":"R5"}}"#,
                "error: less than zero",
            ),
            ("[]", r#"{"$bucketAuto":{"groupBy":"$x","buckets":0}}"#, "error: buckets must be"),
            ("[]", r#"{"$bucketAuto":{"groupBy":"$x","buckets":2,"granularity":"R6"}}"#, "error: unknown series"),
        ]);
    }

    #[test]
    fn through_files() {
        let documents: Vec<String> = (0..6000)
            .map(|n: u32| format!(r#"{{"x":{},"t":"{}"}}"#, n.wrapping_mul(7919) % 6007, "y".repeat(150)))
            .collect();
        let stage = r#"{"$bucketAuto":{"groupBy":"$x","buckets":4,"output":{"n":{"$sum":1},"x":{"$max":"$x"}}}}"#;
        let pipeline = format!(r#"[{{"$documents":[{}]}},{stage}]"#, documents.join(","));
        let (memory, none) = Bench::new(256 << 20).run(&pipeline).unwrap();
        let (files, spilled) = Bench::new(512 << 10).run(&pipeline).unwrap();
        assert!(none == 0 && spilled > 0);
        assert_eq!((memory.len(), memory), (4, files));
    }
}
