//! COMMAND DOCS: what redis-cli makes its hints from.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::lookup::by_name;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};
use crate::table::COMMANDS;

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOCS",
    group: Group::Server,
    summary: "The documentation of these commands, or of every command.",
    complexity: "O(n), n being the number of commands asked for",
    arity: -2,
    args: &[Arg::string("command-name").optional().multiple()],
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "map of name to a map: `summary since group complexity arguments subcommands`; unknown names are left out",
    examples: &[("COMMAND DOCS doc.get", "1) \"doc.get\" 2) 1) \"summary\" ...")],
    run: Run::Session(docs),
    ..Command::BLANK
};

fn docs(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() == 2 {
        let all = COMMANDS.iter().map(|command| entry(command, &command.name.to_ascii_lowercase()));
        return Ok(Reply::Map(all.collect()));
    }
    let named = args.from(2).iter().filter_map(|name| by_name(name));
    Ok(Reply::Map(named.map(|found| entry(found.command, &found.name)).collect()))
}

fn entry(command: &Command, name: &str) -> (Reply, Reply) {
    let mut fields = vec![
        (Reply::constant("summary"), Reply::constant(command.summary)),
        (Reply::constant("since"), Reply::constant(command.since)),
        (Reply::constant("group"), Reply::constant(command.group.as_str())),
        (Reply::constant("complexity"), Reply::constant(command.complexity)),
    ];
    if !command.args.is_empty() {
        fields.push((Reply::constant("arguments"), arguments(command.args)));
    }
    if !command.subcommands.is_empty() {
        let subs = command.subcommands.iter();
        let subs = subs.map(|sub| entry(sub, &format!("{name}|{}", sub.name.to_ascii_lowercase())));
        fields.push((Reply::constant("subcommands"), Reply::Map(subs.collect())));
    }
    (Reply::text(name), Reply::Map(fields))
}

/// Declarations nest a few levels; they are constants of this program, so the recursion is bounded by them.
fn arguments(args: &'static [Arg]) -> Reply {
    Reply::Array(args.iter().map(|arg| argument(arg, arg.optional)).collect())
}

fn argument(arg: &'static Arg, optional: bool) -> Reply {
    let mut fields = vec![
        (Reply::constant("name"), Reply::text(arg.name.to_ascii_lowercase())),
        (Reply::constant("type"), Reply::constant(arg.kind.as_str())),
    ];
    if !matches!(arg.kind, ArgKind::OneOf | ArgKind::Block | ArgKind::PureToken) {
        fields.push((Reply::constant("display_text"), Reply::constant(arg.name)));
    }
    if arg.kind == ArgKind::Key {
        fields.push((Reply::constant("key_spec_index"), Reply::Integer(0)));
    }
    if !arg.token.is_empty() {
        fields.push((Reply::constant("token"), Reply::constant(arg.token)));
    }
    let flags = [(optional, "optional"), (arg.multiple, "multiple")];
    let flags: Vec<_> = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| Reply::Simple(flag.into())).collect();
    if !flags.is_empty() {
        fields.push((Reply::constant("flags"), Reply::Set(flags)));
    }
    match arg.kind {
        // One of them is chosen, so none of them is optional by itself.
        ArgKind::OneOf => {
            let parts = arg.parts.iter().map(|part| argument(part, false)).collect();
            fields.push((Reply::constant("arguments"), Reply::Array(parts)));
        }
        ArgKind::Block => fields.push((Reply::constant("arguments"), arguments(arg.parts))),
        _ => {}
    }
    Reply::Map(fields)
}
