//! ACL GETUSER.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETUSER",
    group: Group::Server,
    summary: "The rules of a user.",
    complexity: "O(n), n being the number of rules",
    arity: 3,
    args: &[Arg::string("username")],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "map: `flags passwords commands keys channels selectors`; null without such a user",
    secrets: |_, at| at == 2,
    examples: &[("ACL GETUSER ada", "1# \"flags\" => 1~ on 2~ sanitize-payload ...")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let accounts = session.accounts();
    let Some(user) = accounts.get(args.bytes(2)) else { return Ok(Reply::Null) };
    let mut fields = vec![
        (Reply::constant("flags"), Reply::Set(user.flags().into_iter().map(Reply::constant).collect())),
        (
            Reply::constant("passwords"),
            Reply::Array(user.passwords().iter().map(|password| Reply::text(password.to_string())).collect()),
        ),
    ];
    fields.extend(super::selector(user.root()));
    let others = user.selectors().iter().map(|selector| Reply::Map(super::selector(selector)));
    fields.push((Reply::constant("selectors"), Reply::Array(others.collect())));
    Ok(Reply::Map(fields))
}
