//! FAILOVER: hands over to a replica that has all that this server has.

use std::time::Duration;

use super::FailoverRequest;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FAILOVER",
    group: Group::Server,
    summary: "Holds writes back until a replica has all of them, has it take over, and follows it: nothing is lost. \
              `master_failover_state` of INFO replication tells how far it is.",
    arity: -1,
    args: &[
        Arg::block("target", &[Arg::string("host"), Arg::integer("port"), Arg::word("FORCE")]).after("TO").optional(),
        Arg::word("ABORT"),
        Arg::integer("milliseconds").after("TIMEOUT").optional(),
    ],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "stale", "no_multi"],
    reply: "OK once it has begun, or, with ABORT, has been given up",
    examples: &[("FAILOVER", "(error) ERR FAILOVER requires connected replicas.")],
    run: Run::Session(failover),
    ..Command::BLANK
};

fn failover(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut request = FailoverRequest { target: None, timeout: None, force: false };
    let mut abort = false;
    let mut at = 1;
    while at < args.len() {
        if args.is(at, "TIMEOUT") && at + 1 < args.len() && request.timeout.is_none() {
            let ms = args.integer(at + 1)?;
            let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
            let ms = ms.ok_or_else(|| CommandError::err("FAILOVER timeout must be greater than 0"))?;
            request.timeout = Some(Duration::from_millis(ms));
            at += 1;
        } else if args.is(at, "ABORT") && args.len() == 2 {
            abort = true;
        } else if args.is(at, "TO") && at + 2 < args.len() && request.target.is_none() {
            let port = args.integer(at + 2)?;
            let port = u16::try_from(port).map_err(|_| CommandError::err("value is out of range"))?;
            request.target = Some((args.text(at + 1)?.to_owned(), port));
            at += 2;
        } else if args.is(at, "FORCE") && !request.force {
            request.force = true;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    if abort {
        session.abort_failover()?;
    } else {
        session.failover(request)?;
    }
    Ok(Reply::OK)
}
