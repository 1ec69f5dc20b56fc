//! JSON.MSET.

use std::collections::HashSet;
use std::rc::Rc;

use super::parse;
use super::path::{Effort, Path};
use super::set::{Plan, not_at_the_root};
use super::update::Target;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.MSET",
    group: Group::Json,
    summary: "Sets what is at paths of several keys, all or none.",
    complexity: "O(N) of the values",
    arity: -4,
    args: &[Arg::block("triplet", &[Arg::key("key"), Arg::string("path"), Arg::json("value")]).multiple()],
    keys: Keys { first: 1, last: -1, step: 3 },
    flags: &["denyoom"],
    reply: "OK; what a path does with its value is said at JSON.SET. A key that was not there before the command has the root's path. Expiries stay",
    examples: &[(r#"JSON.MSET user:1 $.visits 7 user:2 $ '{"name":"Bob"}'"#, r#"OK"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

/// So many bytes of a value are read and written in about the time of one visit.
const BYTES_A_VISIT: usize = 8;

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (triplets, rest) = args.from(1).as_chunks::<3>();
    if !rest.is_empty() {
        return Err(CommandError::arity("json.mset"));
    }
    let mut all = Vec::with_capacity(triplets.len());
    for [key, path, value] in triplets {
        let target = Target { db: context.db, key: key.clone(), limits: *context.limits, event: "json.mset" };
        all.push((target, Path::parse(path)?, parse(value, context.limits)?));
    }
    let limits = *context.limits;
    Ok(Prepared::Unit(Box::new(move |tx| {
        // Where all of them go is settled before the first is set, so that one does not change the way of another.
        let mut plans = Vec::with_capacity(all.len());
        // They share what one unit may take, since all other writes wait for the whole.
        let (effort, mut keys, mut rewrites) = (Rc::new(Effort::write(&limits)), HashSet::new(), false);
        for (target, path, _) in &all {
            plans.push(match target.find_within(tx, &effort)? {
                _ if path.is_root() => None,
                Some(held) => {
                    if keys.insert(&target.key) {
                        effort.allow(held.bytes());
                    }
                    // Each reads and writes a whole value. One such is what any update may do.
                    if rewrites {
                        effort.charge_of(path, held.bytes() / BYTES_A_VISIT)?;
                    }
                    rewrites = true;
                    Some((Plan::new(path, &held, None)?, held.bytes()))
                }
                None => return Err(not_at_the_root()),
            });
        }
        for ((target, path, value), plan) in all.iter().zip(&plans) {
            match (target.find_within(tx, &effort)?, plan) {
                (Some(held), Some((plan, bytes))) => {
                    // Those before it may have made it longer.
                    effort.charge_of(path, held.bytes().saturating_sub(*bytes) / BYTES_A_VISIT)?;
                    plan.carry_out(target, tx, &held, value.get())?;
                }
                (held, _) => target.put(tx, held.as_ref(), value.get())?,
            }
        }
        Ok(Reply::OK)
    })))
}
