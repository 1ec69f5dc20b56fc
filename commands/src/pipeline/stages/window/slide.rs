//! Accumulators over windows.
//!
//! Over the whole partition, and over all rows up to the current one, an accumulator just goes on. Else what it took of each
//! row is held, rows that come into the window are added and those that go are taken out; where an accumulator cannot do that,
//! it begins anew with the window's rows.

use std::sync::Arc;

use veddb_storage::document::expression::{Root, Scope};
use veddb_storage::document::{Object, Value};

use super::bounds::{Bounds, Frame};
use super::{At, Course, Function};
use crate::pipeline::accumulators::{Accumulator, State, size_of_state, size_of_value};
use crate::pipeline::{Failure, Running};

#[derive(Debug)]
pub(super) struct Accumulated {
    name: String,
    accumulator: Arc<dyn Accumulator>,
    bounds: Bounds,
}

impl Accumulated {
    pub(super) fn new(name: &str, accumulator: Box<dyn Accumulator>, bounds: Bounds) -> Accumulated {
        Accumulated { name: name.to_owned(), accumulator: accumulator.into(), bounds }
    }

    fn said(&self, what: String) -> String {
        if what.starts_with('$') { what } else { format!("{}: {what}", self.name) }
    }
}

impl Function for Accumulated {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.accumulator.argument(scope).map_err(|what| self.said(what))
    }

    fn start(&self, partition: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        let state = self.accumulator.start(partition).map_err(|what| self.said(what))?;
        if self.bounds.is_whole() {
            return Ok(Box::new(Whole { bytes: size_of_state(&*state), state, value: None }));
        }
        if self.bounds.is_running() {
            return Ok(Box::new(ToHere { bytes: size_of_state(&*state), state }));
        }
        let object = match partition.root {
            Root::Owned(object) => object.clone(),
            Root::Packed(object) => object.to_object(),
        };
        let start = Start {
            accumulator: Arc::clone(&self.accumulator),
            partition: object,
            now_ms: partition.now_ms,
            variables: partition.variables.to_vec(),
            slides: self.bounds.slides(),
        };
        let state = start.state()?;
        let state_bytes = size_of_state(&*state);
        let frame = Frame::new(&self.bounds);
        let (arguments, argument_bytes) = (Vec::new(), 0);
        Ok(Box::new(Sliding { start, frame, state, state_bytes, arguments, argument_bytes, from: 0, to: 0 }))
    }

    fn looks_ahead(&self) -> bool {
        !self.bounds.is_running()
    }
}

/// Over the whole partition.
struct Whole {
    state: Box<dyn State>,
    bytes: usize,
    value: Option<Option<Value>>,
}

impl Course for Whole {
    fn take(&mut self, argument: Option<Value>, _: &At<'_>) -> Result<(), String> {
        self.bytes += self.state.add(argument)?;
        Ok(())
    }

    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        pay(self.bytes, running)?;
        let value = match &self.value {
            Some(value) => value,
            None => self.value.insert(self.state.value()?),
        };
        Ok(value.clone())
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Steps for a value that it takes long to copy.
fn pay(bytes: usize, running: &Running<'_>) -> Result<(), Failure> {
    (0..bytes / STEP_BYTES).try_for_each(|_| running.step())
}

/// So much of a state counts as a step.
const STEP_BYTES: usize = 64 << 10;

/// Over all rows up to the current one.
struct ToHere {
    state: Box<dyn State>,
    bytes: usize,
}

impl Course for ToHere {
    fn take(&mut self, argument: Option<Value>, _: &At<'_>) -> Result<(), String> {
        self.bytes += self.state.add(argument)?;
        Ok(())
    }

    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        pay(self.bytes, running)?;
        Ok(self.state.value()?)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a new state is made of.
struct Start {
    accumulator: Arc<dyn Accumulator>,
    partition: Object,
    now_ms: i64,
    variables: Vec<Option<Value>>,
    slides: bool,
}

impl Start {
    fn state(&self) -> Result<Box<dyn State>, String> {
        let root = Root::Owned(&self.partition);
        let scope = Scope { root, now_ms: self.now_ms, variables: &self.variables, watch: None };
        let mut state = self.accumulator.start(&scope)?;
        if self.slides {
            state.slide();
        }
        Ok(state)
    }
}

/// Over any other window.
struct Sliding {
    start: Start,
    frame: Frame,
    state: Box<dyn State>,
    state_bytes: usize,
    /// What was taken of each row.
    arguments: Vec<Option<Value>>,
    argument_bytes: usize,
    /// The rows that the state is of.
    from: usize,
    to: usize,
}

impl Sliding {
    fn add(&mut self, to: usize, running: &Running<'_>) -> Result<(), Failure> {
        for argument in self.arguments.get(self.to..to).unwrap_or_default() {
            running.step()?;
            self.state_bytes += self.state.add(argument.clone())?;
        }
        self.to = to;
        Ok(())
    }

    /// Takes the rows out that went; false where that cannot be.
    fn remove(&mut self, from: usize, running: &Running<'_>) -> Result<bool, Failure> {
        for argument in self.arguments.get(self.from..from).unwrap_or_default() {
            running.step()?;
            if !self.state.remove(argument) {
                return Ok(false);
            }
        }
        self.from = from;
        Ok(true)
    }
}

impl Course for Sliding {
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String> {
        self.frame.take(at.key)?;
        self.argument_bytes += argument.as_ref().map_or(size_of::<Option<Value>>(), size_of_value);
        self.arguments.push(argument);
        Ok(())
    }

    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        self.frame.step();
        let (from, to) = (self.frame.start, self.frame.end);
        // What is in the window no more before it was ever added need not be.
        let apart = from >= self.to;
        if !apart {
            self.add(to, running)?;
        }
        if from > self.from && (apart || !self.remove(from, running)?) {
            self.state = self.start.state()?;
            self.state_bytes = size_of_state(&*self.state);
            (self.from, self.to) = (from, from);
        }
        self.add(to, running)?;
        pay(self.state_bytes, running)?;
        Ok(self.state.value()?)
    }

    fn bytes(&self) -> usize {
        self.frame.bytes + self.argument_bytes + self.state_bytes
    }
}
