//! Users and roles while the server runs: what they are now, who changes them, and what becomes of connections then.
//!
//! They are kept in the store (`keep`), or in a file (`file`) where the setting `aclfile` names one. One thread makes all changes
//! (`change`); everybody else takes what is there.
//!
//! Invariant: what [`Acl::load`] gives is what is kept, with what the configuration says over it; a connection whose user is gone is
//! closed, and so is one that listens to what its user may not hear any more.

mod attempts;
mod change;
mod denials;
mod file;
mod keep;
mod passwords;
mod turns;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use veddb_commands::access::accounts::AccountLimits;
use veddb_commands::access::password::Password;
use veddb_commands::access::user::DEFAULT;
use veddb_commands::access::{Accounts, User};
use veddb_commands::session::AccountChange;
use veddb_commands::{CommandError, Reply};
use veddb_storage::Store;

use crate::client::Client;
use crate::config::Settings;
use crate::server::Server;
use crate::telemetry;
use crate::token::Tokens;
pub use change::start;
use change::{CHANGES_MAX, Message};
pub(crate) use change::{attach, commit_kept};
pub(crate) use denials::Denials;
pub(crate) use keep::{Kept, unit};
pub use passwords::HASHING_MAX;
pub(crate) use passwords::{Claim, Passwords};

/// Users and roles.
#[derive(Debug)]
pub struct Acl {
    current: ArcSwap<Accounts>,
    /// Another one each time that they change.
    generation: AtomicU64,
    /// Held while they are read, changed and put back.
    changing: Mutex<()>,
    /// Where they come from and go to, if not the store.
    file: Option<PathBuf>,
    /// What was refused.
    pub(crate) denials: Denials,
    /// How passwords are checked.
    pub(crate) passwords: Passwords,
    /// What users get in with as well.
    pub(crate) tokens: Tokens,
    changes: mpsc::Sender<Message>,
    receiver: Mutex<Option<mpsc::Receiver<Message>>>,
}

