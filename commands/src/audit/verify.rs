//! AUDIT.VERIFY: whether the audit log is as it was written.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// AUDIT.VERIFY
pub static SPEC: Command = Command {
    name: "AUDIT.VERIFY",
    group: Group::Server,
    summary: "Reads the whole audit log and says whether all of it is as it was written.",
    complexity: "O(N) of all records.",
    arity: 1,
    flags: &["admin", "no_multi", "slow-read"],
    reply: "Map: ok (nothing is wrong), records (that are there and whole), from and to (the positions of the first and last that \
            should be there, 0 where there is none), bad (an array of what is wrong: the file or record, and how).",
    examples: &[("AUDIT.VERIFY", "{ok: true, records: 7, from: 1, to: 7, bad: []}")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(_args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let audited = context.view.verify_audit()?;
    let members = [
        ("ok", Reply::Boolean(audited.bad.is_empty())),
        ("records", Reply::count(audited.records)),
        ("from", Reply::count(audited.from)),
        ("to", Reply::count(audited.to)),
        ("bad", Reply::Array(audited.bad.into_iter().map(Reply::text).collect())),
    ];
    Ok(Reply::Map(members.into_iter().map(|(name, value)| (Reply::constant(name), value)).collect()))
}
