//! How a command is declared: one constant in the command's own file.
//!
//! Everything that is known of a command is read from here: dispatch, arity, COMMAND and COMMAND DOCS (redis-cli's
//! hints), key positions, ACL categories, and the reference in `docs/commands.md`. Field names follow Redis's
//! `src/commands/*.json`.

use crate::args::Args;
use crate::context::{Limits, Prepared, ReadContext, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;

/// The declaration of one command or subcommand.
#[derive(Debug)]
pub struct Command {
    /// Upper case: `DOC.FIND`; of a subcommand its own word: `KILL`.
    pub name: &'static str,
    /// The VedDB version that brought it.
    pub since: &'static str,
    /// The heading it stands under in the reference.
    pub group: Group,
    /// One sentence, capitalised, with its full stop.
    pub summary: &'static str,
    /// What it costs: `O(1)`.
    pub complexity: &'static str,
    /// How many arguments with the name (and the container's name): exactly, or at least `-n`.
    pub arity: i32,
    /// The arguments in order, for hints and the reference.
    pub args: &'static [Arg],
    /// Where the key (a collection's name is one) stands.
    pub keys: Keys,
    /// Collections that an argument names somewhere inside, and whether they are written: those of a pipeline's stages.
    pub named_within: Option<NamedWithin>,
    /// Which arguments are channels.
    pub channels: Channels,
    /// ACL categories beside those that follow from `run` and `group`.
    pub categories: &'static [&'static str],
    /// Redis's command flags beside `write` and `readonly`, which follow from `run`: what may write counts as what writes.
    pub flags: &'static [&'static str],
    /// The shape of the reply in words, for the reference.
    pub reply: &'static str,
    /// Whether argument `at` of a request is a secret: MONITOR and SLOWLOG do not show it.
    pub secrets: fn(&Args, usize) -> bool,
    /// Command lines with what they answer, for the reference.
    pub examples: &'static [(&'static str, &'static str)],
    /// The subcommands of a container such as CLIENT.
    pub subcommands: &'static [&'static Command],
    /// What it does.
    pub run: Run,
}

/// A blank to fill in with `..Command::BLANK`; lets a declaration name only what it has.
impl Command {
    /// Every field at its empty value.
    pub const BLANK: Command = Command {
        name: "",
        since: "0.1.0",
        group: Group::Server,
        summary: "",
        complexity: "O(1)",
        arity: 1,
        args: &[],
        keys: Keys::NONE,
        named_within: None,
        channels: Channels::None,
        categories: &[],
        flags: &[],
        reply: "",
        secrets: |_, _| false,
        examples: &[],
        subcommands: &[],
        run: Run::Container,
    };

    /// Whether this many arguments, the name included, fit.
    pub fn accepts(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// How long a read may take, as far as it says so (MAXTIME) or `query-max-time` does, milliseconds.
    pub fn max_time_ms(&self, args: &Args, limits: &Limits) -> Option<u64> {
        let set = Some(limits.query_max_time_ms).filter(|ms| *ms > 0 && self.group == Group::Document);
        self.asked_time_ms(args).into_iter().chain(set).min()
    }

    /// The milliseconds after MAXTIME, where the command takes it and 1 or more are given. What cannot be read is the
    /// command's own to refuse.
    fn asked_time_ms(&self, args: &Args) -> Option<u64> {
        const MAXTIME: &str = "MAXTIME";
        if !self.args.iter().any(|arg| arg.token == MAXTIME) {
            return None;
        }
        let mut at = 1 + self.args.iter().filter(|arg| arg.token.is_empty()).count();
        while at < args.len() && !args.is(at, MAXTIME) {
            let word = self.args.iter().find(|arg| args.is(at, arg.token))?;
            at += if matches!(word.kind, ArgKind::PureToken) { 1 } else { 2 };
        }
        args.get(at + 1).and_then(|_| args.unsigned(at + 1).ok()).filter(|ms| *ms > 0)
    }
}

/// A heading of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// DOC.*
    Document,
    /// IDX.*
    Index,
    /// KEY.*
    Key,
    /// HELLO, AUTH, CLIENT, ..
    Connection,
    /// DEL, EXPIRE, SCAN, ..
    Generic,
    /// GET, SET, ..
    String,
    /// JSON.*
    Json,
    /// SUBSCRIBE, PUBLISH, ..
    PubSub,
    /// MULTI, EXEC, ..
    Transactions,
    /// EVAL, ..
    Scripting,
    /// CLUSTER, READONLY, ..
    Cluster,
    /// CONFIG, INFO, COMMAND, ..
    Server,
}

impl Group {
    /// All, in the order of the reference.
    pub const ALL: [Group; 12] = [
        Group::Document,
        Group::Index,
        Group::Key,
        Group::Generic,
        Group::String,
        Group::Json,
        Group::PubSub,
        Group::Transactions,
        Group::Scripting,
        Group::Connection,
        Group::Server,
        Group::Cluster,
    ];

    /// The word COMMAND DOCS says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Group::Document => "document",
            Group::Index => "index",
            Group::Key => "key",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::String => "string",
            Group::Json => "json",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
            Group::Server => "server",
        }
    }
}

/// One argument, or a group of arguments.
#[derive(Debug)]
pub struct Arg {
    /// What stands in for it in the syntax.
    pub name: &'static str,
    /// Its kind.
    pub kind: ArgKind,
    /// The word before it (`LIMIT n`), upper case; empty when there is none.
    pub token: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Of a `OneOf` or `Block`: its parts.
    pub parts: &'static [Arg],
}