impl Acl {
    /// What is kept, with what the configuration says.
    ///
    /// # Errors
    /// Where a rule in the configuration or in the file of the setting `aclfile` cannot be, and when the store cannot be read.
    pub fn open(settings: &Settings, store: &Arc<Store>) -> Result<Acl, String> {
        let limits = settings.account_limits();
        let path = Some(settings.aclfile.clone()).filter(|path| !path.as_os_str().is_empty());
        let accounts = match &path {
            Some(path) => {
                if !settings.users.is_empty() {
                    return Err("users are defined in the configuration file and in the file of the setting aclfile: \
                                one of them is enough, and both is likely to be a mistake"
                        .to_owned());
                }
                file::load(path, &limits)?
            }
            None => {
                let kept = keep::load(store, &Accounts::default(), &limits).map_err(|error| error.to_string())?;
                with_configuration(kept, settings)?
            }
        };
        let (changes, receiver) = mpsc::channel(CHANGES_MAX);
        Ok(Acl {
            current: ArcSwap::from_pointee(accounts),
            generation: AtomicU64::new(1),
            changing: Mutex::new(()),
            file: path,
            denials: Denials::default(),
            passwords: Passwords::default(),
            tokens: Tokens::open(&settings.tokens, store)?,
            changes,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// All of them, as they are now.
    pub(crate) fn load(&self) -> Arc<Accounts> {
        self.current.load_full()
    }

    /// The same number as before as long as nothing has changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Whether users come from a file.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether connections that say nothing of themselves may run commands.
    pub(crate) fn is_open(&self) -> bool {
        is_open(&self.load())
    }

    /// Makes a change, and answers once it has taken effect everywhere.
    pub(crate) async fn change(&self, client: u64, change: AccountChange) -> Result<Reply, CommandError> {
        let (done, outcome) = oneshot::channel();
        let stopped = || CommandError::err("the server is stopping");
        self.changes
            .send(Message::Change { client, change, done, request: telemetry::request() })
            .await
            .map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The setting `requirepass` has changed: it is the password of the default user.
    pub(crate) fn set_default_password(&self, server: &Server, password: &str) {
        self.put(server, None, |accounts| {
            let mut user = User::clone(accounts.default_user());
            user.set_password(
                Some(password).filter(|text| !text.is_empty()).map(|text| Password::sha256(text.as_bytes())),
            );
            user.compile(accounts.roles());
            Some(accounts.with_user(user))
        });
    }

    /// Has others be the users and roles; none lets them as they are. `except` is a connection that ends itself where it has to.
    fn put(&self, server: &Server, except: Option<u64>, make: impl FnOnce(&Accounts) -> Option<Accounts>) -> bool {
        let _changing = self.changing.lock();
        let before = self.current.load_full();
        let Some(after) = make(&before) else { return false };
        let after = Arc::new(after);
        self.current.store(Arc::clone(&after));
        self.generation.fetch_add(1, Release);
        enforce(server, except, &before, &after);
        true
    }
}

/// Whether connections that say nothing of themselves may run commands.
pub(crate) fn is_open(accounts: &Accounts) -> bool {
    let user = accounts.default_user();
    user.is_enabled() && user.needs_no_password()
}

/// What the configuration says over what is kept.
fn with_configuration(kept: Accounts, settings: &Settings) -> Result<Accounts, String> {
    let limits = settings.account_limits();
    let mut accounts = with_password_of(&kept, settings);
    for words in &settings.users {
        accounts = with_line(&accounts, words, &limits)?;
    }
    Ok(accounts)
}

/// The default user has the password of the setting `requirepass`, if there is one. Where that is among its passwords, they stay.
fn with_password_of(accounts: &Accounts, settings: &Settings) -> Accounts {
    if settings.requirepass.0.is_empty() {
        return accounts.clone();
    }
    let password = Password::sha256(settings.requirepass.0.as_bytes());
    let mut user = User::clone(accounts.default_user());
    if !user.has_password(&password) {
        user.set_password(Some(password));
    }
    user.compile(accounts.roles());
    accounts.with_user(user)
}

/// A line `user name rule ..` or `role name rule ..` of a configuration file.
pub(crate) fn with_line(accounts: &Accounts, words: &[Bytes], limits: &AccountLimits) -> Result<Accounts, String> {
    let [word, name, rules @ ..] = words else {
        return Err("a line begins with user or role and a name".to_owned());
    };
    let shown = String::from_utf8_lossy(name).into_owned();
    let wrong = |error: CommandError| format!("Error loading ACL rules of '{shown}': {}", error.message);
    if word.eq_ignore_ascii_case(b"role") {
        let role = accounts.changed_role(name, rules, limits).map_err(wrong)?;
        return Ok(accounts.with_role(name, role));
    }
    // What the line does not say is as for a new user.
    let mut all = vec![Bytes::from_static(b"reset")];
    all.extend(rules.iter().cloned());
    let user = accounts.changed_user(name, &all, limits).map_err(wrong)?;
    if !user.is_enabled() {
        tracing::warn!(user = %shown, "a user of the configuration is disabled: its rules do not say on");
    }
    Ok(accounts.with_user(user))
}

/// Closes the connections of users that are gone, those with tokens of users that are off, and those that listen to what they may not
/// hear any more.
fn enforce(server: &Server, except: Option<u64>, before: &Accounts, after: &Accounts) {
    let mut changed: HashMap<Bytes, HashSet<u64>> = HashMap::new();
    for client in server.clients.list() {
        if Some(client.id) == except {
            continue;
        }
        let name = client.user.lock().clone();
        let has_token = client.token.lock().is_some();
        match (before.get(&name), after.get(&name)) {
            (_, None) => close(server, &client),
            // As in Redis who came with a password stays; a token is asked at every moment.
            (_, Some(new)) if has_token && !new.is_enabled() => close(server, &client),
            (Some(old), Some(new)) if old.version() != new.version() && client.is_subscriber() => {
                changed.entry(name).or_default().insert(client.id);
            }
            _ => {}
        }
    }
    for (name, clients) in changed {
        let Some(user) = after.get(&name) else { continue };
        for id in server.pubsub.listening_to(&clients, |channel, is_pattern| !user.may_hear(channel, is_pattern)) {
            if let Some(client) = server.clients.get(id) {
                close(server, &client);
            }
        }
    }
}

/// Whoever made the change does not find the connection in the list any more.
pub(crate) fn close(server: &Server, client: &Client) {
    client.kill();
    server.clients.remove(client.id);
}

/// The line of the configuration file that says what the user or role of a line is now; none where it is gone.
pub(crate) fn line(accounts: &Accounts, words: &[String]) -> Option<String> {
    let name = words.get(1)?.as_bytes();
    let rules = match words.first()?.to_ascii_lowercase().as_str() {
        "role" => accounts.roles().get(name)?.show(),
        _ => accounts.get(name)?.show(),
    };
    Some(format!("{} {} {}", words.first()?, words.get(1)?, String::from_utf8_lossy(&rules)))
}

/// The name of the user that connections are from the start.
pub(crate) fn default_name() -> Bytes {
    Bytes::from_static(DEFAULT)
}
