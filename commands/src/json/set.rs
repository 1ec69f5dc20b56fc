//! JSON.SET.

use veddb_storage::Transaction;
use veddb_storage::document::ValueRef;

use super::growth::{Growth, text_bytes_min};
use super::parse;
use super::path::{Addition, Path, Place, at, outermost};
use super::update::{Held, Target};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.SET",
    group: Group::Json,
    summary: "Has a key hold a JSON value, or sets what is at a path in one.",
    complexity: "O(N) of the value",
    arity: -4,
    args: &[
        Arg::key("key"),
        Arg::string("path"),
        Arg::json("value"),
        Arg::one_of("condition", &[Arg::word("NX").required(), Arg::word("XX").required()]).optional(),
        Arg::one_of("format", &[Arg::word("JSON").required(), Arg::word("STRING").required()])
            .after("FORMAT")
            .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "OK, or null when NX or XX did not hold or the path leads nowhere. A path that selects values has each replaced; one that selects none adds a member, if it ends in a name and names one object's. A new key's path is the root's. An expiry stays",
    examples: &[
        (r#"JSON.SET user:1 $ '{"name":"Ada","visits":1,"on":true,"tags":[1,2,3]}'"#, r#"OK"#),
        (r#"JSON.SET user:1 $.name '"Eve"' NX"#, r#"(nil)"#),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

/// What has to be so for a value to be set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    New,
    Existing,
}

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.set"), Path::parse(args.bytes(2))?);
    let (mut condition, mut at) = (None, 4);
    while at < args.len() {
        if args.is(at, "NX") && condition.is_none() {
            condition = Some(Condition::New);
        } else if args.is(at, "XX") && condition.is_none() {
            condition = Some(Condition::Existing);
        } else if args.is(at, "FORMAT") && at + 1 < args.len() {
            at += 1;
            read_format(args.bytes(at))?;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    let value = parse(args.bytes(3), context.limits)?;
    Ok(Prepared::Unit(Box::new(move |tx| {
        let held = target.find(tx)?;
        match (&held, condition) {
            (None, Some(Condition::Existing)) => return Ok(Reply::Null),
            (Some(_), Some(Condition::New)) if path.is_root() => return Ok(Reply::Null),
            _ => {}
        }
        if path.is_root() {
            target.put(tx, held.as_ref(), value.get())?;
            return Ok(Reply::OK);
        }
        let held = held.ok_or_else(not_at_the_root)?;
        let plan = Plan::new(&path, &held, condition)?;
        Ok(if plan.carry_out(&target, tx, &held, value.get())? { Reply::OK } else { Reply::Null })
    })))
}

/// The formats in which a value may come.
pub(super) fn read_format(format: &[u8]) -> Result<(), CommandError> {
    if matches!(format, b"JSON" | b"STRING") { Ok(()) } else { Err(CommandError::err("wrong format")) }
}

/// RedisJSON's answer to a path into a value that is not there.
pub(super) fn not_at_the_root() -> CommandError {
    CommandError::err("new objects must be created at the root")
}

/// Where a value goes.
pub(super) enum Plan<'p> {
    /// Instead of what is there.
    Replace(Vec<Place>),
    /// To where nothing is.
    Add(Addition<'p>),
    /// Nowhere.
    Nothing,
}

impl<'p> Plan<'p> {
    /// What JSON.SET would do with a path into this.
    pub(super) fn new(path: &'p Path, held: &Held, condition: Option<Condition>) -> Result<Plan<'p>, CommandError> {
        if condition != Some(Condition::New) {
            let places = outermost(held.places(path)?.into_iter().map(|(_, place)| place).collect());
            // Besides the visits of the walk, each is sorted and set.
            held.effort().charge_of(path, places.len())?;
            if !places.is_empty() {
                return Ok(Plan::Replace(places));
            }
        }
        if condition == Some(Condition::Existing) {
            return Ok(Plan::Nothing);
        }
        Ok(held.addition(path)?.map_or(Plan::Nothing, Plan::Add))
    }

    /// Puts the value there; whether anywhere.
    pub(super) fn carry_out(
        &self,
        target: &Target,
        tx: &mut Transaction<'_>,
        held: &Held,
        value: ValueRef<'_>,
    ) -> Result<bool, CommandError> {
        if matches!(self, Plan::Nothing) {
            return Ok(false);
        }
        let (mut root, value) = (held.value().to_value(), value.to_value());
        let mut done = false;
        match self {
            Plan::Nothing => {}
            Plan::Add(addition) => done = addition.put(&mut root, &value),
            Plan::Replace(places) => {
                Growth::new(&target.limits).add(text_bytes_min(&value), places.len())?;
                for place in places {
                    if let Some(there) = at(&mut root, place) {
                        *there = value.clone();
                        done = true;
                    }
                }
            }
        }
        if done {
            target.put_changed(tx, held, &root)?;
        }
        Ok(done)
    }
}
