//! The thread that changes users, roles and tokens, one change after the other.
//!
//! A change is worked out on what is there, kept, and then put in place; whoever asked is answered after that. What others have
//! changed in the store, as a primary does through its log, is read anew.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use veddb_commands::access::user::DEFAULT;
use veddb_commands::session::AccountChange;
use veddb_commands::{CommandError, ErrorCode, Reply};
use veddb_storage::Store;
use zeroize::Zeroizing;

use super::keep::Kept;
use super::{file, keep, with_configuration};
use crate::execute::{commit, now_ms};
use crate::server::Server;
use crate::telemetry::{self, RequestId};
use crate::token;
use crate::traces::stages::Stages;

/// Changes that may wait; who asks for more waits without having asked.
pub(super) const CHANGES_MAX: usize = 64;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Somebody wants a change.
    Change {
        /// The connection, which ends itself where the change wants it.
        client: u64,
        change: AccountChange,
        done: oneshot::Sender<Result<Reply, CommandError>>,
        /// What the log calls the request.
        request: Option<RequestId>,
    },
    /// What is kept may have changed.
    Kept,
}

/// Makes changes from now on, until the server is gone.
///
/// # Errors
/// When there can be no thread for it.
pub fn start(server: &Arc<Server>) -> std::io::Result<()> {
    let Some(receiver) = server.acl.receiver.lock().take() else { return Ok(()) };
    let (weak, runtime) = (Arc::downgrade(server), Handle::current());
    let seen = keep::state(&server.store());
    std::thread::Builder::new().name("veddb-acl".to_owned()).spawn(move || run(&weak, receiver, &runtime, seen))?;
    watch(server, &server.store());
    Ok(())
}

/// Users and roles of a store that takes the place of another one are those from now on.
pub(crate) fn attach(server: &Server, store: &Arc<Store>) {
    watch(server, store);
    if !server.acl.has_file() {
        read_anew(server, store);
    }
    server.acl.tokens.read_anew(server, store);
}

fn watch(server: &Server, store: &Store) {
    let changes = server.acl.changes.clone();
    store.watch_own(
        &[keep::USERS, keep::ROLES, keep::TOKENS, keep::SIGNING_KEYS],
        Box::new(move || {
            // Where the queue is full the thread looks at what is kept before long.
            let _ = changes.try_send(Message::Kept);
        }),
    );
}

fn run(server: &Weak<Server>, mut receiver: mpsc::Receiver<Message>, runtime: &Handle, mut seen: keep::State) {
    while let Some(message) = receiver.blocking_recv() {
        let Some(server) = server.upgrade() else { return };
        match message {
            Message::Change { client, change, done, request } => {
                // What others changed before is not to be passed over with what this changes.
                catch_up(&server, &mut seen);
                let outcome = telemetry::within(request, || make(&server, client, change, runtime));
                // On a replica its primary changes them at the same time: all of that is to be read.
                if outcome.is_ok() && !server.replication.is_replica() {
                    seen = keep::state(&server.store());
                }
                // Nobody receives when the connection is gone; the change stands all the same.
                let _ = done.send(outcome);
            }
            Message::Kept => catch_up(&server, &mut seen),
        }
    }
}

/// Reads anew what others have changed since. What cannot be read is tried again with the next change.
fn catch_up(server: &Server, seen: &mut keep::State) {
    let store = server.store();
    let now = keep::state(&store);
    if now.accounts == seen.accounts || server.acl.has_file() || read_anew(server, &store) {
        seen.accounts = now.accounts;
    }
    if now.tokens == seen.tokens || server.acl.tokens.read_anew(server, &store) {
        seen.tokens = now.tokens;
    }
}

/// Takes over what others have changed; false where it could not be read.
fn read_anew(server: &Server, store: &Store) -> bool {
    let settings = server.config.load();
    server.acl.put(server, None, |before| {
        let kept = keep::load(store, before, &settings.account_limits()).map_err(|error| error.to_string());
        // A password that only this server asks for stays asked for.
        match kept.and_then(|kept| with_configuration(kept, &settings)) {
        Ok(after) => Some(file::unchanged_kept(after, before)),
        Err(error) => {
            tracing::error!(%error, "users and roles could not be read; those that were read before go on to be used");
            None
        }
        }
    })
}

