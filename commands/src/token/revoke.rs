//! TOKEN.REVOKE: tokens that are good no more.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// Bytes of a token's number.
const JTI_BYTES_MAX: usize = 255;

/// TOKEN.REVOKE
pub static SPEC: Command = Command {
    name: "TOKEN.REVOKE",
    group: Group::Server,
    summary: "Has a token, or all tokens of a user, be good no more, and closes the connections that got in with them.",
    complexity: "O(N) with N the number of tokens and connections",
    arity: -2,
    args: &[Arg::one_of("which", &[Arg::string("jti"), Arg::string("name").after("USER")])],
    flags: &["admin", "noscript", "no_multi"],
    reply: "How many were good until then, once that is kept and their connections here are closed; on replicas within a second. \
            READONLY on a replica.",
    // A whole token may be what was given by mistake.
    secrets: |args, at| at > 0 && args.bytes(at).starts_with(b"ey"),
    examples: &[
        ("TOKEN.REVOKE 6f1c9be0a2d34c0f8f1e7a5b3c2d1e0f", "(integer) 1"),
        ("TOKEN.REVOKE USER ada", "(integer) 2"),
    ],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let change = match args.len() {
        2 if args.bytes(1).len() > JTI_BYTES_MAX => {
            return Err(CommandError::err(format!(
                "a token's number, its claim jti, has at most {JTI_BYTES_MAX} bytes"
            )));
        }
        2 => AccountChange::RevokeToken(args.bytes(1).clone()),
        3 if args.is(1, "USER") => AccountChange::RevokeTokensOf(args.bytes(2).clone()),
        _ => return Err(CommandError::syntax()),
    };
    session.later(Later::Change(change));
    Ok(Reply::Null)
}
