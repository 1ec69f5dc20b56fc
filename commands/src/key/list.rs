//! KEY.LIST: the data keys.

use veddb_storage::seal::KeyState;

use super::time;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// KEY.LIST
pub static SPEC: Command = Command {
    name: "KEY.LIST",
    group: Group::Key,
    summary: "The data keys, and how many records are under each.",
    complexity: "O(N) with N the number of records, whose headers are read; O(1) while a rotation is open, which has counted \
                 them, and when nothing was written to the engine since the last time.",
    arity: 1,
    flags: &["admin", "no_multi", "slow-read"],
    reply: "Array of maps, the active key first: id, state (active: new records are under it; retired), created (ms since \
            1970), records (documents and index pages that checkpoints have written).",
    examples: &[("KEY.LIST", r#"[{id: 1, state: "active", created: 1760000000000, records: 120}]"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(_args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let keys = context.view.data_keys();
    let counts = keys.count(context.view, || context.check(None))?;
    let describe = |key: &veddb_storage::seal::KeyInfo| {
        let state = match key.state {
            KeyState::Active => "active",
            KeyState::Retired => "retired",
        };
        let members = [
            ("id", Reply::count(key.id)),
            ("state", Reply::constant(state)),
            ("created", time(key.created_ms)),
            ("records", Reply::count(counts.get(&key.id).copied().unwrap_or_default())),
        ];
        Reply::Map(members.map(|(name, value)| (Reply::constant(name), value)).to_vec())
    };
    Ok(Reply::Array(keys.status().keys.iter().map(describe).collect()))
}
