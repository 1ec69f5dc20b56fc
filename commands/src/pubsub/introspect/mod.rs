//! PUBSUB: the container. One file a subcommand.

pub mod channels;
pub mod help;
pub mod numpat;
pub mod numsub;
pub mod shardchannels;
pub mod shardnumsub;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PUBSUB",
    group: Group::PubSub,
    summary: "Commands about who listens to what.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[
        &channels::SPEC,
        &help::SPEC,
        &numpat::SPEC,
        &numsub::SPEC,
        &shardchannels::SPEC,
        &shardnumsub::SPEC,
    ],
    ..Command::BLANK
};

fn channels(args: &Args, session: &mut dyn Session, shard: bool) -> Result<Reply, CommandError> {
    if args.len() > 3 {
        let name = String::from_utf8_lossy(args.bytes(1));
        let what = format!("unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP.");
        return Err(CommandError::err(what));
    }
    let pattern = args.from(2).first().map(|pattern| pattern.as_ref());
    Ok(Reply::Array(session.channels(shard, pattern).into_iter().map(Reply::Bulk).collect()))
}

fn receivers(args: &Args, session: &mut dyn Session, shard: bool) -> Reply {
    let pair = |name: &bytes::Bytes| [Reply::Bulk(name.clone()), Reply::count(session.receivers(shard, name))];
    Reply::Array(args.from(2).iter().flat_map(pair).collect())
}
