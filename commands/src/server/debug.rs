//! DEBUG: what tests ask of a server, where `enable-debug-command` allows it. The gate is the server's.

use std::time::Duration;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Wait;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DEBUG",
    group: Group::Server,
    summary: "For tests, where `enable-debug-command` allows it: SLEEP seconds holds this connection, and no other; \
              PROTOCOL type answers a value of that type; DIGEST answers a hash of all data, equal on a replica.",
    complexity: "depends on the subcommand",
    arity: -2,
    args: &[Arg::string("subcommand"), Arg::string("argument").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale", "protected"],
    reply: "depends on the subcommand",
    examples: &[("DEBUG SLEEP 0.5", "OK")],
    run: Run::Session(debug),
    ..Command::BLANK
};

/// In Redis's layout.
const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "SLEEP <seconds>",
    "    Hold this connection for <seconds>. Decimals allowed.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, null, array, set, map, push, verbatim, true, false.",
    "DIGEST",
    "    Return a hash of all documents, keys, collections and indexes.",
    "HELP",
    "    Print this help.",
];

fn debug(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    match (args.len(), String::from_utf8_lossy(args.bytes(1)).to_ascii_lowercase().as_str()) {
        (2, "help") => Ok(Reply::Array(HELP.iter().map(|line| Reply::Simple((*line).into())).collect())),
        (2, "digest") => Ok(Reply::Simple(session.digest()?.into())),
        (3, "sleep") => sleep(args, session),
        (3, "protocol") => protocol(args),
        _ => Err(unknown(args)),
    }
}

fn sleep(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    // As Redis's strtod: what is no number is 0.
    let seconds: f64 = args.text(2).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if !session.is_in_exec() {
        let answer = |_| Reply::OK;
        session.wait(Wait {
            durable: false,
            replicas: u64::MAX,
            of_replicas: false,
            time: Some(time),
            unblockable: false,
            answer,
        });
    }
    Ok(Reply::OK)
}

fn protocol(args: &Args) -> Result<Reply, CommandError> {
    let numbers = || (0..3).map(Reply::Integer).collect::<Vec<_>>();
    Ok(match String::from_utf8_lossy(args.bytes(2)).to_ascii_lowercase().as_str() {
        "string" => Reply::constant("Hello World"),
        "integer" => Reply::Integer(12345),
        "double" => Reply::Double(3141.0 / 1000.0),
        "null" => Reply::Null,
        "array" => Reply::Array(numbers()),
        "set" => Reply::Set(numbers()),
        "map" => Reply::Map((0..3).map(|n| (Reply::Integer(n), Reply::Boolean(n == 1))).collect()),
        "push" => Reply::Push(vec![Reply::constant("server-cpu-usage"), Reply::Integer(42)]),
        "verbatim" => Reply::Verbatim("This is a verbatim\nstring".to_owned()),
        "true" => Reply::Boolean(true),
        "false" => Reply::Boolean(false),
        _ => {
            return Err(CommandError::err(
                "Wrong protocol type name. Please use one of the following: \
                 string|integer|double|null|array|set|map|push|verbatim|true|false",
            ));
        }
    })
}

fn unknown(args: &Args) -> CommandError {
    let word = String::from_utf8_lossy(args.bytes(1));
    CommandError::err(format!("unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP."))
}
