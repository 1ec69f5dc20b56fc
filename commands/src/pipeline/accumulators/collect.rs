//! `$push`, `$addToSet`, `$concatArrays`, `$setUnion` and `$mergeObjects`: all of the values.

use std::collections::{HashMap, HashSet};

use veddb_storage::document::{Object, Value, codec, ordered};

use super::{AccumulatorOperator, Grown, Plain, State, beside, block, size_of_value};

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$push",
        summary: "All values, in an array.",
        parse: |reader, operand| Plain::parse(reader, operand, || Box::<Pushed>::default()),
    },
    AccumulatorOperator {
        name: "$addToSet",
        summary: "The different values, in an array.",
        parse: |reader, operand| Plain::parse(reader, operand, || Box::<Set>::default()),
    },
    AccumulatorOperator {
        name: "$concatArrays",
        summary: "The elements of all arrays, in one array.",
        parse: |reader, operand| Plain::parse(reader, operand, || Each::boxed("$concatArrays", Pushed::default())),
    },
    AccumulatorOperator {
        name: "$setUnion",
        summary: "The different elements of all arrays, in one array.",
        parse: |reader, operand| Plain::parse(reader, operand, || Each::boxed("$setUnion", Set::default())),
    },
    AccumulatorOperator {
        name: "$mergeObjects",
        summary: "The members of all objects; of two of one name the later.",
        parse: |reader, operand| Plain::parse(reader, operand, merged),
    },
];

#[derive(Debug, Default)]
struct Pushed(Vec<Value>);

impl State for Pushed {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(value) = value else { return Ok(0) };
        let (size, before) = (beside(&value), self.0.capacity());
        self.0.push(value);
        Ok(size + places(before, &self.0))
    }

    fn save(&self) -> Value {
        Value::Array(self.0.clone())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        let (size, before) = (values.iter().map(beside).sum::<usize>(), self.0.capacity());
        self.0.extend(values);
        Ok(size + places(before, &self.0))
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(Value::Array(self.0.clone())))
    }
}

/// What the places of values take more than when there were so many.
fn places(before: usize, values: &Vec<Value>) -> usize {
    let size = |capacity: usize| block(capacity * size_of::<Value>());
    size(values.capacity()) - size(before)
}

/// A key's place in a hash table that is half full, bytes.
const KEY_BYTES: usize = 40;

#[derive(Debug, Default)]
struct Set {
    values: Vec<Value>,
    /// The same for values that are equal.
    keys: HashSet<Box<[u8]>>,
}

impl State for Set {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(value) = value else { return Ok(0) };
        let mut key = Vec::new();
        ordered::put(&mut key, codec::pack_value(&value).get());
        let (size, before) = (block(key.len()) + KEY_BYTES + beside(&value), self.values.capacity());
        if !self.keys.insert(key.into()) {
            return Ok(0);
        }
        self.values.push(value);
        Ok(size + places(before, &self.values))
    }

    fn save(&self) -> Value {
        Value::Array(self.values.clone())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        values.into_iter().map(|value| self.add(Some(value))).sum()
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(Value::Array(self.values.clone())))
    }
}

/// The elements that `$concatArrays` or `$setUnion` takes; a missing value has none.
fn elements(name: &str, value: Option<Value>) -> Result<Vec<Value>, String> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(elements)) => Ok(elements),
        Some(other) => Err(format!("{name}: each value must be an array, not {}", other.kind().name())),
    }
}

/// The elements of arrays, as if each came by itself.
#[derive(Debug)]
struct Each {
    /// For messages.
    name: &'static str,
    state: Box<dyn State>,
}

impl Each {
    fn boxed(name: &'static str, state: impl State + 'static) -> Box<dyn State> {
        Box::new(Each { name, state: Box::new(state) })
    }
}

impl State for Each {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let mut grown = 0;
        for element in elements(self.name, value)? {
            grown += self.state.add(Some(element))?;
        }
        Ok(grown)
    }

    fn save(&self) -> Value {
        self.state.save()
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        self.state.absorb(saved)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        self.state.value()
    }
}

#[derive(Debug, Default)]
struct Merged {
    object: Object,
    /// Where each of its members stands.
    positions: HashMap<String, usize>,
    bytes: usize,
    grown: Grown,
}

/// What a member takes beside its name, which is there twice, and its value, bytes.
const MEMBER_BYTES: usize = 72;

pub(super) fn merged() -> Box<dyn State> {
    Box::<Merged>::default()
}

impl Merged {
    fn set(&mut self, name: String, value: Value) {
        self.bytes += size_of_value(&value);
        let at = self.positions.get(&name).copied();
        match at.and_then(|at| self.object.0.get_mut(at)) {
            Some((_, place)) => self.bytes -= size_of_value(&std::mem::replace(place, value)),
            None => {
                self.bytes += MEMBER_BYTES + 2 * name.len();
                self.positions.insert(name.clone(), self.object.0.len());
                self.object.0.push((name, value));
            }
        }
    }
}

impl State for Merged {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        match value {
            None | Some(Value::Null) => Ok(0),
            Some(Value::Object(object)) => {
                object.0.into_iter().for_each(|(name, value)| self.set(name, value));
                Ok(self.grown.to(self.bytes))
            }
            Some(other) => Err(format!("$mergeObjects: each value must be an object, not {}", other.kind().name())),
        }
    }

    fn save(&self) -> Value {
        Value::Object(self.object.clone())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        self.add(Some(saved))
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(Value::Object(self.object.clone())))
    }
}
