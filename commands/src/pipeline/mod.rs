//! Aggregation pipelines: stages through which documents are pulled, one by one.
//!
//! A pipeline is parsed once into stages; [`Pipeline::open`] makes of them what can be pulled at. A stage pulls at the one
//! before it when it is pulled at itself, so nothing is read that nobody asked for, and a stage holds only what it has to.
//! What a stage holds is counted ([`memory`]); those that may have to hold a lot write it to sealed temporary files
//! ([`spool`], [`sorter`]). A stage is one entry in the table of [`stages`], an accumulator one in that of
//! [`accumulators`].

pub mod accumulators;
mod foreign;
pub mod memory;
pub mod output;
mod parse;
mod read;
mod row;
pub mod sorter;
pub mod spool;
pub mod stages;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use veddb_storage::document::expression::{Root, Scope, Watch};
use veddb_storage::document::{RawObject, Value};

pub use parse::Reader;
pub use read::Source;
pub use row::Row;

use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::query::exec::Examined;
use memory::Account;
use output::Target;

/// A parsed pipeline.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    stages: Vec<Placed>,
}

/// A stage in its place.
#[derive(Debug, Clone)]
struct Placed {
    /// Which of the pipeline's, from 0.
    number: usize,
    name: &'static str,
    stage: Arc<dyn Stage>,
}

/// A stage: parsed, and the same for every run.
pub trait Stage: std::fmt::Debug + Send + Sync {
    /// What comes out of it for what goes in.
    fn open(self: Arc<Self>, input: Input, opening: &Opening<'_>) -> Input;

    /// How many rows it takes in at most to give so many.
    fn takes(&self, _wanted: usize) -> usize {
        usize::MAX
    }

    /// What it is to those who put stages in a better order.
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    /// Whether a `$match` on this path may as well stand before it: it makes one row or several of each, and what is at
    /// the path is the same in them.
    fn passes_through(&self, _path: &str) -> bool {
        false
    }
}

/// What a stage is to those who put stages in a better order.
#[derive(Debug)]
pub enum Kind<'s> {
    /// Only lets rows through.
    Match(&'s stages::Match),
    /// Puts them in order.
    Sort(&'s stages::Sorted),
    /// Joins an array to each.
    Lookup(&'s stages::Lookup),
    /// Takes an array apart.
    Unwind(&'s stages::Unwind),
    /// Writes the rows; pulled at, it only hands them on.
    Write(&'s Target),
    /// Anything else.
    Other,
}

/// What stages are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'o> {
    /// What the query holds.
    pub account: &'o Arc<Account>,
    /// How many rows will be pulled out at most.
    pub wanted: usize,
}

/// What rows are pulled from.
pub trait Rows: Send {
    /// The next row; none at the end, after which it is not asked again.
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure>;
}

/// What rows are pulled from.
pub type Input = Box<dyn Rows>;

/// So many times as large as a document a row may be between two stages: packed it may be larger than its text, and a later
/// stage may take of it.
const GROWTH_MAX: usize = 4;

/// Every how many steps it is asked whether to go on.
const CHECK_EVERY: u64 = 16;

/// A run, or one part of it: between two parts a cursor waits.
#[derive(Debug)]
pub struct Running<'a> {
    /// The data, and whether to go on.
    pub context: &'a ReadContext<'a>,
    /// The query's own time limit.
    pub max_time_ms: Option<u64>,
    /// The values of the variables that the pipeline was parsed with, in their order.
    pub variables: &'a [Option<Value>],
    /// What the query holds.
    pub account: &'a Arc<Account>,
    /// What was looked at.
    pub examined: &'a RefCell<Examined>,
    /// Those of pipelines inside it as well: each may be short, and all together not.
    steps: Rc<Cell<u64>>,
}

impl<'a> Running<'a> {
    /// A run of a whole pipeline.
    pub fn new(
        context: &'a ReadContext<'a>,
        max_time_ms: Option<u64>,
        account: &'a Arc<Account>,
        examined: &'a RefCell<Examined>,
    ) -> Running<'a> {
        Running { context, max_time_ms, variables: &[], account, examined, steps: Rc::default() }
    }

    /// The run of a pipeline inside it, with these variables.
    pub fn inner<'b>(&'b self, variables: &'b [Option<Value>]) -> Running<'b> {
        Running { variables, steps: Rc::clone(&self.steps), ..*self }
    }

    /// Ends the run when the client is gone or the time is up.
    pub fn check(&self) -> Result<(), Failure> {
        Ok(self.context.check(self.max_time_ms)?)
    }

    /// To be called for each row that a stage takes without giving one: ends the run when the client is gone or the time
    /// is up.
    pub fn step(&self) -> Result<(), Failure> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps.is_multiple_of(CHECK_EVERY) { self.check() } else { Ok(()) }
    }

    /// What expressions on a row are evaluated with.
    pub fn scope<'s>(&'s self, root: RawObject<'s>) -> Scope<'s> {
        Scope { root: Root::Packed(root), now_ms: self.now_ms(), variables: self.variables, watch: Some(self) }
    }

    /// The time, milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.context.now_ms).unwrap_or(i64::MAX)
    }
}

