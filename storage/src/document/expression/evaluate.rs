//! The value of a tree on a document.
//!
//! Work is counted, since a short expression can ask for a lot of it (a `$map` in a `$map`, a `$reduce` that doubles); what
//! variables hold is bounded in depth, since a value is walked recursively. Recursion here is that of the tree.

use std::borrow::Cow;
use std::cell::Cell;

use super::super::codec::{RawObject, ValueRef};
use super::super::value::{Object, Value};
use super::ExpressionError;
use super::parse::{Base, Call, Evaluated, Node, error};

/// What one evaluation may do: nodes evaluated and values copied. Less than a second's worth.
const WORK_MAX: u64 = 10_000_000;

/// Every how much work it is asked whether the query is over; some tens of microseconds.
const LOOK_EVERY: u64 = 1000;

/// Levels of nesting of what a variable holds.
const DEPTH_MAX: usize = 200;

/// The longest text that is made, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 20;

/// The most elements of an array that is made.
pub(crate) const ELEMENTS_MAX: usize = 1 << 20;

/// The document that paths start from.
#[derive(Debug, Clone, Copy)]
pub enum Root<'a> {
    /// As it is stored.
    Packed(RawObject<'a>),
    /// In memory.
    Owned(&'a Object),
}

/// Knows whether those who wait for a value still want it. It is asked while a long evaluation goes on.
pub trait Watch: std::fmt::Debug {
    /// Whether nobody wants the value any more.
    fn is_over(&self) -> bool;
}

/// What an expression is evaluated with.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `$$ROOT`.
    pub root: Root<'a>,
    /// `$$NOW`, milliseconds since 1970.
    pub now_ms: i64,
    /// The values of the variables that it was parsed with, in their order.
    pub variables: &'a [Option<Value>],
    /// Who may end it before it is done.
    pub watch: Option<&'a dyn Watch>,
}

/// What several evaluations may do together, in the same measure as the bound of each.
#[derive(Debug)]
pub struct Work {
    left: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Default for Work {
    /// As much as each evaluation may do.
    fn default() -> Work {
        Work::new(u64::MAX)
    }
}

impl Work {
    /// So much.
    pub fn new(steps: u64) -> Work {
        Work { left: Cell::new(steps), exceeded: Cell::new(false) }
    }

    /// Whether an evaluation was ended because it needed more than was left.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    fn take(&self, work: u64, limit: u64) {
        self.left.set(self.left.get().saturating_sub(work));
        if work > limit && limit < WORK_MAX {
            self.exceeded.set(true);
        }
    }
}

/// The state of one evaluation.
pub(crate) struct Environment<'s> {
    scope: &'s Scope<'s>,
    /// The variables in sight, innermost last.
    variables: Vec<Option<Value>>,
    work: u64,
    limit: u64,
    /// The work at which it is looked whether to go on, at most the limit.
    pause: u64,
    allowed: &'s Work,
}

impl Drop for Environment<'_> {
    fn drop(&mut self) {
        self.allowed.take(self.work, self.limit);
    }
}

impl<'s> Environment<'s> {
    pub(crate) fn new(scope: &'s Scope<'s>, allowed: &'s Work) -> Environment<'s> {
        let limit = allowed.left.get().min(WORK_MAX);
        let pause = LOOK_EVERY.min(limit);
        Environment { scope, variables: scope.variables.to_vec(), work: 0, limit, pause, allowed }
    }

    /// Counts work.
    pub(crate) fn spend(&mut self, work: u64) -> Result<(), ExpressionError> {
        self.work = self.work.saturating_add(work);
        if self.work > self.pause { self.look() } else { Ok(()) }
    }

    #[cold]
    fn look(&mut self) -> Result<(), ExpressionError> {
        if self.work > self.limit {
            return Err(ExpressionError("the expression asks for too much work on one document".into()));
        }
        if self.scope.watch.is_some_and(Watch::is_over) {
            return Err(ExpressionError("nobody waits for the value any more".into()));
        }
        self.pause = self.work.saturating_add(LOOK_EVERY).min(self.limit);
        Ok(())
    }

    /// Counts the walk over a constant, which may be long. What is computed was counted when it was made.
    pub(crate) fn spend_on_constant(&mut self, value: Option<&Cow<'_, Value>>) -> Result<(), ExpressionError> {
        match value {
            Some(Cow::Borrowed(constant)) => self.spend(weight(constant) - 1),
            _ => Ok(()),
        }
    }

    /// Puts a variable in sight.
    pub(crate) fn push(&mut self, name: &str, value: Option<Value>) -> Result<(), ExpressionError> {
        if value.as_ref().is_some_and(|value| value.depth() > DEPTH_MAX) {
            return Err(error(name, format_args!("a variable would have more than {DEPTH_MAX} levels of nesting")));
        }
        self.variables.push(value);
        Ok(())
    }

    /// Takes the innermost variables out of sight.
    pub(crate) fn pop(&mut self, count: usize) {
        self.variables.truncate(self.variables.len().saturating_sub(count));
    }

    /// Takes the innermost variable out of sight, with its value.
    pub(crate) fn take(&mut self) -> Option<Value> {
        self.variables.pop().flatten()
    }
}

impl Node {
    /// Its value; None is a missing one.
    pub(crate) fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        environment.spend(1)?;
        match self {
            Node::Constant(value) => Ok(Some(Cow::Borrowed(value))),
            Node::Remove => Ok(None),
            Node::Path(base, steps) => {
                let value = match base {
                    Base::Root => environment.scope.root.follow(steps),
                    Base::Now => steps.is_empty().then_some(Value::Date(environment.scope.now_ms)),
                    Base::Slot(slot) => {
                        environment.variables.get(*slot).and_then(Option::as_ref).and_then(|value| follow(value, steps))
                    }
                };
                // Whatever is copied often comes from here.
                environment.spend(value.as_ref().map_or(0, weight))?;
                Ok(value.map(Cow::Owned))
            }
            Node::Object(members) => {
                let mut object = Object::default();
                for (name, node) in members {
                    if let Some(value) = node.owned(environment)? {
                        object.0.push((name.clone(), value));
                    }
                }
                Ok(Some(Cow::Owned(Value::Object(object))))
            }
            Node::Array(nodes) => {
                let mut values = Vec::with_capacity(nodes.len());
                for node in nodes {
                    values.push(node.owned(environment)?.unwrap_or(Value::Null));
                }
                Ok(Some(Cow::Owned(Value::Array(values))))
            }
            Node::Call(call) => call.evaluate(environment),
            Node::Special(operator) => operator.evaluate(environment),
        }
    }

