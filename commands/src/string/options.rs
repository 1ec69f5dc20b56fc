//! The options of SET and GETEX, which stand in any order.

use crate::args::Args;
use crate::context::WriteContext;
use crate::error::CommandError;
use crate::expiry::{CLOCKS, Moment};

/// What becomes of a key's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It stays.
    Keep,
    /// There is none any more.
    Never,
    /// It is this.
    At(Moment),
}

/// The options of SET and GETEX.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) only_new: bool,
    pub(super) only_existing: bool,
    /// Answer the string that was there.
    pub(super) get: bool,
    pub(super) expiry: Option<Expiry>,
}

/// What is said of an expiry: a word, and where the time stands that it introduces. As in Redis the time is looked at when all
/// words are known, and a word may be repeated, but no other may stand beside it.
#[derive(Default)]
struct Said(Option<(&'static str, usize)>);

impl Said {
    /// Takes the word at `at`, if it is one; where its last argument stands.
    fn take(&mut self, args: &Args, at: usize, alone: &'static str) -> Result<usize, CommandError> {
        let timed = CLOCKS.iter().find(|(word, _)| args.is(at, word) && at + 1 < args.len());
        let said = match timed {
            Some((word, _)) => (*word, at + 1),
            None if args.is(at, alone) => (alone, at),
            None => return Err(CommandError::syntax()),
        };
        if self.0.is_some_and(|(before, _)| before != said.0) {
            return Err(CommandError::syntax());
        }
        self.0 = Some(said);
        Ok(said.1)
    }

    /// The time, where one was said.
    fn moment(&self, args: &Args, context: &WriteContext<'_>, command: &str) -> Result<Option<Moment>, CommandError> {
        let Some((word, at)) = self.0 else { return Ok(None) };
        let Some((_, clock)) = CLOCKS.iter().find(|(known, _)| *known == word) else { return Ok(None) };
        clock.read(args, at, context, command)?.positive(command).map(Some)
    }
}

impl Options {
    /// Those of SET.
    pub(super) fn of_set(args: &Args, context: &WriteContext<'_>) -> Result<Options, CommandError> {
        let (mut options, mut said) = (Options::default(), Said::default());
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "NX") && !options.only_existing {
                options.only_new = true;
            } else if args.is(at, "XX") && !options.only_new {
                options.only_existing = true;
            } else if args.is(at, "GET") {
                options.get = true;
            } else {
                at = said.take(args, at, "KEEPTTL")?;
            }
            at += 1;
        }
        options.expiry = match said.moment(args, context, "set")? {
            Some(moment) => Some(Expiry::At(moment)),
            None => said.0.map(|_| Expiry::Keep),
        };
        Ok(options)
    }
}

/// What GETEX says of the expiry. What is wrong with a time matters only where there is such a key.
pub(super) fn of_getex(
    args: &Args,
    context: &WriteContext<'_>,
) -> Result<Result<Option<Expiry>, CommandError>, CommandError> {
    let mut said = Said::default();
    let mut at = 2;
    while at < args.len() {
        at = said.take(args, at, "PERSIST")? + 1;
    }
    Ok(said.moment(args, context, "getex").map(|moment| match moment {
        Some(moment) => Some(Expiry::At(moment)),
        None => said.0.map(|_| Expiry::Never),
    }))
}
