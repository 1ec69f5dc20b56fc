//! TOKEN.ISSUE: a token for a user.

use serde_json::{Map, Value};

use super::needs_password;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later, TokenRequest};
use crate::spec::{Arg, Command, Group, Run};

/// Bytes of JSON of the claims that are given.
const CLAIMS_BYTES_MAX: usize = 4096;

/// TOKEN.ISSUE
pub static SPEC: Command = Command {
    name: "TOKEN.ISSUE",
    group: Group::Server,
    summary: "Makes a token that a user gets in with, instead of a password. Whoever may do this may get in as everybody.",
    arity: -1,
    args: &[
        Arg::string("name").after("USER").optional(),
        Arg::integer("s").after("EX").optional(),
        Arg::json("json").after("CLAIMS").optional(),
    ],
    flags: &["admin", "noscript", "no_multi"],
    reply: "A JSON Web Token, signed with Ed25519, once it is kept that there is one. For whoever asks where no USER is named. It is \
            good for EX seconds (3600), at most token-max-lifetime. CLAIMS are further claims: acl, an array of ACL rules, has \
            it allow only what they allow too (nothing is allowed before them; no roles); nbf, seconds since 1970, has it be \
            good from then on only; others are the user's own. READONLY on a replica; NOPERM to who got in with a token.",
    secrets: |args, at| at > 1 && args.is(at - 1, "CLAIMS"),
    examples: &[
        (
            "TOKEN.ISSUE USER ada EX 600",
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiJ2ZWRkYiIsLi4ufQ....",
        ),
        (r#"TOKEN.ISSUE USER ada CLAIMS '{"acl":["+@read","~orders*"]}'"#, "eyJ0eXAiOiJKV1Qi..."),
    ],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    needs_password(session)?;
    let mut wanted = TokenRequest { user: session.user().name().clone(), lifetime_s: None, claims: Map::new() };
    let mut given = [false; 3];
    let mut at = 1;
    while at < args.len() {
        let option =
            ["USER", "EX", "CLAIMS"].iter().position(|word| args.is(at, word)).ok_or_else(CommandError::syntax)?;
        let before = given.get_mut(option).map(|given| std::mem::replace(given, true));
        if args.get(at + 1).is_none() || before == Some(true) {
            return Err(CommandError::syntax());
        }
        match option {
            0 => wanted.user = args.bytes(at + 1).clone(),
            1 => wanted.lifetime_s = Some(args.unsigned(at + 1)?),
            _ => wanted.claims = claims(args.bytes(at + 1))?,
        }
        at += 2;
    }
    session.later(Later::Change(AccountChange::IssueToken(wanted)));
    Ok(Reply::Null)
}

fn claims(text: &[u8]) -> Result<Map<String, Value>, CommandError> {
    if text.len() > CLAIMS_BYTES_MAX {
        return Err(CommandError::err(format!("CLAIMS has at most {CLAIMS_BYTES_MAX} bytes")));
    }
    // What is wrong is not shown: it may be a secret.
    match serde_json::from_slice(text) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(CommandError::err("CLAIMS is not a JSON object")),
        Err(error) => Err(CommandError::err(format!("CLAIMS is not JSON: wrong at column {}", error.column()))),
    }
}
