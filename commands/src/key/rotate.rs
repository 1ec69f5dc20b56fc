//! KEY.ROTATE: another data key, or another master key.

use std::path::PathBuf;

use veddb_storage::seal::Phase;

use super::ask;
use crate::args::Args;
use crate::context::{Phased, Prepared, ReadContext, Step, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// KEY.ROTATE
pub static SPEC: Command = Command {
    name: "KEY.ROTATE",
    group: Group::Key,
    summary: "Makes a new data key, under which all that is written is sealed from now on, and brings all that is stored to \
              it. With MASTER, wraps the data keys under another master key; no record is touched.",
    complexity: "O(1); in the background O(N) with N the number of records",
    arity: -1,
    args: &[Arg::one_of(
        "what",
        &[
            Arg::block("data-key", &[Arg::integer("records-per-second").after("RATE").optional(), Arg::word("SYNC")]),
            Arg::string("new-key-file").after("MASTER"),
        ],
    )
    .optional()],
    flags: &["admin", "no_multi"],
    reply: "The new key's number, at once; with SYNC when no record is under the old key any more and that is erased. BUSY \
            while a rotation is open. With MASTER: OK when the keyring is on disk. The file is read when it exists, and \
            else made; the next start needs master-key-file to name it: CONFIG GET says so from then on, and CONFIG \
            REWRITE writes it.",
    examples: &[
        ("KEY.ROTATE", "(integer) 2"),
        ("KEY.ROTATE RATE 5000 SYNC", "(integer) 3"),
        ("KEY.ROTATE MASTER /etc/veddb/key.2026", "OK"),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, _context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    if args.is(1, "MASTER") {
        if args.len() != 3 || args.bytes(2).is_empty() {
            return Err(CommandError::syntax());
        }
        let path = PathBuf::from(args.text(2)?);
        return Ok(ask(move |keys, _| Ok(keys.rotate_master(&path).map(|()| Reply::OK)?)));
    }
    let (mut rate, mut sync) = (None, false);
    let mut at = 1;
    while at < args.len() {
        if args.is(at, "SYNC") && !sync {
            sync = true;
        } else if args.is(at, "RATE") && at + 1 < args.len() && rate.is_none() {
            at += 1;
            rate = match args.unsigned(at)? {
                0 => {
                    return Err(CommandError::err("RATE is at least 1 record a second; KEY.PAUSE has a rotation wait"));
                }
                given => Some(given),
            };
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    Ok(Prepared::Phased(Box::new(Rotating { rate: rate.unwrap_or_default(), sync, to: None })))
}

/// A rotation that is to begin, and that is waited for.
struct Rotating {
    rate: u64,
    sync: bool,
    /// The new key, once there is one.
    to: Option<u32>,
}

impl Phased for Rotating {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        _before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        let keys = context.view.data_keys();
        let Some(to) = self.to else {
            let to = keys.rotate(context.now_ms, self.rate)?;
            self.to = Some(to);
            return Ok(if self.sync { Step::Wait } else { Step::Done(Reply::count(to)) });
        };
        context.check(None)?;
        let rotation = keys.rotation();
        if rotation.to != to {
            let what = format!("the rotation to key {to} was cancelled; records come under key {}", rotation.to);
            return Err(CommandError::err(what));
        }
        match rotation.phase {
            Phase::Completed => Ok(Step::Done(Reply::count(to))),
            Phase::Failed => Err(CommandError::err(format!("the rotation to key {to} failed: {}", rotation.error))),
            Phase::Idle | Phase::ReEncrypting => Ok(Step::Wait),
        }
    }
}
