//! ACL GENPASS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GENPASS",
    group: Group::Server,
    summary: "A password of so many random bits, 256 where it is not said.",
    arity: -2,
    args: &[Arg::integer("bits").optional()],
    flags: &["noscript", "loading", "stale"],
    reply: "hexadecimal digits",
    examples: &[("ACL GENPASS 32", "\"4a2b07c1\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

/// The most bits.
const BITS_MAX: i64 = 4096;

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    let bits = match args.len() {
        2 => 256,
        3 => args.integer(2)?,
        _ => return Err(wrong_count(&super::SPEC, args)),
    };
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(CommandError::err(format!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to {BITS_MAX}"
        )));
    }
    let digit = |_| char::from_digit(rand::random_range(0..16), 16).unwrap_or('0');
    Ok(Reply::text((0..(bits + 3) / 4).map(digit).collect::<String>()))
}
