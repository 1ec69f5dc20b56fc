//! What connection and server commands may ask of the connection they came over and of the server.
//!
//! Owns the [`Session`] trait and the plain values it speaks in. The server implements it; nothing here knows a
//! socket, a lock or the clock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::access::{Accounts, User};
use crate::args::Args;
use crate::changes::Changes;
use crate::context::Limits;
use crate::error::CommandError;
use crate::figures::{Latencies, LatencyEvent, Memory, SlowCommand};
use crate::replication::{FailoverRequest, FollowRequest, Order, ReplicaInfo, Role};
use crate::reply::Reply;

/// The version of Redis whose behaviour the commands follow; what clients branch on.
pub const REDIS_VERSION: &str = "7.4.0";

/// The connection and the server as a session command sees them.
pub trait Session {
    /// This connection.
    fn client(&self) -> ClientInfo;
    /// Every connection, by ascending id.
    fn clients(&self) -> Vec<ClientInfo>;
    /// Closes a connection (its own only after the reply). False when there is none of this id.
    fn kill_client(&mut self, id: u64) -> bool;
    /// Speaks RESP2 or RESP3 from the next reply on.
    fn set_protocol(&mut self, version: u8);
    /// Selects a database; the command has checked it against the setting `databases`.
    fn select(&mut self, db: u8);
    /// How many databases there are.
    fn databases(&self) -> u8;
    /// Names the connection; empty takes the name away.
    fn set_name(&mut self, name: &[u8]);
    /// What the client library says of itself.
    fn set_library(&mut self, field: LibraryField, value: &[u8]);
    /// Of which trace the next command's span is: `traceparent` and `tracestate` of W3C's Trace Context. False: it names none.
    fn set_trace_parent(&mut self, parent: &[u8], state: Option<&[u8]>) -> bool;
    /// CLIENT NO-EVICT.
    fn set_no_evict(&mut self, on: bool);
    /// CLIENT NO-TOUCH.
    fn set_no_touch(&mut self, on: bool);
    /// CLIENT REPLY.
    fn set_reply_mode(&mut self, mode: ReplyMode);
    /// Whether this connection may run commands.
    fn is_authenticated(&self) -> bool;
    /// The user that this connection is.
    fn user(&self) -> Arc<User>;
    /// All users and roles, as they are now.
    fn accounts(&self) -> Arc<Accounts>;
    /// The number of the token that this connection got in with, if it was one.
    fn token(&self) -> Option<Bytes>;
    /// All tokens that are known and have not expired, by when they were issued.
    fn tokens(&self) -> Vec<TokenInfo>;
    /// Has the command be answered by what this comes to, whatever it returns.
    fn later(&mut self, work: Later);
    /// The language's bounds.
    fn limits(&self) -> Limits;
    /// Whether users come from a file, and not from the store.
    fn has_acl_file(&self) -> bool;
    /// The last requests and passwords that were refused, at most so many, the latest first.
    fn denials(&self, most: usize) -> Vec<DenialEntry>;
    /// Forgets them.
    fn forget_denials(&mut self);
    /// From now on the connection gets what is published there. Answers how many subscriptions it has: of channels and patterns
    /// together, or of shard channels. Refused over `max-subscriptions-per-client`.
    fn subscribe(&mut self, kind: Subscription, name: &Bytes) -> Result<usize, CommandError>;
    /// From now on it does not. Answers as [`Session::subscribe`] does.
    fn unsubscribe(&mut self, kind: Subscription, name: &Bytes) -> usize;
    /// What it subscribed to, and how many that are as [`Session::subscribe`] counts.
    fn subscriptions(&self, kind: Subscription) -> (Vec<Bytes>, usize);
    /// Hands a message to everyone who listens, of a channel or a shard channel; how many deliveries that are.
    fn publish(&mut self, shard: bool, channel: &[u8], message: &[u8]) -> usize;
    /// The channels or shard channels that somebody listens to, of those that match the glob.
    fn channels(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Bytes>;
    /// How many listen to a channel or shard channel.
    fn receivers(&self, shard: bool, channel: &[u8]) -> usize;
    /// How many different patterns somebody listens to.
    fn patterns(&self) -> usize;
    /// Begins a transaction; false where there is one.
    fn begin(&mut self) -> bool;
    /// Ends a transaction without carrying it out; false where there is none.
    fn discard(&mut self) -> bool;
    /// Has the next transaction depend on these names not being changed; refused inside one and over
    /// `max-watched-per-client`.
    fn watch(&mut self, names: &[Bytes]) -> Result<(), CommandError>;
    /// Lets it depend on nothing.
    fn unwatch(&mut self);
    /// RESET: the state of a new connection.
    fn reset(&mut self);
    /// Closes the connection once what was replied is sent.
    fn close(&mut self);
    /// The time since 1970.
    fn unix_time(&self) -> Duration;
    /// Settings whose name matches the glob, with their values.
    fn config_get(&self, pattern: &[u8]) -> Vec<(String, String)>;
    /// Changes all of these settings or none.
    fn config_set(&mut self, changes: &[(Bytes, Bytes)]) -> Result<(), CommandError>;
    /// Writes the settings back to the configuration file.
    fn config_rewrite(&mut self) -> Result<(), CommandError>;
    /// The last unit of the log, and when the last checkpoint was written, seconds since 1970.
    fn position(&self) -> (u64, u64);
    /// Starts the counters of INFO again.
    fn reset_statistics(&mut self);
    /// The measured fields of one section of INFO.
    fn info(&self, section: InfoSection) -> Vec<(String, String)>;
    /// Begins to stop the server. The connection is closed without a reply.
    fn shutdown(&mut self, mode: Shutdown);
    /// Whether the command is carried out by EXEC, where nothing may wait.
    fn is_in_exec(&self) -> bool;
    /// Has the connection hear of every command from now on.
    fn monitor(&mut self);
    /// Has the answer wait: it is then what the wait's end makes it, whatever the command returns.
    fn wait(&mut self, wait: Wait);
    /// Has the answer be what changed, once it is read; in a transaction it does not wait for changes.
    fn changes(&mut self, changes: Box<Changes>);
    /// Ends what a connection waits for; false where it waits for nothing that can be ended so.
    fn unblock(&mut self, id: u64, how: Unblock) -> bool;
    /// Holds back what connections ask for, so long.
    fn pause(&mut self, what: Paused, time: Duration);
    /// Ends that.
    fn unpause(&mut self);
    /// The last commands that took long, at most so many, the latest first.
    fn slow_commands(&self, most: usize) -> Vec<SlowCommand>;
    /// How many there are.
    fn slow_commands_len(&self) -> usize;
    /// Forgets them.
    fn forget_slow_commands(&mut self);
    /// What took longer than `latency-monitor-threshold`, by the name of the event.
    fn latency_events(&self) -> Vec<LatencyEvent>;
    /// Forgets an event, or all; how many that are.
    fn forget_latency_events(&mut self, event: Option<&[u8]>) -> usize;
    /// How long the calls of a command took, by its place in the table; none where it was not called.
    fn latencies(&self, index: usize) -> Option<Latencies>;
    /// What memory is used for.
    fn memory(&self) -> Memory;
    /// Gives back memory that the allocator holds and nobody uses.
    fn purge_memory(&mut self);
    /// What the server is among those that replicate.
    fn role(&self) -> Role;
    /// Who follows it, a replica's own replicas too.
    fn replicas(&self) -> Vec<ReplicaInfo>;
    /// Follows the server there from now on, over data of another history where `force` says so; false where it does already.
    fn follow(&mut self, host: &str, port: u16, force: bool) -> Result<bool, CommandError>;
    /// Follows nobody from now on.
    fn follow_nobody(&mut self) -> Result<(), CommandError>;
    /// Hands the connection over to the stream for a replica, once it was answered.
    fn feed(&mut self, request: FollowRequest) -> Result<(), CommandError>;
    /// Gives a replica, or all, an order; how many that are.
    fn order(&mut self, id: Option<u64>, order: Order) -> usize;
    /// Asks the server there to follow this one.
    fn recruit(&mut self, host: &str, port: u16) -> Result<(), CommandError>;
    /// A hash of all that a replica has as its primary has, of the same unit. Reads everything.
    fn digest(&mut self) -> Result<String, CommandError>;
    /// Begins to hand over to a replica.
    fn failover(&mut self, request: FailoverRequest) -> Result<(), CommandError>;
    /// Gives that up.
    fn abort_failover(&mut self) -> Result<(), CommandError>;
}

/// What takes too long for a connection's task.
#[derive(Debug)]
pub enum Later {
    /// Whether a password is right; then the connection is this user, and goes on with what the command does after that.
    Authenticate {
        /// The name.
        user: Bytes,
        /// The password.
        password: Bytes,
        /// What makes the answer.
        then: fn(&Args, &mut dyn Session) -> Result<Reply, CommandError>,
    },
    /// A change of users or roles.
    Change(AccountChange),
}

/// A change of users or roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// ACL SETUSER: OK.
    SetUser(Bytes, Vec<Bytes>),
    /// ACL DELUSER: how many there were.
    RemoveUsers(Vec<Bytes>),
    /// ACL SETROLE: OK.
    SetRole(Bytes, Vec<Bytes>),
    /// ACL DELROLE: how many there were.
    RemoveRoles(Vec<Bytes>),
    /// ACL LOAD: OK.
    Load,
    /// ACL SAVE: OK.
    Save,
    /// TOKEN.ISSUE: the token.
    IssueToken(TokenRequest),
    /// TOKEN.REVOKE of one token, by its number: 1, or 0 where there is none to revoke.
    RevokeToken(Bytes),
    /// TOKEN.REVOKE of all tokens of a user: how many.
    RevokeTokensOf(Bytes),
    /// TOKEN.ROTATE: the number of the new key.
    RotateTokens {
        /// What was signed with the keys before is not good any more.
        now: bool,
    },
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Whose it is.
    pub user: Bytes,
    /// How long it is good, seconds; none is the usual time.
    pub lifetime_s: Option<u64>,
    /// What it says beside what the server itself does.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// What TOKEN.LIST shows of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its number.
    pub jti: Bytes,
    /// Whose it is; empty of one that another issuer gave.
    pub user: Bytes,
    /// The number of the key that it was signed with; empty of one that another issuer gave.
    pub key: String,
    /// When it was issued, milliseconds since 1970; of one that another issuer gave, when it was revoked.
    pub issued_ms: u64,
    /// When it is not good any more.
    pub expires_ms: u64,
    /// When it was revoked, if it was.
    pub revoked_ms: Option<u64>,
}

