//! TOKEN.ROTATE: another key that tokens are signed with.

use super::needs_password;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// TOKEN.ROTATE
pub static SPEC: Command = Command {
    name: "TOKEN.ROTATE",
    group: Group::Server,
    summary: "Makes a new key that tokens are signed with. What was signed with those before stays good until it expires; with NOW \
              it is good no more.",
    complexity: "O(N) with N the number of tokens; with NOW and of connections",
    arity: -1,
    args: &[Arg::word("NOW")],
    flags: &["admin", "noscript", "no_multi"],
    reply: "The new key's number, the kid of the tokens from then on. READONLY on a replica; NOPERM to who got in with a token.",
    examples: &[("TOKEN.ROTATE", "9e2b60c1d7a84f35"), ("TOKEN.ROTATE NOW", "17c04d9a5be2f680")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    needs_password(session)?;
    let now = match args.len() {
        1 => false,
        2 if args.is(1, "NOW") => true,
        _ => return Err(CommandError::syntax()),
    };
    session.later(Later::Change(AccountChange::RotateTokens { now }));
    Ok(Reply::Null)
}
