//! FUNCTION LIST.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LIST",
    group: Group::Scripting,
    summary: "The libraries that the server keeps: none.",
    arity: -2,
    args: &[Arg::string("library-name-pattern").after("LIBRARYNAME").optional(), Arg::word("WITHCODE")],
    flags: &["noscript"],
    reply: "an empty array",
    examples: &[("FUNCTION LIST", "(empty array)")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "WITHCODE") {
            at += 1;
        } else if args.is(at, "LIBRARYNAME") {
            if at + 1 == args.len() {
                return Err(CommandError::err("library name argument was not given"));
            }
            at += 2;
        } else {
            let word = String::from_utf8_lossy(args.bytes(at));
            return Err(CommandError::err(format!("Unknown argument {word}")));
        }
    }
    Ok(Reply::Array(Vec::new()))
}
