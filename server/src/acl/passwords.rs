//! Whether a password is right, found out in a time that says nothing of the user.
//!
//! One argon2id is computed for every password that is not known to be right: also where there is no such user, where it is
//! disabled, and where its hashes are of another kind. Few are computed at once; who waits holds up itself alone. What was right is
//! known for a while by a keyed hash, so that clients that come back cost nothing.
//!
//! Invariant: a password is right only by the hashes that the user has at that moment.

use std::sync::Arc;

use hashlink::LruCache;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::sync::Semaphore;
use veddb_commands::access::User;
use veddb_commands::access::password::{Password, Salt};

use super::Acl;

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
    slots: Arc<Semaphore>,
}

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
            slots: Arc::new(Semaphore::new((cores / 2).clamp(1, HASHING_MAX))),
        }
    }
}

impl Passwords {
    /// The user of this name, if the password is right for it.
    pub(crate) async fn authenticate(&self, acl: &Acl, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let accounts = acl.load();
        let user = accounts.get(name).filter(|user| user.is_enabled());
        if let Some(user) = user {
            if user.needs_no_password() || user.has_password(&Password::sha256(password)) {
                return Some(Arc::clone(user));
            }
            if self.is_known(&self.tag(user, password)) {
                return Some(Arc::clone(user));
            }
        }
        let salt = user.and_then(|user| user.salt()).unwrap_or(self.salt);
        let given = password.to_vec();
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let hash = tokio::task::spawn_blocking(move || {
            let hash = Password::argon2id(&salt, &given);
            drop(slot);
            hash
        });
        let hash = hash.await.ok()?;
        // It may have been changed meanwhile.
        let accounts = acl.load();
        let user = accounts.get(name).filter(|user| user.is_enabled() && user.has_password(&hash))?;
        self.known.lock().insert(self.tag(user, password), ());
        Some(Arc::clone(user))
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
