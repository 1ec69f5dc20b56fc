//! AUTH: by the password of the setting `requirepass`, as the user `default`.

use crate::args::Args;
use crate::context::Session;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;
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
        2 if !session.has_password() => {
            return Err(CommandError::err(
                "AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (&b"default"[..], args.bytes(1)),
        3 => (&args.bytes(1)[..], args.bytes(2)),
        _ => return Err(CommandError::syntax()),
    };
    authenticate(session, user, password)?;
    Ok(Reply::OK)
}

/// What AUTH and HELLO's AUTH share.
pub(super) fn authenticate(session: &mut dyn Session, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    if session.authenticate(user, password) {
        return Ok(());
    }
    Err(CommandError::new(ErrorCode::WrongPass, "invalid username-password pair or user is disabled."))
}
