//! ACL LOG.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::session::DenialEntry;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LOG",
    group: Group::Server,
    summary: "The last requests that users had no rights for, and passwords that were wrong; or forgets them.",
    complexity: "O(n), n being the number of entries answered",
    arity: -2,
    args: &[Arg::one_of("operation", &[Arg::integer("count"), Arg::word("RESET")]).optional()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of maps, the latest first: `count reason context object username age-seconds client-info entry-id timestamp-created timestamp-last-updated`; OK to RESET",
    examples: &[("ACL LOG 1", "1) 1# \"count\" => (integer) 1 2# \"reason\" => \"auth\" ...")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let most = match args.len() {
        2 => 10,
        3 if args.is(2, "RESET") => {
            session.forget_denials();
            return Ok(Reply::OK);
        }
        3 => usize::try_from(args.integer(2)?.max(0)).unwrap_or(usize::MAX),
        _ => return Err(wrong_count(&super::SPEC, args)),
    };
    let now_ms = u64::try_from(session.unix_time().as_millis()).unwrap_or(u64::MAX);
    let one = |entry: DenialEntry| {
        let age_s = now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0;
        Reply::Map(vec![
            (Reply::constant("count"), Reply::count(entry.count)),
            (Reply::constant("reason"), Reply::constant(entry.reason)),
            (Reply::constant("context"), Reply::constant(entry.context)),
            (Reply::constant("object"), Reply::Bulk(entry.object)),
            (Reply::constant("username"), Reply::Bulk(entry.user)),
            (Reply::constant("age-seconds"), Reply::Double(age_s)),
            (Reply::constant("client-info"), Reply::text(entry.client)),
            (Reply::constant("entry-id"), Reply::count(entry.id)),
            (Reply::constant("timestamp-created"), Reply::count(entry.created_ms)),
            (Reply::constant("timestamp-last-updated"), Reply::count(entry.updated_ms)),
        ])
    };
    Ok(Reply::Array(session.denials(most).into_iter().map(one).collect()))
}
