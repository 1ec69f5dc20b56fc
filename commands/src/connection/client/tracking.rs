//! CLIENT TRACKING: refused, since no key's invalidation would ever be sent.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "TRACKING",
    group: Group::Connection,
    summary: "Refuses to track what the client reads: the server would send no invalidations. OFF is what it is.",
    arity: -3,
    args: &[
        Arg::one_of("status", &[Arg::word("ON"), Arg::word("OFF")]),
        Arg::integer("client-id").after("REDIRECT").optional(),
        Arg::string("prefix").after("PREFIX").optional().multiple(),
        Arg::word("BCAST"),
        Arg::word("OPTIN"),
        Arg::word("OPTOUT"),
        Arg::word("NOLOOP"),
    ],
    flags: &["noscript", "loading", "stale"],
    reply: "an error to ON; OK to OFF",
    examples: &[("CLIENT TRACKING ON", "ERR client tracking is not supported by this server")],
    run: Run::Session(tracking),
    ..Command::BLANK
};

fn tracking(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    if !super::on_or_off(args, 2)? {
        return Ok(Reply::OK);
    }
    Err(CommandError::err("client tracking is not supported by this server"))
}
