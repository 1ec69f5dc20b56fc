//! REPLICA.LIST: who follows this server.

use super::{ReplicaInfo, Role};
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICA.LIST",
    group: Group::Server,
    summary: "Who follows this server.",
    complexity: "O(n), n being the number of replicas",
    categories: &["admin"],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of maps: `id`, for REPLICA.REMOVE and REPLICA.SYNC; `ip` and `port`, where it listens; `state`, `send_bulk` \
            while it gets a snapshot and then `online`; `written` and `synced`, the last unit that it has written and has on \
            disk; `lag`, seconds since it was last heard of",
    examples: &[("REPLICA.LIST", "(empty array)")],
    run: Run::Session(list),
    ..Command::BLANK
};

fn list(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Array(session.replicas().into_iter().map(described).collect()))
}

fn described(replica: ReplicaInfo) -> Reply {
    let ReplicaInfo { id, ip, port, state, written, synced, lag_s } = replica;
    let member = |name: &'static str, value: Reply| (Reply::constant(name), value);
    Reply::Map(vec![
        member("id", Reply::count(id)),
        member("ip", Reply::text(ip)),
        member("port", Reply::Integer(port.into())),
        member("state", Reply::constant(state)),
        member("written", Reply::count(written)),
        member("synced", Reply::count(synced)),
        member("lag", Reply::count(lag_s)),
    ])
}

/// The replicas of a role, as ROLE shows them.
pub(crate) fn role(role: Role) -> Reply {
    match role {
        Role::Primary { lsn, replicas } => {
            let one = |replica: ReplicaInfo| {
                let texts = [replica.ip, replica.port.to_string(), replica.written.to_string()];
                Reply::Array(texts.into_iter().map(Reply::text).collect())
            };
            let replicas = replicas.into_iter().map(one).collect();
            Reply::Array(vec![Reply::constant("master"), Reply::count(lsn), Reply::Array(replicas)])
        }
        Role::Replica { host, port, state, lsn } => Reply::Array(vec![
            Reply::constant("slave"),
            Reply::text(host),
            Reply::Integer(port.into()),
            Reply::constant(state),
            lsn.map_or(Reply::Integer(-1), Reply::count),
        ]),
    }
}
