//! REPLICA.FOLLOW: what a replica says to its primary. From the reply on the connection carries their stream.

use super::{FollowRequest, LINK_FORMAT, is_address, port};
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// Terms that are looked at.
const TERMS_MAX: usize = 1000;

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICA.FOLLOW",
    group: Group::Server,
    summary: "Sent by replicas: turns the connection into the stream of all that happens after a position.",
    complexity: "O(1), then as much as there is to send",
    arity: -8,
    args: &[
        Arg::integer("format"),
        Arg::string("run-id"),
        Arg::string("ip"),
        Arg::integer("port"),
        Arg::string("history"),
        Arg::integer("term"),
        Arg::integer("lsn"),
        Arg::string("terms").after("TERMS").optional(),
        Arg::word("YIELD"),
        Arg::block("resume", &[Arg::string("snapshot"), Arg::integer("chunk")]).after("RESUME").optional(),
        Arg::word("BLANK"),
        Arg::word("FULL"),
        Arg::integer("handover").after("FAILOVER").optional(),
        Arg::word("FORCE"),
        Arg::word("ABORT"),
    ],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "OK, and then no replies any more; an error where this server cannot be followed",
    examples: &[(
        "REPLICA.FOLLOW 1 5f0c9a 127.0.0.1 6380 00000000000000000000000000000000 0 0 BLANK",
        "(error) ERR the run id is not 40 hexadecimal digits",
    )],
    run: Run::Session(follow),
    ..Command::BLANK
};

fn follow(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let format = args.unsigned(1)?;
    if format != LINK_FORMAT {
        return Err(CommandError::err(format!(
            "the replica speaks form {format} of the replication stream, this server form {LINK_FORMAT}"
        )));
    }
    let run_id = args.text(2)?.to_owned();
    if run_id.len() != 40 || !run_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(CommandError::err("the run id is not 40 hexadecimal digits"));
    }
    let ip = args.text(3)?.to_owned();
    if !ip.is_empty() && !is_address(&ip) {
        return Err(CommandError::err("the address that is announced is none"));
    }
    let mut request = FollowRequest {
        run_id,
        ip,
        port: port(args, 4)?,
        history: sixteen(args.bytes(5))?,
        term: args.unsigned(6)?,
        lsn: args.unsigned(7)?,
        terms: Vec::new(),
        yields: false,
        resume: None,
        blank: false,
        full: false,
        handover: None,
        force: false,
        aborts: false,
    };
    let mut at = 8;
    while at < args.len() {
        if args.is(at, "RESUME") && at + 2 < args.len() {
            request.resume = Some((sixteen(args.bytes(at + 1))?, args.unsigned(at + 2)?));
            at += 2;
        } else if args.is(at, "TERMS") && at + 1 < args.len() {
            request.terms = terms(args.text(at + 1)?)?;
            at += 1;
        } else if args.is(at, "YIELD") {
            request.yields = true;
        } else if args.is(at, "BLANK") {
            request.blank = true;
        } else if args.is(at, "FULL") {
            request.full = true;
        } else if args.is(at, "FAILOVER") && at + 1 < args.len() {
            request.handover = Some(args.unsigned(at + 1)?);
            at += 1;
        } else if args.is(at, "FORCE") {
            request.force = true;
        } else if args.is(at, "ABORT") {
            request.aborts = true;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    session.feed(request)?;
    Ok(Reply::OK)
}

/// The bytes of a history or a snapshot's id.
fn sixteen(text: &[u8]) -> Result<[u8; 16], CommandError> {
    let bad = || CommandError::err("the history or snapshot is not 32 hexadecimal digits");
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32 && text.is_ascii()).ok_or_else(bad)?;
    let number = u128::from_str_radix(text, 16).map_err(|_| bad())?;
    Ok(number.to_be_bytes())
}

/// `term:lsn,term:lsn`
fn terms(text: &str) -> Result<Vec<(u64, u64)>, CommandError> {
    let one = |pair: &str| {
        let (term, lsn) = pair.split_once(':')?;
        Some((term.parse().ok()?, lsn.parse().ok()?))
    };
    let bad = || CommandError::err("the terms are not pairs of a term and its first unit");
    text.split(',').filter(|pair| !pair.is_empty()).take(TERMS_MAX).map(|pair| one(pair).ok_or_else(bad)).collect()
}
