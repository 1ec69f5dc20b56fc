//! Whether a password is right, found out in a time that says nothing of the user.
//!
//! One argon2id is computed for every password that is not known to be right: also where there is no such user, where it is
//! disabled, and where its hashes are of another kind. Few are computed at once, and addresses take turns (`turns`). Who had too
//! many wrong ones is told to wait before any is looked at (`attempts`). What was right is known for a while by a keyed hash, so
//! that clients that come back cost nothing.
//!
//! Invariant: a password is right only by the hashes that the user has at that moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hashlink::LruCache;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use veddb_commands::CommandError;
use veddb_commands::access::User;
use veddb_commands::access::password::{PASSWORD_BYTES_MAX, Password, Salt, too_long};

use super::Acl;
use super::attempts::{Attempt, Attempts, Proof};
use super::turns::{Turns, WAITING_MAX};
use crate::limits::{network, refused};

/// Passwords that are known to be right.
const KNOWN_MAX: usize = 1024;
/// Hashes that are computed at once. Each takes 19 MiB and a core.
pub const HASHING_MAX: usize = 2;

type Tag = [u8; 32];

/// How passwords are checked.
#[derive(Debug)]
pub(crate) struct Passwords {
    /// Of this process alone.
    secret: [u8; 32],
    /// What stands in for the salt of a user that has none.
    salt: Salt,
    known: Mutex<LruCache<Tag, ()>>,
    turns: Arc<Turns>,
    attempts: Arc<Attempts>,
    /// Attempts that were told to wait.
    refused: AtomicU64,
}

/// Who wants to get in as whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) address: IpAddr,
    pub(crate) name: &'a [u8],
    pub(crate) password: &'a [u8],
    /// The setting `limit-auth-failures`.
    pub(crate) failures_max: u32,
}

/// When it may be tried again where too many passwords of one address wait.
const CROWDED: Duration = Duration::from_secs(1);

impl Default for Passwords {
    fn default() -> Passwords {
        let mut secret = [0; 32];
        let is_random = getrandom::fill(&mut secret).is_ok();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Passwords {
            secret,
            salt: veddb_commands::access::password::new_salt(),
            // Without randomness nothing can be told apart from what was forged.
            known: Mutex::new(LruCache::new(if is_random { KNOWN_MAX } else { 0 })),
            turns: Turns::new((cores / 2).clamp(1, HASHING_MAX)),
            attempts: Arc::default(),
            refused: AtomicU64::new(0),
        }
    }
}

/// It was right. Of a user that needs no password it says nothing, whatever was given.
fn got_in(attempt: Attempt, user: &User) {
    if !user.needs_no_password() {
        attempt.succeeded();
    }
}

impl Passwords {
    /// The user of this name, if the password is right for it.
    ///
    /// # Errors
    /// `RATELIMIT` where the address, or the user, had too many wrong ones, and where too many of the address wait.
    pub(crate) async fn authenticate(&self, acl: &Acl, claim: Claim<'_>) -> Result<Option<Arc<User>>, CommandError> {
        let Claim { name, password, failures_max, .. } = claim;
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(too_long());
        }
        let address = network(claim.address);
        let attempt = self.attempts.begin(Proof::Password, address, name, failures_max);
        let mut attempt = attempt.map_err(|wait| self.refuse(wait))?;
        if attempt.is_early()
            && let Some(user) = self.known_to_be_right(acl, name, password)
        {
            got_in(attempt, &user);
            return Ok(Some(user));
        }
        let Some(turn) = self.turns.take(address).await else {
            self.refused.fetch_add(1, Relaxed);
            let what = format!("the limit of {WAITING_MAX} passwords of one address that wait to be checked");
            return Err(refused(&what, CROWDED));
        };
        attempt.look_again().map_err(|wait| self.refuse(wait))?;
        // One that came earlier may have been the same.
        if let Some(user) = self.known_to_be_right(acl, name, password) {
            got_in(attempt, &user);
            return Ok(Some(user));
        }
        let salt = acl.load().get(name).filter(|user| user.is_enabled()).and_then(|user| user.salt());
        let (salt, given) = (salt.unwrap_or(self.salt), password.to_vec());
        let hashed = tokio::task::spawn_blocking(move || (Password::argon2id(&salt, &given), turn));
        let Ok((hash, turn)) = hashed.await else { return Ok(None) };
        // It may have been changed meanwhile.
        let accounts = acl.load();
        let user = accounts.get(name).filter(|user| user.is_enabled() && user.has_password(&hash));
        match user {
            Some(user) => {
                self.known.lock().insert(self.tag(user, password), ());
                attempt.succeeded();
            }
            None => attempt.failed(),
        }
        // The next one sees how this one ended.
        drop(turn);
        Ok(user.map(Arc::clone))
    }

    /// Whether the token that stands in a password's place is right. It counts of its address as a password does.
    ///
    /// # Errors
    /// `RATELIMIT`, as of [`Passwords::authenticate`]; then it was not asked.
    pub(crate) fn counted(&self, claim: Claim<'_>, is_right: impl FnOnce() -> bool) -> Result<bool, CommandError> {
        let attempt = self.attempts.begin(Proof::Token, network(claim.address), claim.name, claim.failures_max);
        let mut attempt = attempt.map_err(|wait| self.refuse(wait))?;
        attempt.look_again().map_err(|wait| self.refuse(wait))?;
        let is_right = is_right();
        if is_right {
            attempt.succeeded()
        } else {
            attempt.failed()
        }
        Ok(is_right)
    }

    /// The user, if it is seen without an argon2id that the password is right.
    fn known_to_be_right(&self, acl: &Acl, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let accounts = acl.load();
        let user = accounts.get(name).filter(|user| user.is_enabled())?;
        let is_right = user.needs_no_password()
            || user.has_password(&Password::sha256(password))
            || self.is_known(&self.tag(user, password));
        is_right.then(|| Arc::clone(user))
    }

    fn refuse(&self, wait: Duration) -> CommandError {
        self.refused.fetch_add(1, Relaxed);
        refused("limit-auth-failures", wait)
    }

    /// Attempts that were told to wait, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Forgets failures of long ago. To be called every second or so.
    pub(crate) fn sweep(&self) {
        self.attempts.sweep();
    }

    fn is_known(&self, tag: &Tag) -> bool {
        self.known.lock().get(tag).is_some()
    }

    /// Of the password with all that it is compared with: other hashes, another tag.
    fn tag(&self, user: &User, password: &[u8]) -> Tag {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(&(user.name().len() as u64).to_be_bytes());
        mac.update(user.name());
        mac.update(&(user.passwords().len() as u64).to_be_bytes());
        for known in user.passwords() {
            let known = known.to_string();
            mac.update(&(known.len() as u64).to_be_bytes());
            mac.update(known.as_bytes());
        }
        mac.update(password);
        mac.finalize().into_bytes().into()
    }
}
