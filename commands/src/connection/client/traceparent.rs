//! CLIENT TRACEPARENT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "TRACEPARENT",
    group: Group::Connection,
    summary: "Says which span the next command is done for, as the headers `traceparent` and `tracestate` of W3C's Trace Context do: \
              where the server sends traces (`trace-endpoint`), the command's span is of that trace, and sampled as that is. \
              It comes before MULTI for EXEC, and is refused within a transaction.",
    arity: -3,
    args: &[Arg::string("traceparent"), Arg::string("tracestate").optional()],
    flags: &["noscript", "loading", "stale", "no_multi"],
    reply: "OK",
    examples: &[("CLIENT TRACEPARENT 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "OK")],
    run: Run::Session(traceparent),
    ..Command::BLANK
};

fn traceparent(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() > 4 {
        return Err(CommandError::syntax());
    }
    if !session.set_trace_parent(args.bytes(2), args.get(3).map(|state| &state[..])) {
        return Err(CommandError::err("invalid traceparent"));
    }
    Ok(Reply::OK)
}
