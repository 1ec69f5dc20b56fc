//! DBSIZE: counts keys. Documents are not keys: DOC.STATS counts those.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DBSIZE",
    group: Group::Server,
    summary: "How many keys the selected database holds; documents are counted by DOC.STATS.",
    arity: 1,
    categories: &["keyspace"],
    flags: &["fast"],
    reply: "integer",
    examples: &[("DBSIZE", "(integer) 2")],
    run: Run::Read(dbsize),
    ..Command::BLANK
};

fn dbsize(_args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let keys = context.view.keys(context.db);
    Ok(Reply::count(keys.map_or(Ok(0), |keys| context.view.count(&keys))?))
}
