//! The thread that changes users and roles, one change after the other.
//!
//! A change is worked out on what is there, kept, and then put in place; whoever asked is answered after that. What others have
//! changed in the store, as a primary does through its log, is read anew.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use veddb_commands::session::AccountChange;
use veddb_commands::{CommandError, Reply};
use veddb_storage::Store;

use super::{file, keep, with_configuration};
use crate::execute::commit;
use crate::server::Server;

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
pub(crate) fn attach(server: &Server, store: &Store) {
    watch(server, store);
    if !server.acl.has_file() {
        read_anew(server, store);
    }
}

fn watch(server: &Server, store: &Store) {
    let changes = server.acl.changes.clone();
    store.watch_own(
        &[keep::USERS, keep::ROLES],
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
            Message::Change { client, change, done } => {
                let outcome = make(&server, client, change, runtime);
                if outcome.is_ok() && !server.acl.has_file() {
                    seen = keep::state(&server.store());
                }
                // Nobody receives when the connection is gone; the change stands all the same.
                let _ = done.send(outcome);
            }
            Message::Kept if server.acl.has_file() || keep::state(&server.store()) == seen => {}
            Message::Kept => {
                seen = keep::state(&server.store());
                read_anew(&server, &server.store());
            }
        }
    }
}

/// Takes over what others have changed.
fn read_anew(server: &Server, store: &Store) {
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
    });
}

fn make(server: &Arc<Server>, client: u64, change: AccountChange, runtime: &Handle) -> Result<Reply, CommandError> {
    let limits = server.config.load().account_limits();
    let acl = &server.acl;
    match change {
        AccountChange::SetUser(name, rules) => loop {
            let before = acl.load();
            let user = before.changed_user(&name, &rules, &limits)?;
            keep(server, runtime, &[(keep::USERS, &name, Some(user.show()))])?;
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
                let removed: Vec<_> = names.iter().map(|name| (keep::USERS, name, None)).collect();
                keep(server, runtime, &removed)?;
                acl.put(server, Some(client), |now| Some(now.without_users(&names).0));
                tracing::info!(count = gone, client, "users removed");
            }
            Ok(Reply::count(gone))
        }
        AccountChange::SetRole(name, rules) => {
            let role = acl.load().changed_role(&name, &rules, &limits)?;
            keep(server, runtime, &[(keep::ROLES, &name, Some(role.show()))])?;
            acl.put(server, Some(client), |now| Some(now.with_role(&name, role)));
            tracing::info!(role = %String::from_utf8_lossy(&name), client, "role set");
            Ok(Reply::OK)
        }
        AccountChange::RemoveRoles(names) => {
            let (_, gone) = acl.load().without_roles(&names)?;
            let removed: Vec<_> = names.iter().map(|name| (keep::ROLES, name, None)).collect();
            keep(server, runtime, &removed)?;
            acl.put(server, Some(client), |now| now.without_roles(&names).ok().map(|(after, _)| after));
            Ok(Reply::count(gone))
        }
        AccountChange::Load => {
            let path = acl.file.as_deref().ok_or_else(no_file)?;
            let loaded = file::load(path, &limits).map_err(CommandError::err)?;
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
    }
}

fn no_file() -> CommandError {
    CommandError::err("there is no file of users")
}

/// Has these users or roles kept, all or none; where they come from a file, ACL SAVE keeps them.
fn keep(
    server: &Arc<Server>,
    runtime: &Handle,
    changes: &[(&'static str, &Bytes, Option<Vec<u8>>)],
) -> Result<(), CommandError> {
    if server.acl.has_file() {
        return Ok(());
    }
    let unit = keep::unit(changes.iter().map(|(kind, name, rules)| (*kind, (*name).clone(), rules.clone())).collect());
    let outcomes = runtime.block_on(commit(server, vec![unit]));
    outcomes.into_iter().next().unwrap_or_else(|| Err(CommandError::err("the unit had no outcome"))).map(|_| ())
}
