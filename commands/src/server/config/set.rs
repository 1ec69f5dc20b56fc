//! CONFIG SET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SET",
    group: Group::Server,
    summary: "Changes settings at run time: all of them, or none when one cannot be.",
    complexity: "O(n), n being the number of settings given",
    arity: -4,
    args: &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    secrets: is_secret,
    examples: &[("CONFIG SET appendfsync everysec", "OK")],
    run: Run::Session(set),
    ..Command::BLANK
};

fn set(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let (pairs, rest) = args.from(2).as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::syntax());
    }
    let changes: Vec<_> = pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect();
    session.config_set(&changes)?;
    Ok(Reply::OK)
}

/// Settings whose values nobody is shown, Redis's among them: who takes this server for one may send those.
const SECRETS: &[&str] = &["masterauth", "masteruser", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"];

fn is_secret(args: &Args, at: usize) -> bool {
    at > 2 && at % 2 == 1 && SECRETS.iter().any(|name| args.is(at - 1, name))
}
