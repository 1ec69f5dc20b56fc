//! LOLWUT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::REDIS_VERSION;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LOLWUT",
    group: Group::Server,
    summary: "The version, for those who ask for art.",
    arity: -1,
    args: &[Arg::integer("version").after("VERSION").optional()],
    flags: &["fast"],
    reply: "text",
    examples: &[("LOLWUT", "VedDB ver. 0.1.0, as Redis ver. 7.4.0")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Verbatim(format!("VedDB ver. {}, as Redis ver. {REDIS_VERSION}\n", env!("CARGO_PKG_VERSION"))))
}