/// What ACL LOG shows of one thing that was refused, once or several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialEntry {
    /// How often.
    pub count: u64,
    /// `command`, `key`, `channel` or `auth`.
    pub reason: &'static str,
    /// `toplevel` or `multi`.
    pub context: &'static str,
    /// The command's name, the key, or the channel.
    pub object: Bytes,
    /// Who asked, or wanted to get in.
    pub user: Bytes,
    /// CLIENT INFO of the connection that asked last.
    pub client: String,
    /// Unique while the server runs, ascending.
    pub id: u64,
    /// When it was refused first, milliseconds since 1970.
    pub created_ms: u64,
    /// When it was refused last.
    pub updated_ms: u64,
}

/// What an answer waits for: all that is asked here, but no longer than its time.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// That what was written before is on disk.
    pub durable: bool,
    /// That so many replicas have it on disk.
    pub replicas: u64,
    /// Whether replicas are asked at all.
    pub of_replicas: bool,
    /// How long at most; none is without an end.
    pub time: Option<Duration>,
    /// Whether CLIENT UNBLOCK may end it.
    pub unblockable: bool,
    /// The answer.
    pub answer: fn(Waited) -> Reply,
}

/// How far it was when a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// What was written before is on disk.
    pub durable: bool,
    /// So many replicas have it.
    pub replicas: u64,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were up.
    Timeout,
    /// With an error.
    Error,
}

