//! Tokens: what is known of them, and whether one that is given is good.
//!
//! A token is a JSON Web Token, signed with a key of the store's (or of another issuer that is trusted). One that was issued here is good
//! only while the store has a record of it, so that its signature alone opens nothing; the record goes when the token expires. What is
//! in the store is held in memory too, and changed by the thread that changes users (`acl`).
//!
//! Invariant: a connection that got in with a token is closed when the token is not good any more: at once where it is revoked, within a
//! second where it expires.

pub(crate) mod change;
mod claims;
mod foreign;
mod keep;
mod signature;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use veddb_commands::session::TokenInfo;
use veddb_storage::Store;
use zeroize::Zeroizing;

use claims::{Claims, Expected, Header, SKEW_S, TOKEN_BYTES_MAX};
pub(crate) use claims::{Refused, Token, is_token};
use foreign::{Foreign, PublicKey};

use crate::execute::now_ms;
use crate::server::Server;

/// The settings `token-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub issuer: String,
    pub audience: String,
    pub lifetime_s_max: u64,
    pub records_max: usize,
    pub jwks_file: PathBuf,
    pub jwks_issuer: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            issuer: "veddb".to_owned(),
            audience: "veddb".to_owned(),
            lifetime_s_max: 30 * 24 * 3600,
            records_max: 100_000,
            jwks_file: PathBuf::new(),
            jwks_issuer: String::new(),
        }
    }
}

/// The most that `token-max-lifetime` can be, seconds. So long are revocations of another issuer's tokens kept.
pub(crate) const LIFETIME_S_MAX: u64 = 366 * 24 * 3600;

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Whose it is; empty of one of another issuer.
    user: Bytes,
    /// The number of its key; empty of one of another issuer.
    key: String,
    issued_ms: u64,
    expires_ms: u64,
    revoked_ms: Option<u64>,
}

impl Record {
    /// Whether the token was issued here; else it is what is known of another issuer's.
    fn is_own(&self) -> bool {
        !self.key.is_empty()
    }
}

/// A key that tokens are signed with, or were.
#[derive(Clone, PartialEq, Eq)]
struct SigningKey {
    /// None once it is not signed with any more.
    private: Option<Zeroizing<Vec<u8>>>,
    public: Vec<u8>,
    created_ms: u64,
    retired_ms: Option<u64>,
    /// Since when what it signed is not good any more.
    dead_ms: Option<u64>,
    /// When the last token expires that it signed; 0 while it is signed with.
    expires_ms: u64,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What is known of all tokens and keys.
#[derive(Debug, Default)]
struct Known {
    /// By the token's number; under [`cutoff_name`], up to when another issuer's tokens of a user are not good.
    records: HashMap<Bytes, Record>,
    by_expiry: BTreeSet<(u64, Bytes)>,
    /// How many of the records are of tokens that were issued here.
    issued: usize,
    keys: BTreeMap<String, SigningKey>,
}

impl Known {
    fn put(&mut self, jti: Bytes, record: Record) {
        self.by_expiry.insert((record.expires_ms, jti.clone()));
        self.issued += usize::from(record.is_own());
        if let Some(before) = self.records.insert(jti.clone(), record.clone()) {
            self.issued -= usize::from(before.is_own());
            if before.expires_ms != record.expires_ms {
                self.by_expiry.remove(&(before.expires_ms, jti));
            }
        }
    }

    /// How many of the records are revocations of another issuer's tokens.
    fn foreign(&self) -> usize {
        self.records.len() - self.issued
    }

    /// Forgets what has expired.
    fn purge(&mut self, now_ms: u64) {
        while self.by_expiry.first().is_some_and(|(expires_ms, _)| *expires_ms <= now_ms) {
            let Some((_, jti)) = self.by_expiry.pop_first() else { break };
            if let Some(record) = self.records.remove(&jti) {
                self.issued -= usize::from(record.is_own());
            }
        }
        self.keys.retain(|_, key| key.expires_ms == 0 || key.expires_ms > now_ms);
    }

