//! PERSIST.

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{find, set_expiry};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PERSIST",
    group: Group::Generic,
    summary: "Takes a key's expiry away.",
    complexity: "O(1), plus the size of the value",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no key or it does not expire",
    examples: &[("PERSIST greeting", "(integer) 1"), ("PERSIST greeting", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key) = (context.db, args.bytes(1).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let expiring = find(tx, db, &key)?.filter(|slot| slot.expires_ms() != 0);
        let Some(slot) = expiring else { return Ok(Reply::Integer(0)) };
        set_expiry(tx, db, &key, &slot, 0)?;
        Ok(Reply::Integer(1))
    })))
}
