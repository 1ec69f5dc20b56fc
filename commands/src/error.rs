//! What a command says when it does not do what was asked.
//!
//! The code is interface: its spelling is frozen by a test. The message names the offending part and never holds a
//! secret or a document's body.

use std::borrow::Cow;
use std::fmt;

/// The first word of an error reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// Anything without a code of its own, as in Redis.
    Err,
    /// A key of another type.
    WrongType,
    /// Not authenticated.
    NoAuth,
    /// Wrong user or password.
    WrongPass,
    /// Not permitted.
    NoPerm,
    /// A write on a replica.
    ReadOnly,
    /// Still starting.
    Loading,
    /// Something that excludes this is running.
    Busy,
    /// The transaction was refused at queue time.
    ExecAbort,
    /// Out of memory budget.
    Oom,
    /// Too few replicas.
    NoReplicas,
    /// Unknown protocol version.
    NoProto,
    /// The primary is down.
    MasterDown,
    /// Writes are refused because the log cannot be written.
    Misconf,
    /// Protected mode.
    Denied,
    /// No script of this hash.
    NoScript,
    /// No script is running.
    NotBusy,
    /// What a command waited for was ended by CLIENT UNBLOCK.
    Unblocked,
    /// Not a JSON object, or a bad `_id`.
    BadDoc,
    /// A filter that cannot be.
    BadFilter,
    /// An update that cannot be.
    BadUpdate,
    /// A pipeline that cannot be.
    BadPipeline,
    /// A JSONPath that cannot be.
    BadPath,
    /// A unique key is taken.
    DupKey,
    /// The version is another one.
    Conflict,
    /// Over a limit.
    TooBig,
    /// The deadline passed.
    Timeout,
    /// No such index, or not one that can answer.
    NoIndex,
    /// No such cursor.
    NoCursor,
    /// The log was trimmed past this point.
    HistoryLost,
    /// Over a rate limit.
    RateLimit,
    /// The disk is full.
    NoSpace,
    /// The document does not fit the collection's schema.
    Schema,
}

impl ErrorCode {
    /// Every code, in the order of the reference.
    pub const ALL: &[ErrorCode] = &[
        ErrorCode::Err,
        ErrorCode::WrongType,
        ErrorCode::NoAuth,
        ErrorCode::WrongPass,
        ErrorCode::NoPerm,
        ErrorCode::ReadOnly,
        ErrorCode::Loading,
        ErrorCode::Busy,
        ErrorCode::ExecAbort,
        ErrorCode::Oom,
        ErrorCode::NoReplicas,
        ErrorCode::NoProto,
        ErrorCode::MasterDown,
        ErrorCode::Misconf,
        ErrorCode::Denied,
        ErrorCode::NoScript,
        ErrorCode::NotBusy,
        ErrorCode::Unblocked,
        ErrorCode::BadDoc,
        ErrorCode::BadFilter,
        ErrorCode::BadUpdate,
        ErrorCode::BadPipeline,
        ErrorCode::BadPath,
        ErrorCode::DupKey,
        ErrorCode::Conflict,
        ErrorCode::TooBig,
        ErrorCode::Timeout,
        ErrorCode::NoIndex,
        ErrorCode::NoCursor,
        ErrorCode::HistoryLost,
        ErrorCode::RateLimit,
        ErrorCode::NoSpace,
        ErrorCode::Schema,
    ];