    /// Whether a token is one that was issued, or another issuer's, and was not revoked. Whether it has expired is not asked.
    fn stands(&self, token: &Token, foreign: Option<&Foreign>) -> Result<(), Refused> {
        if let Some(issuer) = &token.foreign {
            let trusted = foreign.filter(|foreign| foreign.issuer == *issuer);
            let key = trusted.and_then(|foreign| foreign.keys.get(&token.key));
            key.filter(|key| key.hash == token.key_hash).ok_or(Refused::UnknownKey)?;
            let until = self.records.get(&cutoff_name(&token.user)).and_then(|record| record.revoked_ms);
            // Whatever has that number, it is not this token, or it was revoked.
            if self.records.contains_key(&token.jti) || until.is_some_and(|until| token.issued_ms <= until) {
                return Err(Refused::Revoked);
            }
            return Ok(());
        }
        let key = self.keys.get(&token.key).filter(|key| key_hash(&[&key.public]) == token.key_hash);
        let key = key.ok_or(Refused::UnknownKey)?;
        let record = self.records.get(&token.jti).ok_or(Refused::Unknown)?;
        if (&record.user, &record.key, record.expires_ms) != (&token.user, &token.key, token.expires_ms) {
            return Err(Refused::Unknown);
        }
        if record.revoked_ms.is_some() || key.dead_ms.is_some() {
            return Err(Refused::Revoked);
        }
        Ok(())
    }
}

/// What tells a public key from every other one, whatever numbers they have: the SHA-256 of its parts, each behind its length.
fn key_hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Under what it is kept up to when tokens of another issuer are not good for a user. No token has such a number.
fn cutoff_name(user: &[u8]) -> Bytes {
    Bytes::from([b"\0", user].concat())
}

/// All tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: RwLock<Known>,
    /// How far what is kept was read.
    position: Mutex<Option<keep::Position>>,
    foreign: ArcSwapOption<Foreign>,
}

impl Tokens {
    /// What is kept, with the other issuer that the settings name.
    ///
    /// # Errors
    /// When the store cannot be read, and for what is wrong with the other issuer's keys.
    pub(crate) fn open(settings: &Settings, store: &Arc<Store>) -> Result<Tokens, String> {
        signature::install();
        let tokens = Tokens::default();
        tokens.put_foreign(Tokens::read_foreign(settings)?);
        tokens.read(store).map_err(|error| error.to_string())?;
        Ok(tokens)
    }

