//! Issuing and revoking tokens, and other signing keys: kept first, then known, then answered. On the thread that changes users.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value as Json};
use tokio::runtime::Handle;
use veddb_commands::session::TokenRequest;
use veddb_commands::{CommandError, ErrorCode, Reply};

use super::claims::{SKEW_S, TOKEN_BYTES_MAX, bounds, is_number};
use super::{Known, LIFETIME_S_MAX, Record, SigningKey, Tokens, cutoff_name, enforce, signature};
use crate::acl::{Kept, commit_kept};
use crate::execute::now_ms;
use crate::server::Server;

/// How long a token is good where nothing is said, seconds.
const LIFETIME_S: u64 = 3600;
/// Claims that the server makes.
const OWN_CLAIMS: &[&str] = &["iss", "aud", "sub", "exp", "iat", "jti"];
/// Keys that tokens that are good were signed with.
const KEYS_MAX: usize = 64;
/// Records that one unit changes.
const UNIT_RECORDS_MAX: usize = 1000;

/// TOKEN.ISSUE
pub(crate) fn issue(server: &Arc<Server>, wanted: TokenRequest, runtime: &Handle) -> Result<Reply, CommandError> {
    let TokenRequest { user, lifetime_s, claims } = wanted;
    let settings = &server.config.load().tokens;
    let tokens = &server.acl.tokens;
    let shown = String::from_utf8_lossy(&user).into_owned();
    let accounts = server.acl.load();
    if !accounts.get(&user).ok_or_else(|| CommandError::err(format!("User '{shown}' not found")))?.is_enabled() {
        return Err(CommandError::err(format!("User '{shown}' is off")));
    }
    let name =
        std::str::from_utf8(&user).map_err(|_| CommandError::err("a user whose name is not UTF-8 has no tokens"))?;
    let most = settings.lifetime_s_max;
    let lifetime_s = lifetime_s.unwrap_or(LIFETIME_S.min(most));
    if !(1..=most).contains(&lifetime_s) {
        return Err(CommandError::err(format!("EX is 1 to {most} seconds (token-max-lifetime)")));
    }
    let now_ms = now_ms();
    let now_s = now_ms / 1000;
    let expires_s = now_s + lifetime_s;
    check_claims(&claims, expires_s)?;
    {
        let mut known = tokens.known.write();
        known.purge(now_ms);
        if known.issued >= settings.records_max {
            let what = format!("token-max-records ({}) tokens are known that have not expired", known.issued);
            return Err(CommandError::new(ErrorCode::TooBig, what));
        }
    }
    let mut changes = Vec::new();
    let active = tokens.active();
    let (id, key) = match &active {
        Some(active) => active.clone(),
        None => new_key(now_ms)?,
    };
    if active.is_none() {
        changes.push(key.kept(&id));
    }
    let jti = Bytes::from(random::<16>()?);
    let record = Record {
        user: user.clone(),
        key: id.clone(),
        issued_ms: now_ms,
        expires_ms: expires_s * 1000,
        revoked_ms: None,
    };
    let mut all: Map<String, Json> = Map::new();
    let own: [(&str, Json); 7] = [
        ("iss", settings.issuer.as_str().into()),
        ("aud", settings.audience.as_str().into()),
        ("sub", name.into()),
        ("iat", now_s.into()),
        ("nbf", now_s.into()),
        ("exp", expires_s.into()),
        ("jti", String::from_utf8_lossy(&jti).into()),
    ];
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all.extend(claims);
    let token = sign(&id, &key, &all)?;
    changes.push(record.kept(&jti));
    commit_kept(server, runtime, changes)?;
    let mut known = tokens.known.write();
    known.keys.entry(id).or_insert(key);
    known.put(jti.clone(), record);
    tracing::info!(user = %shown, jti = %String::from_utf8_lossy(&jti), "token issued");
    Ok(Reply::text(token))
}

/// Refuses more revocations of another issuer's tokens than are kept. They take no room of tokens that are issued here, nor these of
/// them: there is always room to revoke what is issued.
fn room_for_foreign(known: &Known, more: usize, most: usize) -> Result<(), CommandError> {
    if more == 0 || known.foreign().saturating_add(more) <= most {
        return Ok(());
    }
    let what = format!("token-max-records ({most}) revocations of another issuer's tokens are kept at most");
    Err(CommandError::new(ErrorCode::TooBig, what))
}

