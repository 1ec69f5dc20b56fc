//! The options of SET and GETEX, which stand in any order.

use crate::args::Args;
use crate::context::WriteContext;
use crate::error::CommandError;
use crate::expiry::{Clock, EX, EXAT, Moment, PX, PXAT};

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

/// The words that introduce a time.
const CLOCKS: [(&str, Clock); 4] = [("EX", EX), ("PX", PX), ("EXAT", EXAT), ("PXAT", PXAT)];

impl Options {
    /// Those of SET.
    pub(super) fn of_set(args: &Args, context: &WriteContext<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "NX") && !options.only_existing {
                options.only_new = true;
            } else if args.is(at, "XX") && !options.only_new {
                options.only_existing = true;
            } else if args.is(at, "GET") {
                options.get = true;
            } else if args.is(at, "KEEPTTL") && matches!(options.expiry, None | Some(Expiry::Keep)) {
                options.expiry = Some(Expiry::Keep);
            } else {
                at = options.time(args, at, context, "set")?;
            }
            at += 1;
        }
        Ok(options)
    }

    /// Those of GETEX.
    pub(super) fn of_getex(args: &Args, context: &WriteContext<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 2;
        while at < args.len() {
            if args.is(at, "PERSIST") && matches!(options.expiry, None | Some(Expiry::Never)) {
                options.expiry = Some(Expiry::Never);
            } else {
                at = options.time(args, at, context, "getex")?;
            }
            at += 1;
        }
        Ok(options)
    }

    /// Reads a time; where its last argument stands.
    fn time(
        &mut self,
        args: &Args,
        at: usize,
        context: &WriteContext<'_>,
        command: &str,
    ) -> Result<usize, CommandError> {
        let clock = CLOCKS.iter().find(|(word, _)| args.is(at, word) && at + 1 < args.len());
        let Some((_, clock)) = clock.filter(|_| self.expiry.is_none()) else { return Err(CommandError::syntax()) };
        let moment = clock.read(args, at + 1, context, command)?.positive(command)?;
        self.expiry = Some(Expiry::At(moment));
        Ok(at + 1)
    }
}
