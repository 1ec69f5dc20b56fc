//! AUTH: as a user, by one of its passwords.

use bytes::Bytes;

use crate::access::password::too_long;
use crate::access::user::{DEFAULT, NAME_BYTES_MAX};
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
    reply: "OK; WRONGPASS when the user or the password is wrong; RATELIMIT when too many were (limit-auth-failures)",
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
    authenticate(session, user, password.clone(), |_, _| Ok(Reply::OK))
}

/// Bytes of a password, or of a token in its place, that are looked at at all; each has a bound of its own, below this.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Has the server look whether that is a password of the user, and then do this. Neither is longer than it can be: no worker
/// computes anything from megabytes.
pub(super) fn authenticate(
    session: &mut dyn Session,
    user: Bytes,
    password: Bytes,
    then: fn(&Args, &mut dyn Session) -> Result<Reply, CommandError>,
) -> Result<Reply, CommandError> {
    if password.len() > SECRET_BYTES_MAX || user.len() > NAME_BYTES_MAX {
        return Err(too_long());
    }
    session.later(Later::Authenticate { user, password, then });
    Ok(Reply::Null)
}