impl Watch for Running<'_> {
    fn is_over(&self) -> bool {
        self.context.check(self.max_time_ms).is_err()
    }
}

/// Why a run ended.
#[derive(Debug)]
pub enum Failure {
    /// A stage cannot go on; the message does not say yet which.
    Stage(String),
    /// Anything that does not need a stage's name.
    Command(CommandError),
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Failure {
        Failure::Command(error)
    }
}

impl From<veddb_storage::Error> for Failure {
    fn from(error: veddb_storage::Error) -> Failure {
        Failure::Command(error.into())
    }
}

impl From<veddb_storage::document::expression::ExpressionError> for Failure {
    fn from(error: veddb_storage::document::expression::ExpressionError) -> Failure {
        Failure::Stage(error.0)
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure::Stage(what)
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> CommandError {
        match failure {
            Failure::Stage(what) => bad(what),
            Failure::Command(error) => error,
        }
    }
}

impl Failure {
    /// What a pipeline inside a stage failed with, as the stage's own: its message gets the stage's place as well.
    #[must_use]
    pub fn inside(self) -> Failure {
        match self {
            Failure::Command(error) if error.code == ErrorCode::BadPipeline => {
                Failure::Stage(error.message.to_string())
            }
            other => other,
        }
    }
}

/// `BADPIPELINE`
pub fn bad(what: String) -> CommandError {
    CommandError::new(ErrorCode::BadPipeline, what)
}

impl Pipeline {
    /// What comes out of its last stage for what goes into its first.
    pub fn open(&self, input: Input, account: &Arc<Account>, wanted: usize) -> Input {
        let mut wants = vec![wanted];
        for placed in self.stages.iter().rev() {
            wants.push(placed.stage.takes(wants.last().copied().unwrap_or(usize::MAX)));
        }
        wants.pop();
        let mut rows = input;
        for (placed, wanted) in self.stages.iter().zip(wants.into_iter().rev()) {
            let opening = Opening { account, wanted };
            let stage = Arc::clone(&placed.stage);
            rows = Box::new(Numbered { number: placed.number, name: placed.name, rows: stage.open(rows, &opening) });
        }
        rows
    }

    /// How many rows it takes in at most to give so many.
    pub fn takes(&self, wanted: usize) -> usize {
        self.stages.iter().rev().fold(wanted, |wanted, placed| placed.stage.takes(wanted))
    }

    /// Where its rows are written, if it ends in a stage that does, and that stage's place and name.
    pub fn target(&self) -> Option<(usize, &'static str, Target)> {
        let last = self.stages.last()?;
        match last.stage.kind() {
            Kind::Write(target) => Some((last.number, last.name, target.clone())),
            _ => None,
        }
    }

    /// Whether it has no stage.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }
}

/// Puts the stage's place and name before what it says, and sees that no row grows beyond bounds on its way.
struct Numbered {
    number: usize,
    name: &'static str,
    rows: Input,
}

impl Rows for Numbered {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let next = self.rows.next(running).map_err(|failure| match failure {
            Failure::Stage(what) => {
                let error = bad(format!("stage {}: {}: {what}", self.number, self.name));
                Failure::Command(running.context.reason(running.max_time_ms, error))
            }
            other => other,
        })?;
        let most = running.context.limits.max_document_size.saturating_mul(GROWTH_MAX);
        if let Some(Row::Made(body)) = &next
            && body.len() > most
        {
            let message = format!("stage {}: {}: a row would have more than {most} bytes", self.number, self.name);
            return Err(CommandError::new(ErrorCode::TooBig, message).into());
        }
        Ok(next)
    }
}

/// Nothing.
#[derive(Debug)]
pub struct Nothing;

impl Rows for Nothing {
    fn next(&mut self, _: &Running<'_>) -> Result<Option<Row>, Failure> {
        Ok(None)
    }
}
