//! COMMAND LIST.

use crate::access::category::categories;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::glob;
use crate::lookup::{Entry, entries};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LIST",
    group: Group::Server,
    summary: "The names of the commands and subcommands, or of those of an ACL category or matching a glob.",
    complexity: "O(n), n being the number of commands",
    arity: -2,
    args: &[Arg::one_of(
        "filterby",
        &[
            Arg::string("module-name").after("MODULE"),
            Arg::string("category").after("ACLCAT"),
            Arg::string("pattern").after("PATTERN"),
        ],
    )
    .after("FILTERBY")
    .optional()],
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array of names",
    examples: &[("COMMAND LIST FILTERBY PATTERN doc.f*", "1) \"doc.find\"")],
    run: Run::Session(list),
    ..Command::BLANK
};

fn list(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() == 2 {
        return Ok(names(|_| true));
    }
    if args.len() != 5 || !args.is(2, "FILTERBY") {
        return Err(CommandError::syntax());
    }
    let wanted = args.bytes(4);
    if args.is(3, "MODULE") {
        // Nothing here comes from a module.
        return Ok(Reply::Array(Vec::new()));
    }
    if args.is(3, "ACLCAT") {
        let within = |entry: &Entry| {
            let all = categories(entry.command);
            all.iter().any(|category| category.as_bytes().eq_ignore_ascii_case(wanted))
        };
        return Ok(names(within));
    }
    if args.is(3, "PATTERN") {
        return Ok(names(|entry| glob::matches(wanted, entry.name.as_bytes(), true)));
    }
    Err(CommandError::syntax())
}

fn names(wanted: impl Fn(&Entry) -> bool) -> Reply {
    Reply::Array(entries().iter().filter(|entry| wanted(entry)).map(|entry| Reply::text(&*entry.name)).collect())
}
