//! AUTH: as a user, by one of its passwords.

use bytes::Bytes;

use crate::access::user::DEFAULT;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Later;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "AUTH",
    group: Group::Connection,
    summary: "Authenticates the connection.",
    complexity: "O(1)",
    arity: -2,
    args: &[Arg::string("username").optional(), Arg::string("password")],
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    reply: "OK; WRONGPASS when the user or the password is wrong",
    secrets: |_, at| at > 0,
    examples: &[("AUTH default secret", "OK")],
    run: Run::Session(auth),
    ..Command::BLANK
};

fn auth(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let (user, password) = match args.len() {
        2 if session.accounts().default_user().needs_no_password() => {
            return Err(CommandError::err(
                "AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (Bytes::from_static(DEFAULT), args.bytes(1)),
        3 => (args.bytes(1).clone(), args.bytes(2)),
        _ => return Err(CommandError::syntax()),
    };
    session.later(Later::Authenticate { user, password: password.clone(), then: |_, _| Ok(Reply::OK) });
    Ok(Reply::Null)
}
