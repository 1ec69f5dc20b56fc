//! `$densify`: rows in the gaps between the values of a field. The rows are sorted by partition and field, in files if need
//! be; those that have no such field come first and stay as they are.

use std::cmp::Ordering;
use std::sync::Arc;

use veddb_storage::document::expression::DateUnit;
use veddb_storage::document::expression::reckon::{number, plus};
use veddb_storage::document::order::compare_values;
use veddb_storage::document::path::{Meets, Path};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use super::sample::{unwrap, wrap};
use super::unwind::put;
use super::{Place, StageOperator};
use crate::pipeline::parse::{members, one};
use crate::pipeline::sorter::{InOrder, Sorter};
use crate::pipeline::stages::Parsed;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$densify",
    summary: "Adds rows in the gaps between the values of `field`, `step` by `step`.",
    place: Place::Anywhere,
    parse,
}];

/// The most rows that one stage makes, as in MongoDB.
const MADE_MAX: usize = 500_000;

/// `$densify`
#[derive(Debug)]
struct Densify {
    field: String,
    path: Path,
    partition_by: Vec<(String, Path)>,
    step: Value,
    unit: Option<DateUnit>,
    bounds: Bounds,
    order: Arc<Sort>,
}

#[derive(Debug)]
enum Bounds {
    /// From the least value of all rows to the greatest.
    Full,
    /// The same in each partition.
    Partition,
    /// From the first up to the second, not included.
    Between(Value, Value),
}

fn parse(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [field, partition_by, range] = members(operand, ["field", "partitionByFields", "range"])?;
    let field = path(field.ok_or("needs field")?).map_err(|what| format!("field {what}"))?;
    let mut by = Vec::new();
    match partition_by {
        None => {}
        Some(ValueRef::Array(list)) => {
            for name in list.iter() {
                by.push(path(name).map_err(|what| format!("partitionByFields: a field {what}"))?);
            }
        }
        Some(_) => return Err("partitionByFields must be an array of paths".into()),
    }
    if by.iter().any(|(_, path)| path.overlaps(&field.1)) {
        return Err("partitionByFields: field cannot be among them, nor stand in one of them".into());
    }
    let wrong = |what: String| format!("range: {what}");
    let [step, unit, bounds] = members(range.ok_or("needs range")?, ["step", "unit", "bounds"]).map_err(wrong)?;
    let step = step.ok_or("range: needs step")?.to_value();
    if !number(&step).is_some_and(|step| step > 0.0) {
        return Err("range: step must be a number greater than zero".into());
    }
    let unit = match unit {
        None => None,
        Some(ValueRef::String(name)) => {
            Some(DateUnit::named(name).ok_or_else(|| format!("range: unit: unknown unit {name:?}"))?)
        }
        Some(_) => return Err("range: unit must be a string".into()),
    };
    if unit.is_some() && step.as_integer().is_none() {
        return Err("range: step must be a whole number of units".into());
    }
    let bounds = match bounds.ok_or("range: needs bounds")? {
        ValueRef::String("full") => Bounds::Full,
        ValueRef::String("partition") if by.is_empty() => {
            return Err("range: bounds \"partition\" need partitionByFields".into());
        }
        ValueRef::String("partition") => Bounds::Partition,
        ValueRef::Array(list) => {
            between(list.iter().map(ValueRef::to_value).collect(), unit.is_some()).map_err(wrong)?
        }
        _ => return Err("range: bounds must be \"full\", \"partition\" or an array of two values".into()),
    };
    let (field, path) = field;
    let mut order = vec![("p".to_owned(), Value::Int32(1))];
    order.push((format!("d.{field}"), Value::Int32(1)));
    let order = codec::pack_object(&Object(order));
    let order = Arc::new(Sort::from_object(RawObject::from_body(&order))?);
    one(Densify { field, path, partition_by: by, step, unit, bounds, order })
}

fn path(value: ValueRef<'_>) -> Result<(String, Path), String> {
    let ValueRef::String(text) = value else { return Err("must be a path".into()) };
    if text.split('.').any(|step| step.is_empty() || step.starts_with('$') || step.contains('\0')) {
        return Err(format!("must be a path without $, not {text:?}"));
    }
    Ok((text.to_owned(), Path::new(text)))
}

