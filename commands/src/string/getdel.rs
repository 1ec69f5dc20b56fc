//! GETDEL.

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, look_up, string_reply, take};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETDEL",
    group: Group::String,
    summary: "Returns the string of a key and deletes the key.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the string, or null without such a key",
    examples: &[("GETDEL greeting", r#""hello""#), ("GETDEL greeting", "(nil)")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key) = (context.db, args.bytes(1).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = look_up(tx, db, &key)?;
        let reply = string_reply(found.as_ref())?;
        if let Some(slot) = found {
            take(tx, &slot)?;
            tx.note_key(db, class::GENERIC, "del", &key);
        }
        Ok(reply)
    })))
}
