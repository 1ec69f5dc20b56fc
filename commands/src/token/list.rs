//! TOKEN.LIST: the tokens that are known.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::TokenInfo;
use crate::spec::{Command, Group, Run};

/// TOKEN.LIST
pub static SPEC: Command = Command {
    name: "TOKEN.LIST",
    group: Group::Server,
    summary: "The tokens that were issued and have not expired, oldest first, and those that were revoked.",
    complexity: "O(N log N) with N the number of tokens",
    arity: 1,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "Array of maps: jti (its number), user, key (the number of the key that it was signed with), issued, expires and revoked (ms \
            since 1970; revoked is null where it is not). Of another issuer's that was revoked, user and key are empty.",
    examples: &[(
        "TOKEN.LIST",
        r#"[{jti: "6f1c...", user: "ada", key: "9e2b...", issued: 1790000000000, expires: 1790003600000, revoked: null}]"#,
    )],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let describe = |token: TokenInfo| {
        let members = [
            ("jti", Reply::Bulk(token.jti)),
            ("user", Reply::Bulk(token.user)),
            ("key", Reply::text(token.key)),
            ("issued", Reply::count(token.issued_ms)),
            ("expires", Reply::count(token.expires_ms)),
            ("revoked", token.revoked_ms.map_or(Reply::Null, Reply::count)),
        ];
        Reply::Map(members.map(|(name, value)| (Reply::constant(name), value)).to_vec())
    };
    Ok(Reply::Array(session.tokens().into_iter().map(describe).collect()))
}
