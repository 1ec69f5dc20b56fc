//! `$out`: the rows become a collection, all at once.
//!
//! They are written to a collection of the server's own, which has the target's schema and indexes, and which takes the
//! target's place in one unit at the end. Readers see the old documents until then; if anything fails, for good. What
//! a crash leaves of such a collection is dropped at the next start.

use veddb_storage::{CollectionHandle, IndexDefinition, IndexSpec, OWN_PREFIX, Transaction};

use super::{Reading, document};
use crate::context::{Phased, ReadContext, Step, Unit};
use crate::doc::new_id;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;

/// A `$out` on its way.
pub(super) struct Replacing {
    reading: Reading,
    target: String,
    /// The collection that becomes the target.
    made: String,
    /// What the target was like when it began.
    kept: Kept,
    state: State,
}

enum State {
    Starting,
    /// The indexes of the new collection are built: uniqueness is asked only of one that is.
    Indexing,
    Writing,
    Swapping,
    /// What was made is dropped; then this is the answer.
    Failing(CommandError),
}

/// What stays of a collection whose documents go.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kept {
    /// None where there is no collection.
    options: Option<String>,
    indexes: Vec<IndexDefinition>,
}

impl Kept {
    fn of(collection: Option<&CollectionHandle>) -> Kept {
        let Some(collection) = collection else { return Kept::default() };
        let sound = collection.indexes().iter().filter(|index| index.failure().is_none());
        Kept {
            options: Some(collection.options().to_owned()),
            indexes: sound.map(|index| index.spec().definition.clone()).collect(),
        }
    }
}

impl Replacing {
    pub(super) fn new(reading: Reading, target: String) -> Replacing {
        let made = format!("{OWN_PREFIX}out_{}", new_id());
        Replacing { reading, target, made, kept: Kept::default(), state: State::Starting }
    }

    fn step(&mut self, context: &ReadContext<'_>) -> Result<Step, CommandError> {
        match self.state {
            State::Starting => {
                self.kept = Kept::of(context.view.collection(context.db, &self.target).as_ref());
                self.state = State::Indexing;
                self.start(context.db)
            }
            State::Indexing => {
                context.check(self.reading.plan.max_time_ms)?;
                let made = context.view.own_collection(context.db, &self.made).ok_or_else(gone)?;
                if let Some(why) = made.indexes().iter().find_map(|index| index.failure()) {
                    return Err(CommandError::err(format!("{}: {why}", self.reading.place)));
                }
                if !made.indexes().iter().all(|index| index.is_ready()) {
                    return Ok(Step::Wait);
                }
                self.state = State::Writing;
                self.write(context)
            }
            State::Writing => self.write(context),
            State::Swapping | State::Failing(_) => Ok(self.reading.done()),
        }
    }

    /// Makes the new collection.
    fn start(&self, db: u8) -> Result<Step, CommandError> {
        let (made, kept) = (self.made.clone(), self.kept.clone());
        let specs: Result<Vec<IndexSpec>, _> = kept.indexes.into_iter().map(IndexSpec::new).collect();
        let specs = specs?;
        Ok(Step::Commit(Box::new(move |tx| {
            let collection = tx.create_own_collection(db, &made, kept.options.as_deref().unwrap_or("{}"))?;
            for spec in specs {
                tx.create_index(collection, spec)?;
            }
            Ok(Reply::OK)
        })))
    }

    /// Writes the next batch; after the last one the new collection takes its place.
    fn write(&mut self, context: &ReadContext<'_>) -> Result<Step, CommandError> {
        let limits = *context.limits;
        let rows = self.reading.batch(context, |row, _| Ok(document(row.root(), &limits)?))?;
        let (db, made) = (context.db, self.made.clone());
        if !rows.is_empty() {
            return Ok(Step::Commit(Box::new(move |tx| {
                let collection = tx.own_collection(db, &made).ok_or_else(gone)?;
                for row in rows {
                    tx.insert(collection, &row.id, row.body)?;
                }
                Ok(Reply::OK)
            })));
        }
        self.state = State::Swapping;
        let (target, kept, place) = (self.target.clone(), self.kept.clone(), self.reading.place.clone());
        let unit: Unit = Box::new(move |tx: &mut Transaction<'_>| {
            let now = tx.collection(db, &target).and_then(|collection| tx.handle(collection));
            if Kept::of(now.as_ref()) != kept {
                let message = format!("{place}: the schema or the indexes of {target} changed meanwhile");
                return Err(CommandError::new(ErrorCode::Conflict, message));
            }
            tx.drop_collection(db, &target)?;
            tx.rename_own_collection(db, &made, &target)?;
            Ok(Reply::OK)
        });
        Ok(Step::Commit(unit))
    }

    /// Drops what was made.
    fn fail(&mut self, db: u8, error: CommandError) -> Step {
        // Nobody knows the name of what was made.
        let message = error.message.replace(&self.made, &self.target);
        self.state = State::Failing(CommandError::new(error.code, message));
        let made = self.made.clone();
        Step::Commit(Box::new(move |tx| {
            tx.drop_own_collection(db, &made)?;
            Ok(Reply::OK)
        }))
    }
}

fn gone() -> CommandError {
    CommandError::err("what $out had written is gone")
}

impl Phased for Replacing {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        if let State::Failing(error) = &self.state {
            // If it could not be dropped either, the next start does it.
            return Err(error.clone());
        }
        let step = match before {
            Some(Err(error)) => Err(error),
            _ => self.step(context),
        };
        Ok(step.unwrap_or_else(|error| self.fail(context.db, error)))
    }
}
