//! The gates: whether a request may run. One place, so that no command forgets one.
//!
//! In Redis's order: the command exists, the number of arguments fits, the connection is authenticated, DEBUG is allowed, its user has
//! the right, there is memory, enough replicas follow for a write and this server takes any, it is not a connection that only
//! listens, and there are data that it may answer from.

use veddb_commands::access::{Denial, User};
use veddb_commands::context::Limits;
use veddb_commands::lookup::{Entry, Lookup, find};
use veddb_commands::spec::{Group, Run};
use veddb_commands::{Args, CommandError, ErrorCode};

use crate::replication::Posture;

/// What becomes of a request.
#[derive(Debug)]
pub enum Admission {
    /// It runs.
    Run(&'static Entry),
    /// It is turned away.
    Refuse(Option<&'static Entry>, CommandError),
    /// The user has no right to it.
    Deny(&'static Entry, Denial),
    /// It is the first line of an HTTP request: somebody makes a browser talk to this port. The connection is closed
    /// without a word, so that nothing that follows in the body is run.
    HangUp,
}

/// What of a connection decides.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// Who it is.
    pub user: &'a User,
    /// It gave the password, or needs none.
    pub authenticated: bool,
    /// It listens to channels under RESP2.
    pub only_listens: bool,
    /// It hears of every command.
    pub monitors: bool,
    /// DEBUG may come over it.
    pub may_debug: bool,
    /// The server is over `maxmemory`.
    pub out_of_memory: bool,
    /// What the server is among those that replicate.
    pub posture: Posture,
    /// It has begun a transaction, and what that needs.
    pub transaction: Option<Needs>,
}

/// What a command needs of the server, or the commands of a transaction together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Needs {
    /// It may take more memory.
    pub memory: bool,
    /// It writes to the data that replicas have, too.
    pub write: bool,
    /// Its answer must not come from data that are out of date.
    pub fresh: bool,
    /// Its answer needs the data.
    pub data: bool,
}

impl Needs {
    /// What a command needs.
    fn of(entry: &Entry, args: &Args, limits: &Limits) -> Needs {
        let flag = |name| entry.command.flags.contains(&name);
        // Each server has data keys of its own.
        let writes = matches!(entry.command.run.with(args, limits), Run::Write(_)) && entry.command.group != Group::Key;
        Needs {
            memory: takes_memory(entry, args, limits),
            write: writes,
            fresh: !flag("stale"),
            data: !flag("loading"),
        }
    }

    /// One more command.
    pub(crate) fn add(&mut self, entry: &Entry, args: &Args, limits: &Limits) {
        let needs = Needs::of(entry, args, limits);
        self.memory |= needs.memory;
        self.write |= needs.write;
        self.fresh |= needs.fresh;
        self.data |= needs.data;
    }
}

/// What is said while the data are replaced by those of a primary; clients know Redis's words.
pub(crate) const LOADING: &str = "Redis is loading the dataset in memory";

/// What a connection may say that only listens.
const LISTENERS_SAY: &[&str] =
    &["ping", "psubscribe", "punsubscribe", "quit", "reset", "ssubscribe", "subscribe", "sunsubscribe", "unsubscribe"];

/// Passes a request through the gates.
pub fn admit(args: &Args, standing: &Standing<'_>, limits: &Limits) -> Admission {
    let name = args.bytes(0);
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        return Admission::HangUp;
    }
    let entry = match find(args) {
        Lookup::Found(entry) => entry,
        Lookup::Unknown(error) => return Admission::Refuse(None, error),
    };
    if !entry.command.accepts(args.len()) {
        return Admission::Refuse(Some(entry), CommandError::arity(&entry.name));
    }
    if !standing.authenticated && !entry.command.flags.contains(&"no_auth") {
        let error = CommandError::new(ErrorCode::NoAuth, "Authentication required.");
        return Admission::Refuse(Some(entry), error);
    }
    if entry.command.flags.contains(&"protected") && !standing.may_debug {
        let error = CommandError::err(
            "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
             connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        );
        return Admission::Refuse(Some(entry), error);
    }
    if let Err(denial) = standing.user.check(entry, args, limits) {
        return Admission::Deny(entry, denial);
    }
    if standing.out_of_memory && is_refused_without_memory(entry, args, standing.transaction, limits) {
        let error = CommandError::new(ErrorCode::Oom, "command not allowed when used memory > 'maxmemory'.");
        return Admission::Refuse(Some(entry), error);
    }
    // Of EXEC it is asked what the commands need that are queued.
    let needs = match standing.transaction {
        Some(needs) if entry.name == "exec" => needs,
        _ => Needs::of(entry, args, limits),
    };
    if needs.write && standing.posture.too_few_replicas {
        let error = CommandError::new(ErrorCode::NoReplicas, "Not enough good replicas to write.");
        return Admission::Refuse(Some(entry), error);
    }
    if let Some(why) = standing.posture.read_only
        && needs.write
    {
        return Admission::Refuse(Some(entry), CommandError::new(ErrorCode::ReadOnly, why));
    }
    if standing.only_listens && !LISTENERS_SAY.contains(&entry.name.as_str()) {
        let error = CommandError::err(format!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            entry.name
        ));
        return Admission::Refuse(Some(entry), error);
    }
    if standing.posture.stale && needs.fresh {
        let error = CommandError::new(
            ErrorCode::MasterDown,
            "Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        );
        return Admission::Refuse(Some(entry), error);
    }
    if standing.posture.loading && needs.data {
        return Admission::Refuse(Some(entry), CommandError::new(ErrorCode::Loading, LOADING));
    }
    if standing.monitors && touches_data(entry) {
        // What it says must not be among what it hears.
        return Admission::Refuse(Some(entry), CommandError::err("Replica can't interact with the keyspace"));
    }
    Admission::Run(entry)
}

