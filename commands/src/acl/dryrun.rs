//! ACL DRYRUN.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::lookup::{Lookup, find};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DRYRUN",
    group: Group::Server,
    summary: "Whether a user may run a command, which is not run.",
    complexity: "O(1)",
    arity: -4,
    args: &[Arg::string("username"), Arg::string("command"), Arg::string("arg").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK, or what the user has no permissions for, as text",
    secrets: |_, at| at > 3,
    examples: &[("ACL DRYRUN ada DOC.DROP orders", "User ada has no permissions to run the 'doc.drop' command")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let text = |at: usize| String::from_utf8_lossy(args.bytes(at)).into_owned();
    let accounts = session.accounts();
    let user = accounts.get(args.bytes(2)).ok_or_else(|| CommandError::err(format!("User '{}' not found", text(2))))?;
    let inner = Args::new(args.from(3).to_vec());
    let Lookup::Found(entry) = find(&inner) else {
        return Err(CommandError::err(format!("Command '{}' not found", text(3))));
    };
    if !entry.command.accepts(inner.len()) {
        return Err(CommandError::arity(&entry.name));
    }
    Ok(match user.check(entry, &inner, &session.limits()) {
        Ok(()) => Reply::OK,
        Err(denial) => Reply::text(denial.text(user)),
    })
}
