//! CLIENT KILL: the old form (an address) and the new one (filters, all of which must hold).

use super::Kind;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::ClientInfo;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "KILL",
    group: Group::Connection,
    summary: "Closes connections.",
    complexity: "O(n), n being the number of connections",
    arity: -3,
    args: &[Arg::one_of(
        "filter",
        &[
            Arg::string("ip:port"),
            Arg::one_of(
                "new-format",
                &[
                    Arg::integer("client-id").after("ID").optional(),
                    Arg::one_of(
                        "client-type",
                        &[Arg::word("NORMAL"), Arg::word("MASTER"), Arg::word("REPLICA"), Arg::word("PUBSUB")],
                    )
                    .after("TYPE")
                    .optional(),
                    Arg::string("username").after("USER").optional(),
                    Arg::string("ip:port").after("ADDR").optional(),
                    Arg::string("ip:port").after("LADDR").optional(),
                    Arg::one_of("yes/no", &[Arg::word("YES"), Arg::word("NO")]).after("SKIPME").optional(),
                    Arg::integer("maxage").after("MAXAGE").optional(),
                ],
            )
            .multiple(),
        ],
    )],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "old form: OK; new form: how many were closed",
    examples: &[("CLIENT KILL ID 7", "(integer) 1")],
    run: Run::Session(kill),
    ..Command::BLANK
};

fn kill(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() == 3 {
        let addr = args.bytes(2);
        let Some(victim) = session.clients().into_iter().find(|client| client.addr.as_bytes() == &addr[..]) else {
            return Err(CommandError::err("No such client"));
        };
        session.kill_client(victim.id);
        return Ok(Reply::OK);
    }
    let accounts = session.accounts();
    let filter = Filter::parse(args, |name| accounts.get(name).is_some())?;
    let me = session.client().id;
    let mut killed = 0;
    for client in session.clients() {
        if filter.matches(args, &client, me) && session.kill_client(client.id) {
            killed += 1;
        }
    }
    Ok(Reply::Integer(killed))
}

/// The filters; texts are positions among the arguments.
struct Filter {
    id: Option<u64>,
    addr: Option<usize>,
    laddr: Option<usize>,
    user: Option<usize>,
    kind: Option<Kind>,
    maxage_s: Option<u64>,
    skip_me: bool,
}

impl Filter {
    fn parse(args: &Args, is_user: impl Fn(&[u8]) -> bool) -> Result<Filter, CommandError> {
        let mut filter =
            Filter { id: None, addr: None, laddr: None, user: None, kind: None, maxage_s: None, skip_me: true };
        let mut at = 2;
        while at < args.len() {
            let value = at + 1;
            if value >= args.len() {
                return Err(CommandError::syntax());
            }
            if args.is(at, "ID") {
                let id = args.unsigned(value).ok().filter(|&id| id > 0);
                filter.id = Some(id.ok_or_else(|| CommandError::err("client-id should be greater than 0"))?);
            } else if args.is(at, "MAXAGE") {
                filter.maxage_s = Some(
                    args.unsigned(value).map_err(|_| CommandError::err("maxage is not an integer or out of range"))?,
                );
            } else if args.is(at, "TYPE") {
                filter.kind = Some(Kind::parse(args, value)?);
            } else if args.is(at, "ADDR") {
                filter.addr = Some(value);
            } else if args.is(at, "LADDR") {
                filter.laddr = Some(value);
            } else if args.is(at, "USER") {
                if !is_user(args.bytes(value)) {
                    let user = String::from_utf8_lossy(args.bytes(value));
                    return Err(CommandError::err(format!("No such user '{user}'")));
                }
                filter.user = Some(value);
            } else if args.is(at, "SKIPME") && args.is(value, "YES") {
                filter.skip_me = true;
            } else if args.is(at, "SKIPME") && args.is(value, "NO") {
                filter.skip_me = false;
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        Ok(filter)
    }

    fn matches(&self, args: &Args, client: &ClientInfo, me: u64) -> bool {
        let is = |position: Option<usize>, text: &str| position.is_none_or(|at| &args.bytes(at)[..] == text.as_bytes());
        self.id.is_none_or(|id| id == client.id)
            && is(self.addr, &client.addr)
            && is(self.laddr, &client.laddr)
            && is(self.user, &client.user)
            && self.kind.is_none_or(|kind| kind.is_of(client))
            && self.maxage_s.is_none_or(|age_s| client.age_s >= age_s)
            && !(self.skip_me && client.id == me)
    }
}
