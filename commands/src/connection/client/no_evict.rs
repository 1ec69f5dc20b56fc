//! CLIENT NO-EVICT.

use super::on_or_off;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "NO-EVICT",
    group: Group::Connection,
    summary: "Marks the connection so; VedDB never closes connections to free memory, so nothing else changes.",
    arity: 3,
    args: &[Arg::one_of("enabled", &[Arg::word("ON"), Arg::word("OFF")])],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CLIENT NO-EVICT ON", "OK")],
    run: Run::Session(no_evict),
    ..Command::BLANK
};

fn no_evict(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.set_no_evict(on_or_off(args, 2)?);
    Ok(Reply::OK)
}
