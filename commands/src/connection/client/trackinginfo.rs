//! CLIENT TRACKINGINFO.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "TRACKINGINFO",
    group: Group::Connection,
    summary: "What the connection tracks of what it reads: nothing.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "map: `flags redirect prefixes`",
    examples: &[(
        "CLIENT TRACKINGINFO",
        "1# \"flags\" => 1~ off 2# \"redirect\" => (integer) -1 3# \"prefixes\" => (empty array)",
    )],
    run: Run::Session(trackinginfo),
    ..Command::BLANK
};

fn trackinginfo(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Map(vec![
        (Reply::constant("flags"), Reply::Set(vec![Reply::constant("off")])),
        (Reply::constant("redirect"), Reply::Integer(-1)),
        (Reply::constant("prefixes"), Reply::Array(Vec::new())),
    ]))
}
