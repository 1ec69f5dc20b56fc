//! SCRIPT EXISTS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXISTS",
    group: Group::Scripting,
    summary: "Which scripts the server keeps: none.",
    arity: -3,
    args: &[Arg::string("sha1").multiple()],
    flags: &["noscript"],
    reply: "array of 0 for each",
    examples: &[("SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff831", "1) (integer) 0")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Array(args.from(2).iter().map(|_| Reply::Integer(0)).collect()))
}
