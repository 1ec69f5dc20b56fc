//! JSON.DEL.

use super::path::{GONE, at, outermost, sweep};
use super::update::Target;
use super::{PATH, path_at};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.DEL",
    group: Group::Json,
    summary: "Deletes values.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "how many were deleted: what is within another that is deleted does not count. The root is the key, and it goes",
    examples: &[(r#"JSON.DEL user:1 $.tags"#, r#"(integer) 1"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    delete(args, context)
}

/// What JSON.FORGET does too.
pub(super) fn delete(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.del"), path_at(args, 2)?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        let Some(held) = target.find(tx)? else { return Ok(Reply::Integer(0)) };
        if path.is_root() {
            target.take(tx, &held)?;
            return Ok(Reply::Integer(1));
        }
        // A filter may select the root, which is not deleted by it.
        let places = held.places(&path)?.into_iter().map(|(_, place)| place).filter(|place| !place.is_empty());
        let places = outermost(places.collect());
        if places.is_empty() {
            return Ok(Reply::Integer(0));
        }
        let mut root = held.value().to_value();
        for place in &places {
            if let Some(value) = at(&mut root, place) {
                *value = GONE;
            }
        }
        sweep(&mut root);
        target.put_changed(tx, &held, &root)?;
        Ok(Reply::count(places.len()))
    })))
}