    /// The other issuer's keys as they are in the file now. Until they are put in place, those of before are trusted.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn read_foreign(settings: &Settings) -> Result<Option<Arc<Foreign>>, String> {
        Ok(Foreign::load(settings)?.map(Arc::new))
    }

    /// Has those be the other issuer's keys that were read.
    pub(crate) fn put_foreign(&self, foreign: Option<Arc<Foreign>>) {
        self.foreign.store(foreign);
    }

    /// Takes over what is kept, as far as it is new.
    fn read(&self, store: &Arc<Store>) -> Result<(), veddb_storage::Error> {
        let mut position = self.position.lock();
        let loaded = keep::load(store, position.as_ref())?;
        let mut known = self.known.write();
        if loaded.is_whole {
            *known = Known::default();
        }
        known.keys = loaded.keys.into_iter().collect();
        loaded.records.into_iter().for_each(|(jti, record)| known.put(jti, record));
        known.purge(now_ms());
        *position = loaded.position;
        Ok(())
    }

    /// Takes over what others have kept, and closes connections whose tokens are not good any more.
    pub(crate) fn read_anew(&self, server: &Server, store: &Arc<Store>) -> bool {
        let outcome = self.read(store);
        match &outcome {
            Ok(()) => enforce(server, None),
            Err(error) => tracing::error!(%error, "tokens could not be read; what was read before goes on to be used"),
        }
        outcome.is_ok()
    }

    /// The token that was given for a user, if it is good now.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn verify(
        &self,
        settings: &Settings,
        user: &[u8],
        given: &[u8],
        now_ms: u64,
    ) -> Result<Arc<Token>, Refused> {
        if given.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let text = std::str::from_utf8(given).map_err(|_| Refused::Header)?;
        let header = Header::read(text)?;
        let foreign = self.foreign.load_full();
        let own = self.known.read().keys.get(&header.kid).map(|key| key.public.clone());
        let (algorithm, key, key_hash, other) = match (own, &foreign) {
            (Some(public), _) => (Algorithm::EdDSA, DecodingKey::from_ed_der(&public), key_hash(&[&public]), None),
            (None, Some(foreign)) => {
                let PublicKey { algorithm, key, hash } = foreign.keys.get(&header.kid).ok_or(Refused::UnknownKey)?;
                (*algorithm, key.clone(), *hash, Some(foreign))
            }
            (None, None) => return Err(Refused::UnknownKey),
        };
        if !header.is_of(algorithm) {
            return Err(Refused::Algorithm);
        }
        let issuer = other.map_or(settings.issuer.as_str(), |foreign| foreign.issuer.as_str());
        let mut validation = Validation::new(algorithm);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded = jsonwebtoken::decode::<Claims>(text, &key, &validation);
        let claims = decoded.map_err(|error| Refused::Verification(error.to_string()))?.claims;
        let lifetime_s_max = other.map(|_| settings.lifetime_s_max);
        let now_s = now_ms / 1000;
        claims.check(&Expected { issuer, audience: &settings.audience, user, now_s, lifetime_s_max })?;
        let token = Token {
            bounds: claims.bounds()?,
            jti: Bytes::from(claims.jti),
            key: header.kid,
            key_hash,
            foreign: other.map(|foreign| foreign.issuer.clone()),
            user: Bytes::from(claims.sub),
            issued_ms: claims.iat.unwrap_or_default().saturating_mul(1000),
            expires_ms: claims.exp.saturating_mul(1000),
        };
        self.known.read().stands(&token, foreign.as_deref())?;
        Ok(Arc::new(token))
    }

    /// Whether a token that was good is so still; whether it has expired is not asked.
    pub(crate) fn stands(&self, token: &Token) -> bool {
        self.known.read().stands(token, self.foreign.load().as_deref()).is_ok()
    }

    /// How many of what TOKEN.LIST shows are good, and how many are revoked.
    pub(crate) fn count(&self, now_ms: u64) -> (u64, u64) {
        let known = self.known.read();
        let mut counts = (0, 0);
        for (jti, record) in &known.records {
            if record.expires_ms <= now_ms || jti.starts_with(b"\0") {
                continue;
            }
            let is_dead = known.keys.get(&record.key).is_some_and(|key| key.dead_ms.is_some());
            if record.revoked_ms.is_some() || is_dead {
                counts.1 += 1;
            } else {
                counts.0 += 1;
            }
        }
        counts
    }

    /// What TOKEN.LIST shows.
    pub(crate) fn list(&self, now_ms: u64) -> Vec<TokenInfo> {
        let known = self.known.read();
        let shown = |(jti, record): (&Bytes, &Record)| {
            let dead_ms = known.keys.get(&record.key).and_then(|key| key.dead_ms);
            TokenInfo {
                jti: jti.clone(),
                user: record.user.clone(),
                key: record.key.clone(),
                issued_ms: record.issued_ms,
                expires_ms: record.expires_ms,
                revoked_ms: record.revoked_ms.or(dead_ms),
            }
        };
        let is_shown = |(jti, record): &(&Bytes, &Record)| record.expires_ms > now_ms && !jti.starts_with(b"\0");
        let mut all: Vec<_> = known.records.iter().filter(is_shown).map(shown).collect();
        all.sort_by(|a, b| (a.issued_ms, &a.jti).cmp(&(b.issued_ms, &b.jti)));
        all
    }
}

/// Closes the connections whose tokens are not good any more.
pub(crate) fn enforce(server: &Server, except: Option<u64>) {
    for client in server.clients.list() {
        let token = client.token.lock().clone();
        if Some(client.id) != except && token.is_some_and(|token| !server.acl.tokens.stands(&token)) {
            crate::acl::close(server, &client);
        }
    }
}