    /// How the code is spelled on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Err => "ERR",
            ErrorCode::WrongType => "WRONGTYPE",
            ErrorCode::NoAuth => "NOAUTH",
            ErrorCode::WrongPass => "WRONGPASS",
            ErrorCode::NoPerm => "NOPERM",
            ErrorCode::ReadOnly => "READONLY",
            ErrorCode::Loading => "LOADING",
            ErrorCode::Busy => "BUSY",
            ErrorCode::ExecAbort => "EXECABORT",
            ErrorCode::Oom => "OOM",
            ErrorCode::NoReplicas => "NOREPLICAS",
            ErrorCode::NoProto => "NOPROTO",
            ErrorCode::MasterDown => "MASTERDOWN",
            ErrorCode::Misconf => "MISCONF",
            ErrorCode::Denied => "DENIED",
            ErrorCode::NoScript => "NOSCRIPT",
            ErrorCode::NotBusy => "NOTBUSY",
            ErrorCode::Unblocked => "UNBLOCKED",
            ErrorCode::BadDoc => "BADDOC",
            ErrorCode::BadFilter => "BADFILTER",
            ErrorCode::BadUpdate => "BADUPDATE",
            ErrorCode::BadPipeline => "BADPIPELINE",
            ErrorCode::BadPath => "BADPATH",
            ErrorCode::DupKey => "DUPKEY",
            ErrorCode::Conflict => "CONFLICT",
            ErrorCode::TooBig => "TOOBIG",
            ErrorCode::Timeout => "TIMEOUT",
            ErrorCode::NoIndex => "NOINDEX",
            ErrorCode::NoCursor => "NOCURSOR",
            ErrorCode::HistoryLost => "HISTORYLOST",
            ErrorCode::RateLimit => "RATELIMIT",
            ErrorCode::NoSpace => "NOSPACE",
            ErrorCode::Schema => "SCHEMA",
        }
    }
}

/// An error reply: a code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The stable first word.
    pub code: ErrorCode,
    /// The rest of the line, without CR or LF.
    pub message: Cow<'static, str>,
}

impl CommandError {
    /// An error with this code; line breaks in the message become spaces, since an error is one line on the wire.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> CommandError {
        let mut message = message.into();
        if message.contains(['\r', '\n']) {
            message = Cow::Owned(message.replace(['\r', '\n'], " "));
        }
        CommandError { code, message }
    }

    /// `ERR message`.
    pub fn err(message: impl Into<Cow<'static, str>>) -> CommandError {
        CommandError::new(ErrorCode::Err, message)
    }

    /// A query that passed its MAXTIME.
    pub fn max_time(limit_ms: u64) -> CommandError {
        CommandError::new(ErrorCode::Timeout, format!("the query passed its {limit_ms} ms"))
    }

    /// Redis's `ERR syntax error`.
    pub fn syntax() -> CommandError {
        CommandError::err("syntax error")
    }

    /// Redis's answer to a wrong number of arguments; `name` is the full lower-case name (`client|kill`).
    pub fn arity(name: &str) -> CommandError {
        CommandError::err(format!("wrong number of arguments for '{name}' command"))
    }

    /// Redis's answer to an argument that is no integer.
    pub fn not_an_integer() -> CommandError {
        CommandError::err("value is not an integer or out of range")
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for CommandError {}

/// The one map from what storage says to the wire. Exhaustive on purpose: a new storage error has to be placed here.
impl From<veddb_storage::Error> for CommandError {
    fn from(error: veddb_storage::Error) -> CommandError {
        use veddb_storage::Error as E;
        let code = match &error {
            E::DuplicateKey { .. } => ErrorCode::DupKey,
            E::VersionConflict { .. } => ErrorCode::Conflict,
            E::BadDocument(_) => ErrorCode::BadDoc,
            E::Schema { .. } => ErrorCode::Schema,
            E::TooBig(_) => ErrorCode::TooBig,
            E::Busy(_) => ErrorCode::Busy,
            E::NoSpace => ErrorCode::NoSpace,
            E::ReadOnly => ErrorCode::ReadOnly,
            E::LogFailed(_) => ErrorCode::Misconf,
            E::CollectionExists(_) | E::NoSuchCollection(_) | E::BadCollectionName(_) | E::BadIndex(_) => {
                ErrorCode::Err
            }
            E::OutOfStep { .. }
            | E::OffLine { .. }
            | E::ShuttingDown
            | E::Refused(_)
            | E::Damaged { .. }
            | E::Io { .. }
            | E::Engine(_)
            | E::Sealing(_) => ErrorCode::Err,
        };
        CommandError::new(code, error.to_string())
    }
}