/// What CLIENT PAUSE holds back. The later is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Commands that may write or publish.
    Writes,
    /// All commands.
    All,
}

/// One connection, as CLIENT LIST shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Unique while the server runs, ascending.
    pub id: u64,
    /// The peer's address and port.
    pub addr: String,
    /// The address and port it connected to.
    pub laddr: String,
    /// The socket's file descriptor.
    pub fd: i32,
    /// CLIENT SETNAME; empty when there is none.
    pub name: String,
    /// Seconds since it connected.
    pub age_s: u64,
    /// Seconds since its last request.
    pub idle_s: u64,
    /// CLIENT NO-EVICT is on.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH is on.
    pub no_touch: bool,
    /// The selected database.
    pub db: u8,
    /// Bytes received that are not yet run.
    pub query_buffer: usize,
    /// Bytes allocated beside them.
    pub query_buffer_free: usize,
    /// Bytes of the arguments of the request that is running.
    pub argument_memory: usize,
    /// Bytes allocated for replies.
    pub reply_buffer: usize,
    /// The most that stood there at once.
    pub reply_buffer_peak: usize,
    /// Bytes of replies that are not yet sent.
    pub output_length: usize,
    /// The last command's full lower-case name; empty before the first.
    pub command: String,
    /// The user it authenticated as.
    pub user: String,
    /// 2 or 3.
    pub protocol: u8,
    /// Bytes of messages that wait for it.
    pub message_memory: usize,
    /// Pieces that they wait in.
    pub messages: usize,
    /// How many commands are queued; none outside a transaction.
    pub queued: Option<usize>,
    /// Bytes of their arguments.
    pub queued_memory: usize,
    /// How many names are watched.
    pub watched: usize,
    /// Channels that it listens to.
    pub channels: usize,
    /// Patterns.
    pub patterns: usize,
    /// Shard channels.
    pub shard_channels: usize,
    /// It hears of every command.
    pub monitors: bool,
    /// It is a replica's.
    pub replica: bool,
    /// Its answer waits.
    pub blocked: bool,
    /// CLIENT SETINFO LIB-NAME.
    pub library_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: String,
}

