//! SETEX.

use super::options::{Expiry, Options};
use super::store;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::EX;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETEX",
    group: Group::String,
    summary: "Has a key hold a string for so many seconds.",
    complexity: "O(1)",
    arity: 4,
    args: &[Arg::key("key"), Arg::integer("seconds"), Arg::string("value")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "OK",
    examples: &[("SETEX session:1 60 ada", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let moment = EX.read(args, 2, context, "setex")?.positive("setex")?;
    let options = Options { expiry: Some(Expiry::At(moment)), ..Options::default() };
    store(args.bytes(1), args.bytes(3), options, context)
}