    /// Its value, owned.
    pub(crate) fn owned(&self, environment: &mut Environment<'_>) -> Result<Option<Value>, ExpressionError> {
        match self.evaluate(environment)? {
            Some(Cow::Borrowed(value)) => {
                environment.spend(weight(value))?;
                Ok(Some(value.clone()))
            }
            Some(Cow::Owned(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }
}

impl Call {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            let value = match argument {
                Some(node) => node.evaluate(environment)?,
                None => None,
            };
            environment.spend_on_constant(value.as_ref())?;
            values.push(Argument { given: argument.is_some(), value });
        }
        let value = (self.run)(&mut Args(values)).map_err(|what| error(self.name, what))?;
        environment.spend(value.as_ref().map_or(0, weight))?;
        Ok(value.map(Cow::Owned))
    }
}

/// One evaluated argument.
struct Argument<'e> {
    given: bool,
    value: Option<Cow<'e, Value>>,
}

/// The evaluated arguments of a function.
pub(crate) struct Args<'e>(Vec<Argument<'e>>);

impl<'e> Args<'e> {
    /// Arguments that are known; None is one that is not given.
    pub(crate) fn constant(values: impl Iterator<Item = Option<Value>>) -> Args<'e> {
        Args(values.map(|value| Argument { given: value.is_some(), value: value.map(Cow::Owned) }).collect())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// An argument's value; None where it is missing or not given.
    pub(crate) fn get(&self, at: usize) -> Option<&Value> {
        self.0.get(at).and_then(|argument| argument.value.as_deref())
    }

    /// An argument's value, taken out.
    pub(crate) fn take(&mut self, at: usize) -> Option<Value> {
        self.0.get_mut(at).and_then(|argument| argument.value.take()).map(Cow::into_owned)
    }

    /// Whether an argument stands in the expression.
    pub(crate) fn is_given(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|argument| argument.given)
    }

    /// Whether an argument is null or missing.
    pub(crate) fn is_nullish(&self, at: usize) -> bool {
        matches!(self.get(at), None | Some(Value::Null))
    }

    /// The values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Value>> {
        self.0.iter().map(|argument| argument.value.as_deref())
    }

    /// All values in order, taken out; missing ones as null.
    pub(crate) fn take_all(&mut self) -> Vec<Value> {
        let values = std::mem::take(&mut self.0);
        values.into_iter().map(|argument| argument.value.map_or(Value::Null, Cow::into_owned)).collect()
    }
}

/// How a message names the type of a value.
pub(crate) fn type_name(value: Option<&Value>) -> &'static str {
    value.map_or("missing", |value| value.kind().name())
}

/// About how much it is to copy.
pub(crate) fn weight(value: &Value) -> u64 {
    match value {
        Value::Object(object) => 1 + object.0.iter().map(|(_, value)| 1 + weight(value)).sum::<u64>(),
        Value::Array(values) => 1 + values.iter().map(weight).sum::<u64>(),
        Value::String(text) => 1 + text.len() as u64 / 64,
        Value::Binary { bytes, .. } => 1 + bytes.len() as u64 / 64,
        _ => 1,
    }
}

impl Root<'_> {
    fn follow(&self, steps: &[Box<str>]) -> Option<Value> {
        match (self, steps.split_first()) {
            (Root::Packed(object), None) => Some(Value::Object(object.to_object())),
            (Root::Owned(object), None) => Some(Value::Object((*object).clone())),
            (Root::Packed(object), Some((first, rest))) => follow_packed(object.get(first)?, rest),
            (Root::Owned(object), Some((first, rest))) => follow(object.get(first)?, rest),
        }
    }
}

// Both descend one level of the document a call, so the path's length bounds them. An array stands for what the rest of
// the path leads to in those of its elements that are objects.

fn follow_packed(value: ValueRef<'_>, steps: &[Box<str>]) -> Option<Value> {
    let Some((first, rest)) = steps.split_first() else { return Some(value.to_value()) };
    match value {
        ValueRef::Object(object) => follow_packed(object.get(first)?, rest),
        ValueRef::Array(array) => {
            let inside = |element: ValueRef<'_>| match element {
                ValueRef::Object(object) => object.get(first).and_then(|value| follow_packed(value, rest)),
                _ => None,
            };
            Some(Value::Array(array.iter().filter_map(inside).collect()))
        }
        _ => None,
    }
}

/// What a path leads to in a value.
fn follow(value: &Value, steps: &[Box<str>]) -> Option<Value> {
    let Some((first, rest)) = steps.split_first() else { return Some(value.clone()) };
    match value {
        Value::Object(object) => follow(object.get(first)?, rest),
        Value::Array(values) => {
            let inside = |element: &Value| element.as_object()?.get(first).and_then(|value| follow(value, rest));
            Some(Value::Array(values.iter().filter_map(inside).collect()))
        }
        _ => None,
    }
}
