//! MEMORY STATS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "STATS",
    group: Group::Server,
    summary: "What memory is used for, as far as it is measured. Names with a dot are Redis's, with Redis's meaning; the others \
              are this server's own.",
    complexity: "O(n), n being the number of connections",
    arity: 2,
    reply: "map of figure to bytes",
    examples: &[("MEMORY STATS", "1# \"total.allocated\" => (integer) 61739008 2# \"startup.allocated\" => ...")],
    run: Run::Session(stats),
    ..Command::BLANK
};

fn stats(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let memory = session.memory();
    let mut figures = Vec::new();
    let mut add = |name: &'static str, value: Option<u64>| {
        if let Some(value) = value {
            figures.push((Reply::constant(name), Reply::count(value)));
        }
    };
    add("total.allocated", memory.total);
    add("startup.allocated", memory.startup);
    add("clients.normal", Some(memory.normal_clients));
    add("clients.pubsub", Some(memory.listening_clients));
    add("documents_count", Some(memory.documents));
    add("write_memory_bytes", Some(memory.writes));
    add("index_memory_bytes", Some(memory.indexes));
    add("cache_memory_bytes", Some(memory.cache));
    add("query_memory_bytes", Some(memory.queries));
    add("resident_bytes", memory.resident);
    add("peak_resident_bytes", memory.peak);
    Ok(Reply::Map(figures))
}