fn steps(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn between(values: Vec<Value>, dates: bool) -> Result<Bounds, String> {
    let Ok([lower, upper]) = <[Value; 2]>::try_from(values) else { return Err("bounds must be two values".into()) };
    let fits = |value: &Value| if dates { matches!(value, Value::Date(_)) } else { number(value).is_some() };
    if !fits(&lower) || !fits(&upper) {
        return Err(format!(
            "bounds must be {}",
            if dates { "dates, since there is a unit" } else { "numbers, or dates with a unit" }
        ));
    }
    if compare_values(&lower, &upper).is_gt() {
        return Err("bounds: the lower one is above the upper one".into());
    }
    Ok(Bounds::Between(lower, upper))
}

impl Densify {
    /// The value of the field; none where it is null or missing.
    fn value(&self, row: &Row) -> Result<Option<Value>, Failure> {
        let value = match self.path.direct(row.root()) {
            Meets::Value(ValueRef::Null) | Meets::Nothing => return Ok(None),
            Meets::Array => return Err(Failure::Stage(format!("{} must not be or be in an array", self.field))),
            Meets::Value(value) => value.to_value(),
        };
        let fits = if self.unit.is_some() { matches!(value, Value::Date(_)) } else { number(&value).is_some() };
        if !fits {
            let wanted =
                if self.unit.is_some() { "a date, since there is a unit" } else { "a number, or a date with a unit" };
            return Err(Failure::Stage(format!("{} must be {wanted}, not {}", self.field, value.kind().name())));
        }
        Ok(Some(value))
    }

    /// The partition's fields, an array with one value each; one that is missing has none.
    fn partition(&self, row: &Row) -> Result<Value, Failure> {
        let mut members = Object::default();
        for (number, (name, path)) in self.partition_by.iter().enumerate() {
            match path.direct(row.root()) {
                Meets::Value(value) => members.0.push((number.to_string(), value.to_value())),
                Meets::Nothing => {}
                Meets::Array => {
                    return Err(Failure::Stage(format!("partitionByFields: {name} must not be or be in an array")));
                }
            }
        }
        Ok(Value::Object(members))
    }

    /// The value one step on; none beyond the range of dates, or where the step is too small to get anywhere.
    fn after(&self, value: &Value) -> Option<Value> {
        let after = match (value, self.unit) {
            (Value::Date(ms), Some(unit)) => Value::Date(unit.after(*ms, self.step.as_integer()?)?),
            _ => plus(value, &self.step),
        };
        compare_values(&after, value).is_gt().then_some(after)
    }

    /// A row that was not there.
    fn made(&self, partition: &Value, value: Value) -> Row {
        let mut object = Object::default();
        for (number, (name, _)) in self.partition_by.iter().enumerate() {
            if let Some(value) = partition.as_object().and_then(|members| members.get(&number.to_string())) {
                put(&mut object, &steps(name), value.clone());
            }
        }
        put(&mut object, &steps(&self.field), value);
        Row::of(&object)
    }
}

impl Stage for Densify {
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input {
        let sorter = Sorter::new(&self.order, usize::MAX, opening.account);
        Box::new(Densifying { stage: self, input, state: State::Gathering(sorter) })
    }
}

struct Densifying {
    stage: Arc<Densify>,
    input: Input,
    state: State,
}

enum State {
    Gathering(Sorter),
    Giving(Box<Gaps>),
    Done,
}

/// The rows in order, with those in their gaps.
struct Gaps {
    rows: InOrder,
    /// The next row, with its partition and the field's value.
    next: Option<(Value, Row, Option<Value>)>,
    /// From the least value of all rows to the greatest.
    full: Option<(Value, Value)>,
    partition: Option<Partition>,
    made: usize,
    /// Whether there was a partition.
    begun: bool,
}

/// The partition that rows are made in.
struct Partition {
    value: Value,
    /// The next value that a row is made of, if none has it.
    at: Option<Value>,
    /// Where that ends, and whether the end itself still counts.
    end: Option<(Value, bool)>,
}

impl Gaps {
    /// Goes to the next row; answers the one that was.
    fn take(&mut self, stage: &Densify) -> Result<Option<Row>, Failure> {
        let next = match self.rows.read()? {
            None => None,
            Some(row) => {
                let partition = row.root().get("p").map_or(Value::Null, ValueRef::to_value);
                let row = unwrap(&row);
                let value = stage.value(&row)?;
                Some((partition, row, value))
            }
        };
        Ok(std::mem::replace(&mut self.next, next).map(|(_, row, _)| row))
    }

    fn begin(&mut self, stage: &Densify, value: Value, first: Option<Value>) {
        self.begun = true;
        let (at, end) = match &stage.bounds {
            Bounds::Full => (
                self.full.as_ref().map(|(least, _)| least.clone()),
                self.full.as_ref().map(|(_, most)| (most.clone(), true)),
            ),
            // The partition's own rows end it.
            Bounds::Partition => (first, None),
            Bounds::Between(lower, upper) => (Some(lower.clone()), Some((upper.clone(), false))),
        };
        self.partition = Some(Partition { value, at, end });
    }

    fn next(&mut self, stage: &Densify, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        loop {
            running.step()?;
            let same = match (&self.next, &self.partition) {
                (Some((value, ..)), Some(partition)) => compare_values(value, &partition.value).is_eq(),
                _ => false,
            };
            if let (Some((_, _, value)), true) = (&self.next, same) {
                // Rows without the field come first; nothing is made before them.
                let Some(value) = value else { return self.take(stage) };
                let value = value.clone();
                if let Some(row) = self.before(stage, &value)? {
                    return Ok(Some(row));
                }
                return self.take(stage);
            }
            if let Some(row) = self.rest(stage)? {
                return Ok(Some(row));
            }
            match &self.next {
                Some((value, _, first)) => {
                    let (value, first) = (value.clone(), first.clone());
                    self.begin(stage, value, first);
                }
                // Even where there is no row at all there is something between two bounds.
                None if !self.begun && matches!(stage.bounds, Bounds::Between(..)) => {
                    self.begin(stage, Value::Object(Object::default()), None);
                }
                None => return Ok(None),
            }
        }
    }

    /// A row before the partition's next one, which has this value.
    fn before(&mut self, stage: &Densify, value: &Value) -> Result<Option<Row>, Failure> {
        let Some(partition) = &mut self.partition else { return Ok(None) };
        // Its first row without a null begins a partition that has nulls.
        if partition.at.is_none() && matches!(stage.bounds, Bounds::Partition) {
            partition.at = Some(value.clone());
        }
        let Some(at) = &partition.at else { return Ok(None) };
        match compare_values(at, value) {
            Ordering::Less => self.made(stage),
            Ordering::Equal => {
                partition.at = stage.after(at);
                Ok(None)
            }
            Ordering::Greater => Ok(None),
        }
    }

    /// A row after the partition's last one.
    fn rest(&mut self, stage: &Densify) -> Result<Option<Row>, Failure> {
        match &self.partition {
            Some(Partition { at: Some(_), end: Some(_), .. }) => self.made(stage),
            _ => Ok(None),
        }
    }

    /// The row of the next value, if it is not beyond the end.
    fn made(&mut self, stage: &Densify) -> Result<Option<Row>, Failure> {
        let Some(partition) = &mut self.partition else { return Ok(None) };
        let Some(at) = partition.at.take() else { return Ok(None) };
        if let Some((end, included)) = &partition.end {
            let order = compare_values(&at, end);
            if order.is_gt() || (order.is_eq() && !included) {
                return Ok(None);
            }
        }
        self.made += 1;
        if self.made > MADE_MAX {
            return Err(Failure::Stage(format!("would add more than {MADE_MAX} rows")));
        }
        partition.at = stage.after(&at);
        Ok(Some(stage.made(&partition.value, at)))
    }
}

impl Rows for Densifying {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let stage = Arc::clone(&self.stage);
        if let State::Gathering(sorter) = &mut self.state {
            let mut full: Option<(Value, Value)> = None;
            while let Some(row) = self.input.next(running)? {
                running.step()?;
                if let Some(value) = stage.value(&row)? {
                    match &mut full {
                        None => full = Some((value.clone(), value)),
                        Some((least, _)) if compare_values(&value, least).is_lt() => *least = value,
                        Some((_, most)) if compare_values(&value, most).is_gt() => *most = value,
                        Some(_) => {}
                    }
                }
                let partition = stage.partition(&row)?;
                sorter.push(wrap("p", codec::pack_value(&partition).get(), &row), running)?;
            }
            if let State::Gathering(mut sorter) = std::mem::replace(&mut self.state, State::Done) {
                let rows = sorter.finish(running)?;
                let mut gaps = Gaps { rows, next: None, full, partition: None, made: 0, begun: false };
                gaps.take(&stage)?;
                self.state = State::Giving(Box::new(gaps));
            }
        }
        match &mut self.state {
            State::Giving(gaps) => gaps.next(&stage, running),
            State::Gathering(_) | State::Done => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;

    #[test]
    fn gaps() {
        let stage = |range: &str| format!(r#"{{"$densify":{{"field":"n","range":{range}}}}}"#);
        let parted =
            |range: &str| format!(r#"{{"$densify":{{"field":"n","partitionByFields":["p"],"range":{range}}}}}"#);
        let documents = r#"[{"n":4},{"n":1},{"x":1},{"n":null}]"#;
        let parts = r#"[{"n":3,"p":2},{"n":1,"p":1},{"n":2.5,"p":1}]"#;
        check(&[
            (documents, stage(r#"{"step":2,"bounds":"full"}"#), r#"{"x":1} {"n":null} {"n":1} {"n":3} {"n":4}"#),
            (documents, stage(r#"{"step":1,"bounds":[2,4]}"#), r#"{"x":1} {"n":null} {"n":1} {"n":2} {"n":3} {"n":4}"#),
            (documents, stage(r#"{"step":1,"bounds":[4,6]}"#), r#"{"x":1} {"n":null} {"n":1} {"n":4} {"n":5}"#),
            ("[]", stage(r#"{"step":0.5,"bounds":[0,1]}"#), r#"{"n":0} {"n":0.5}"#),
            ("[]", stage(r#"{"step":1,"bounds":"full"}"#), ""),
            (
                parts,
                parted(r#"{"step":1,"bounds":"full"}"#),
                r#"{"n":1,"p":1} {"p":1,"n":2} {"n":2.5,"p":1} {"p":1,"n":3} {"p":2,"n":1} {"p":2,"n":2} {"n":3,"p":2}"#,
            ),
            (
                parts,
                parted(r#"{"step":1,"bounds":"partition"}"#),
                r#"{"n":1,"p":1} {"p":1,"n":2} {"n":2.5,"p":1} {"n":3,"p":2}"#,
            ),
            (
                r#"[{"n":{"$date":"2024-01-31T00:00:00Z"}},{"n":{"$date":"2024-03-01T00:00:00Z"}}]"#,
                stage(r#"{"step":1,"unit":"month","bounds":"full"}"#),
                r#"{"n":{"$date":"2024-01-31T00:00:00Z"}} {"n":{"$date":"2024-02-29T00:00:00Z"}} {"n":{"$date":"2024-03-01T00:00:00Z"}}"#,
            ),
            (r#"[{"n":1},{"n":1e9}]"#, stage(r#"{"step":1,"bounds":"full"}"#), "error: more than 500000 rows"),
            (r#"[{"n":1e300},{"n":2e300}]"#, stage(r#"{"step":1,"bounds":"full"}"#), r#"{"n":1e300} {"n":2e300}"#),
            (r#"[{"n":"x"}]"#, stage(r#"{"step":1,"bounds":"full"}"#), "error: n must be a number"),
            (r#"[{"n":[1]}]"#, stage(r#"{"step":1,"bounds":"full"}"#), "error: n must not be or be in an array"),
            (r#"[{"n":1}]"#, stage(r#"{"step":1,"unit":"day","bounds":"full"}"#), "error: must be a date"),
            ("[]", stage(r#"{"step":0,"bounds":"full"}"#), "error: step must be"),
            ("[]", stage(r#"{"step":1,"bounds":"partition"}"#), "error: need partitionByFields"),
            ("[]", stage(r#"{"step":1,"bounds":[2,1]}"#), "error: lower one is above"),
            ("[]", stage(r#"{"step":1.5,"unit":"day","bounds":"full"}"#), "error: whole number of units"),
        ]);
    }
}
