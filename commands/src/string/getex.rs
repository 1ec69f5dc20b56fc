//! GETEX.

use super::options::{Expiry, of_getex};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{look_up, set_expiry, string_reply};
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETEX",
    group: Group::String,
    summary: "Returns the string of a key, and gives the key another expiry or takes it away.",
    complexity: "O(1)",
    arity: -2,
    args: &[
        Arg::key("key"),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").after("EX"),
                Arg::integer("milliseconds").after("PX"),
                Arg::new("unix-time-seconds", ArgKind::UnixTime).after("EXAT"),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).after("PXAT"),
                Arg::word("PERSIST").required(),
            ],
        )
        .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the string, or null without such a key. A time that has passed deletes the key",
    examples: &[("GETEX session:1 EX 60", r#""ada""#), ("GETEX session:1 PERSIST", r#""ada""#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let expiry = of_getex(args, context)?;
    let (db, key) = (context.db, args.bytes(1).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let Some(slot) = look_up(tx, db, &key)? else { return Ok(Reply::Null) };
        let reply = string_reply(Some(&slot))?;
        match expiry? {
            Some(Expiry::At(moment)) => {
                let expires_ms = moment.expires_ms(tx.now_ms());
                set_expiry(tx, db, &key, &slot, expires_ms)?;
            }
            Some(Expiry::Never) if slot.expires_ms() != 0 => set_expiry(tx, db, &key, &slot, 0)?,
            _ => {}
        }
        Ok(reply)
    })))
}
