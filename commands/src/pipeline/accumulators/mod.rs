//! The accumulators, one entry each in [`ACCUMULATORS`]: what `$group`, `$bucket` and `$setWindowFields` make of the values of
//! several rows.

mod collect;
mod covariance;
mod deviation;
mod numbers;
mod percentile;
mod pick;
mod several;
mod top;

pub(super) use covariance::OPERATORS as COVARIANCES;
use veddb_storage::document::expression::{Expression, Root, Scope};
use veddb_storage::document::{Value, ValueRef};

use super::{Reader, parse};

/// An accumulator of the language.
#[derive(Debug)]
pub struct AccumulatorOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its operand.
    pub parse: fn(&Reader<'_>, ValueRef<'_>) -> Parsed,
}

/// What reading an accumulator comes to.
pub type Parsed = Result<Box<dyn Accumulator>, String>;

/// A parsed accumulator: the same for every group.
pub trait Accumulator: std::fmt::Debug + Send + Sync {
    /// What it takes of one row; None is a missing value.
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String>;

    /// The state of a group that has no row yet. Paths of expressions such as `n` start from the group's `_id`.
    fn start(&self, group: &Scope<'_>) -> Result<Box<dyn State>, String>;
}

/// What an accumulator made so far of the rows of one group, which come in order.
pub trait State: Send + std::fmt::Debug {
    /// Takes what one row gives. Answers how many bytes more it holds now, about.
    fn add(&mut self, value: Option<Value>) -> Result<usize, String>;

    /// Everything it knows, for [`State::absorb`].
    fn save(&self) -> Value;

    /// Takes what another one knew, whose rows came after its own. Answers as [`State::add`] does.
    fn absorb(&mut self, saved: Value) -> Result<usize, String>;

    /// The result so far; None is a missing value.
    fn value(&self) -> Result<Option<Value>, String>;

    /// Told before the first row that it is about a window out of which rows go.
    fn slide(&mut self) {}

    /// Takes back what the first of its rows gave. False where it cannot: then it is of no use any more, and its rows are
    /// added to a new one.
    fn remove(&mut self, _value: &Option<Value>) -> bool {
        false
    }
}

/// Every accumulator, by family.
pub const ACCUMULATORS: &[&[AccumulatorOperator]] = &[
    numbers::ACCUMULATORS,
    deviation::ACCUMULATORS,
    percentile::ACCUMULATORS,
    pick::ACCUMULATORS,
    several::ACCUMULATORS,
    top::ACCUMULATORS,
    collect::ACCUMULATORS,
];

/// What a state takes in memory that has seen nothing, bytes.
pub fn size_of_state(state: &dyn State) -> usize {
    size_of::<Box<dyn State>>() + block(size_of_val(state))
}

/// What the allocator takes for so many bytes, about: it has an eighth of each power of two as sizes.
pub fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + bytes / 16).next_multiple_of(16) }
}

/// The accumulator of this name.
pub fn find(name: &str) -> Option<&'static AccumulatorOperator> {
    ACCUMULATORS.iter().flat_map(|family| family.iter()).find(|accumulator| accumulator.name == name)
}

/// Reads `{"$sum": ..}`.
pub fn parse(reader: &Reader<'_>, value: ValueRef<'_>) -> Parsed {
    let ValueRef::Object(object) = value else {
        return Err(format!("needs an object with an accumulator, not {}", value.kind().name()));
    };
    let mut members = object.iter();
    let (Some((name, operand)), None) = (members.next(), members.next()) else {
        return Err("needs an object with one accumulator".into());
    };
    let operator = find(name).ok_or_else(|| format!("unknown accumulator {name}"))?;
    if let ValueRef::Array(_) = operand {
        return Err(format!("{name}: takes one expression, not an array of them"));
    }
    (operator.parse)(reader, operand).map_err(|what| format!("{}: {what}", operator.name))
}

/// What a value takes in memory, bytes, about.
pub fn size_of_value(value: &Value) -> usize {
    size_of::<Value>() + beside(value)
}

/// What a value takes in memory beside its own place, bytes, about.
// The value's depth bounds the recursion.
fn beside(value: &Value) -> usize {
    match value {
        Value::String(text) => block(text.capacity()),
        Value::Binary { bytes, .. } => block(bytes.len()),
        Value::Regex { pattern, options } => block(pattern.len()) + block(options.len()),
        Value::Array(values) => beside_all(values),
        Value::Object(object) => {
            let members = object.0.iter().map(|(name, value)| block(name.capacity()) + beside(value)).sum::<usize>();
            block(object.0.capacity() * size_of::<(String, Value)>()) + members
        }
        _ => 0,
    }
}

/// The same of several, with the places of all.
fn beside_all(values: &Vec<Value>) -> usize {
    block(values.capacity() * size_of::<Value>()) + values.iter().map(beside).sum::<usize>()
}

/// The members of an operand: all of these names and no others.
fn members<'v, const N: usize>(operand: ValueRef<'v>, names: [&str; N]) -> Result<[ValueRef<'v>; N], String> {
    let found = parse::members(operand, names)?;
    match names.iter().zip(&found).find(|(_, value)| value.is_none()) {
        Some((name, _)) => Err(format!("needs {name}")),
        None => Ok(found.map(|value| value.unwrap_or(ValueRef::Null))),
    }
}

/// What a state has to report as grown, when it holds so many bytes now: it may have given some back since.
#[derive(Debug, Default)]
struct Grown {
    most: usize,
}

impl Grown {
    fn to(&mut self, bytes: usize) -> usize {
        let grown = bytes.saturating_sub(self.most);
        self.most = self.most.max(bytes);
        grown
    }
}

/// An accumulator of one expression whose state needs nothing but its values.
#[derive(Debug)]
struct Plain {
    expression: Expression,
    start: fn() -> Box<dyn State>,
}

impl Plain {
    fn parse(reader: &Reader<'_>, operand: ValueRef<'_>, start: fn() -> Box<dyn State>) -> Parsed {
        Ok(Box::new(Plain { expression: reader.expression(operand)?, start }))
    }
}

impl Accumulator for Plain {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        // Mostly it is a stored value.
        if let Root::Packed(root) = scope.root
            && let Some(found) = self.expression.look(root)
        {
            return Ok(found.map(ValueRef::to_value));
        }
        self.expression.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn State>, String> {
        Ok((self.start)())
    }
}

#[cfg(test)]
mod tests;
