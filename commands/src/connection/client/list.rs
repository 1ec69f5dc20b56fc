//! CLIENT LIST.

use super::Kind;
use super::info::line;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LIST",
    group: Group::Connection,
    summary: "Every connection, or those of a type or of some ids.",
    complexity: "O(n), n being the number of connections",
    arity: -2,
    args: &[
        Arg::one_of(
            "client-type",
            &[Arg::word("NORMAL"), Arg::word("MASTER"), Arg::word("REPLICA"), Arg::word("PUBSUB")],
        )
        .after("TYPE")
        .optional(),
        Arg::integer("client-id").after("ID").optional().multiple(),
    ],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "text: a line of `field=value` pairs a connection. oll counts the pieces that messages wait in, omem their bytes; \
            events is w while replies wait to be taken, for who does not take them is not read from, and else r",
    examples: &[("CLIENT LIST ID 7", "id=7 addr=127.0.0.1:52888 ...")],
    run: Run::Session(list),
    ..Command::BLANK
};

fn list(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut clients = session.clients();
    match args.len() {
        2 => {}
        4 if args.is(2, "TYPE") => {
            let kind = Kind::parse(args, 3)?;
            clients.retain(|client| kind.is_of(client));
        }
        4.. if args.is(2, "ID") => {
            let ids = (3..args.len()).map(|at| client_id(args, at)).collect::<Result<Vec<_>, _>>()?;
            clients.retain(|client| ids.contains(&client.id));
        }
        _ => return Err(CommandError::syntax()),
    }
    let mut text = String::new();
    for client in &clients {
        line(client, &mut text);
    }
    Ok(Reply::Verbatim(text))
}

fn client_id(args: &Args, at: usize) -> Result<u64, CommandError> {
    match args.unsigned(at) {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(CommandError::err("Invalid client ID")),
    }
}