/// Whether a command is refused over `maxmemory`. Also what would be queued, and EXEC of a transaction that holds such.
fn is_refused_without_memory(entry: &Entry, args: &Args, transaction: Option<Needs>, limits: &Limits) -> bool {
    match (entry.name.as_str(), transaction) {
        ("exec", holds) => holds.is_some_and(|needs| needs.memory),
        ("discard" | "multi" | "quit" | "reset" | "watch", _) => false,
        (_, Some(_)) => true,
        (_, None) => takes_memory(entry, args, limits),
    }
}

/// Whether a command may take more memory: it says so itself, or depending on its arguments it writes.
pub(crate) fn takes_memory(entry: &Entry, args: &Args, limits: &Limits) -> bool {
    let writes_now = || matches!(entry.command.run, Run::Mixed { writes, .. } if writes(args, limits));
    entry.command.flags.contains(&"denyoom") || writes_now()
}

fn touches_data(entry: &Entry) -> bool {
    matches!(entry.command.run, Run::Read(_) | Run::Write(_) | Run::Mixed { .. })
        || entry.command.flags.contains(&"may_replicate")
}

/// What a connection from another machine hears while protected mode is on and no password is set.
pub const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the loopback interface. If \
    you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable \
    protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to \
    Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet \
    if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the \
    protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then \
    restarting the server. 3) If you started the server manually just for testing, restart it with the \
    '--protected-mode no' option. 4) Set up an authentication password for the default user. NOTE: You only need to \
    do one of the above things in order for the server to start accepting connections from the outside.\r\n";

/// What a connection over `maxclients` hears.
pub const TOO_MANY: &str = "-ERR max number of clients reached\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[track_caller]
    fn check(words: &[&'static str], authenticated: bool, expected: &str) {
        let standing = Standing {
            user: User::unrestricted(),
            authenticated,
            only_listens: false,
            monitors: false,
            may_debug: false,
            out_of_memory: false,
            posture: Posture::default(),
            transaction: None,
        };
        let args = Args::new(words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect());
        let found = match admit(&args, &standing, &Limits::default()) {
            Admission::Run(entry) => entry.name.clone(),
            Admission::Refuse(_, error) => error.to_string(),
            Admission::Deny(_, denial) => panic!("{denial:?}"),
            Admission::HangUp => "(closed)".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn gates_stand_in_the_order_of_redis() {
        check(&["ping"], true, "ping");
        check(&["nope"], false, "ERR unknown command 'nope', with args beginning with: ");
        check(&["echo"], false, "ERR wrong number of arguments for 'echo' command");
        check(&["client", "kill"], true, "ERR wrong number of arguments for 'client|kill' command");
        check(&["client"], true, "ERR wrong number of arguments for 'client' command");
        check(&["ping"], false, "NOAUTH Authentication required.");
        check(&["AUTH", "x"], false, "auth");
        check(&["POST", "/", "HTTP/1.1"], true, "(closed)");
        check(&["Host:", "example.org"], true, "(closed)");
    }
}
