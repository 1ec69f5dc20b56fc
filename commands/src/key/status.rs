//! KEY.STATUS: how far a rotation has come.

use super::{records, time};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// KEY.STATUS
pub static SPEC: Command = Command {
    name: "KEY.STATUS",
    group: Group::Key,
    summary: "The rotation that is open, or the last one.",
    arity: 1,
    flags: &["admin", "no_multi", "slow-read"],
    reply: "Map: state (idle, re-encrypting, completed, failed), paused, cancelled (the records are brought back), from and to \
            (keys, or null), total (records counted when it began), done (records passed since), percent, rate (records a \
            second), eta (seconds, or null), limit (records a second at most, or null), started and ended (ms since 1970, or \
            null), checkpoint (what it does or waits for, or null), error (what stopped it, or null), records (a map: key \
            to records, as counted last).",
    examples: &[(
        "KEY.STATUS",
        r#"{state: "re-encrypting", .., from: 1, to: 2, total: 1000, done: 250, percent: 25, ..}"#,
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(_args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let keys = context.view.data_keys();
    let status = keys.status();
    let (rotation, figures) = (&status.rotation, &status.figures);
    let key = |id: u32| if id == 0 { Reply::Null } else { Reply::count(id) };
    let text = |text: &str| if text.is_empty() { Reply::Null } else { Reply::text(text) };
    let members = [
        ("state", Reply::constant(rotation.phase.as_str())),
        ("paused", Reply::Boolean(rotation.paused)),
        ("cancelled", Reply::Boolean(rotation.cancelled)),
        ("from", key(rotation.from)),
        ("to", key(rotation.to)),
        ("total", Reply::count(figures.total)),
        ("done", Reply::count(figures.done)),
        ("percent", Reply::Double((status.percent() * 10.0).round() / 10.0)),
        ("rate", Reply::Double(figures.rate.round())),
        ("eta", status.eta_s().map_or(Reply::Null, Reply::count)),
        ("limit", time(rotation.rate)),
        ("started", time(rotation.started_ms)),
        ("ended", time(rotation.ended_ms)),
        ("checkpoint", text(if rotation.is_open() { &figures.step } else { "" })),
        ("error", text(&rotation.error)),
        ("records", records(&keys.last_count())),
    ];
    Ok(Reply::Map(members.map(|(name, value)| (Reply::constant(name), value)).to_vec()))
}
