//! HELLO: chooses the protocol, and may authenticate and name the connection with it.

use crate::args::Args;
use crate::connection::auth::authenticate;
use crate::connection::is_printable;
use crate::context::Session;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;
use crate::session::REDIS_VERSION;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELLO",
    group: Group::Connection,
    summary: "Chooses the protocol version and says who the server is.",
    arity: -1,
    args: &[Arg::block(
        "arguments",
        &[
            Arg::integer("protover"),
            Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).after("AUTH").optional(),
            Arg::string("clientname").after("SETNAME").optional(),
        ],
    )
    .optional()],
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    reply: "map: `server version proto id mode role modules`",
    secrets: is_secret,
    examples: &[("HELLO 3", "1# \"server\" => \"redis\" ...")],
    run: Run::Session(hello),
    ..Command::BLANK
};

fn hello(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let wanted = parse(args)?;
    if let Some((user, password)) = wanted.auth {
        let (user, password) = (args.bytes(user).clone(), args.bytes(password).clone());
        return authenticate(session, user, password, greet);
    }
    greet(args, session)
}

/// What it does once the connection is who it wants to be.
fn greet(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let wanted = parse(args)?;
    if !session.is_authenticated() {
        return Err(CommandError::new(
            ErrorCode::NoAuth,
            "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
             time",
        ));
    }
    if let Some(name) = wanted.name {
        session.set_name(args.bytes(name));
    }
    if let Some(version) = wanted.version {
        session.set_protocol(version);
    }
    let client = session.client();
    Ok(Reply::Map(vec![
        (Reply::constant("server"), Reply::constant("redis")),
        (Reply::constant("version"), Reply::constant(REDIS_VERSION)),
        (Reply::constant("proto"), Reply::Integer(client.protocol.into())),
        (Reply::constant("id"), Reply::count(client.id)),
        (Reply::constant("mode"), Reply::constant("standalone")),
        (Reply::constant("role"), Reply::constant("master")),
        (Reply::constant("modules"), Reply::Array(Vec::new())),
    ]))
}

/// User and password. What follows a word that is none of the options may be a password, too.
fn is_secret(args: &Args, secret: usize) -> bool {
    let mut at = 2;
    while at < secret {
        at += match (args.is(at, "AUTH"), args.is(at, "SETNAME")) {
            (true, _) if secret <= at + 2 => return true,
            (true, _) => 3,
            (_, true) if secret <= at + 1 => return false,
            (_, true) => 2,
            _ => return true,
        };
    }
    false
}

/// What was asked for; values are positions among the arguments.
#[derive(Default)]
struct Wanted {
    version: Option<u8>,
    auth: Option<(usize, usize)>,
    name: Option<usize>,
}

fn parse(args: &Args) -> Result<Wanted, CommandError> {
    let mut wanted = Wanted::default();
    if args.len() == 1 {
        return Ok(wanted);
    }
    let version =
        args.integer(1).map_err(|_| CommandError::err("Protocol version is not an integer or out of range"))?;
    wanted.version = match version {
        2 => Some(2),
        3 => Some(3),
        _ => return Err(CommandError::new(ErrorCode::NoProto, "unsupported protocol version")),
    };
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - 1 - at;
        if args.is(at, "AUTH") && more >= 2 {
            wanted.auth = Some((at + 1, at + 2));
            at += 3;
        } else if args.is(at, "SETNAME") && more >= 1 {
            if !is_printable(args.bytes(at + 1)) {
                return Err(super::client::setname::invalid());
            }
            wanted.name = Some(at + 1);
            at += 2;
        } else {
            let option = String::from_utf8_lossy(args.bytes(at));
            return Err(CommandError::err(format!("Syntax error in HELLO option '{option}'")));
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn user_and_password_are_secrets() {
        let check = |line: &'static str, expected: &str| {
            let args = Args::new(line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect());
            let shown: String = (0..args.len()).map(|at| if is_secret(&args, at) { '*' } else { '.' }).collect();
            assert_eq!(shown, expected, "{line}");
        };
        check("HELLO 3", "..");
        check("HELLO 3 AUTH u p", "...**");
        check("HELLO 3 AUTH u p SETNAME n", "...**..");
        check("HELLO 3 SETNAME n AUTH u p", ".....**");
        check("HELLO 3 AUHT u p", "...**");
    }
}