fn check_claims(claims: &Map<String, Json>, expires_s: u64) -> Result<(), CommandError> {
    if let Some(name) = claims.keys().find(|name| OWN_CLAIMS.contains(&name.as_str())) {
        return Err(CommandError::err(format!("the claim {name} is made by the server")));
    }
    if let Some(from) = claims.get("nbf")
        && from.as_u64().is_none_or(|from| from >= expires_s)
    {
        return Err(CommandError::err("the claim nbf is a time before the token expires, seconds since 1970"));
    }
    if let Some(rules) = claims.get("acl") {
        let rules: Vec<String> = serde_json::from_value(rules.clone())
            .map_err(|_| CommandError::err("the claim acl is an array of rules"))?;
        bounds(&rules).map_err(|what| CommandError::err(format!("Error in the claim acl {what}")))?;
    }
    Ok(())
}

fn sign(id: &str, key: &SigningKey, claims: &Map<String, Json>) -> Result<String, CommandError> {
    let private = key.private.as_ref().ok_or_else(|| CommandError::err("the signing key cannot sign"))?;
    let mut header = jsonwebtoken::Header::new(Algorithm::EdDSA);
    header.kid = Some(id.to_owned());
    let token = jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(private));
    let token = token.map_err(|error| CommandError::err(format!("the token cannot be signed: {error}")))?;
    if token.len() > TOKEN_BYTES_MAX {
        let what = format!("the token would have {} bytes, and may have {TOKEN_BYTES_MAX}", token.len());
        return Err(CommandError::new(ErrorCode::TooBig, what));
    }
    Ok(token)
}

/// TOKEN.REVOKE of one token.
pub(crate) fn revoke(server: &Arc<Server>, client: u64, jti: Bytes, runtime: &Handle) -> Result<Reply, CommandError> {
    let (settings, now_ms) = (&server.config.load().tokens, now_ms());
    let tokens = &server.acl.tokens;
    let is_foreign = tokens.foreign.load().is_some() && is_number(&jti);
    let record = {
        let mut known = tokens.known.write();
        known.purge(now_ms);
        match known.records.get(&jti) {
            Some(record) if record.revoked_ms.is_some() => return Ok(Reply::Integer(0)),
            Some(record) => Record { revoked_ms: Some(now_ms), ..record.clone() },
            None if !is_foreign => return Ok(Reply::Integer(0)),
            None => {
                room_for_foreign(&known, 1, settings.records_max)?;
                foreign_record(Bytes::new(), now_ms)
            }
        }
    };
    let is_good =
        !record.is_own() || tokens.known.read().keys.get(&record.key).is_some_and(|key| key.dead_ms.is_none());
    keep_all(server, client, vec![(jti.clone(), record)], runtime)?;
    tracing::info!(jti = %String::from_utf8_lossy(&jti), client, "token revoked");
    Ok(Reply::count(usize::from(is_good)))
}

/// TOKEN.REVOKE USER
pub(crate) fn revoke_of(
    server: &Arc<Server>,
    client: u64,
    user: &Bytes,
    runtime: &Handle,
) -> Result<Reply, CommandError> {
    let is_there = server.acl.load().get(user).is_some();
    let records_max = server.config.load().tokens.records_max;
    let users = std::slice::from_ref(user);
    let Revocations { records, count, whole } = server.acl.tokens.revoked(users, is_there, records_max, now_ms());
    keep_all(server, client, records, runtime)?;
    tracing::info!(user = %String::from_utf8_lossy(user), count, client, "tokens of a user revoked");
    whole.map(|()| Reply::count(count))
}

/// Has these records be kept and known.
pub(crate) fn keep_all(
    server: &Arc<Server>,
    client: u64,
    records: Vec<(Bytes, Record)>,
    runtime: &Handle,
) -> Result<(), CommandError> {
    let keep = |records: &[(Bytes, Record)]| {
        commit_kept(server, runtime, records.iter().map(|(jti, record)| record.kept(jti)).collect())?;
        let mut known = server.acl.tokens.known.write();
        records.iter().for_each(|(jti, record)| known.put(jti.clone(), record.clone()));
        Ok(())
    };
    let outcome = records.chunks(UNIT_RECORDS_MAX).try_for_each(keep);
    // Also for those that were kept before one could not be.
    enforce(server, Some(client));
    outcome
}

fn foreign_record(user: Bytes, now_ms: u64) -> Record {
    // A token is read by a clock that may be a little behind.
    let expires_ms = now_ms + (LIFETIME_S_MAX + SKEW_S) * 1000;
    Record { user, key: String::new(), issued_ms: now_ms, expires_ms, revoked_ms: Some(now_ms) }
}

