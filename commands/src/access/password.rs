//! Passwords as they are kept: by argon2id where they are given in the clear, as SHA-256 where such a hash is given.
//!
//! Computing one takes tens of milliseconds and 19 MiB on purpose, so it is never done by a connection's task.
//!
//! Invariant: all argon2id hashes of a user have one salt and one cost, so a password is checked against all of them by computing
//! one.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::rule::RuleError;
use super::user::NAME_BYTES_MAX;
use crate::error::CommandError;

/// KiB that one computation fills.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often it goes over them.
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How hashes of this cost begin.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// Bytes of a password. What is longer is refused before anything is computed from it.
pub const PASSWORD_BYTES_MAX: usize = 4096;

/// What is said of a longer one, and of the name of a user that can have none.
#[must_use]
pub fn too_long() -> CommandError {
    CommandError::err(format!("a user's name has at most {NAME_BYTES_MAX} bytes, and a password {PASSWORD_BYTES_MAX}"))
}

/// What is drawn anew for a user's first password.
pub type Salt = [u8; 16];

/// A password as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Redis's hash: quick to compute, so as good as the password is long.
    Sha256([u8; 32]),
    /// What VedDB makes of passwords.
    Argon2id {
        /// The user's.
        salt: Salt,
        /// Of this password.
        hash: [u8; 32],
    },
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Sha256(hash) => hash.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Password::Argon2id { salt, hash } => {
                write!(f, "{PREFIX}{}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash))
            }
        }
    }
}

impl Password {
    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`RuleError::BadHash`]
    pub fn parse(text: &[u8]) -> Result<Password, RuleError> {
        parse(text).ok_or(RuleError::BadHash)
    }

    /// Redis's hash of a password.
    #[must_use]
    pub fn sha256(password: &[u8]) -> Password {
        Password::Sha256(Sha256::digest(password).into())
    }

    /// VedDB's hash of a password. Takes its time.
    #[must_use]
    pub fn argon2id(salt: &Salt, password: &[u8]) -> Password {
        Password::Argon2id { salt: *salt, hash: derive(salt, password) }
    }

    /// Whether this is the same hash, told in a time that does not depend on it.
    pub(super) fn is(&self, other: &Password) -> bool {
        match (self, other) {
            (Password::Sha256(a), Password::Sha256(b)) => a.ct_eq(b).into(),
            (Password::Argon2id { salt: a, hash: x }, Password::Argon2id { salt: b, hash: y }) => {
                (a.ct_eq(b) & x.ct_eq(y)).into()
            }
            _ => false,
        }
    }
}

fn parse(text: &[u8]) -> Option<Password> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix(PREFIX) {
        let (salt, hash) = rest.split_once('$')?;
        let salt = STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()?;
        let hash = STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?;
        return Some(Password::Argon2id { salt, hash });
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 64 || !digits {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Password::Sha256(hash))
}

/// A salt for a user's first password.
#[must_use]
pub fn new_salt() -> Salt {
    rand::random()
}

fn derive(salt: &Salt, password: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(hash.len())).expect("the cost is within argon2's bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password_into(password, salt, &mut hash)
        .expect("a salt of 16 bytes and a password below 4 GiB are fine");
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_read_back() {
        for password in [Password::sha256(b"x"), Password::argon2id(&[7; 16], b"x")] {
            let shown = password.to_string();
            assert!(Password::parse(shown.as_bytes()).unwrap().is(&password), "{shown}");
            assert!(!format!("{password:?}").contains(&shown));
        }
        let sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(Password::sha256(b"x").to_string(), sha);
        for bad in ["", "x", &sha[1..], &sha.to_uppercase(), "$argon2id$v=19$m=19456,t=2,p=1$AA$AA", "$argon2i$"] {
            assert_eq!(Password::parse(bad.as_bytes()), Err(RuleError::BadHash), "{bad}");
        }
    }

    #[test]
    fn argon2id_is_that_of_the_reference_implementation() {
        // echo -n password | argon2 somesaltsomesalt -id -t 2 -k 19456 -p 1 -l 32 -e
        let made = Password::argon2id(b"somesaltsomesalt", b"password").to_string();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"), "{made}");
    }
}