impl Arg {
    /// A required argument of this kind.
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, token: "", optional: false, multiple: false, parts: &[] }
    }
    /// A collection's name.
    pub const fn collection() -> Arg {
        Arg::new("coll", ArgKind::Key)
    }
    /// A key.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key)
    }
    /// JSON text.
    pub const fn json(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }
    /// Any text.
    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }
    /// An integer.
    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }
    /// A keyword that stands for itself.
    pub const fn word(token: &'static str) -> Arg {
        Arg { name: token, kind: ArgKind::PureToken, token, optional: true, multiple: false, parts: &[] }
    }
    /// One of several.
    pub const fn one_of(name: &'static str, parts: &'static [Arg]) -> Arg {
        Arg { name, kind: ArgKind::OneOf, token: "", optional: false, multiple: false, parts }
    }
    /// Several in a row.
    pub const fn block(name: &'static str, parts: &'static [Arg]) -> Arg {
        Arg { name, kind: ArgKind::Block, token: "", optional: false, multiple: false, parts }
    }
    /// The same, introduced by a keyword.
    pub const fn after(mut self, token: &'static str) -> Arg {
        self.token = token;
        self
    }
    /// The same, optional.
    pub const fn optional(mut self) -> Arg {
        self.optional = true;
        self
    }
    /// The same, required (a keyword is optional from the start).
    pub const fn required(mut self) -> Arg {
        self.optional = false;
        self
    }
    /// The same, repeatable.
    pub const fn multiple(mut self) -> Arg {
        self.multiple = true;
        self
    }
}

/// Redis's argument types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// A key: here a collection's name.
    Key,
    /// Text or JSON.
    String,
    /// An integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A glob.
    Pattern,
    /// A unix time.
    UnixTime,
    /// A keyword.
    PureToken,
    /// One of the parts.
    OneOf,
    /// All of the parts.
    Block,
}

impl ArgKind {
    /// The word COMMAND DOCS says.
    pub const fn as_str(self) -> &'static str {
        match self {
            ArgKind::Key => "key",
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

/// Where keys stand among the arguments, the command's name being argument 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// The first key; 0 when there is none.
    pub first: i32,
    /// The last key; negative counts from the end.
    pub last: i32,
    /// Every how many arguments.
    pub step: i32,
}

impl Keys {
    /// No key.
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0 };
    /// One key, right after the name.
    pub const FIRST: Keys = Keys { first: 1, last: 1, step: 1 };
    /// Two keys after the name.
    pub const FIRST_TWO: Keys = Keys { first: 1, last: 2, step: 1 };
}

/// Collections that an argument names somewhere inside, and whether they are written.
pub type NamedWithin = fn(&Args, &Limits) -> Vec<(String, bool)>;

/// Which arguments are channels that are published on, or listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// None, or only ones that are not listened to any more.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

/// What a command does, by what it needs.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Reads documents at one consistent moment.
    Read(fn(&Args, &ReadContext<'_>) -> Result<Reply, CommandError>),
    /// Parses its arguments off the committer's thread; what comes back is carried out by the committer.
    Write(fn(&Args, &WriteContext<'_>) -> Result<Prepared, CommandError>),
    /// One or the other, depending on its arguments.
    Mixed {
        /// Whether these arguments ask for a write.
        writes: fn(&Args, &Limits) -> bool,
        /// The command that a user must have the right to as well where they do.
        also: &'static str,
        /// What it does where they do not.
        read: fn(&Args, &ReadContext<'_>) -> Result<Reply, CommandError>,
        /// What it does where they do.
        write: fn(&Args, &WriteContext<'_>) -> Result<Prepared, CommandError>,
    },
    /// Looks at or changes the connection or the server, through [`crate::context::Session`].
    Session(fn(&Args, &mut dyn crate::context::Session) -> Result<Reply, CommandError>),
    /// Carries out what a transaction has queued.
    Exec,
    /// Only holds subcommands.
    Container,
}

impl Run {
    /// What it is for these arguments: never [`Run::Mixed`].
    #[must_use]
    pub fn with(self, args: &Args, limits: &Limits) -> Run {
        match self {
            Run::Mixed { writes, read, write, .. } => {
                if writes(args, limits) {
                    Run::Write(write)
                } else {
                    Run::Read(read)
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_time_of_a_query_is_found_where_it_stands() {
        let find = &crate::doc::find::SPEC;
        let cases: &[(&[&str], Option<u64>)] = &[
            (&["c", "{}", "MAXTIME", "5"], Some(5)),
            (&["c", "{}", "WITHVER", "limit", "3", "maxtime", "70"], Some(70)),
            (&["MAXTIME", "{}", "HINT", "MAXTIME", "MAXTIME", "6"], Some(6)),
            (&["MAXTIME", "7", "HINT", "MAXTIME"], None),
            (&["c", "{}", "MAXTIME", "0"], None),
            (&["c", "{}", "MAXTIME", "x"], None),
            (&["c", "{}", "MAXTIME"], None),
            (&["c", "{}", "WHAT", "MAXTIME", "7"], None),
            (&["c"], None),
        ];
        for (words, expected) in cases {
            let words = std::iter::once("DOC.FIND").chain(words.iter().copied());
            let args = Args::new(words.map(|word| Bytes::copy_from_slice(word.as_bytes())).collect());
            assert_eq!(find.asked_time_ms(&args), *expected, "{args:?}");
        }
    }
}
