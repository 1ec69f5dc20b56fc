//! JSON.MERGE.

use std::collections::HashMap;

use veddb_storage::document::{Object, Value, ValueRef};

use super::growth::{Growth, text_bytes_min};
use super::parse;
use super::path::{Effort, GONE, Path, at, sweep};
use super::set::{Condition, Plan, not_at_the_root, read_format};
use super::update::Target;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.MERGE",
    group: Group::Json,
    summary: "Merges a JSON value into what is at a path, as RFC 7396 has it.",
    complexity: "O(N) of the value",
    arity: -4,
    args: &[
        Arg::key("key"),
        Arg::string("path"),
        Arg::json("value"),
        Arg::one_of("format", &[Arg::word("JSON").required(), Arg::word("STRING").required()])
            .after("FORMAT")
            .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "OK, or null when the path leads nowhere. Members of an object replace those of their names, null takes them away, and what is no object replaces the whole. A path that selects nothing is JSON.SET's. An expiry stays",
    examples: &[(r#"JSON.MERGE user:1 $ '{"visits":null,"mail":"ada@example.org"}'"#, r#"OK"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.merge"), Path::parse(args.bytes(2))?);
    let mut at_format = 4;
    while at_format < args.len() {
        if !args.is(at_format, "FORMAT") || at_format + 1 == args.len() {
            return Err(CommandError::syntax());
        }
        read_format(args.bytes(at_format + 1))?;
        at_format += 2;
    }
    let patch = parse(args.bytes(3), context.limits)?;
    Ok(Prepared::Unit(Box::new(move |tx| {
        let Some(held) = target.find(tx)? else {
            if !path.is_root() {
                return Err(not_at_the_root());
            }
            target.put(tx, None, patch.get())?;
            return Ok(Reply::OK);
        };
        let places = held.places(&path)?;
        if places.is_empty() {
            let plan = Plan::new(&path, &held, Some(Condition::New))?;
            return Ok(if plan.carry_out(&target, tx, &held, patch.get())? { Reply::OK } else { Reply::Null });
        }
        let mut root = held.value().to_value();
        let mut merging = Merging { path: &path, effort: held.effort(), growth: Growth::new(&target.limits) };
        for (_, place) in places {
            match at(&mut root, &place) {
                // One above it took it away.
                None | Some(Value::MinKey) => {}
                Some(value) => merging.merge(value, patch.get())?,
            }
        }
        sweep(&mut root);
        target.put_changed(tx, &held, &root)?;
        Ok(Reply::OK)
    })))
}

/// The members of so many changes are sought one by one.
const CHANGES_SOUGHT_MAX: usize = 8;

/// What merging into many places may take.
struct Merging<'m> {
    path: &'m Path,
    effort: &'m Effort<'static>,
    growth: Growth<'m>,
}

impl Merging<'_> {
    /// Members that go are [`GONE`] from then on. Recursion is bounded by the depth of a document.
    fn merge(&mut self, value: &mut Value, patch: ValueRef<'_>) -> Result<(), CommandError> {
        let ValueRef::Object(changes) = patch else { return self.replace(value, patch.to_value()) };
        if !matches!(value, Value::Object(_)) {
            self.replace(value, Value::Object(Object::default()))?;
        }
        let Value::Object(Object(members)) = value else { return Ok(()) };
        // Both may have many members; then a table finds them.
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        let many = changes.iter().nth(CHANGES_SOUGHT_MAX).is_some();
        if many {
            self.effort.charge_of(self.path, members.len())?;
            places.extend(members.iter().enumerate().map(|(place, (name, _))| (Box::from(name.as_str()), place)));
        }
        for (name, change) in changes.iter() {
            self.effort.charge_of(self.path, 1)?;
            let place = match many {
                true => places.get(name).copied(),
                false => {
                    self.effort.charge_steps(self.path, members.len())?;
                    members.iter().position(|(member, _)| member == name)
                }
            };
            let member = place.and_then(|place| members.get_mut(place)).map(|(_, member)| member);
            match (member, change) {
                (Some(member), ValueRef::Null) => self.replace(member, GONE)?,
                (Some(member), change) => self.merge(member, change)?,
                (None, ValueRef::Null) => {}
                (None, change) => {
                    // Quotation marks and a colon.
                    self.growth.add(name.len() + 3, 1)?;
                    let mut member = GONE;
                    self.merge(&mut member, change)?;
                    members.push((name.to_owned(), member));
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, old: &mut Value, new: Value) -> Result<(), CommandError> {
        let bytes = text_bytes_min(&new);
        self.effort.charge_steps(self.path, bytes)?;
        self.growth.drop(text_bytes_min(old));
        self.growth.add(bytes, 1)?;
        *old = new;
        Ok(())
    }
}