/// What is to be kept so that tokens are good no more.
#[derive(Debug)]
pub(crate) struct Revocations {
    pub(crate) records: Vec<(Bytes, Record)>,
    /// How many of this server's are good until then.
    pub(crate) count: usize,
    /// `TOOBIG` where there is no room to have another issuer's be good no more; the others' revocation is there all the same.
    pub(crate) whole: Result<(), CommandError>,
}

impl Tokens {
    /// What has the tokens of these users be good no more.
    pub(crate) fn revoked(&self, users: &[Bytes], with_foreign: bool, records_max: usize, now_ms: u64) -> Revocations {
        let mut known = self.known.write();
        known.purge(now_ms);
        let is_theirs = |record: &Record| record.is_own() && users.contains(&record.user);
        let is_good = |record: &Record| {
            let dead = known.keys.get(&record.key).is_none_or(|key| key.dead_ms.is_some());
            record.revoked_ms.is_none() && record.expires_ms > now_ms && !dead
        };
        let theirs = known.records.iter().filter(|(_, record)| is_theirs(record) && is_good(record));
        let mut records: Vec<_> =
            theirs.map(|(jti, record)| (jti.clone(), Record { revoked_ms: Some(now_ms), ..record.clone() })).collect();
        let (count, mut whole) = (records.len(), Ok(()));
        if with_foreign && self.foreign.load().is_some() {
            let cutoff = |user: &Bytes| {
                let name = cutoff_name(user);
                // A clock may have gone back since the one before: what it refuses stays refused.
                let before = known.records.get(&name).and_then(|record| record.revoked_ms).unwrap_or(0);
                let record = foreign_record(user.clone(), now_ms.max(before));
                (name, record)
            };
            let cutoffs: Vec<_> = users.iter().map(cutoff).collect();
            let more = cutoffs.iter().filter(|(name, _)| !known.records.contains_key(name)).count();
            whole = room_for_foreign(&known, more, records_max);
            if whole.is_ok() {
                records.extend(cutoffs);
            }
        }
        Revocations { records, count, whole }
    }

    /// The key that is signed with, if there is one.
    fn active(&self) -> Option<(String, SigningKey)> {
        let known = self.known.read();
        let active = known.keys.iter().filter(|(_, key)| key.private.is_some());
        active.max_by_key(|(_, key)| key.created_ms).map(|(id, key)| (id.clone(), key.clone()))
    }
}

/// TOKEN.ROTATE
pub(crate) fn rotate(server: &Arc<Server>, client: u64, now: bool, runtime: &Handle) -> Result<Reply, CommandError> {
    let now_ms = now_ms();
    let tokens = &server.acl.tokens;
    let (id, key) = new_key(now_ms)?;
    let mut changes = vec![key.kept(&id)];
    let mut after = {
        let mut known = tokens.known.write();
        known.purge(now_ms);
        let mut last: HashMap<&str, u64> = HashMap::new();
        for record in known.records.values() {
            let last = last.entry(&record.key).or_default();
            *last = record.expires_ms.max(*last);
        }
        let mut after = Vec::new();
        for (id, key) in &known.keys {
            let Some(expires_ms) = last.get(id.as_str()) else {
                changes.push(Kept { value: None, ..key.kept(id) });
                continue;
            };
            let retired = SigningKey {
                private: None,
                retired_ms: key.retired_ms.or(Some(now_ms)),
                dead_ms: key.dead_ms.or(now.then_some(now_ms)),
                expires_ms: *expires_ms,
                ..key.clone()
            };
            if retired != *key {
                changes.push(retired.kept(id));
            }
            after.push((id.clone(), retired));
        }
        after
    };
    if !now && after.len() >= KEYS_MAX {
        let what = format!(
            "there are tokens of {KEYS_MAX} keys; once some have expired, or with NOW, there can be another key"
        );
        return Err(CommandError::new(ErrorCode::TooBig, what));
    }
    commit_kept(server, runtime, changes)?;
    after.push((id.clone(), key));
    tokens.known.write().keys = after.into_iter().collect();
    enforce(server, Some(client));
    tracing::info!(key = %id, now, client, "signing key of tokens rotated");
    Ok(Reply::text(id))
}

fn new_key(now_ms: u64) -> Result<(String, SigningKey), CommandError> {
    let (private, public) = signature::draw().map_err(CommandError::err)?;
    let key = SigningKey {
        private: Some(private),
        public,
        created_ms: now_ms,
        retired_ms: None,
        dead_ms: None,
        expires_ms: 0,
    };
    Ok((random::<8>()?, key))
}

/// So many random bytes, in hexadecimal digits.
fn random<const BYTES: usize>() -> Result<String, CommandError> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(|_| CommandError::err("the system has no randomness"))?;
    Ok(hex::encode(random))
}
