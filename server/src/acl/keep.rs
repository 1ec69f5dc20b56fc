//! Users and roles in the store: documents of two collections of the server's own in database 0, formed as keys are.
//!
//! The key is the name, its value the rules as ACL LIST shows them. Sealed, logged and replicated as all documents are. What tokens are
//! kept as is said beside them (`token`); how anything of the kind is written is said here.

use std::sync::Arc;

use bytes::Bytes;
use veddb_commands::access::accounts::AccountLimits;
use veddb_commands::access::user::DEFAULT;
use veddb_commands::access::{Accounts, Role, User};
use veddb_commands::context::Unit;
use veddb_commands::{CommandError, Reply};
use veddb_storage::{
    CollectionId, Document, Error, KeyValue, RecordId, Store, Transaction, key_id, key_of, key_value, pack_key,
};
pub(super) use veddb_storage::{ROLES, SIGNING_KEYS, TOKENS, USERS};
use zeroize::Zeroizing;

use crate::execute::now_ms;

/// The database in which they are.
const DB: u8 = 0;

/// What is to be kept of a user, a role, a token or a signing key.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// The collection.
    pub(crate) kind: &'static str,
    /// The name, under which it is found.
    pub(crate) name: Bytes,
    /// None takes it away. Wiped, for a signing key's is a secret.
    pub(crate) value: Option<Zeroizing<Vec<u8>>>,
    /// When it goes by itself, milliseconds since 1970; 0 is never.
    pub(crate) expires_ms: u64,
}

/// Which of two collections there are, and their last changes.
type Changed = [Option<(CollectionId, u64)>; 2];

/// How far what is kept has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// Users and roles.
    pub(super) accounts: Changed,
    /// Tokens and their keys.
    pub(super) tokens: Changed,
}

/// How far it has now.
pub(super) fn state(store: &Store) -> State {
    let view = store.view(now_ms());
    let changed = |name| view.own_collection(DB, name).map(|found| (found.id(), found.changed_lsn()));
    State { accounts: [USERS, ROLES].map(changed), tokens: [TOKENS, SIGNING_KEYS].map(changed) }
}

/// All users and roles; those that are as they were `before` are the same values.
///
/// # Errors
/// When the store cannot be read. Rules that this build does not know leave out their user or role.
pub(super) fn load(store: &Store, before: &Accounts, limits: &AccountLimits) -> Result<Accounts, Error> {
    let view = store.view(now_ms());
    let all = |name: &str| -> Result<Vec<(Bytes, Vec<u8>)>, Error> {
        let Some(collection) = view.own_collection(DB, name) else { return Ok(Vec::new()) };
        let one = |next: Result<(RecordId, Arc<Document>), Error>| {
            let (_, document) = next?;
            let rules = match key_value(&document) {
                KeyValue::String(rules) => rules.to_vec(),
                KeyValue::Json(_) => Vec::new(),
            };
            Ok((Bytes::copy_from_slice(key_of(&document)), rules))
        };
        view.scan(&collection).map(one).collect()
    };
    let mut accounts = Accounts::default();
    // Bounds are for who changes rules; what is kept was within those of then.
    let limits = AccountLimits { rules: usize::MAX, ..*limits };
    let mut same_roles = true;
    for (name, rules) in all(ROLES)? {
        let same = before.roles().get(&name).is_some_and(|role| role.show() == rules);
        same_roles &= same;
        match Role::new(words(&rules).iter().map(|word| &word[..])) {
            Ok(role) => accounts = accounts.with_role(&name, role),
            Err((rule, error)) => unreadable("role", &name, &rule, &error.to_string()),
        }
    }
    same_roles &= before.roles().iter().count() == accounts.roles().iter().count();
    for (name, rules) in all(USERS)? {
        if let Some(user) = before.get(&name).filter(|user| same_roles && user.show() == rules) {
            accounts.put_user(Arc::clone(user));
            continue;
        }
        let mut all = vec![Bytes::from_static(b"reset")];
        all.extend(words(&rules));
        match accounts.changed_user(&name, &all, &limits) {
            Ok(user) => accounts.put_user(Arc::new(user)),
            Err(error) => {
                unreadable("user", &name, b"", &error.message);
                if &name[..] == DEFAULT {
                    // Not what it is where nobody says otherwise: that may do everything.
                    accounts.put_user(Arc::new(User::new(DEFAULT, false)));
                }
            }
        }
    }
    if accounts.default_user().show() == before.default_user().show() && same_roles {
        accounts.put_user(Arc::clone(before.default_user()));
    }
    Ok(accounts)
}

fn unreadable(kind: &str, name: &[u8], rule: &[u8], error: &str) {
    let (name, rule) = (String::from_utf8_lossy(name), String::from_utf8_lossy(rule));
    tracing::error!(%name, %rule, error, "a kept {kind} cannot be read, and is left out");
}

fn words(rules: &[u8]) -> Vec<Bytes> {
    rules.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(Bytes::copy_from_slice).collect()
}

/// What keeps these, or takes them away, all or none.
pub(crate) fn unit(changes: Vec<Kept>) -> Unit {
    Box::new(move |tx| {
        for change in &changes {
            put(tx, change).map_err(CommandError::from)?;
        }
        Ok(Reply::OK)
    })
}

fn put(tx: &mut Transaction<'_>, change: &Kept) -> Result<(), Error> {
    let Kept { kind, name, value, expires_ms } = change;
    let collection = match (tx.own_collection(DB, kind), value) {
        (Some(collection), _) => collection,
        (None, None) => return Ok(()),
        (None, Some(_)) => tx.create_own_collection(DB, kind, "{}")?,
    };
    let id = key_id(name);
    let record = tx.find_id(collection, &id)?;
    let before = record.map(|record| tx.record(collection, record)).transpose()?.flatten();
    match (record.zip(before), value) {
        // Goes to the end, so that who reads on from where it was finds it.
        (Some((record, before)), Some(value)) if *kind == TOKENS => {
            tx.delete(collection, record, &before)?;
            tx.insert_expiring(collection, &id, pack_key(name, KeyValue::String(value)), *expires_ms)?;
        }
        (Some((record, before)), Some(value)) => {
            tx.replace_expiring(collection, record, &before, pack_key(name, KeyValue::String(value)), *expires_ms)?;
        }
        (None, Some(value)) => {
            tx.insert_expiring(collection, &id, pack_key(name, KeyValue::String(value)), *expires_ms)?;
        }
        (Some((record, before)), None) => tx.delete(collection, record, &before)?,
        (None, None) => {}
    }
    Ok(())
}