impl ClientInfo {
    /// Whether it is of the kind `pubsub`, and not `normal`.
    pub fn is_subscriber(&self) -> bool {
        self.channels + self.patterns + self.shard_channels > 0
    }
}

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
}

/// A field of CLIENT SETINFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryField {
    /// LIB-NAME
    Name,
    /// LIB-VER
    Version,
}

/// What a connection is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every reply.
    On,
    /// None.
    Off,
    /// None to CLIENT REPLY SKIP itself and to the command after it.
    Skip,
}

/// How SHUTDOWN was asked for. Every acknowledged write is in the log, so SAVE and NOSAVE do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Requests that are running are answered first, within `shutdown-timeout`.
    Drain,
    /// Nothing is waited for beyond the committed groups.
    Now,
}

/// A section of INFO, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum InfoSection {
    Server,
    Clients,
    Memory,
    Persistence,
    Stats,
    Replication,
    Cpu,
    Modules,
    Commandstats,
    Errorstats,
    Latencystats,
    Cluster,
    Keyspace,
    Encryption,
}

impl InfoSection {
    /// All, in order.
    pub const ALL: [InfoSection; 14] = [
        InfoSection::Server,
        InfoSection::Clients,
        InfoSection::Memory,
        InfoSection::Persistence,
        InfoSection::Stats,
        InfoSection::Replication,
        InfoSection::Cpu,
        InfoSection::Modules,
        InfoSection::Commandstats,
        InfoSection::Errorstats,
        InfoSection::Latencystats,
        InfoSection::Cluster,
        InfoSection::Keyspace,
        InfoSection::Encryption,
    ];

    /// The heading; INFO takes it in any case.
    pub const fn title(self) -> &'static str {
        match self {
            InfoSection::Server => "Server",
            InfoSection::Clients => "Clients",
            InfoSection::Memory => "Memory",
            InfoSection::Persistence => "Persistence",
            InfoSection::Stats => "Stats",
            InfoSection::Replication => "Replication",
            InfoSection::Cpu => "CPU",
            InfoSection::Modules => "Modules",
            InfoSection::Commandstats => "Commandstats",
            InfoSection::Errorstats => "Errorstats",
            InfoSection::Latencystats => "Latencystats",
            InfoSection::Cluster => "Cluster",
            InfoSection::Keyspace => "Keyspace",
            InfoSection::Encryption => "Encryption",
        }
    }

    /// Whether plain INFO shows it; the others want ALL or their name, as in Redis.
    pub const fn is_default(self) -> bool {
        !matches!(self, InfoSection::Commandstats | InfoSection::Latencystats)
    }
}