fn make(server: &Arc<Server>, client: u64, change: AccountChange, runtime: &Handle) -> Result<Reply, CommandError> {
    let limits = server.config.load().account_limits();
    let acl = &server.acl;
    match change {
        AccountChange::SetUser(name, rules) => loop {
            let before = acl.load();
            let user = before.changed_user(&name, &rules, &limits)?;
            if before.get(&name).is_none() {
                // One of that name may have gone by a line of a file that was taken out.
                revoke_all_of(server, client, std::slice::from_ref(&name), false, runtime)?;
            }
            keep(server, runtime, vec![kept(keep::USERS, &name, Some(user.show()))])?;
            let old = before.get(&name).map(|user| user.version());
            // Hashing and keeping took their time, in which a setting may have changed the default user's password.
            let put = acl.put(server, Some(client), |now| {
                (now.get(&name).map(|user| user.version()) == old).then(|| now.with_user(user))
            });
            if put {
                tracing::info!(user = %String::from_utf8_lossy(&name), client, "user set");
                return Ok(Reply::OK);
            }
        },
        AccountChange::RemoveUsers(names) => {
            let (_, gone) = acl.load().without_users(&names);
            if gone > 0 {
                // A user of the same name that comes later is another one.
                let accounts = acl.load();
                let is_gone = |name: &&Bytes| &name[..] != DEFAULT && accounts.get(name).is_some();
                let removed: Vec<Bytes> = names.iter().filter(is_gone).cloned().collect();
                revoke_all_of(server, client, &removed, true, runtime)?;
                keep(server, runtime, names.iter().map(|name| kept(keep::USERS, name, None)).collect())?;
                acl.put(server, Some(client), |now| Some(now.without_users(&names).0));
                tracing::info!(count = gone, client, "users removed");
            }
            Ok(Reply::count(gone))
        }
        AccountChange::SetRole(name, rules) => {
            let role = acl.load().changed_role(&name, &rules, &limits)?;
            keep(server, runtime, vec![kept(keep::ROLES, &name, Some(role.show()))])?;
            acl.put(server, Some(client), |now| Some(now.with_role(&name, role)));
            tracing::info!(role = %String::from_utf8_lossy(&name), client, "role set");
            Ok(Reply::OK)
        }
        AccountChange::RemoveRoles(names) => {
            let (_, gone) = acl.load().without_roles(&names)?;
            keep(server, runtime, names.iter().map(|name| kept(keep::ROLES, name, None)).collect())?;
            acl.put(server, Some(client), |now| now.without_roles(&names).ok().map(|(after, _)| after));
            Ok(Reply::count(gone))
        }
        AccountChange::Load => {
            let path = acl.file.as_deref().ok_or_else(no_file)?;
            let loaded = file::load(path, &limits).map_err(CommandError::err)?;
            let before = acl.load();
            let gone = before.users().map(|user| user.name()).filter(|name| loaded.get(name).is_none());
            let gone: Vec<Bytes> = gone.cloned().collect();
            revoke_all_of(server, client, &gone, true, runtime)?;
            acl.put(server, Some(client), |now| Some(file::unchanged_kept(loaded, now)));
            tracing::info!(client, "users loaded from the file of the setting aclfile");
            Ok(Reply::OK)
        }
        AccountChange::Save => {
            let path = acl.file.as_deref().ok_or_else(no_file)?;
            file::save(path, &acl.load()).map_err(|error| {
                tracing::warn!(%error, path = %path.display(), "the users could not be saved");
                CommandError::err(
                    "There was an error trying to save the ACLs. Please check the server logs for more information",
                )
            })?;
            Ok(Reply::OK)
        }
        AccountChange::IssueToken(wanted) => token::change::issue(server, wanted, runtime),
        AccountChange::RevokeToken(jti) => token::change::revoke(server, client, jti, runtime),
        AccountChange::RevokeTokensOf(user) => token::change::revoke_of(server, client, &user, runtime),
        AccountChange::RotateTokens { now } => token::change::rotate(server, client, now, runtime),
    }
}

/// Revokes the tokens of users that go, or come: whoever has the name later is another one.
fn revoke_all_of(
    server: &Arc<Server>,
    client: u64,
    users: &[Bytes],
    with_foreign: bool,
    runtime: &Handle,
) -> Result<(), CommandError> {
    let records_max = server.config.load().tokens.records_max;
    // Where users are those of a file on a replica, see below.
    let with_foreign = with_foreign && !(server.acl.has_file() && server.replication.is_replica());
    let mut users = users.to_vec();
    users.sort_unstable();
    users.dedup();
    let revoked = server.acl.tokens.revoked(&users, with_foreign, records_max, now_ms());
    match token::change::keep_all(server, client, revoked.records, runtime) {
        // On a replica whose users are those of a file the tokens are its primary's to revoke; those of users that are not there
        // are good for nothing.
        Err(error) if error.code == ErrorCode::ReadOnly && server.acl.has_file() => {
            tracing::warn!(%error, "the tokens of users that come or go were not revoked: they are the primary's");
            Ok(())
        }
        outcome => outcome.and(revoked.whole),
    }
}

fn no_file() -> CommandError {
    CommandError::err("there is no file of users")
}

fn kept(kind: &'static str, name: &Bytes, rules: Option<Vec<u8>>) -> Kept {
    Kept { kind, name: name.clone(), value: rules.map(Zeroizing::new), expires_ms: 0 }
}

/// Has these users or roles kept, all or none; where they come from a file, ACL SAVE keeps them.
fn keep(server: &Arc<Server>, runtime: &Handle, changes: Vec<Kept>) -> Result<(), CommandError> {
    if server.acl.has_file() { Ok(()) } else { commit_kept(server, runtime, changes) }
}

/// Has these be in the store, all or none.
pub(crate) fn commit_kept(server: &Arc<Server>, runtime: &Handle, changes: Vec<Kept>) -> Result<(), CommandError> {
    // They are among what a primary has its replicas write, and no server that is none changes that.
    if let Some(why) = server.replication.refuses_writes() {
        return Err(CommandError::new(ErrorCode::ReadOnly, why));
    }
    let outcomes = runtime.block_on(commit(server, vec![keep::unit(changes)], &Stages::default()));
    outcomes.into_iter().next().unwrap_or_else(|| Err(CommandError::err("the unit had no outcome"))).map(|_| ())
}
