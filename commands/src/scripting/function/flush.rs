//! FUNCTION FLUSH.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FLUSH",
    group: Group::Scripting,
    summary: "Forgets the libraries that the server keeps, which are none.",
    arity: -2,
    args: &[Arg::one_of("flush-type", &[Arg::word("ASYNC"), Arg::word("SYNC")]).optional()],
    flags: &["noscript"],
    reply: "OK",
    examples: &[("FUNCTION FLUSH", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() > 3 || (args.len() == 3 && !args.is(2, "ASYNC") && !args.is(2, "SYNC")) {
        return Err(CommandError::err("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    Ok(Reply::OK)
}
