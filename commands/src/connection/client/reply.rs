//! CLIENT REPLY.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::ReplyMode;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLY",
    group: Group::Connection,
    summary: "Turns replies on or off, or leaves out the next one.",
    arity: 3,
    args: &[Arg::one_of("action", &[Arg::word("ON"), Arg::word("OFF"), Arg::word("SKIP")])],
    flags: &["noscript", "loading", "stale"],
    reply: "OK to ON; nothing to OFF and SKIP",
    examples: &[("CLIENT REPLY ON", "OK")],
    run: Run::Session(reply),
    ..Command::BLANK
};

fn reply(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mode = match (args.is(2, "ON"), args.is(2, "OFF"), args.is(2, "SKIP")) {
        (true, ..) => ReplyMode::On,
        (_, true, _) => ReplyMode::Off,
        (.., true) => ReplyMode::Skip,
        _ => return Err(CommandError::syntax()),
    };
    session.set_reply_mode(mode);
    // OFF and SKIP take effect at once, so this is sent only for ON.
    Ok(Reply::OK)
}
